#!/bin/sh
# Starts the client with the Node version that it was built for, if present: a private copy beside this script, or the
# copy in its checkout. Otherwise uses the machine's own Node.

# Node replaces a closed standard output with /dev/null, so all output would be lost without an error.
if ! { true 3>&1; } 2>/dev/null; then
  echo "khw-client: standard output is closed" >&2
  exit 74
fi

self=$(readlink -f "$0")
here=${self%/*}
for node in "$here/node" "$here/../../node_modules/.bin/node"; do
  [ -x "$node" ] && exec "$node" "$here/main.mjs" "$@"
done
exec node "$here/main.mjs" "$@"
