#!/usr/bin/env bash
# Builds llama.cpp, the peer of everything about GGUF, on first use (some 500 CPU seconds, 300 MB), keeps it in the
# user's cache, and prints the folder it lies in:
#
#   bin/llama-quantize  bin/llama-completion  bin/llama-gguf-split  bin/llama-imatrix
#   bin/libggml-base.so bin/libggml-cpu.so bin/libllama.so ...
#   llama.cpp/          the source tree: convert_hf_to_gguf.py (with conversion/ and gguf-py/ beside it), ggml/include
#
# The source is that of the PyPI package llama-cpp-python, which vendors the whole of llama.cpp. libggml-base, which
# holds the quantizers, must be compiled for plain x86-64: with -march=native the compiler fuses products with sums, and
# most types come out different.
#
# ISOMERFS_TEST_LLAMACPP names a folder of this shape that exists already. PIP_INDEX_URL and the other variables of pip
# choose the package index.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=0.3.36
digest=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
targets=(llama-quantize llama-completion llama-gguf-split llama-imatrix)
flags=(-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON)
for name in GGML_OPENMP LLAMA_OPENSSL LLAMA_BUILD_TESTS LLAMA_BUILD_SERVER LLAMA_BUILD_UI LLAMA_BUILD_MTMD; do
	flags+=("-D$name=OFF")
done

if [ -n "${ISOMERFS_TEST_LLAMACPP:-}" ]; then
	echo "$ISOMERFS_TEST_LLAMACPP"
	exit
fi
if [ "$(uname -m)" != x86_64 ]; then
	echo "llamacpp.sh: the reference quantizers are those of an x86-64 build" >&2
	exit 1
fi
base=${ISOMERFS_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/isomerfs-test}
key=$(printf '%s\n' "$version" "$digest" "${targets[@]}" "${flags[@]}" | sha256sum | cut -c1-16)
folder=$base/llamacpp-$version-$key
if [ ! -e "$folder/ready" ]; then
	mkdir -p "$base"
	exec 9>"$base/lock-llamacpp"
	flock 9
fi
if [ ! -e "$folder/ready" ]; then
	echo "llamacpp.sh: building llama.cpp in $folder: some minutes, once" >&2
	missing=()
	command -v cmake >/dev/null || missing+=(cmake)
	command -v ninja >/dev/null || missing+=(ninja-build)
	command -v g++ >/dev/null || missing+=(g++)
	if [ ${#missing[@]} -gt 0 ]; then
		if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
		else
			echo "llamacpp.sh: needs ${missing[*]}" >&2
			exit 1
		fi
	fi
	rm -rf "$folder"
	mkdir -p "$folder/src"
	"$here/python.sh" -m pip download -q --disable-pip-version-check --no-binary llama-cpp-python --no-deps -d "$folder/src" "llama-cpp-python==$version" >&2
	package=$(echo "$folder"/src/*.tar.gz)
	echo "$digest  $package" | sha256sum --quiet -c - >&2
	tar -xzf "$package" -C "$folder/src"
	rm "$package"
	source=$(cd "$folder"/src/*/vendor/llama.cpp && pwd)
	ln -s "${source#"$folder"/}" "$folder/llama.cpp"
	unset CFLAGS CXXFLAGS CPPFLAGS # -march from outside would reach the quantizers
	nice -n 5 cmake -G Ninja -S "$source" -B "$folder" "${flags[@]}" >"$folder/build.log" 2>&1 &&
		nice -n 5 cmake --build "$folder" --target "${targets[@]}" >>"$folder/build.log" 2>&1 ||
		{ tail -20 "$folder/build.log" >&2; exit 1; }
	touch "$folder/ready"
fi
echo "$folder"
