#!/bin/sh
# Gives a worker the parts of a real machine that a container of systemd-nspawn lacks. Runs at each boot, before containerd.
set -e

# A machine's network settings are its own. systemd-nspawn mounts them read-only.
mountpoint -q /proc/sys/net || mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,rw /proc/sys/net

# The other settings belong to the host. The kubelet finds files with the values that it wants instead.
settings=/run/testbed-sysctl
while read -r setting value; do
  mkdir -p "$settings/${setting%/*}"
  echo "$value" >"$settings/$setting"
  mountpoint -q "/proc/sys/$setting" || mount --bind "$settings/$setting" "/proc/sys/$setting"
done <<EOF
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
vm/overcommit_memory 1
vm/panic_on_oom 0
EOF

# The control groups of the machine are its own, too.
for hierarchy in /sys/fs/cgroup/*/; do
  mount -o remount,bind,rw "${hierarchy%/}" 2>/dev/null || true
done

# The kubelet looks for the kernel's out-of-memory messages.
ln -sf /dev/null /dev/kmsg
# Volumes of a pod appear in its containers only if mounts are shared.
mount --make-rshared /
