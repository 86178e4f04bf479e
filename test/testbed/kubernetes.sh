#!/usr/bin/env bash
# Builds the Kubernetes programs from Debian's source package into the cache, unless they are there.
#
# usage: kubernetes.sh CACHE_FOLDER
# Prints the folder that holds v1.20.2/ (what the source is) and v1.21.0/ (the same programs linked
# with another version label: a cheap second "release" for tests of defaults and version changes).
# Exit status: 0 built or found, other: the failing command's.
set -euo pipefail

cache=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
commands=(kube-apiserver kube-controller-manager kube-scheduler kubectl)
source_version=1.20.2
labels=(v1.20.2 v1.21.0)

key=$(sha256sum "$here/kubernetes.sh" | cut -c1-16)
out=$cache/kubernetes-$key
if [ -e "$out/.complete" ]; then
  echo "$out"
  exit 0
fi

say() { echo "kubernetes: $*" >&2; }
mkdir -p "$cache"
exec 9>"$cache/kubernetes.lock"
flock 9
[ -e "$out/.complete" ] && { echo "$out"; exit 0; }

work=$(mktemp -d "$cache/kubernetes-build.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The machine's own apt configuration is left alone: the source entries live in a private one.
say "fetching Debian's source package"
mkdir -p "$work/apt/lists/partial" "$work/src"
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | sort -u | grep -v security | head -n 1)
[ -n "$mirror" ] || { say "apt knows no Debian mirror (is this Debian 12?)"; exit 1; }
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb-src [signed-by=$keyring] $mirror bookworm main" >"$work/apt/sources.list"
apt_private=(-o "Dir::Etc::SourceList=$work/apt/sources.list" -o "Dir::Etc::SourceParts=/dev/null"
  -o "Dir::State::Lists=$work/apt/lists" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" -o "APT::Sandbox::User=root")
apt-get "${apt_private[@]}" -qq update >&2
version=$(apt-cache "${apt_private[@]}" showsrc --only-source kubernetes | sed -n 's/^Version: //p' | grep -m1 -F "$source_version" || true)
[ -n "$version" ] || { say "the mirror's bookworm has no kubernetes $source_version"; exit 1; }
(cd "$work/src" && apt-get "${apt_private[@]}" -qq --download-only source "kubernetes=$version" >&2)
(cd "$work/src" && dpkg-source --no-check -x kubernetes_*.dsc tree >"$work/unpack.log" 2>&1)

export GOPATH=$work/go GO111MODULE=off CGO_ENABLED=0 GOFLAGS= GOCACHE=$work/gocache
export PATH=/usr/lib/go-1.19/bin:$PATH
mkdir -p "$GOPATH/src/k8s.io"
mv "$work/src/tree" "$work/tree"
ln -s "$work/tree" "$GOPATH/src/k8s.io/kubernetes"
cd "$GOPATH/src/k8s.io/kubernetes"

say "generating OpenAPI definitions"
make gen_openapi >"$work/generate.log" 2>&1 || { tail -n 40 "$work/generate.log" >&2; exit 1; }

for label in "${labels[@]}"; do
  minor=${label#v1.}
  minor=${minor%%.*}
  flags="-s -w"
  for package in k8s.io/client-go/pkg/version k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version \
    k8s.io/component-base/version k8s.io/kubernetes/vendor/k8s.io/component-base/version; do
    flags+=" -X $package.gitVersion=$label -X $package.gitMajor=1 -X $package.gitMinor=$minor"
    flags+=" -X $package.gitTreeState=archive -X $package.buildDate=2021-01-13T00:00:00Z"
  done
  mkdir -p "$work/out/$label"
  for command in "${commands[@]}"; do
    say "building $command $label"
    go build -trimpath -ldflags "$flags" -o "$work/out/$label/$command" "./cmd/$command"
    sha256sum "$work/out/$label/$command" | cut -d' ' -f1 >"$work/out/$label/$command.sha256"
  done
done

rm -rf "$out"
touch "$work/out/.complete"
mv "$work/out" "$out"
# Keep one build: the caches of earlier recipes only fill the disk.
for old in "$cache"/kubernetes-*; do
  [ -d "$old" ] && [ "$old" != "$out" ] && [ "$old" != "$work" ] && rm -rf "$old"
done
say "built into $out"
echo "$out"
