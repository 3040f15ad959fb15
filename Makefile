PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test lint format config-docs dist platforms homebrew clean

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

test: setup lint
	# Most tests wait for processes that they started: two at a time, and one thread for each, since threads of
	# several processes that wait for each other on two cores take many times as long.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

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
