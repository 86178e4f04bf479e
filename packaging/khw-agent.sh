#!/bin/sh
# For people: --version, --check-config. The service starts Node directly.
exec /usr/lib/khw-agent/node /usr/lib/khw-agent/main.mjs "$@"
