#!/bin/sh
# After an installation (1) or upgrade (2).
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
if [ "$1" -gt 1 ]; then
    systemctl try-restart agentd.service || true
fi
