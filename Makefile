# make demo   the environment, and the whole path on a small planted world, into demo/
# make test   the environment with the tools of development, and every check that CI runs
# make bench  what mgrec costs beside what a user would pick instead, into runs/bench/ (hours);
#             BENCH="training --quick" runs that only, in small
# Another Python: make PYTHON=python3.12 ...

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
# RecTools wants an older numpy and pandas, so it lives apart.
RECTOOLS := $(VENV)-rectools
TORCH := $$(grep -x 'torch==.*' constraints.txt)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := demo
.PHONY: demo test test-slow bench lint types clean

demo: $(VENV)/.for-demo
	$(BIN)/mgrec demo --out demo

test: lint types
	$(BIN)/python -m pytest

# MGREC_SLOW=short takes fewer rounds of each.
test-slow: $(VENV)/.for-dev
	$(BIN)/python -m pytest -m slow

bench: $(VENV)/.for-bench $(RECTOOLS)/.for-bench
	$(BIN)/python -m benchmarks $(BENCH)

lint: $(VENV)/.for-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.for-dev
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(RECTOOLS) demo build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps, so that an environment is made once, and again when what it is made of has changed.
$(VENV)/.for-demo: EXTRAS := offline,report,serve
$(VENV)/.for-demo: pyproject.toml constraints.txt | $(VENV)/.made
	$(install)

$(VENV)/.for-dev: EXTRAS := dev
$(VENV)/.for-dev: pyproject.toml constraints.txt | $(VENV)/.made
	$(install)
	@touch $(VENV)/.for-demo

$(VENV)/.for-bench: EXTRAS := bench
$(VENV)/.for-bench: pyproject.toml constraints.txt | $(VENV)/.made
	$(install)

$(RECTOOLS)/.for-bench: PIP := $(RECTOOLS)/bin/python -m pip
$(RECTOOLS)/.for-bench: constraints.txt | $(RECTOOLS)/.made
	@echo "Installing RecTools into $(RECTOOLS)"
	@$(PIP) install -qq "$(TORCH)"
	@$(PIP) install -qq "$(TORCH)" "rectools[torch]==0.19.0"
	$(refuse_torchvision)
	@touch $@

$(VENV)/.made $(RECTOOLS)/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else \
	  f"Python {v[0]}.{v[1]} found, 3.11 to 3.13 expected. Name another: make PYTHON=python3.12")'
	@echo "Making $(@D) (some minutes, once)"
	@$(PYTHON) -m venv $(@D)
	@touch $@

# torch first and alone: a CPU build that lies on this machine is then what all others get. And no
# torchvision: beside a CPU build of torch it breaks transformers.
define install
	@echo "Installing mgrec[$(EXTRAS)] into $(VENV)"
	@$(PIP) install -qq -c constraints.txt "$(TORCH)"
	@$(PIP) install -qq -c constraints.txt -e ".[$(EXTRAS)]"
	$(refuse_torchvision)
	@touch $@
endef

define refuse_torchvision
	@if $(PIP) list | grep -qi '^torchvision '; then \
	  echo "torchvision found in $(@D), not expected: it breaks transformers"; exit 1; fi
endef
