#!/usr/bin/env bash
# Builds upstream's end-to-end tests (e2e.test) from Debian's source of Kubernetes into the cache, unless they are there.
#
# usage: build.sh CACHE_FOLDER
# Prints the folder that holds e2e.test.
set -euo pipefail

cache=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
testbed=$here/../testbed

key=$(cat "$here/build.sh" "$testbed/kubernetes-source.sh" "$testbed/go.sh" "$testbed/apt.sh" | sha256sum | cut -c1-16)
out=$cache/conformance-$key
[ -e "$out/.complete" ] && { echo "$out"; exit 0; }

say() { echo "conformance: $*" >&2; }
mkdir -p "$cache"
exec 9>"$cache/conformance.lock"
flock 9
[ -e "$out/.complete" ] && { echo "$out"; exit 0; }

goroot=$(bash "$testbed/go.sh" "$cache")
gopath=$(bash "$testbed/kubernetes-source.sh" "$cache")
work=$(mktemp -d "$cache/conformance-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
export GOROOT=$goroot GO111MODULE=off CGO_ENABLED=0 GOFLAGS= GOCACHE=$cache/gocache PATH=$goroot/bin:$PATH

# The tests read their manifests from a generated file. The cached tree stays as it is: the file goes into a copy.
cp -a --reflink=auto "$gopath" "$work/go"
export GOPATH=$work/go
cd "$GOPATH/src/k8s.io/kubernetes"
say "generating the tests' manifests"
go build -o "$work/go-bindata" ./vendor/github.com/go-bindata/go-bindata/go-bindata
"$work/go-bindata" -nometadata -o test/e2e/generated/bindata.go -pkg generated \
  -ignore .jpg -ignore .png -ignore .md -ignore 'BUILD(\.bazel)?' \
  test/conformance/testdata/... test/e2e/testing-manifests/... test/e2e_node/testing-manifests/... test/images/... test/fixtures/...

say "building e2e.test"
mkdir "$work/out"
go test -c -vet=off -trimpath -ldflags "-s -w" -o "$work/out/e2e.test" ./test/e2e

touch "$work/out/.complete"
chmod 755 "$work/out"
rm -rf "$out"
mv "$work/out" "$out"
echo "$out"
