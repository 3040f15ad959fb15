PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo check test unit all-tests lint format config-docs dist platforms homebrew clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) tools/check_platform.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	# torch first and alone: a plain resolve may pick a CUDA build of several gigabytes.
	$(BIN)/python -m pip install --quiet "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: setup
	$(BIN)/ocrd demo

# One thread for each process: threads of several processes that wait for each other on few cores take many times as
# long. Byte code is written: short processes would spend most of their time on compiling their modules again.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --dist worksteal

# Lint and the fast unit tests, in less than a minute.
check: setup
	$(MAKE) --jobs 2 lint unit

# Lint, all tests, and the coverage.
test: setup
	$(MAKE) --jobs 2 lint all-tests

unit: setup
	$(PYTEST) --numprocesses 2 -m "not slow" tests/unit

# Integration tests wait for processes that they started: on 2 cores, 3 at a time take 3:15 minutes, 2 take 4:15.
# Coverage is measured by the fast unit tests alone: tracing the others would take a minute more.
all-tests: setup
	$(PYTEST) --numprocesses 3 --cov --cov-report=
	@echo "The fast unit tests cover $$($(BIN)/python -m coverage report --format=total) % of the code."

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Writes config.example.toml, docs/config.schema.json and the tables in docs/configuration.md from ocrd/config.
config-docs: setup
	$(BIN)/python -m ocrd.config.generate

# Builds the wheel and the source distribution, and checks that both install and run elsewhere.
dist: setup
	$(BIN)/python -m tools.check_dist

# Checks that the pinned versions resolve on every supported platform, and prints what they download.
platforms: setup
	$(BIN)/python -m tools.platforms

# Writes the Homebrew formula from the pinned versions.
homebrew: setup
	$(BIN)/python -m tools.homebrew_formula

clean:
	rm -rf $(VENV) build dist
