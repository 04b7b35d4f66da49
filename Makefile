# Needs Python 3.11 or newer and nothing else: node comes from PyPI, the CDK CLI from package-lock.json.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP := $(BIN)/python -m pip install --quiet

.PHONY: help install demo test test-sdk check lint types synth deploy bench clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "driftgauge needs Python 3.11 or newer on the PATH (or: make PYTHON=/path/to/python)"; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "python -m venv failed: on Debian and Ubuntu, apt install python3-venv"; exit 1; }

$(VENV)/.installed: requirements.txt requirements-data.txt constraints.txt pyproject.toml package.json package-lock.json | $(BIN)/python
	@echo "Installing pinned requirements (once)"
	@$(PIP) -r requirements.txt -c constraints.txt
	@$(PIP) --no-deps -r requirements-data.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@echo "Installing the CDK CLI (once)"
	@npm ci --omit=dev --loglevel=error
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@echo "Installing what the tests need (once)"
	@$(PIP) -r requirements-dev.txt -c constraints.txt
	@npm ci --loglevel=error
	@touch $@

install: $(VENV)/.installed ## Make .venv and install what everything needs

demo: $(VENV)/.installed ## Watch a model drift, an alarm ring, a retraining run; no AWS account
	@$(BIN)/python -m local.demo --scenario $(or $(SCENARIO),drift)

test: $(VENV)/.installed-dev ## Run every test
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

.venv-sdk/.installed: requirements-compat.txt | $(BIN)/python
	@echo "Installing the SageMaker SDK into .venv-sdk (once, 350 MB)"
	@$(BIN)/python -m venv .venv-sdk
	@.venv-sdk/bin/python -m pip install --quiet -r requirements-compat.txt
	@touch $@

test-sdk: .venv-sdk/.installed ## Load the files driftgauge writes with the SageMaker Python SDK
	@PYTHONPATH=$(CURDIR) .venv-sdk/bin/python -m pytest tests/reference/test_model_monitor_golden_sdk.py

check: lint types test ## Lint, types and tests

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	@$(BIN)/mypy

synth: $(VENV)/.installed ## Write the CloudFormation templates to cdk.out, validated, with cdk-nag
	@npx --no-install cdk synth --quiet

deploy: $(VENV)/.installed ## cdk deploy --all into the AWS account of your credentials
	@npx --no-install cdk deploy --all

bench: $(VENV)/.installed-dev ## Measure speed, memory and sizes
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.decision_simulation

clean: ## Remove what the targets above made
	@rm -rf $(VENV) .venv-sdk node_modules cdk.out build .cache demo-output
