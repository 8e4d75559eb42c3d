# The only interface to building and checking; CI calls `make test`, people call the rest.
#
#   make run     build, and watch a sample attack being banned in a private network namespace
#   make package .deb and .rpm
#   make test    every test; installs what they need on Debian when run as root
#   make ci      what a change must pass: lint, tests, race detector, tidy modules

GO       ?= go
TOOL     := $(GO) tool -modfile=tools/go.mod
FUZZ_TIME ?= 30s
BENCH    ?= .
BIN      := bin

# What the tests use beyond Go and make: the real fail2ban (downloaded, never installed), the real
# sshd, and the tools that show the kernel's side. A test whose part is missing skips and says so.
DEPS := python3 nftables iptables ipset openssh-server openssh-client iproute2 rsyslog systemd groff-base dbus python3-dbus python3-gi nginx-light haproxy apache2-bin

.PHONY: build package run demo test deps race kernel lint bench bench-feed bench-firewall bench-diff fuzz golden cover ci clean

build:
	$(GO) build -trimpath -o $(BIN)/ ./cmd/...

run: build
	$(GO) run ./demo -bin $(BIN)

# package builds a .deb and an .rpm into bin/, for this machine or for GOARCH; VERSION names it.
package:
	GO=$(GO) packaging/build.sh $(VERSION)

# deps installs what is missing where that is possible without asking, and otherwise says what to do.
deps:
	@./deps.sh $(DEPS)

test: deps
	$(GO) test -timeout 15m ./...

race: deps
	$(GO) test -race -timeout 20m ./...

kernel: deps
	$(GO) test -count=1 -run 'Kernel|Packet|EndToEnd' ./internal/firewall/... ./internal/agent/... ./cmd/...

lint:
	$(GO) vet ./...
	$(TOOL) golangci-lint run ./...
	$(TOOL) deadcode -test ./...

cover:
	$(GO) test -coverprofile=cover.out ./internal/filter/... ./internal/jail/
	$(GO) tool cover -func=cover.out | tail -n 1

bench:
	mkdir -p bench
	$(GO) test -run '^$$' -bench '$(BENCH)' -count 6 -benchmem ./... | tee bench/new.txt
	$(TOOL) benchstat bench/new.txt
	$(MAKE) bench-feed
	$(MAKE) bench-firewall

# bench-feed measures a list of 1,000,000 addresses and 20,000 networks from the fetch to the kernel.
bench-feed: deps
	PALISADE_MEASURE_FEED=1 $(GO) test ./cmd/agentd -run MeasureAFeed -count=1 -v | grep -E 'nft:|ipset:|ok|FAIL'

# bench-firewall measures the firewall against its goals and the usual tools, in private network namespaces;
# FLAGS=-json prints JSON, FLAGS='-only nft.' leaves parts out. Best on a machine that does nothing else.
bench-firewall: deps
	$(GO) test -c -o $(BIN)/bench-firewall ./internal/firewall/bench
	$(BIN)/bench-firewall -whole $(FLAGS)

bench-diff:
	$(TOOL) benchstat bench/old.txt bench/new.txt

# Every fuzz target in turn, each for FUZZ_TIME.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 1x $$pkg; \
	  done; \
	done

golden:
	$(GO) test ./internal/jail ./cmd/agentctl -rewrite
	git diff --stat

ci: lint test race
	$(GO) mod tidy
	git diff --exit-code -- go.mod go.sum

clean:
	rm -rf $(BIN) cover.out
