#!/bin/sh
# Starts the client with the Node that it was built for where that is at hand: a private one beside it, or the one pinned by
# the checkout that it was built in; else with the machine's own.
self=$(readlink -f "$0")
here=${self%/*}
for node in "$here/node" "$here/../../node_modules/.bin/node"; do
  [ -x "$node" ] && exec "$node" "$here/main.mjs" "$@"
done
exec node "$here/main.mjs" "$@"
