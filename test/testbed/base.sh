#!/usr/bin/env bash
# Makes the root of a small Debian with systemd, as the machines of the testbed boot it, unless it is in the cache.
#
# usage: base.sh CACHE_FOLDER [SUITE]     SUITE: bookworm (default), bullseye, trixie
# Prints the root's folder. Nothing may write to it: machines put an overlay on top.
set -euo pipefail

cache=$1
suite=${2:-bookworm}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The packages of a stock Debian image on Compute Engine that the labs' commands use, and libfaketime for wrong clocks.
packages=systemd,systemd-sysv,dbus,iproute2,procps,ca-certificates,openssl,curl,wget,sudo,openssh-server,libfaketime
case $suite in
  bullseye | bookworm | trixie) ;;
  *) echo "base: no such suite: $suite" >&2; exit 64 ;;
esac

key=$(sha256sum "$here/base.sh" | cut -c1-16)
out=$cache/base-$suite-$key
[ -e "$out/.complete" ] && { echo "$out/root"; exit 0; }

mkdir -p "$cache"
exec 9>"$cache/base-$suite.lock"
flock 9
[ -e "$out/.complete" ] && { echo "$out/root"; exit 0; }

mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | sort -u | grep -v security | head -n 1)
[ -n "$mirror" ] || { echo "base: apt knows no Debian mirror (is this Debian 12?)" >&2; exit 1; }

work=$(mktemp -d "$cache/base-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "base: making a $suite root" >&2
mmdebstrap --quiet --variant=minbase --include="$packages" \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  "$suite" "$work/root" "deb $mirror $suite main" >&2

root=$work/root
# It starts only where a test asks for it.
systemctl --root="$root" --quiet disable ssh.service
systemctl --root="$root" --quiet mask apt-daily.timer apt-daily-upgrade.timer
rm -f "$root"/etc/ssh/ssh_host_*
# Nothing of the machine that built it may shine through.
rm -f "$root/etc/resolv.conf" "$root/etc/hostname" "$root/etc/apt/sources.list"
: >"$root/etc/resolv.conf"

touch "$work/.complete"
chmod 755 "$work"
rm -rf "$out"
mv "$work" "$out"
trap - EXIT
echo "$out/root"
