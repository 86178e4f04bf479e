#!/usr/bin/env bash
# Makes an etcd release of Debian's packages as the etcd project packs its own, unless it is in the cache.
#
# usage: etcd.sh CACHE_FOLDER [SUITE VERSION]   (default: bookworm v3.4.23)
# Prints the folder that contains VERSION/: the archive, SHA256SUMS, and the unpacked programs.
set -euo pipefail

cache=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
suite=${2:-bookworm}
version=${3:-v3.4.23}

key=$( (cat "$here/etcd.sh" "$here/apt.sh" && echo "$suite $version") | sha256sum | cut -c1-16)
out=$cache/etcd-$key
[ -e "$out/.complete" ] && { echo "$out"; exit 0; }

mkdir -p "$cache"
exec 9>"$cache/etcd.lock"
flock 9
[ -e "$out/.complete" ] && { echo "$out"; exit 0; }

echo "etcd: fetching etcd $version" >&2
work=$(mktemp -d "$cache/etcd-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/debs" "$work/out/$version"
. "$here/apt.sh"
private_apt "$work/apt" "$suite" deb
(cd "$work/debs" && apt-get "${apt_private[@]}" -qq download etcd-server etcd-client >&2)
for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done

name=etcd-$version-linux-$(dpkg --print-architecture)
mkdir "$work/$name"
# etcdutl exists since 3.5.
for program in etcd etcdctl etcdutl; do
  [ ! -e "$work/root/usr/bin/$program" ] || cp "$work/root/usr/bin/$program" "$work/$name/"
done
# Read to the end: a reader that leaves early ends the program by SIGPIPE, which pipefail takes for another version.
printed=$("$work/$name/etcd" --version)
[ "${printed%%$'\n'*}" = "etcd Version: ${version#v}" ] || { echo "etcd: $suite has no etcd $version" >&2; exit 1; }
tar --directory="$work" --create --owner=0 --group=0 --numeric-owner --sort=name --mtime=@0 "$name" |
  gzip -1n >"$work/out/$version/$name.tar.gz"
(cd "$work/out/$version" && sha256sum "$name.tar.gz" >SHA256SUMS)
mv "$work/$name" "$work/out/$version/programs"

touch "$work/out/.complete"
chmod 755 "$work/out"
rm -rf "$out"
mv "$work/out" "$out"
echo "$out"
