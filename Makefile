# Tools and environments are kept here, outside the checkout; set DASK_FLOWS_CACHE to move it.
export DASK_FLOWS_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/dask-flows
export PATH := $(DASK_FLOWS_CACHE)/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/runner/src

PYTHON ?= python3
IMAGE  ?= registry.local/dask-flows:dev

VENV   := $(DASK_FLOWS_CACHE)/venv/$(shell cat runner/requirements/dev.lock | cksum | cut -d' ' -f1)
PY     := $(VENV)/bin/python
MODE   ?= static
MINUTES ?= 3
SEED    ?= 1

.DEFAULT_GOAL := help
.PHONY: help run test test-quick test-full lint format cluster cluster-down image demo soak bench lock docs package clean

help: ## Show this help
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Its name carries the lock's checksum: no file time of a checkout makes it old.
$(VENV)/ready:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || \
	  { echo "Python 3.11 to 3.13 is needed: install one of them, or name it with make PYTHON=…" >&2; exit 1; }
	@echo "installing the pinned Python packages (once) …"
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV) || \
	  { echo "this Python has no venv module: apt-get install python3-venv" >&2; exit 1; }
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r runner/requirements/dev.lock
	@touch $@

run: $(VENV)/ready ## Run the diamond flow on a local Dask cluster
	@$(PY) -m dask_flows run examples/01-diamond/flow.py:diamond --save build/diamond

test: $(VENV)/ready ## Run the tests of every change, on a cluster too where one can be had
	@PY=$(PY) IMAGE=$(IMAGE) ci/test all

test-quick: $(VENV)/ready ## Run lint, types, unit and chart tests: no cluster, under 3 minutes
	@PY=$(PY) IMAGE=$(IMAGE) ci/test quick

test-full: $(VENV)/ready ## Run all tests, also those that are too long for every change
	@PY=$(PY) IMAGE=$(IMAGE) ci/test full

lint: $(VENV)/ready ## Check style, types, layers and generated files
	@PY=$(PY) ci/test lint

format: $(VENV)/ready ## Format the Python code
	@$(PY) -m ruff format . && $(PY) -m ruff check --fix-only --quiet .

docs: $(VENV)/ready ## Write the generated files: values schema and reference
	@$(PY) tools/schema.py && $(PY) tools/docs.py

cluster: ## Start a real one-node Kubernetes on this machine (root on Linux, built from source once)
	@$(PYTHON) ci/cluster build && $(PYTHON) ci/cluster up

cluster-down: ## Stop that cluster
	@$(PYTHON) ci/cluster down

image: ## Build the image, and load it into the cluster if that runs
	@PYTHON=$(PYTHON) IMAGE=$(IMAGE) ci/image

demo: $(VENV)/ready $(if $(KUBECONFIG),,cluster image) ## Install, run a flow, switch modes, run it again, show both logs
	@PY=$(PY) IMAGE=$(IMAGE) ci/demo

soak: $(VENV)/ready ## Let runs and random faults come for MINUTES=3, by SEED=1, and check what is left
	@PY=$(PY) IMAGE=$(IMAGE) ci/test soak --minutes $(MINUTES) --seed $(SEED)

bench: $(VENV)/ready ## Measure starts, overhead and the agent on the cluster; writes bench/results
	@PY=$(PY) IMAGE=$(IMAGE) ci/bench

lock: ## Pin the Python packages anew
	@uv --version >/dev/null 2>&1 || { echo "uv is needed: pip install uv" >&2; exit 1; }
	@cd runner && for set in "image pyproject.toml --extra image" "build requirements/build.in" \
	  "dev pyproject.toml --extra image --group dev"; do \
	  name=$${set%% *}; UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url $${set#* } \
	  --output-file requirements/$$name.lock; done

package: ## Write the chart and the wheel to dist/
	@helm package charts/dask-flows --destination dist
	@$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist runner/

clean: ## Remove what builds left in the checkout
	@rm -rf dist build .mypy_cache .ruff_cache .pytest_cache
