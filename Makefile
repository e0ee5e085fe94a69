# progress-relay: `make run` and `make test` do all the set-up that they need.

SHELL := /bin/bash
# rustup's place, where a shell that was not started anew does not look yet. Last, so as to override no choice of the user's.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
# Flags for what `make run` starts.
ARGS ?=
# Runs that `make bench` takes a median of, and the seconds of each.
RUNS ?= 5
SECONDS_EACH ?= 5

.DEFAULT_GOAL := help
.PHONY: help setup browser faults fault-tools toolchain pictures build run test lint check bench bench-quick hostile memory summary names churn frames model fuzz openapi-fuzz deny clean
# With -j, cargo would start before the set-up has ended; cargo itself uses all cores.
.NOTPARALLEL:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing (PostgreSQL's server, by apt), without a cluster on port 5432
	@bash scripts/setup

toolchain:
	@bash scripts/setup toolchain

browser: setup
	@bash scripts/setup browser

# What the tests of faults and metrics use: a balancer, a pooler, network namespaces, promtool.
fault-tools: setup
	@bash scripts/setup faults

build: toolchain ## the release build
	cargo build --release --locked

run: setup ## build and serve on http://127.0.0.1:8000; ARGS="--bind …" for flags
	cargo run --release --locked -- serve $(ARGS)

test: setup browser fault-tools lint ## formatting, clippy, all tests; installs Chromium, HAProxy and PgBouncer when missing
	cargo test --locked

lint: toolchain ## formatting, clippy and the documentation, warnings denied
	cargo fmt --all --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --quiet

check: toolchain ## quick: does it compile
	cargo check --all-targets --locked

bench: setup ## measure against the floors, some 20 minutes; writes BENCHMARKS.md; RUNS=3 SECONDS_EACH=4 for less
	cargo build --release --locked --bin progress-relay --example bench
	cargo run --release --locked --example bench -- full --runs $(RUNS) --seconds $(SECONDS_EACH)

bench-quick: setup ## two minutes: what got slower than bench/kept.json by more than 20%
	cargo build --release --locked --bin progress-relay --example bench
	cargo run --release --locked --example bench -- quick

hostile: setup ## measure: a class at work beside 500 peers that do their worst (2 min)
	cargo test --release --locked --test integration -- --ignored --nocapture measure::hostile

memory: setup ## measure: what a dashboard costs after bursts, over 4,000 (2 min)
	cargo test --release --locked --test integration -- --ignored --nocapture measure::memory

names: setup ## measure: the memory of classes whose names are all as long as may be (5 min)
	cargo test --release --locked --test integration -- --ignored --nocapture measure::names

summary: setup ## measure: a class at work while 20 dashboards ask for the largest class there can be (2 min)
	cargo test --release --locked --test integration -- --ignored --nocapture measure::summary

faults: fault-tools ## measure: every fault under 200 POSTs/s, 20 dashboards, 3 relays: a table (15 min); FAULTS=killed,…
	cargo test --release --locked --test integration -- --ignored --nocapture faults_table

churn: setup ## measure: what ten minutes of coming and going leave behind; CHURN_MINUTES=n
	cargo test --release --locked --test integration -- --ignored --nocapture measure::churn

model: toolchain ## check the rule of the snapshots for larger numbers (some 20 min); make test does it for small ones
	cargo test --release --locked --test model -- --ignored --nocapture

FUZZ_SECONDS ?= 300
fuzz: toolchain ## fuzz events, batches and cursors, FUZZ_SECONDS (300) each; needs cargo-fuzz
	@command -v cargo-fuzz >/dev/null || { echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2; exit 1; }
	for target in event batch cursor; do \
	  mkdir -p fuzz/corpus/$$target && RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$target \
	    fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -print_final_stats=1 || exit 1; \
	done

pictures: browser ## docs/screenshots, from a lesson that never was
	@bash scripts/setup fonts
	cargo test --locked --test integration -- --ignored browser::screenshots::screenshots

frames: browser ## measure: a hand on the page, and frames at 500 students and 200 events/s (2 min)
	cargo test --release --locked --test integration -- --ignored --nocapture --test-threads 1 browser::measures

openapi-fuzz: setup build ## property-based requests to the reading API (1 min); needs python3-venv and PyPI; EXAMPLES=n
	scripts/openapi-fuzz

deny: toolchain ## licences, advisories and sources of dependencies, where cargo-deny is at hand
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: cargo install cargo-deny --locked" >&2; exit 1; }
	cargo deny check

clean: ## remove what was built
	cargo clean
