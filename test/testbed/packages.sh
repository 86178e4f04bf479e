#!/usr/bin/env bash
# Fills the cache with a flat apt repository that holds nginx and what it needs beyond the machines' root.
#
# usage: packages.sh CACHE_FOLDER BASE_ROOT [SUITE]
# Prints the repository's folder, to be served at some URL and used as `deb [trusted=yes] URL ./`.
set -euo pipefail

cache=$1 base=$2 suite=${3:-bookworm}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

key=$(cat "$here/packages.sh" "$here/base.sh" | sha256sum | cut -c1-16)
out=$cache/packages-$suite-$key
[ -e "$out/.complete" ] && { echo "$out"; exit 0; }

exec 9>"$cache/packages-$suite.lock"
flock 9
[ -e "$out/.complete" ] && { echo "$out"; exit 0; }

mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | sort -u | grep -v security | head -n 1)
[ -n "$mirror" ] || { echo "packages: apt knows no Debian mirror (is this Debian 12?)" >&2; exit 1; }

echo "packages: fetching nginx for $suite" >&2
work=$(mktemp -d "$cache/packages-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$work/apt/sources.list"
# A private configuration over the root's dpkg database: apt fetches exactly what a fresh machine lacks.
apt_private=(-o "Dir::Etc::SourceList=$work/apt/sources.list" -o "Dir::Etc::SourceParts=/dev/null"
  -o "Dir::State::Lists=$work/apt/lists" -o "Dir::State::status=$base/var/lib/dpkg/status" -o "Dir::Cache::archives=$work/apt/archives"
  -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" -o "APT::Sandbox::User=root")
apt-get "${apt_private[@]}" -qq update >&2
apt-get "${apt_private[@]}" -qq -y --download-only install nginx >&2

mkdir "$work/out"
# apt puts an epoch into a file's name, with %3a for its colon; an archive's names go without.
for deb in "$work"/apt/archives/*.deb; do
  mv "$deb" "$work/out/$(basename "$deb" | sed 's/^\([^_]*\)_[0-9]*%3a/\1_/')"
done
(cd "$work/out" && dpkg-scanpackages --multiversion . >Packages 2>/dev/null)
gzip -9kn "$work/out/Packages"
{
  echo "Suite: $suite"
  echo "Date: $(date -Ru)"
  echo "SHA256:"
  for index in Packages Packages.gz; do
    echo " $(sha256sum <"$work/out/$index" | cut -d' ' -f1) $(stat -c %s "$work/out/$index") $index"
  done
} >"$work/out/Release"
touch "$work/out/.complete"
chmod 755 "$work/out"
rm -rf "$out"
mv "$work/out" "$out"
echo "$out"
