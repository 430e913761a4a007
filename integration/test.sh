#!/usr/bin/env bash
# All tests, as CI runs them.  ./integration/test.sh [unit|race|tiers|platforms|integration]...
#
# Real mounts need /dev/fuse; passthrough needs root. What cannot run here is named by the tests themselves, and what is
# listed in ISOMERFS_TEST_REQUIRE fails instead of being skipped. The default list is everything that this script can set
# up by itself on Debian as root; set it to "" to test what a bare machine can.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
export ISOMERFS_TEST_REQUIRE=${ISOMERFS_TEST_REQUIRE-fuse,fusermount3,root,python,torch,scanners,fio,rsync,unzip,cpu,llamacpp}
steps=${*:-unit race tiers platforms integration}

step() { printf '\n== %s\n' "$*"; }

# A folder of this run alone, so that what it leaves behind is told from what others have mounted meanwhile.
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/isomerfs-test-XXXXXX")
export TMPDIR
chmod 755 "$TMPDIR"
left() { grep -F " $TMPDIR/" /proc/self/mounts || true; }
trap 'left | while read -r _ point _; do umount -l "$point"; done; rm -rf "$TMPDIR"' EXIT

# The programs that integration tests run, where this is Debian and we may install them.
programs() {
	local missing=()
	command -v fusermount3 >/dev/null || missing+=(fuse3)
	command -v fio >/dev/null || missing+=(fio)
	command -v rsync >/dev/null || missing+=(rsync)
	command -v getfattr >/dev/null || missing+=(attr)
	command -v unzip >/dev/null || missing+=(unzip)
	[ ${#missing[@]} = 0 ] && return
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		step "installing ${missing[*]}"
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
	fi
}

# llama.cpp, where it was promised: the build takes minutes.
llamacpp() {
	case ",$ISOMERFS_TEST_REQUIRE," in
	*,llamacpp,*) ISOMERFS_TEST_LLAMACPP=$(./integration/llamacpp.sh) ;;
	esac
	export ISOMERFS_TEST_LLAMACPP
}

programs
for name in $steps; do
	case $name in
	unit)
		step "unit tests"
		llamacpp
		go vet ./...
		go test ./...
		;;
	race)
		step "race detector"
		# The detector needs cgo and a C compiler; the program itself never does.
		if command -v gcc >/dev/null; then
			CGO_ENABLED=1 go test -race -short ./layout ./cache ./store ./tree ./fs
		else
			case ",$ISOMERFS_TEST_REQUIRE," in *,race,*) echo "no C compiler for the race detector" >&2; exit 1 ;; esac
			echo "skipped: no C compiler"
		fi
		;;
	tiers)
		step "every tier of kernels, and one processor"
		llamacpp
		tiers=(generic avx2)
		if grep -qsw avx512vl /proc/cpuinfo && grep -qsw avx512dq /proc/cpuinfo; then tiers+=(avx512); fi
		for tier in "${tiers[@]}"; do
			require=
			case ",$ISOMERFS_TEST_REQUIRE," in *,cpu,*) require=$tier ;; esac
			ISOMERFS_CPU=$tier ISOMERFS_TEST_REQUIRE_CPU=$require go test -count=1 ./codecs/quant ./codecs/ggml
		done
		# A compiler that may fuse products with sums must not be let to.
		if grep -qsw avx2 /proc/cpuinfo; then GOAMD64=v3 go test -count=1 ./codecs/quant ./codecs/ggml; fi
		GOMAXPROCS=1 go test -short ./cache ./fs
		;;
	platforms)
		step "other platforms"
		for target in linux/amd64 linux/arm64 darwin/arm64; do
			GOOS=${target%/*} GOARCH=${target#*/} go build -o /dev/null ./cmd/isomerfs
			echo "$target builds"
		done
		GOARCH=arm64 go vet ./...
		GOOS=darwin go vet ./cmd/... ./tree ./store ./cache ./codecs/... ./views/...
		;;
	integration)
		step "real mounts, real readers"
		make -s build
		torch= # 5 GB from the default index, so only where it must be there
		case ",$ISOMERFS_TEST_REQUIRE," in *,torch,*) torch=--torch ;; esac
		case ",$ISOMERFS_TEST_REQUIRE," in *,scanners,*) export ISOMERFS_TEST_SCANNERS; ISOMERFS_TEST_SCANNERS=$(./integration/python.sh --scanners --path) ;; esac
		ISOMERFS_TEST_PYTHON=$(./integration/python.sh $torch --path) ISOMERFS_TEST_BINARY=$PWD/bin/isomerfs go test -count=1 -timeout 20m ./integration
		;;
	*)
		echo "test.sh: no step $name" >&2
		exit 2
		;;
	esac
done
if [ -n "$(left)" ]; then
	echo "test.sh: tests left a mount behind:" >&2
	left >&2
	exit 1
fi
step "all passed"
