#!/bin/sh
# After an installation or upgrade (Debian).
set -e
[ "$1" = configure ] || exit 0
# Into a folder, or on a machine without systemd, there is nothing to steer.
if [ -n "$DPKG_ROOT" ] || [ ! -d /run/systemd/system ]; then
    exit 0
fi
systemctl daemon-reload
if [ -n "$2" ]; then
    # An upgrade: the new daemon takes the bans over from the kernel, without a gap.
    systemctl try-restart agentd.service || true
elif systemctl is-active --quiet fail2ban.service; then
    cat <<'TEXT'
fail2ban is running, and both would ban. When you want to change over:
  agentctl check                      what of /etc/fail2ban cannot run as written
  systemctl disable --now fail2ban
  agentctl import                     its bans, its memory, its places in the logs
  systemctl enable --now agentd
And back: systemctl disable --now agentd && systemctl enable --now fail2ban
TEXT
else
    systemctl enable --now agentd.service || true
fi
