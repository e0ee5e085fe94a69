# progress-relay: `make run` and `make test` do all the set-up that they need.

SHELL := /bin/bash
# rustup's folder: a shell that was started before rustup was installed does not have it on PATH.
# It comes last, so that it overrides no choice of the user's.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
# Flags for what `make run` starts.
ARGS ?=
# Runs that `make bench` takes a median of, and the seconds of each.
RUNS ?= 5
SECONDS_EACH ?= 5

.DEFAULT_GOAL := help
.PHONY: help setup toolchain node python browser fault-tools jupyterhub extensions clients build
.PHONY: run test
.PHONY: lint format figures docs
.PHONY: check bench bench-quick hostile memory summary cost year names faults churn model fuzz
.PHONY: absence long-day page-day pictures frames openapi-fuzz deny clean
# With -j, cargo would start before the set-up has ended; cargo itself uses all cores.
.NOTPARALLEL:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing (PostgreSQL's server, by apt), without a cluster on port 5432
	@bash scripts/setup

toolchain:
	@bash scripts/setup toolchain

# With which the dashboard is checked; npm runs only when package-lock.json has changed.
node:
	@bash scripts/setup node

browser: setup
	@bash scripts/setup browser

# What the tests of faults, proxies and metrics use: a balancer, proxies, a pooler, Patroni, network
# namespaces, promtool.
fault-tools: setup
	@bash scripts/setup faults

# The interpreter of examples/subscriber.py, which a test runs.
python:
	@bash scripts/setup python

# The releases of JupyterHub, and its proxy, behind which a test puts the relay.
jupyterhub: setup
	@bash scripts/setup jupyterhub

# JupyterLab with extensions of other projects, whose events the relay understands.
extensions: setup
	@bash scripts/setup extensions

# The Jupyter programs in which the tests run clients/python.
clients: setup
	@bash scripts/setup clients

build: toolchain ## the release build
	cargo build --release --locked

run: setup ## build and serve on http://127.0.0.1:8000; ARGS="--bind …" for flags
	cargo run --release --locked -- serve $(ARGS)

# Installs Chromium, HAProxy, nginx, Caddy, PgBouncer, Patroni, etcd, Node, Python, JupyterHub and
# JupyterLab when they are missing.
test: setup browser fault-tools python jupyterhub extensions clients lint ## lint, and all tests
	npm test --silent
	PYTHONPATH=clients/python/src python3 -m unittest discover --start-directory clients/python/tests
	cargo test --locked

lint: toolchain node ## formatting, widths, clippy, documentation; the page: prettier, eslint, tsc
	scripts/width
	cargo fmt --all --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --locked --quiet
	npm run --silent lint
	for script in scripts/* .ci/run; do bash -n "$$script" || exit 1; done

format: toolchain node ## format Rust and the dashboard
	cargo fmt --all
	npm run --silent format

figures: toolchain ## the size of the code: files, functions, widths, words of doc comments
	cargo test --locked --test integration -- --nocapture code_figures::the_figures_are_printed

docs: toolchain ## write the documents that are made from the code: the flags, grants, imports
	WRITE_DOCS=1 cargo test --locked --lib --quiet -- reference the_document_has
	WRITE_DOCS=1 cargo test --locked --test integration --quiet architecture

check: toolchain ## quick: does it compile
	cargo check --all-targets --locked

bench: setup ## measure against the floors (20 min); writes BENCHMARKS.md; RUNS=3 for less
	cargo build --release --locked --bin progress-relay --example bench
	cargo run --release --locked --example bench -- full --runs $(RUNS) --seconds $(SECONDS_EACH)

bench-quick: setup ## two minutes: what got slower than bench/baseline.json by more than 20%
	cargo build --release --locked --bin progress-relay --example bench
	cargo run --release --locked --example bench -- quick

hostile: setup ## measure: a class at work beside 500 peers that do their worst (2 min)
	cargo test --release --locked --test integration -- --ignored --nocapture measure::hostile

memory: setup ## measure: the memory of a dashboard after bursts, over 4,000 (2 min)
	cargo test --release --locked --test integration -- --ignored --nocapture measure::memory

cost: setup ## measure: a summary's cost as its class grows to 5,000,000 events (5 min)
	cargo test --release --locked --test integration -- --ignored --nocapture measure::cost

names: setup ## measure: the memory of classes whose names are all as long as may be (5 min)
	cargo test --release --locked --test integration -- --ignored --nocapture measure::names

year: setup ## measure: a class with a year of lessons beside one with a day (3 min)
	cargo test --release --locked --test integration -- --ignored --nocapture measure::year

long-day: node ## measure: the page's memory over eight hours at 50 events/s (2 min)
	LONG_DAY=1 node --test --test-reporter spec tests/dashboard/long-day.test.js

summary: setup ## measure: a class at work while 20 dashboards ask for the largest class (2 min)
	cargo test --release --locked --test integration -- --ignored --nocapture measure::summary

faults: fault-tools ## measure: a table of every fault under load (25 min); FAULTS=killed,…
	cargo test --release --locked --test integration -- --ignored --nocapture \
	  measure::faults_table

churn: setup ## measure: the leaks after ten minutes of coming and going; CHURN_MINUTES=n
	cargo test --release --locked --test integration -- --ignored --nocapture measure::churn

absence: setup clients ## measure: a kernel while the relay is away for an hour; ABSENCE_MINUTES=n
	cargo build --locked
	target/clients/bin/python clients/python/tests/absence.py target/debug/progress-relay

model: toolchain ## check the snapshots' rule for larger numbers than make test does (20 min)
	cargo test --release --locked --test model -- --ignored --nocapture

FUZZ_SECONDS ?= 300
fuzz: toolchain ## fuzz events, URLs, cursors, credentials, FUZZ_SECONDS (300) each; by cargo-fuzz
	@command -v cargo-fuzz >/dev/null || \
	  { echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2; exit 1; }
	for target in event batch cursor url token authorization cookie first_message; do \
	  mkdir -p fuzz/corpus/$$target && RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$target \
	    fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -print_final_stats=1 || exit 1; \
	done

pictures: browser ## docs/screenshots, and target/pictures: classes as schools have them, all looks
	@bash scripts/setup fonts
	cargo test --locked --test integration -- --ignored browser::screenshots::screenshots \
	  browser::pictures::pictures

page-day: browser ## measure: the heap of a page, and of a hidden one, over eight hours (5 min)
	cargo test --release --locked --test integration -- --ignored --nocapture \
	  measure::page_day

frames: browser ## measure: the first picture, a hand, frames at 500 students, 200 events/s (3 min)
	cargo test --release --locked --test integration -- --ignored --nocapture --test-threads 1 \
	  measure::frames

openapi-fuzz: setup build ## random requests to the reading API (1 min), by PyPI; EXAMPLES=n
	scripts/openapi-fuzz

deny: toolchain ## licences, advisories and sources of dependencies, where cargo-deny is at hand
	@command -v cargo-deny >/dev/null || \
	  { echo "cargo-deny is missing: cargo install cargo-deny --locked" >&2; exit 1; }
	cargo deny check

clean: ## remove what was built
	cargo clean
