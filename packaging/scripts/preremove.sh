#!/bin/sh
# Before removal, not before an upgrade: mounts by units end. Others go on until they are unmounted: their daemons hold
# the program that they run.
set -e

case $1 in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl stop 'isomerfs@*.service' || true
	fi
	;;
esac
