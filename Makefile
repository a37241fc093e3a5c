# make demo               predict on the example pictures; IMAGE=path for your own photo
# make test               run the tests, two at a time; WORKERS=8 on a larger machine
# make coverage           the same, and which lines no test reaches (slower)
# make check              lint, format and types
# make docs               the documentation's site, in site/
# make fuzz SECONDS=600   broken files of every kind, for so long; those that fail are kept in fuzz/
# make kills              commands that write, killed at many moments
# Each makes .venv and installs what it needs, once.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
WORKERS ?= 2
SECONDS ?= 600
IMAGE :=
export IMAGE

.PHONY: demo test coverage check docs fuzz kills clean

demo: $(VENV)/.installed
	@if [ -n "$$IMAGE" ]; then \
		$(BIN)/spcnet predict "$$IMAGE" --output demo --force; \
	else \
		$(BIN)/spcnet predict examples/*.jpg --output demo --force; \
	fi
	@echo "Overlays (.jpg) and joints (.json) are in $(CURDIR)/demo"

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=5 $(COVER)

coverage: COVER := --cov --cov-report=term
coverage: test

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/robustness/fuzz.py --seconds $(SECONDS)

kills: $(VENV)/.installed-dev
	$(BIN)/python tests/robustness/kills.py

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The site is in $(CURDIR)/site; to read it: $(BIN)/mkdocs serve"

clean:
	rm -rf $(VENV) demo site fuzz .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing spcnet into $(VENV) (a few minutes the first time)"
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) --editable '.[docs]'
	@touch $@
