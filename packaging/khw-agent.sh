#!/bin/sh
# For people, who use --version or --check-config. The service starts Node directly.
exec /usr/lib/khw-agent/node /usr/lib/khw-agent/main.mjs "$@"
