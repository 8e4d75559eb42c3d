#!/bin/sh
# Before a removal (0): a stop takes every ban out of the kernel. Before an upgrade (1) nothing is stopped.
if [ "$1" = 0 ] && [ -d /run/systemd/system ]; then
    systemctl disable --now agentd.service || true
fi
