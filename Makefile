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
.PHONY: help setup toolchain build run test lint check bench bench-quick deny clean
# With -j, cargo would start before the set-up has ended; cargo itself uses all cores.
.NOTPARALLEL:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing (PostgreSQL's server, by apt), without a cluster on port 5432
	@bash scripts/setup

toolchain:
	@bash scripts/setup toolchain

build: toolchain ## the release build
	cargo build --release --locked

run: setup ## build and serve on http://127.0.0.1:8000; ARGS="--bind …" for flags
	cargo run --release --locked -- serve $(ARGS)

test: setup lint ## formatting, clippy, all tests
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

deny: toolchain ## licences, advisories and sources of dependencies, where cargo-deny is at hand
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: cargo install cargo-deny --locked" >&2; exit 1; }
	cargo deny check

clean: ## remove what was built
	cargo clean
