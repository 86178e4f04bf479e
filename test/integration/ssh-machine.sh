#!/bin/sh
# A machine for one test: the testbed's Debian root under an overlay, in mount and process namespaces of its own, with a real
# sshd on a loopback address. It is gone, with all that ran in it, when this process ends.
#
# usage: unshare --mount --pid --fork --kill-child sh ssh-machine.sh BASE_ROOT FOLDER ADDRESS PORT
# FOLDER holds host_key, authorized_keys and systemctl, a stand-in: there is no systemd in here. Its root appears as FOLDER/root.
set -eu
base=$1 folder=$2 address=$3 port=$4
root=$folder/root
mkdir -p "$root" "$folder/upper" "$folder/work"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
install -D -m 0600 "$folder/host_key" "$root/etc/ssh/host_key"
install -D -m 0644 "$folder/authorized_keys" "$root/etc/ssh/authorized_keys"
install -D -m 0755 "$folder/systemctl" "$root/usr/local/sbin/systemctl"
mkdir -p "$root/run/sshd"
for user in helper guest; do
  chroot "$root" useradd --create-home --shell /bin/bash --password '*' "$user"
done
echo "helper ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/helper"
exec chroot "$root" /usr/sbin/sshd -D -e -f /dev/null \
  -o "ListenAddress=$address:$port" -o HostKey=/etc/ssh/host_key -o AuthorizedKeysFile=/etc/ssh/authorized_keys \
  -o PidFile=none -o UsePAM=no -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no
