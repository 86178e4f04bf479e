/**
 * The script that runs on a node as root. The script writes the current state to standard output, one keyword and its
 * value per line, and then `ready`. The script then reads the client's answer from standard input: the size of the
 * .deb, the choice for the identity (keep, request or given), and the .deb itself. For `request`, the agent on the node
 * creates its key, and the script prints the signing request in base64. The client replies with the certificates of the
 * CA and of the node in base64, one per line. For `given`, the three files of an identity that was issued beforehand
 * precede the .deb, one per line. Therefore, no secret is ever passed as an argument, and a single connection is
 * enough. `read` reads a line byte by byte and leaves the rest of the input to `head`. `head` reads exactly the given
 * size.
 *
 * The package stays on the node, so that `khw-client agent upgrade` can roll back to it. The rollback timer of an
 * earlier upgrade would undo this installation, so the timer is stopped.
 *
 * apt's output goes to a file; otherwise, a broken connection would stop dpkg halfway. Packages that an earlier
 * interruption left unconfigured are configured first; otherwise apt would refuse to run.
 */
const script = `
set -eu
umask 077
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
pki=/etc/khw-agent/pki
packages=/var/lib/khw-agent/packages
folder=$(mktemp -d /tmp/khw-agent.XXXXXXXX)
deb=$folder/khw-agent.deb
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM

fail() { echo "failed $1 $2"; exit 1; }
field() { dpkg-deb --field "$deb" "$1"; }
place() { printf %s "$2" | base64 --decode >"$pki/.$1" && sync "$pki/.$1" && mv -f "$pki/.$1" "$pki/$1"; }

for file in ca.pem agent.pem; do
  if [ -f "$pki/$file" ]; then echo "$file $(base64 --wrap=0 "$pki/$file")"; fi
done
if [ -f "$pki/agent-key.pem" ]; then echo "agent-key.pem present"; fi
echo ready

read -r size
read -r identity
if [ "$identity" = given ]; then
  read -r ca
  read -r certificate
  read -r key
fi
head --bytes="$size" >"$deb"
[ "$(stat --format=%s "$deb")" = "$size" ] || fail UNREACHABLE "the .deb arrived incomplete"
chmod 0755 "$folder"
chmod 0644 "$deb"

package=$(field Package) || fail INVALID_ARGUMENT "dpkg-deb cannot read the .deb"
[ "$package" = khw-agent ] || fail INVALID_ARGUMENT "the .deb is the package $package, not khw-agent"
machine=$(dpkg --print-architecture)
[ "$(field Architecture)" = "$machine" ] || fail INVALID_ARGUMENT "the .deb is for $(field Architecture), but the node is $machine"

result=unchanged
version=$(field Version)
installed=$(dpkg-query --show --showformat='\${db:Status-Status} \${Version}' khw-agent 2>/dev/null || true)
if [ "$installed" != "installed $version" ] ||
  ! dpkg-deb --info "$deb" md5sums | cmp --quiet - /var/lib/dpkg/info/khw-agent.md5sums; then
  result=installed
  echo "progress installing khw-agent $version"
  systemctl --quiet stop khw-agent-rollback.timer 2>/dev/null || true
  [ -z "$(dpkg --audit)" ] || dpkg --configure --pending >"$folder/log" 2>&1 || true
  if ! apt-get install --yes --quiet --reinstall --allow-downgrades --no-install-recommends \\
    -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$deb" </dev/null >"$folder/log" 2>&1; then
    tail --lines=10 "$folder/log" >&2
    fail PACKAGE_FAILED "apt-get could not install khw-agent $version"
  fi
fi

mkdir -p "$packages"
cmp --quiet "$deb" "$packages/kept.deb" ||
  { cp "$deb" "$packages/.kept.deb" && chmod 0600 "$packages/.kept.deb" && sync "$packages/.kept.deb" &&
    mv -f "$packages/.kept.deb" "$packages/kept.deb"; } || fail IO_FAILED "the package could not be saved in $packages"

start=start
if [ "$identity" != keep ]; then
  result=installed
  start=restart
  mkdir -p "$pki"
  chmod 0700 "$pki"
fi
if [ "$identity" = given ]; then
  rm -f "$pki/agent.pem"
  { place ca.pem "$ca" && place agent-key.pem "$key" && place agent.pem "$certificate" && sync "$pki"; } ||
    fail IO_FAILED "the identity could not be written to $pki"
elif [ "$identity" = request ]; then
  request=$(khw-agent --request) || fail CREDENTIAL_INVALID "the agent could not create its key"
  echo "request $(echo "$request" | base64 --wrap=0)"
  read -r ca
  read -r certificate
  { echo "$ca" | base64 --decode; echo "$certificate" | base64 --decode; } | khw-agent --accept ||
    fail CREDENTIAL_INVALID "the agent did not accept its certificate"
fi

echo "progress starting khw-agent $version"
systemctl "$start" khw-agent.service >&2 || true
if ! systemctl --quiet is-active khw-agent.service; then
  journalctl --unit=khw-agent.service --lines=10 --output=cat --no-pager >&2 || true
  fail SERVICE_FAILED "khw-agent $version is not running"
fi
echo "done $result $version"
`;

/**
 * Runs its first argument as root. Uses passwordless sudo if the user is not root. Makes all programs print their
 * messages in English.
 */
const asRoot = `export LC_ALL=C LANGUAGE=; if [ "$(id -u)" = 0 ]; then exec sh -c "$1"; else exec sudo -n sh -c "$1"; fi`;

/** The command line that ssh runs on the node. It is the same for every node and contains no secret. */
export const remoteCommand = `sh -c ${quote(asRoot)} khw ${quote(script.trim())}`;

/** Quotes the text as a single word for a POSIX shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
