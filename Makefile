# Everything runs in .venv, which the first command makes from requirements-dev.lock. `make help` lists the commands.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo test test-k8s test-kubelet conformance up check bench bench-k8s protos docs lock clean

help: ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 14

demo: $(READY) ## a training pipeline on the embedded stack, start to end
	@$(BIN)/python -m flightlog_cli.demo

up: $(READY) ## the stack in the foreground (Ctrl-C stops it); ARGS="--data DIR --port 8089"
	@exec $(BIN)/flightlog up $(ARGS)

test: $(READY) ## unit and integration tests; ARGS="-k name -x"
	@$(BIN)/python -m pytest -n 2 --no-loadscope-reorder $(ARGS)

test-k8s: $(READY) ## the tests against a real Kubernetes control plane, which is built with Go first
	@$(BIN)/python -m pytest tests/kubernetes $(ARGS)

test-kubelet: $(READY) ## tasks in real containers on this machine; needs root, containerd, runc, CNI plugins, debootstrap
	@FLIGHTLOG_TEST_KUBELET=1 $(BIN)/python -m pytest tests/integration/kubelet $(ARGS)

conformance: $(READY) ## the conformance suite alone; ARGS="--endpoint HOST:PORT" for another Flyte
	@$(BIN)/python -m pytest tests/conformance $(ARGS)

check: $(READY) ## lint, formatting, types, import contracts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright
	@$(BIN)/lint-imports

bench: $(READY) ## measure, print the table, write docs/benchmarks.md
	@$(BIN)/python -m flightlog_bench $(ARGS)

bench-k8s: $(READY) ## measure the Kubernetes runtime on a control plane built with Go, write docs/benchmarks-kubernetes.md
	@$(BIN)/python -m flightlog_bench.kubernetes

protos: $(READY) ## generate libs/flightlog_protos from protos/
	@$(BIN)/python tools/generate_protos.py

docs: $(READY) ## generate docs/api-coverage.md and the edge's configuration from the routing table
	@$(BIN)/python -m flightlog_cli.generate

lock: $(READY) ## resolve the dependencies of pyproject.toml anew, with hashes; make test afterwards
	@$(COMPILE) --upgrade --extra embedded -o requirements.lock
	@$(COMPILE) --upgrade --extra embedded --group dev --constraints requirements.lock -o requirements-dev.lock

clean: ## remove .venv
	@rm -rf .venv

$(READY): requirements-dev.lock tools/bootstrap.py
	@$(PYTHON) tools/bootstrap.py
