# Two commands matter: `make demo` and `make test`. Both install what is missing when they may (root on
# Debian), and say the one line to type when they may not.

SHELL := /bin/bash
# 20,000 for the demonstration, 200,000 for the benchmark.
WORKERS ?=
SEED ?= 4
ONCE ?=
KILL ?=
CONNECT ?=
# How long damaged records are judged by rules and oracle alike, and from which seed; an empty one: another each time.
MUTATION_SECONDS ?= 20
MUTATION_SEED ?= 20261123
SECONDS ?= 3600
RECORD ?= both
ROUNDS ?= 3
JSON ?=
WRITE ?=

MUTATION := SISDMK_MUTATION_SECONDS=$(MUTATION_SECONDS) SISDMK_MUTATION_SEED=$(MUTATION_SEED)
# The tests that start servers. They are named together and for the whole workspace, here as in .cargo/config.toml: with another
# selection cargo gives other features to what we depend on and compiles it once more.
SERVICES := stack/services,sink/services,tests/services
# Written by `cargo test`, beside the tests.
STACK := $(or $(CARGO_TARGET_DIR),target)/debug/sisdmk-stack

# Three fault tests at a time on two cores: most of their time they wait for a server to start, a link to come back or a group to
# notice somebody's death. The other tests hold times that were promised, and are given the machine's cores and no more.
faults: export RUST_TEST_THREADS ?= 3

.PHONY: help install demo bench test lint unit suite faults soak build clean

help:
	@echo "make demo                 everything on this machine, 20,000 synthetic health workers, until Ctrl-C"
	@echo "make demo ONCE=1          two batches, then compare every row with the source; exit 1 if one differs"
	@echo "make demo ONCE=1 KILL=1   the same, with kill -9 of each stage on the way"
	@echo "make demo CONNECT=1       with Kafka Connect, which copies sisdmk.clean into a second database"
	@echo "make test                 formatting, lints, unit tests, end-to-end and fault tests on real servers"
	@echo "make soak SECONDS=3600    random faults on the whole pipeline, then compared with the source; SEED repeats a run"
	@echo "make bench                speed, processor time and memory of 200,000 workers, compared first; some 15 minutes"
	@echo "make bench WORKERS=2000000 RECORD=standard ROUNDS=1 JSON=file WRITE=bench/RESULTS.md"
	@echo "options: WORKERS=20000 SEED=4 MUTATION_SECONDS=20 MUTATION_SEED=20261123"

install:
	@scripts/install.sh

build: install
	cargo build --locked --release --workspace --bins

# exec: Ctrl-C reaches the demonstration itself, which then stops everything in order.
demo: build
	@exec target/release/sisdmk-demo --workers $(or $(WORKERS),20000) --seed $(SEED) $(if $(ONCE),--once) $(if $(KILL),--kill) $(if $(CONNECT),--connect)

bench: build
	@exec target/release/sisdmk-bench --workers $(or $(WORKERS),200000) --seed $(SEED) --record $(RECORD) \
		--rounds $(ROUNDS) $(if $(JSON),--json $(JSON)) $(if $(WRITE),--write $(WRITE))

test: lint suite faults

lint: install
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

# What needs no server; the same tests are part of `suite`.
unit: install
	$(MUTATION) cargo test --locked --workspace

# Everything but the fault tests. Some sixty times servers are started: with archives of their classes in half the time.
suite: install
	cargo test --locked --workspace --features $(SERVICES) --no-run
	$(STACK) fetch --warm
	$(MUTATION) cargo test --locked --workspace --features $(SERVICES)

faults: install
	cargo faults --locked

# The random part of the fault tests alone, for as long as wished; the seed repeats it. Before it Postgres stands still for five
# minutes, which are not part of the time.
soak: install
	SISDMK_FAULT_SECONDS=$(SECONDS) SISDMK_TEST_SEED=$(SEED) cargo faults --locked -- flat:: random::a_night --nocapture --test-threads 1

clean:
	rm -rf .demo .stack .bench
