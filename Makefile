# Sallyport's build. `make run` builds everything and starts the demo; `make test` runs every test.
# `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

# Versions of the tools, in this one place.
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   := golang.org/x/vuln/cmd/govulncheck@v1.8.0

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
GO      := CGO_ENABLED=0 go
TOOLS   := $(CURDIR)/.tools/bin
GUEST   := GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags="-s -w"
MODULES := . bench sdk/go plugins/default examples/policy-go examples/jwt examples/office-hours
ROOT    := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# On a fresh machine another installation may hold apt's locks for a while, and a slow network fails now and then.
APT     := $(ROOT) env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5
install  = echo "installing $(1)"; for pause in 5 15 30 60 120; do $(APT) update && break || sleep $$pause; done; $(APT) install -y $(1) >/dev/null
export PIP_RETRIES ?= 10
export PIP_DEFAULT_TIMEOUT ?= 60
export npm_config_fetch_retries ?= 5

.PHONY: help build plugins plugins-oci run test unit e2e check fmt generate tidy lint vet race vuln clean-tree prove fuzz bench bench-quick bench-deps bench-go deps \
  deps-policies deps-c deps-js deps-rust deps-as deps-venv deps-zig deps-e2e deps-registry clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: plugins ## bin/sallyport, static, with the built-in policies in it
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/sallyport ./cmd/sallyport

plugins: ## the built-in policy, by the same Go toolchain, and what runs JavaScript, by clang
	cd plugins/default && $(GUEST) -o ../dist/default.wasm .
	@[ -f plugins/dist/javascript.wasm ] || $(MAKE) --no-print-directory deps-js || true
	@go run ./plugin/project/pack
	@plugins/javascript/build.sh plugins/dist/javascript.wasm || [ "$${SALLYPORT_TOOLCHAINS:-}" != all ] && true || exit 1

OCI ?= bin/plugins-oci
plugins-oci: build deps-policies ## the built-in policy and the examples, signed, in a folder of the layout of OCI images
	plugins/oci.sh $(OCI)

run: build ## build everything and start the gateway with a demo provider
	./bin/sallyport serve --demo

test: deps unit e2e ## every test; installs what it needs

unit: build ## the tests of every Go module
	for m in $(MODULES); do (cd $$m && echo "== $$m" && go test -timeout 30m -shuffle=on ./...); done

e2e: build ## the real binary with the real clients
	SALLYPORT_BIN=$(CURDIR)/bin/sallyport go test -tags e2e -count=1 -timeout 60m ./e2e/...

check: fmt generate tidy lint vet race vuln clean-tree ## what people and CI run before a change lands

fmt: ## gofmt must have nothing to say
	@files=$$(git ls-files '*.go' | xargs gofmt -l); [ -z "$$files" ] || { echo "gofmt these:"; echo "$$files"; exit 1; }

generate: ## make the generated files anew
	go generate ./abi

tidy: ## go.mod must be tidy in every module
	for m in $(MODULES); do (cd $$m && go mod tidy -diff); done

lint: $(TOOLS)/golangci-lint ## golangci-lint over the main module
	$(TOOLS)/golangci-lint run --allow-parallel-runners --build-tags e2e ./...

vet: build ## go vet in every module
	for m in $(MODULES); do (cd $$m && go vet ./...); done
	go vet -tags e2e ./e2e/...
	go vet -tags e2e,prove ./e2e/...
	go vet -tags poison ./gateway/...

race: build deps-policies ## the main module's tests under the race detector, without those that only compile much
	go test -race -short -timeout 30m -shuffle=on ./...
	go test -tags poison -short -timeout 30m -shuffle=on ./gateway/...

vuln: $(TOOLS)/govulncheck ## known vulnerabilities in what is called
	$(TOOLS)/govulncheck ./... || { code=$$?; [ $$code -ne 3 ] && echo "vulnerability database out of reach: not checked" && exit 0; exit $$code; }

clean-tree: ## fail if the steps before changed a committed file
	@git diff --exit-code --stat || { echo "the tree changed: commit what was generated"; exit 1; }

