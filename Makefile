# `make` lists the targets. Each one brings what it needs first (scripts/setup.sh).
#
# Everything is compiled in the release profile: with one profile no dependency is compiled twice, and the tests run
# on the code that ships.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Where things live, see there; a recipe that needs it starts with it.
env := source scripts/env.sh;

ARGS ?=
PORT ?=
kafka_options := $(if $(PORT),--port $(PORT))

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | column -t -s '|'

.PHONY: demo
demo: ## Run the demo, without a broker (ARGS="..." is passed on)
	@scripts/setup.sh system runtime
	@$(env) cargo build --release
	@$(env) "$$FOREWARN_BIN" demo $(ARGS)

.PHONY: test
test: ## Run all tests against a throw-away Kafka broker (ARGS="..." goes to cargo test)
	@scripts/setup.sh system runtime kafka python
	@$(env) cargo test --workspace --release --no-run $(ARGS)
	@$(env) scripts/kafka.sh with -- cargo test --workspace --release $(ARGS)

.PHONY: verify
verify: ## Play all fault scenarios in their long form against Kafka: hours (ARGS="..." is passed on)
	@scripts/setup.sh system runtime kafka
	@$(env) cargo build --workspace --release
	@$(env) "$$(dirname "$$FOREWARN_BIN")/verifier" run --all --long $(ARGS)

.PHONY: lint
lint: fmt-check clippy ## Check formatting and run clippy

.PHONY: fmt-check
fmt-check:
	@$(env) cargo fmt --all -- --check

.PHONY: clippy
clippy:
	@scripts/setup.sh system
	@$(env) cargo clippy --workspace --all-targets --release -- -D warnings

.PHONY: setup
setup: ## Bring all that building and testing needs, once
	@scripts/setup.sh system runtime kafka python

.PHONY: notebooks
notebooks: ## Make the shipped models anew: execute notebooks 01 to 03 in place
	@scripts/setup.sh system runtime notebooks
	@$(env) cargo build --release
	@$(env) "$$FOREWARN_HOME/venv-notebooks/bin/python" -m nbconvert \
		--to notebook --execute --inplace notebooks/0[1-3]-*.ipynb

.PHONY: notebooks-check
notebooks-check: ## Execute notebooks 04 to 06 and store nothing, as make test does
	@scripts/setup.sh system runtime python
	@$(env) cargo build --release
	@$(env) "$$FOREWARN_PYTHON" notebooks/execute.py $(ARGS) notebooks/0[4-6]-*.ipynb

.PHONY: notebooks-store
notebooks-store: ## Execute notebooks 04 to 06 and store their outputs
	@$(MAKE) notebooks-check ARGS=--store

.PHONY: kafka-up
kafka-up: ## Start a local Kafka broker on 127.0.0.1:9092 (PORT=... for another port)
	@scripts/setup.sh kafka
	@scripts/kafka.sh up $(kafka_options)

.PHONY: kafka-down
kafka-down: ## Stop it; its data stays
	@scripts/kafka.sh down

.PHONY: kafka-status
kafka-status: ## Print its address, or that it is not running
	@scripts/kafka.sh status || true

.PHONY: clean
clean: ## Remove .forewarn: what set-up brought and the local broker's data (not target/)
	@scripts/kafka.sh down
	@rm -rf .forewarn
	@echo "removed .forewarn; cargo's target/ stays, cargo clean removes it"
