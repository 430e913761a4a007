#!/usr/bin/env bash
# All figures of bench/README.md. ISOMERFS_BENCH_PYTHON names an interpreter with numpy, safetensors and torch; without it
# the row against torch is not measured. Other words go to the program: ./bench/run.sh -only 'warm|stat' -rounds 3
set -euo pipefail
cd "$(dirname "$0")/.."
python=${ISOMERFS_BENCH_PYTHON:-$(./integration/python.sh --path)}
[ $# = 0 ] && CGO_ENABLED=1 go run ./codecs/quant/_bench && echo
go run ./bench -isomerfs bin/isomerfs -python "$python" "$@"
