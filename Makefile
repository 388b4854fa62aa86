# `make demo` shows what the project does, `make test` proves it. Both make their own environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: demo test test-oldest bench lint clean

demo: $(VENV)/experiments
	$(BIN)/python -m experiments.demo

test: $(VENV)/dev
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

# The suite on the oldest versions of what it needs, in an environment of its own.
test-oldest:
	PIP_CONSTRAINT=tests/oldest.txt $(MAKE) test VENV=.venv-oldest

# DATA: where TensorFlow Datasets prepared CIFAR-10, for the benchmarks that read images.
bench: $(VENV)/bench
	$(BIN)/python -m benchmarks $(if $(DATA),--data-dir $(DATA))

# Types are checked against Python 3.11's JAX: newer ones hide names that both have.
lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("idinit_jax needs Python 3.11 or later, $(PYTHON) is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# One stamp file an extra: installed once, again when the requirements change.
$(VENV)/%: setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	@touch $@

clean:
	rm -rf $(VENV) runs build *.egg-info
