#!/bin/sh
# Runs the bench against the llama.cpp that integration/llamacpp.sh builds. Arguments are those of main.go.
set -eu
cd "$(dirname "$0")/../../.."
home=$(./integration/llamacpp.sh)
export CGO_ENABLED=1 CGO_CFLAGS="-O2 -I$home/llama.cpp/ggml/include" CGO_LDFLAGS="-L$home/bin -Wl,-rpath,$home/bin"
exec go run ./codecs/ggml/_bench "$@"
