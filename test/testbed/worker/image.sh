#!/usr/bin/env bash
# Makes a container image of one layer, as a docker-archive that `ctr images import` reads.
#
# usage: image.sh FOLDER NAME CONFIG FILE=PATH...
# Writes FOLDER/IMAGE.tar. CONFIG is the image's configuration in JSON: {"Entrypoint": [...], "Cmd": [...]}.
# A FILE=/bin/busybox also gives the image a link for each of busybox's programs.
set -euo pipefail

folder=$1 name=$2 config=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
archive=(tar --create --owner=0 --group=0 --numeric-owner --sort=name --mtime=@0)
digest() { sha256sum "$1" | cut -d' ' -f1; }

mkdir -p "$work/root"/{bin,etc,proc,sys,dev,uploads} "$work/image"
mkdir -m 1777 "$work/root/tmp"
last= path=
for file in "$@"; do
  # Two names of one program are one file, because a layer is copied for each container.
  [ "${file%%=*}" != "$last" ] || { ln "$work/root$path" "$work/root${file#*=}"; continue; }
  last=${file%%=*} path=${file#*=}
  install -D -m "$(stat --format %a "$last")" "$last" "$work/root$path"
done
if [ -e "$work/root/bin/busybox" ]; then
  "$work/root/bin/busybox" --list | while read -r program; do ln -s busybox "$work/root/bin/$program" 2>/dev/null || true; done
fi
cat >"$work/root/etc/passwd" <<'EOF'
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
EOF
printf 'root:x:0:\nnogroup:x:65534:\n' >"$work/root/etc/group"

"${archive[@]}" --directory="$work/root" --file="$work/image/layer.tar" .
layer=$(digest "$work/image/layer.tar")
cat >"$work/image/config.json" <<EOF
{"architecture": "$(dpkg --print-architecture)", "os": "linux", "config": $config,
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$layer"]}}
EOF
cat >"$work/image/manifest.json" <<EOF
[{"Config": "config.json", "RepoTags": ["$name"], "Layers": ["layer.tar"]}]
EOF
file=${name##*/}
"${archive[@]}" --directory="$work/image" --file="$folder/${file/:/-}.tar" manifest.json config.json layer.tar
