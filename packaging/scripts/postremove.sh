#!/bin/sh
# After removal: updatedb.conf is as it was. A purge also takes what root's mounts have made: the cache, which can be made
# again from the store, and the logs; but nothing while there is a mount, whose daemon may still use it.
set -e

case $1 in
remove | purge | 0)
	conf=/etc/updatedb.conf
	if [ -f "$conf" ]; then
		sed -i '/^[[:space:]]*PRUNEFS[[:space:]]*=/s/ fuse\.isomerfs\([" ]\)/\1/' "$conf"
	fi
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload || true
	fi
	;;
esac

case $1 in
purge)
	if ! grep -qs ' fuse\.isomerfs ' /proc/self/mounts; then
		rm -rf /var/cache/isomerfs /var/log/isomerfs || true
	fi
	;;
esac
