# Everything a newcomer needs: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NAME ?= default
# What runs Pods: process, or containerd for a real node (docs/real-node.md).
NODE ?= process
export NODE
CLUSTER := $(BIN)/python -m devcluster

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

$(VENV)/.installed: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: set PYTHON=python3.x"; exit 1; }
	@echo "==> Python environment in $(VENV) (about 30 seconds the first time)"
	@$(PYTHON) -m venv $(VENV) || { echo "The venv module is missing. On Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --progress-bar off -r requirements-dev.txt
	@touch $@

.PHONY: venv
venv: $(VENV)/.installed ## Make the Python environment

.PHONY: lint
lint: venv ## Lint, format check, strict types, import contracts
	@echo "==> lint"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: venv ## Format the code
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

.PHONY: unit
unit: venv
	@echo "==> unit and property tests"
	@$(BIN)/python -m pytest -q -n 4 --dist worksteal tests/unit

.PHONY: check
check: lint unit ## Fast tier: lint, types, unit and property tests, no cluster

.PHONY: tools
tools: venv ## Build the local control plane's programs (about 5 minutes the first time, cached)
	@$(CLUSTER) tools

.PHONY: test
test: lint ## Lint, then all tests, end-to-end ones and a short set of faults on the local cluster
	@$(CLUSTER) tools --for-tests
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory fences
	@echo "==> integration and end-to-end tests on the local cluster; beside them those on a real node, shown afterwards"
	@log=$$(mktemp); $(BIN)/python -m pytest -v tests/node >"$$log" 2>&1 & node=$$!; \
	trap 'kill $$node 2>/dev/null || true; rm -f "$$log"' EXIT; failed=0; \
	$(BIN)/python -m pytest -v tests/integration tests/e2e || failed=$$?; \
	echo "==> tests on a real node, where the machine has the means (docs/real-node.md)"; \
	wait $$node || failed=$$?; cat "$$log"; exit $$failed
	@echo "==> the short set of faults (about 6 minutes)"
	@$(BIN)/python -m tests.faults --short

.PHONY: test-node
test-node: venv ## End-to-end tests and the short set of faults on a real node: kubelet, containerd, our images (docs/real-node.md)
	@NODE=containerd $(CLUSTER) tools
	@$(BIN)/python -m pytest -v tests/node
	@NODE=containerd $(BIN)/python -m pytest -v tests/e2e
	@echo "==> the short set of faults on a real node"
	@NODE=containerd $(BIN)/python -m tests.faults --short

.PHONY: test-oldest
test-oldest: venv ## The way of a run on the oldest supported Kubernetes (builds it the first time)
	@$(CLUSTER) tools --oldest
	@$(BIN)/python -m pytest -v tests/e2e/test_oldest_kubernetes.py

.PHONY: faults
faults: tools ## Every fault under a load of runs (RUNS=10000 for a long one, SEED= to repeat one, SCENARIOS="a b", SHORT=1, NODE=containerd)
	@$(BIN)/python -m tests.faults $(SCENARIOS) $(if $(SHORT),--short) $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED))

.PHONY: fences
fences: venv ## Switch each fence off in turn; something must show it (docs/fences.md)
	@echo "==> fences"
	@$(BIN)/python -m pytest -q -n 4 --dist worksteal tests/mutations

.PHONY: model
model: venv ## Check the protocol as a state machine, with big bounds (SEED= for the random walks, ONLY=part of a name)
	@$(BIN)/python -m tests.model $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only "$(ONLY)")

.PHONY: crds
crds: tools ## Generate crds/ from crdgen/ and the API server's own OpenAPI
	@$(BIN)/python -m crdgen

.PHONY: images
images: venv ## Build the container images with buildah or docker (BASE=local, REGISTRY=, ONLY="operator"; docs/images.md)
	@$(BIN)/python -m images build $(if $(BASE),--base $(BASE)) $(if $(REGISTRY),--registry $(REGISTRY)) $(ONLY)

.PHONY: locks
locks: venv ## Write the images' lock files anew from requirements.txt
	@$(BIN)/python -m images locks

.PHONY: install-yaml
install-yaml: tools ## Write manifests/install*.yaml (ARGS="--image NAME:TAG --to FOLDER" for a registry of one's own)
	@$(BIN)/python -m devcluster.render $(ARGS)

.PHONY: charts
charts: venv ## Pack the Helm chart and an index into dist/charts (ARGS="--to FOLDER --url URL"), the same bytes each time
	@$(BIN)/python -m devcluster.charts $(ARGS)

.PHONY: demo
demo: tools ## The whole way of a run, shown and checked (KEEP=1 leaves it running)
	@$(BIN)/python -m devcluster.demo

.PHONY: cluster-up
cluster-up: tools ## Start a local cluster (NAME=default)
	@$(CLUSTER) up --name $(NAME)

.PHONY: cluster-down
cluster-down: venv ## Stop it and remove what it left
	@$(CLUSTER) down --name $(NAME)

.PHONY: cluster-env
cluster-env: venv ## Print `export NAME=value` lines for it
	@$(CLUSTER) env --name $(NAME)

.PHONY: bench
bench: tools ## Measure the first figures of the README (METACONTROLLER_BIN for the real Metacontroller)
	@$(BIN)/python -m bench

.PHONY: clean
clean: ## Remove what the targets made in this folder
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
