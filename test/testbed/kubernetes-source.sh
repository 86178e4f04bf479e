#!/usr/bin/env bash
# Unpacks Kubernetes from Debian's source package into the cache and generates what a build needs, unless it is there.
#
# usage: kubernetes-source.sh CACHE_FOLDER
# Prints the GOPATH that holds the tree as src/k8s.io/kubernetes.
set -euo pipefail

cache=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_version=1.20.2

key=$(cat "$here/kubernetes-source.sh" "$here/go.sh" "$here/apt.sh" | sha256sum | cut -c1-16)
out=$cache/source-$key
[ -e "$out/.complete" ] && { echo "$out"; exit 0; }

say() { echo "kubernetes-source: $*" >&2; }
goroot=$(bash "$here/go.sh" "$cache")
exec 9>"$cache/source.lock"
flock 9
[ -e "$out/.complete" ] && { echo "$out"; exit 0; }

work=$(mktemp -d "$cache/source-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
say "fetching Debian's source package"
. "$here/apt.sh"
private_apt "$work/apt" bookworm deb-src
version=$(apt-cache "${apt_private[@]}" showsrc --only-source kubernetes | sed -n 's/^Version: //p' | grep -m1 -F "$source_version" || true)
[ -n "$version" ] || { say "the mirror's bookworm has no kubernetes $source_version"; exit 1; }
mkdir -p "$work/package" "$work/out/src/k8s.io"
(cd "$work/package" && apt-get "${apt_private[@]}" -qq --download-only source "kubernetes=$version" >&2)
(cd "$work/package" && dpkg-source --no-check -x kubernetes_*.dsc tree >"$work/unpack.log" 2>&1)
mv "$work/package/tree" "$work/out/src/k8s.io/kubernetes"

say "generating OpenAPI definitions"
export GOROOT=$goroot GOPATH=$work/out GO111MODULE=off CGO_ENABLED=0 GOFLAGS= GOCACHE=$cache/gocache PATH=$goroot/bin:$PATH
cd "$GOPATH/src/k8s.io/kubernetes"
make gen_openapi >"$work/generate.log" 2>&1 || { tail -n 40 "$work/generate.log" >&2; exit 1; }
# The build folder of the generators is no longer needed, and it contains this folder's name.
rm -rf _output

touch "$work/out/.complete"
chmod 755 "$work/out"
rm -rf "$out"
mv "$work/out" "$out"
echo "$out"
