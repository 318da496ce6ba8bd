# The whole user surface. `make help` prints itself; docs/architecture.md says what stands behind it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export PYTHONPATH := $(CURDIR)

TARGET ?= local
TARGETS := local rehearsal eks
$(if $(filter $(TARGET),$(TARGETS)),,$(error There is no target '$(TARGET)': use one of $(TARGETS)))
PROMPT ?= What is the capital of France?
export PROMPT
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
GO := $(if $(shell command -v go),,$(VENV)/go.stamp)

##@ Use it
preflight: setup-eks  ## Find in TARGET's manifests (eks; local has none) what would keep it from scaling, before a node is paid for
	$(PY) -m cluster lint manifests/clusters/$(if $(filter-out local,$(TARGET)),$(TARGET),eks)
deploy: setup-$(TARGET) $(if $(filter local rehearsal,$(TARGET)),page)  ## Stand the chatbot up on TARGET (local) and return when a real chat request was answered
	@$(PY) -m cluster deploy $(TARGET)
status: setup-$(TARGET)  ## What runs where on TARGET, and is it healthy
	@$(PY) -m cluster status $(TARGET)
chat: setup-$(TARGET)  ## One streamed answer in the terminal: make chat PROMPT="…"
	@$(PY) -m cluster chat $(TARGET) --prompt "$$PROMPT"
destroy: setup-$(TARGET)  ## Remove from TARGET exactly what deploy made
	@$(PY) -m cluster destroy $(TARGET)
loadtest: $(VENV)/loadtest.stamp  ## Locust traffic against TARGET; a report under reports/: make loadtest PROFILE=step
	@$(PY) -m loadtest run $(or $(PROFILE),smoke) --target $(TARGET)
verify: $(VENV)/loadtest.stamp  ## The same, and a verdict on autoscaling
	@$(PY) -m loadtest verify $(or $(PROFILE),step) --target $(TARGET)
rehearse: setup-rehearsal page  ## The whole chain on this machine: deploy, verify, destroy, one report; make rehearse SPEED=20 SCENARIO=field
	@$(PY) -m cluster rehearse $(addprefix --speed ,$(SPEED)) $(addprefix --scenario ,$(SCENARIO))

##@ Work on it
test: $(VENV)/dev.stamp page  ## The tests that need nothing but the package registry; a few minutes
	$(PY) -m serving model prepare
	$(PY) -m pytest -m "not slow"
check: lint control-plane schemas test test-pythons test-slow  ## What CI runs
lint: $(VENV)/dev.stamp  ## Format, lint, types, import contracts, generated docs unchanged
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy .
	$(VENV)/bin/lint-imports
	$(PY) -m docs.generate --check
test-pythons: $(VENV)-3.10/dev-neuron.stamp $(VENV)-3.13/dev.stamp  ## Unit tests on Python 3.10 with the Neuron image's pins, and on 3.13
	$(VENV)-3.10/bin/python -m pytest -m "not slow and not ray and not browser and not cluster"
	$(VENV)-3.13/bin/python -m pytest -m "not slow and not ray and not browser and not cluster"
test-slow: $(VENV)/dev.stamp page  ## The tests that take minutes
	$(PY) -m pytest -m slow
control-plane: $(VENV)/dev.stamp $(GO)  ## Build the control plane that the cluster tests run on; minutes, once
	$(PY) -m cluster rehearsal build
schemas: $(VENV)/dev.stamp $(GO)  ## Hold the committed CRD schemas and instance types against the pinned modules
	$(PY) -m cluster.schemas.generate --check
rehearse-faults: setup-rehearsal page  ## Seed faults into the rehearsal (all of them, or FAULTS=NAME, or FAULTS=--sample): is each named?
	@$(PY) -m cluster rehearse-faults $(or $(FAULTS),--all)
docs: $(VENV)/dev.stamp  ## Generate docs/reference anew
	$(PY) -m docs.generate
bench: $(VENV)/dev.stamp page  ## The performance suite: ratios, side by side in one run
	$(PY) -m bench
lock: $(VENV)/dev.stamp  ## Resolve requirements/*.txt anew
	requirements/lock

help:  ## This page
	@awk 'BEGIN {FS = ":.*  ## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*  ## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# What the targets above stand on: environments from the locks, the page's two libraries by npm.
setup-local: $(VENV)/cpu.stamp
setup-eks: $(VENV)/cluster.stamp
setup-rehearsal: $(VENV)/rehearsal.stamp $(GO)
page: $(if $(shell command -v npm),,$(VENV)/page.stamp) | $(VENV)/bin/python
	@$(PY) -m serving.page

$(VENV)/bin/python:
	@requirements/venv $(PYTHON) $(VENV)
$(VENV)-%/bin/python:
	@requirements/venv python$* $(VENV)-$*
.SECONDEXPANSION:
%.stamp: requirements/$$(basename $$(notdir $$@)).txt | $$(dir $$@)bin/python
	@echo "Installing $< into $(@D): a minute or two"
	@$(@D)/bin/python -m pip install --disable-pip-version-check --require-hashes --quiet -r $<
	@touch $@

.PHONY: $(shell grep -oE '^[a-z-]+:' $(firstword $(MAKEFILE_LIST)) | tr -d :) setup-local setup-eks setup-rehearsal
.SECONDARY:
