# One command a job. `make demo` is the place to start; it makes its own environment in .venv.
#
#   make demo    the whole story on the embedded data set; ends with runs/demo/report.html
#   make test    the whole suite, a process a core (ARGS="-n 0": all in one, for a debugger)
#   make check   ruff, formatting, strict types
#   make bench   the benchmarks, one after the other
#   make clean   removes the environment and the caches, never data or runs
#
# PYTHON=python3.12 make demo   chooses the interpreter (3.11 or newer)
# ARGS="--minutes 2" make demo  passes options on
#
# torch: constraints.txt pins the release. Where the index offers a CPU and a CUDA build, install the one you want into .venv
# first (.venv/bin/pip install torch==2.13.0 --index-url …); the pin accepts either and keeps what is there.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
ARGS ?=
# A file's tests stay together, since they share what is costly to make. conftest.py has the order: reordering would put the slowest last.
PARALLEL := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: demo test check format bench install clean

demo: $(READY)
	$(BIN)/chiasm demo $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

install: $(READY)

# The stamp is older than either file only when what they say has not been installed yet.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "chiasm needs Python 3.11 or newer, this is %s: set PYTHON=…" % sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache build src/*.egg-info
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
