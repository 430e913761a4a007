#!/bin/sh
# After installation: keep updatedb(8) out of mounts, where it is configured, and tell systemd of the unit.
set -e

conf=/etc/updatedb.conf
if [ -f "$conf" ] && grep -q '^[[:space:]]*PRUNEFS[[:space:]]*=' "$conf" && ! grep '^[[:space:]]*PRUNEFS[[:space:]]*=' "$conf" | grep -qiw 'fuse\.isomerfs'; then
	sed -i 's/^\([[:space:]]*PRUNEFS[[:space:]]*=[[:space:]]*"[^"]*\)"/\1 fuse.isomerfs"/' "$conf"
fi

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
