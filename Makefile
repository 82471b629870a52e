# One way to run everything, for people and for CI.
#
#   make run      install what is missing, build, start the archive with the demo settings
#   make test     install what is missing, build, pass every test
#   make demo     (while `make run` runs) push, store, declare and reconcile the sample exam
#   make cluster  Kafka, an S3 server and three nodes on this machine, with a small load
#   make bench    the figures of benches/README.md, peers in the same run
#   make torture  kill -9 under load, 100 times
#   make torture-kafka  Kafka killed and stopped under load, 20 times
#   make lint     formatting and clippy
#   make fmt      format the tree

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Targets share one cargo target directory and two cores: never run them side by side.
.NOTPARALLEL:

# Where rustup puts cargo, also right after it was installed.
export PATH := $(HOME)/.cargo/bin:$(PATH)

CACHE ?= $(HOME)/.cache/yingku

# CI works in a fresh clone each time: what is slow to make (RocksDB's C++, the Python environment)
# stays in the user's cache, so that only the workspace itself is built again.
ifeq ($(CI),true)
export CARGO_TARGET_DIR ?= $(CACHE)/target
VENV ?= $(CACHE)/venv
else
export CARGO_TARGET_DIR ?= $(CURDIR)/target
VENV ?= $(CURDIR)/.venv
endif

export YINGKU ?= $(CARGO_TARGET_DIR)/release/yingku
PYTHON := $(VENV)/bin/python
DATA ?= $(CURDIR)/data/demo
CLUSTER ?= $(CURDIR)/data/cluster
TORTURE_ROUNDS ?= 100
TORTURE_KAFKA_ROUNDS ?= 20

.PHONY: help
help:
	@sed -n 's/^#   //p' Makefile

# --- what must be there first -------------------------------------------------------------------

.PHONY: install-deps install-build-deps
install-build-deps:
	@deploy/install-deps.sh build

install-deps: install-build-deps
	@deploy/install-deps.sh peers
	@deploy/install-deps.sh kafka
	@deploy/install-deps.sh python "$(VENV)"

# The real servers that tests start themselves.
.PHONY: install-servers
install-servers:
	@deploy/dev/s3.sh install

# --- build, run, demo ---------------------------------------------------------------------------

.PHONY: build run demo cluster
build: install-build-deps
	cargo build --release --locked --package yingku

run: build
	@deploy/demo/run.sh "$(DATA)"

demo: build
	@deploy/demo/demo.sh "$(DATA)"

cluster: build install-servers
	@deploy/install-deps.sh kafka
	@deploy/cluster/run.sh "$(CLUSTER)"

# --- tests --------------------------------------------------------------------------------------

.PHONY: test test-rust test-peers torture torture-kafka lint fmt
test: install-deps lint test-rust test-peers
	@echo "make test: everything passed"

test-rust: install-build-deps install-servers
	@deploy/install-deps.sh kafka
	cargo test --release --locked --workspace

test-peers: install-deps install-servers release-before build
	$(PYTHON) -m pytest -c tests/pytest.ini tests/peers $(PYTEST_ARGS)

# The release before this one, for the test that runs both. Before `build`, since both come out of one directory. A clone
# that lacks its commit is told so here, and again by that test.
.PHONY: release-before
release-before: install-build-deps
	-@deploy/dev/release.sh build

torture: install-deps build
	cd tests && $(PYTHON) -m peers.torture --rounds $(TORTURE_ROUNDS)

torture-kafka: install-deps build
	cd tests && $(PYTHON) -m peers.torture_kafka --rounds $(TORTURE_KAFKA_ROUNDS)

lint: install-build-deps
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings

fmt:
	cargo fmt --all

# --- figures ------------------------------------------------------------------------------------

.PHONY: bench
bench: install-deps build
	PYTHON="$(PYTHON)" benches/run.sh $(BENCH_ARGS)
