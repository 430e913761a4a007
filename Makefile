# isomerfs. `make` lists the targets.

GO      ?= go
PREFIX  ?= /usr/local
SBINDIR ?= /sbin
UNITDIR ?= $(PREFIX)/lib/systemd/system
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# What packages are called by: a release, or what comes before all releases.
PACKAGED = $(shell echo '$(VERSION)' | sed -E 's/^v?([0-9]+\.)/\1/; t; s/^/0.0.0-/')
LDFLAGS  = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
BINARY   = bin/isomerfs

# One static binary that runs on any image.
export CGO_ENABLED = 0

.PHONY: help build test check demo bench fuzz integration man install uninstall packages clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 14

build: ## build bin/isomerfs
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BINARY) ./cmd/isomerfs

test: ## all tests: unit, race detector, other platforms, real mounts, real readers (what CI runs)
	./integration/test.sh

check: ## gofmt, vet, staticcheck, govulncheck, generated code
	./integration/check.sh

demo: build ## the main job in one go: mount, list, copy, run a network from the mount
	@./integration/python.sh demo/demo.py $(BINARY)

bench: build ## speed as ratios to a peer and a floor in the same run (see bench/README.md)
	./bench/run.sh

fuzz: ## fuzz every parser for a while (FUZZTIME=30s)
	./integration/fuzz.sh

integration: build ## real mounts and real readers alone
	./integration/test.sh integration

man: ## manual pages, completions and the sample configuration in bin/share
	rm -rf bin/share
	env -u GOOS -u GOARCH $(GO) run -ldflags '$(LDFLAGS)' ./cmd/isomerfs manual bin/share

install: build man ## install to PREFIX (/usr/local), the helper of mount(8) to SBINDIR (/sbin), the unit to UNITDIR
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/isomerfs
	mkdir -p $(DESTDIR)$(SBINDIR) $(DESTDIR)$(PREFIX)/share
	ln -sf $(PREFIX)/bin/isomerfs $(DESTDIR)$(SBINDIR)/mount.isomerfs
	cp -R bin/share/. $(DESTDIR)$(PREFIX)/share/
	install -D -m 644 packaging/systemd/isomerfs@.service $(DESTDIR)$(UNITDIR)/isomerfs@.service
	sed -i 's|/usr/bin/|$(PREFIX)/bin/|; s|/usr/share/|$(PREFIX)/share/|' $(DESTDIR)$(UNITDIR)/isomerfs@.service
	install -D -m 644 packaging/systemd/unit.conf $(DESTDIR)$(PREFIX)/share/doc/isomerfs/unit.conf

packages: man ## .deb and .rpm for amd64 and arm64 in bin/packages
	@mkdir -p bin/packages bin/tools
	gzip -9nf bin/share/man/man*/*
	cd tools && GOBIN=$(CURDIR)/bin/tools $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm
	for arch in amd64 arm64; do \
		GOOS=linux GOARCH=$$arch $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/linux-$$arch/isomerfs ./cmd/isomerfs || exit; \
		for kind in deb rpm; do \
			GOARCH=$$arch VERSION=$(PACKAGED) bin/tools/nfpm package --config packaging/nfpm.yaml --packager $$kind --target bin/packages || exit; \
		done; \
	done

uninstall: man ## take away what install has installed
	rm -f $(DESTDIR)$(PREFIX)/bin/isomerfs $(DESTDIR)$(SBINDIR)/mount.isomerfs $(DESTDIR)$(UNITDIR)/isomerfs@.service $(DESTDIR)$(PREFIX)/share/doc/isomerfs/unit.conf
	cd bin/share && find . -type f -exec rm -f '$(DESTDIR)$(PREFIX)/share/{}' ';'

clean: ## remove what was built
	rm -rf bin
