#!/usr/bin/env bash
# Prepares a new Debian 12 machine (with Node, npm and root) for the build, the tests and the demo. Skips the parts that are already done.
#
# usage: setup.sh
# The parts that take long are built only once, in ${KHW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/khw}.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache=${KHW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/khw}
packages=(
  # the testbed's machines and network
  mmdebstrap debian-archive-keyring systemd-container iproute2 util-linux procps openssl curl openssh-client
  # Kubernetes from Debian's source (its Go is unpacked, not installed: testbed/go.sh)
  dpkg-dev make rsync
  # gRPC and the Prometheus parser for Python, with which tests query the agent
  python3-grpcio python3-protobuf protobuf-compiler python3-prometheus-client
  # the tool with which lab 04 makes certificates
  golang-cfssl
  # a firewall on a machine's loopback
  nftables
  # the project's own package
  debhelper lintian binutils-aarch64-linux-gnu
)

say() { echo "setup: $*" >&2; }
[ "$(id -u)" = 0 ] || { say "run this as root: it installs packages and boots machines"; exit 77; }
mkdir -p "$cache"
exec 8>"$cache/setup.lock"
flock --nonblock 8 || { say "waiting for another run to end"; flock 8; }

# npm writes node_modules/.package-lock.json last.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  say "npm packages"
  # npm prints only errors, because it would warn that the machine's Node is older than some packages require. This Node runs only npm.
  npm ci --no-fund --no-audit --loglevel=error >&2
  touch node_modules/.package-lock.json
fi

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  say "Debian packages: ${missing[*]}"
  apt-get -qq update >&2
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${missing[@]}" >&2
fi

# Kubernetes is built in parallel, because that takes longest. If another part fails, the result of the build is kept for the next run.
bash test/testbed/kubernetes.sh "$cache" >/dev/null &
building=$!
trap 'wait "$building"' EXIT
for suite in bookworm trixie; do
  root=$(bash test/testbed/base.sh "$cache" "$suite")
  bash test/testbed/packages.sh "$cache" "$root" "$suite" >/dev/null
done
bash test/testbed/etcd.sh "$cache" >/dev/null
trap - EXIT
wait "$building"
say "ready"
