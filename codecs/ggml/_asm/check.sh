#!/bin/sh
# Fails unless the committed kernels are what the generator writes. It works on a copy, since a generated file's first
# line names the paths it was written to. Needs avo, from the module cache or the network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -R "$here" "$copy/_asm"
cd "$copy/_asm"
go run . -pkg ggml -out ../kernels_amd64.s -stubs ../kernels_amd64.go
for file in kernels_amd64.s kernels_amd64.go; do
	diff -u "$here/../$file" "$copy/$file" || { echo "$file is not what _asm generates: run go generate ./codecs/ggml" >&2; exit 1; }
done
