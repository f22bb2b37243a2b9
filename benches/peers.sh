#!/bin/sh
# Installs the peers that figures are compared with: nginx from Debian or Ubuntu.
set -eu
if command -v nginx >/dev/null; then
    nginx -v
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "nginx is missing; install it, or run this as root" >&2
    exit 69
fi
apt-get update -qq
# The package would start a server of its own on port 80; ours are started by the bench.
DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends nginx-light
nginx -v
