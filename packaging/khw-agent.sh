#!/bin/sh
# For people: --version, --check-config. The service calls Node itself.
exec /usr/lib/khw-agent/node /usr/lib/khw-agent/main.mjs "$@"
