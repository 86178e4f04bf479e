#!/usr/bin/env bash
# Builds the Kubernetes programs from Debian's source package, with upstream's Go, into the cache, unless they are there.
#
# usage: kubernetes.sh CACHE_FOLDER
# Prints the folder that contains v1.20.2/ (the release of the source) and v1.21.0/ (the same source with another version
# label: a cheap second release, for tests of defaults and of version changes).
# Exit status: 0 if the programs were built or found, otherwise that of the failed command.
#
# Upstream built v1.20.2 with Go 1.15.5, and v1.21.0 with Go 1.16.1. An API server stops differently with the two: Go 1.16
# fixed golang/go#39776. The API server labelled v1.21.0 is therefore built with this fix.
set -euo pipefail

cache=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
commands=(kube-apiserver kube-controller-manager kube-scheduler kubectl)
labels=(v1.20.2 v1.21.0)

key=$(cat "$here/kubernetes.sh" "$here/kubernetes-source.sh" "$here/go.sh" "$here/apt.sh" | sha256sum | cut -c1-16)
out=$cache/kubernetes-$key
found() {
  [ -e "$out/.complete" ] || return 1
  # The time of the last use: see below.
  touch "$out/.complete"
  echo "$out"
}
found && exit 0

say() { echo "kubernetes: $*" >&2; }
mkdir -p "$cache"
exec 9>"$out.lock"
flock 9
found && exit 0

goroot=$(bash "$here/go.sh" "$cache")
gopath=$(bash "$here/kubernetes-source.sh" "$cache")
work=$(mktemp -d "$cache/kubernetes-build.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Go 1.15 closes an HTTP/2 connection that is older than 5 seconds at once when the server stops, even in the middle of a
# request, because it takes each such connection for a new one without a request. As in Go 1.16, it now counts as active.
# Links in the GOROOT point to other folders of the unpacked packages, so all of these are copied.
cp -al "${goroot%/lib/*}" "$work/usr"
later=$work/usr/lib/${goroot##*/}
server=src/net/http/server.go
before='h := initALPNRequest{ctx, tlsConn, serverHandler{c.server}}'
added='atomic.StoreUint64(\&c.curState.atomic, uint64(time.Now().Unix()<<8)|uint64(StateActive))'
[ "$(grep -cF "$before" "$goroot/$server")" = 1 ] || { say "$goroot/$server does not contain exactly one line $before"; exit 1; }
rm "$later/$server"
sed "s/^\(\t*\)$before/\1$added\n&/" "$goroot/$server" >"$later/$server"

# Go keeps what it compiled, shared with test/conformance, and removes what was not used for days.
export GOROOT=$goroot GOPATH=$gopath GO111MODULE=off CGO_ENABLED=0 GOFLAGS= GOCACHE=$cache/gocache
cd "$GOPATH/src/k8s.io/kubernetes"
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
    case $command-$label in
      kube-apiserver-v1.21.0) GOROOT=$later ;;
      *) GOROOT=$goroot ;;
    esac
    "$GOROOT/bin/go" build -trimpath -ldflags "$flags" -o "$work/out/$label/$command" "./cmd/$command"
    sha256sum "$work/out/$label/$command" | cut -d' ' -f1 >"$work/out/$label/$command.sha256"
  done
done

rm -rf "$out"
touch "$work/out/.complete"
mv "$work/out" "$out"
# Builds of other recipes only fill the disk. A build that was used within a week stays: another checkout may run it now.
for old in "$cache"/kubernetes-*/.complete; do
  [ -n "$(find "$old" -mtime +7)" ] && rm -rf "$(dirname "$old")"
done
say "built into $out"
echo "$out"
