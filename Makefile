# progress-relay: `make run` and `make test` do all the set-up that they need.

SHELL := /bin/bash
# rustup's default place, where a shell that was not started anew does not look yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup build run test lint check deny clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing (PostgreSQL, by apt), without a cluster on port 5432
	@scripts/setup

build: setup ## the release build
	cargo build --release --locked

run: build ## build and serve on http://127.0.0.1:8000; ARGS="--bind …" for flags
	target/release/progress-relay serve $(ARGS)

test: setup lint ## formatting, clippy, all tests
	cargo test --locked

lint: ## formatting and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --all-targets --locked -- -D warnings

check: ## quick: does it compile
	cargo check --all-targets --locked

deny: ## licences, advisories and sources of dependencies, where cargo-deny is at hand
	cargo deny check

clean: ## remove what was built
	cargo clean
