#!/bin/sh
# For interactive use with --version or --check-config. The service starts Node directly.
exec /usr/lib/khw-agent/node /usr/lib/khw-agent/main.mjs "$@"
