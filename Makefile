# progress-relay: `make run` and `make test` do all the set-up that they need.

SHELL := /bin/bash
# rustup's place, where a shell that was not started anew does not look yet. Last, so as to override no choice of the user's.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
# Flags for what `make run` starts.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup toolchain build run test lint check deny clean
# With -j, cargo would start before the set-up has ended; cargo itself uses all cores.
.NOTPARALLEL:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

lint: toolchain ## formatting and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --all-targets --locked -- -D warnings

check: toolchain ## quick: does it compile
	cargo check --all-targets --locked

deny: toolchain ## licences, advisories and sources of dependencies, where cargo-deny is at hand
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: cargo install cargo-deny --locked" >&2; exit 1; }
	cargo deny check

clean: ## remove what was built
	cargo clean
