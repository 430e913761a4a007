#!/usr/bin/env bash
# Runs Python with the readers of requirements.txt, from a virtual environment that is made on first use and kept in the
# user's cache, one for each content of requirements.txt.
#
#   ./integration/python.sh SCRIPT ARGS...      run a script
#   ./integration/python.sh --path              print the interpreter's path
#   ./integration/python.sh --torch ...         either, with PyTorch too (requirements-torch.txt)
#   ./integration/python.sh --scanners ...      either, with the scanners of requirements-scanners.txt alone
#
# PIP_INDEX_URL and the other variables of pip choose the package index; ISOMERFS_TEST_TORCH_INDEX that of PyTorch alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
base=${ISOMERFS_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/isomerfs-test}
lists=("$here/requirements.txt")
if [ "${1:-}" = --torch ]; then
	shift
	lists+=("$here/requirements-torch.txt")
elif [ "${1:-}" = --scanners ]; then
	shift
	lists=("$here/requirements-scanners.txt")
fi
key=$( (cat "${lists[@]}"; python3 --version) | sha256sum | cut -c1-16)
venv=$base/venv-$key
if [ ! -e "$venv/ready" ]; then
	echo "python.sh: setting up $venv" >&2
	mkdir -p "$base"
	exec 9>"$base/lock"
	flock 9
	if [ ! -e "$venv/ready" ]; then
		rm -rf "$venv"
		if ! python3 -m venv "$venv" 2>/dev/null; then
			rm -rf "$venv"
			if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
				apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
			fi
			python3 -m venv "$venv"
		fi
		for list in "${lists[@]}"; do
			index=()
			case $list in *-torch.txt) [ -z "${ISOMERFS_TEST_TORCH_INDEX:-}" ] || index=(--index-url "$ISOMERFS_TEST_TORCH_INDEX") ;; esac
			"$venv/bin/pip" install -q --disable-pip-version-check --no-cache-dir "${index[@]}" -r "$list" >&2
		done
		touch "$venv/ready"
	fi
	exec 9>&-
fi
if [ "${1:-}" = --path ]; then
	echo "$venv/bin/python"
else
	exec "$venv/bin/python" "$@"
fi
