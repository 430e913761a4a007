#!/bin/sh
# After removal: updatedb.conf is as it was. A purge also takes what was made by mounts: the cache, which can be made
# again from the store, and the logs.
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
	rm -rf /var/cache/isomerfs /var/log/isomerfs
	;;
esac
