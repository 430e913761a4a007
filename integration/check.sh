#!/usr/bin/env bash
# gofmt, vet, staticcheck, govulncheck and generated code. The tools are pinned in tools/go.mod, apart from what users build.
set -euo pipefail
cd "$(dirname "$0")/.."
unformatted=$(git ls-files '*.go' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
	printf 'gofmt would change:\n%s\n' "$unformatted" >&2
	exit 1
fi
go vet ./...
mkdir -p bin/tools
(cd tools && GOBIN=$PWD/../bin/tools go install honnef.co/go/tools/cmd/staticcheck golang.org/x/vuln/cmd/govulncheck)
bin/tools/staticcheck ./...
bin/tools/govulncheck ./...
go mod tidy -diff
(cd tools && go vet ./... && go test ./...) # the manifests of packaging
codecs/quant/_asm/check.sh
codecs/ggml/_asm/check.sh
