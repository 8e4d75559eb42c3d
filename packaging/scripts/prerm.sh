#!/bin/sh
# Before a removal (Debian): a stop takes every ban out of the kernel. Before an upgrade nothing is stopped.
set -e
[ "$1" = remove ] || exit 0
if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl disable --now agentd.service || true
fi
