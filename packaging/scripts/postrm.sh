#!/bin/sh
# After a removal (Debian): the database goes only with a purge.
set -e
if [ "$1" = purge ]; then
    rm -rf "$DPKG_ROOT/var/lib/agentd"
fi
if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