prove: build ## the proofs, in full: about money, failures, streams, swaps; most of an hour
	SALLYPORT_BIN=$(CURDIR)/bin/sallyport go test -tags e2e,prove -count=1 -v -timeout 90m -run '^TestProof' ./e2e

FUZZTIME ?= 30s
fuzz: ## every fuzz target for FUZZTIME
	for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	  echo "== $$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p; done; done

bench: build bench-deps ## the gateway beside other proxies: CPU, latency, memory; bench/README.md has the table
	cd bench && go run . -out .

bench-quick: build bench-deps ## the same in short
	cd bench && go run . -quick

bench-deps: ## wrk, nginx and haproxy from Debian
	@command -v wrk >/dev/null && command -v nginx >/dev/null && command -v haproxy >/dev/null || { \
	  $(call install,wrk nginx-light haproxy); }

bench-go: build ## the Go benchmarks, with allocations
	go test -run '^$$' -bench . -benchmem ./...

deps: deps-policies deps-e2e deps-registry ## everything that the tests need beside Go

deps-policies: deps-c deps-js deps-rust deps-as deps-zig ## the toolchains of all SDKs

deps-c: ## clang and wasm-ld from Debian, for the policies in C
	@command -v clang >/dev/null && command -v wasm-ld >/dev/null || { \
	  $(call install,clang lld); }

deps-js: ## clang, a C library and pip from Debian, for what runs policies in JavaScript
	@clang -print-resource-dir >/dev/null 2>&1 && [ -f "$$(clang -print-resource-dir)/lib/wasi/libclang_rt.builtins-wasm32.a" ] \
	  && [ -f /usr/lib/wasm32-wasi/libc.a ] && python3 -m pip --version >/dev/null 2>&1 || { \
	  $(call install,clang lld wasi-libc libclang-rt-dev-wasm32 python3-pip); }

deps-rust: ## rustc with its wasm32 library from Debian, for the policies in Rust
	@[ -d /usr/lib/rustlib/wasm32-unknown-unknown/lib ] || { $(call install,rustc libstd-rust-dev-wasm32 lld); }

deps-as: ## the AssemblyScript compiler from npm, for the policies in AssemblyScript
	@[ -x sdk/assemblyscript/node_modules/.bin/asc ] || { echo "installing AssemblyScript"; \
	  cd sdk/assemblyscript && npm ci --silent --no-audit --no-fund; }

deps-venv:
	@python3 -c 'import ensurepip' 2>/dev/null || { $(call install,python3-venv); }

deps-zig: deps-venv ## Zig from PyPI, for the policy in Zig
	@[ -x .tools/zig/bin/python-zig ] || command -v zig >/dev/null || { echo "installing Zig"; \
	  python3 -m venv .tools/zig && .tools/zig/bin/pip install --quiet --disable-pip-version-check ziglang==0.17.1; }

deps-registry: ## docker-registry and minisign from Debian, for the tests of sharing
	@command -v docker-registry >/dev/null && command -v minisign >/dev/null || { $(call install,docker-registry minisign); }

deps-e2e: deps-venv ## the official SDKs, from npm and PyPI, and curl
	@command -v curl >/dev/null || { $(call install,curl); }
	cd e2e/node && npm ci --silent --no-audit --no-fund
	[ -x e2e/python/.venv/bin/pip ] || python3 -m venv e2e/python/.venv
	e2e/python/.venv/bin/pip install --quiet --disable-pip-version-check -r e2e/python/requirements.txt

$(TOOLS)/golangci-lint:
	GOBIN=$(TOOLS) go install $(GOLANGCI_LINT)

$(TOOLS)/govulncheck:
	GOBIN=$(TOOLS) go install $(GOVULNCHECK)

clean: ## remove what was built
	rm -rf bin .tools plugins/dist/*.wasm e2e/node/node_modules e2e/python/.venv sdk/assemblyscript/node_modules sdk/conformance/out plugins/javascript/.build plugin/project/dist/*.zip
