# Everything a checkout needs: Python 3.11 or newer, and make. `uv` is used where it is on PATH.

PYTHON ?=
ARGS   ?=
EXTRAS ?=
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)

# A stamp in .venv stands for "this lock is installed"; it is older than the lock after a change.
RUNTIME := $(VENV)/.runtime
DEV     := $(VENV)/.dev
LOST    := $(shell [ -x $(BIN)/python ] || rm -f $(RUNTIME) $(DEV))

ifneq ($(UV),)
INSTALL := uv pip install --quiet --python $(BIN)/python
else
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test torture torture-distributed upgrade-check lint bench bench-backlog compatibility lock docs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-19s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(RUNTIME) ## Install Tessera and its locked dependencies into .venv (EXTRAS=openai,otel adds optional ones)
	@$(if $(EXTRAS),$(install_extras))
	@echo "Ready: $(BIN)/tessera$(if $(EXTRAS), with $(EXTRAS))"

demo: $(RUNTIME) ## Start a gateway, make a picture, a film and a song with it, show every step
	@$(BIN)/tessera demo $(ARGS)

serve: $(RUNTIME) ## Run the gateway here (stop it with Ctrl-C)
	@$(BIN)/tessera serve $(ARGS)

test: $(DEV) ## Run the tests (choose with ARGS="tests/unit -k name")
	@$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

torture: $(DEV) ## Kill it, stop it, starve it for three minutes; see if it kept its promises
	@$(BIN)/python -m tessera.testing.torture $(ARGS)

torture-distributed: $(DEV) ## The same with two APIs, three workers, PostgreSQL over TCP and a bucket
	@$(BIN)/python -m tessera.testing.torture --distributed --tasks 250 --minutes 2 $(ARGS)

upgrade-check: $(DEV) ## Upgrade the database of an earlier program while it works (ARGS=REF names one)
	@$(BIN)/python -m tessera.testing.upgrade $(ARGS)

lint: $(DEV) ## Check style, format and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

bench: $(DEV) ## Measure the gateway on this machine
	@$(BIN)/python -m bench $(ARGS)

bench-backlog: $(DEV) ## Measure 10,000 tasks in flight, and 100,000 more that wait
	@$(BIN)/python -m bench.backlog $(ARGS)

compatibility: $(DEV) ## Send every documented example and refusal; write docs/compatibility.md
	@$(BIN)/python -m tests.wire.sweep $(ARGS)

docs: $(RUNTIME) ## Write the pages that are made from the code
	@$(BIN)/python -c 'from tessera import config; print(config.reference(), end="")' > docs/settings.md

# The wider set is solved first: a test may run on nothing else than what an operator runs on.
lock: ## Renew the lock files from pyproject.toml (ARGS=--upgrade moves to the newest versions)
	@test -n "$(UV)" || { echo "make lock needs uv on PATH: https://docs.astral.sh/uv" >&2; exit 1; }
	@$(COMPILE) --group build --group dev --extra media --extra openai --extra otel --output-file requirements-dev.lock
	@$(COMPILE) --group build --extra media --constraint requirements-dev.lock --output-file requirements.lock

COMPILE = uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(ARGS)

clean: ## Remove .venv and the caches; data stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find src tests bench -type d -name __pycache__ -prune -exec rm -rf {} +

# The wider lock knows the versions of all extras; as constraints its lines must come without their hashes.
define install_extras
sed -n 's/^\([A-Za-z0-9][^ ]*==[^ ]*\).*/\1/p' requirements-dev.lock > $(VENV)/.pins && \
  $(INSTALL) --no-build-isolation --constraint $(VENV)/.pins --editable '.[$(EXTRAS)]'
endef

# The interpreter: the one named by PYTHON, or the first that is new enough. Asking it to run matters, because a
# version manager's shim may stand on PATH for a Python that is not there. Without uv it must bring venv and pip.
NEEDS = import sys, venv$(if $(UV),,$(comma) ensurepip); sys.exit(sys.version_info < (3, 11))
comma := ,
define find_python
found=; \
for name in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
  if $$name -c '$(NEEDS)' >/dev/null 2>&1; then found=$$name; break; fi; \
done; \
if [ -z "$$found" ]; then \
  echo "Tessera needs Python 3.11 or newer with venv and pip; looked for: $(or $(PYTHON),python3.13 python3.12 python3.11 python3). Install one, or name it: make setup PYTHON=/path/to/python3" >&2; \
  exit 1; \
fi
endef

# A .venv whose interpreter is gone is made anew; one that uv made has no pip, so without uv pip is added first.
define make_venv
[ -x $(BIN)/python ] || { $(find_python); rm -rf $(VENV); echo "Creating .venv with $$found"; \
  $(if $(UV),uv venv --quiet --no-project --python "$$found" $(VENV),"$$found" -m venv $(VENV)); }
endef

$(RUNTIME): requirements.lock pyproject.toml
	@$(make_venv)
	@$(if $(UV),,$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null)
	@echo "Installing the locked dependencies"
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): requirements-dev.lock $(RUNTIME)
	@echo "Installing the development tools"
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@
