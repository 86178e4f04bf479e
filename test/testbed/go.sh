#!/usr/bin/env bash
# Unpacks the Go that upstream built Kubernetes 1.20 with into the cache, unless it is there. Installs nothing.
#
# usage: go.sh CACHE_FOLDER
# Prints the GOROOT.
#
# A later Go does not do: compiled with 1.18 or later, the vendored reflect2 1.0.1 crashes the API server at the first custom
# resource (fatal error: fault, in mapiterinit).
set -euo pipefail

cache=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# bullseye is the last release that has it.
suite=bullseye
packages=(golang-1.15-go golang-1.15-src)
version=go1.15.15

key=$(cat "$here/go.sh" "$here/apt.sh" | sha256sum | cut -c1-16)
out=$cache/go-$key
goroot=$out/usr/lib/go-1.15
[ -e "$out/.complete" ] && { echo "$goroot"; exit 0; }

mkdir -p "$cache"
exec 9>"$cache/go.lock"
flock 9
[ -e "$out/.complete" ] && { echo "$goroot"; exit 0; }

echo "go: fetching $version" >&2
work=$(mktemp -d "$cache/go-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
. "$here/apt.sh"
private_apt "$work/apt" "$suite" deb
mkdir "$work/debs" "$work/out"
(cd "$work/debs" && apt-get "${apt_private[@]}" -qq download "${packages[@]}" >&2)
for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/out"; done
found=$(GOROOT=$work/out/usr/lib/go-1.15 "$work/out/usr/lib/go-1.15/bin/go" version)
case $found in
  "go version $version "*) ;;
  *) echo "go: $suite has not $version but: $found" >&2; exit 1 ;;
esac

touch "$work/out/.complete"
chmod 755 "$work/out"
rm -rf "$out"
mv "$work/out" "$out"
echo "$goroot"
