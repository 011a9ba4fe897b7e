# `make run` opens the app, `make test` is everything CI runs, `make check` is the quick subset, `make bench` measures.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS := 1

.PHONY: run test check bench types lint chromium clean

run: .venv/app
	$(BIN)/streamlit run app.py

test: .venv/dev chromium lint types
	$(BIN)/pytest -n 2 --dist worksteal -m "not browser"
	$(BIN)/pytest -n 3 --dist worksteal -m browser

check: .venv/dev lint types
	$(BIN)/pytest -n 2 --dist worksteal -m "not browser and not slow"

bench: .venv/dev chromium
	$(BIN)/python -m tests.benchmarks

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/mypy

# Chromium for the browser tests: what is installed, else Debian's package (as root), else Playwright's own.
chromium: .venv/dev
	@$(BIN)/python -m tests.e2e.chromium

.venv/bin/python:
	$(PYTHON) -m venv .venv

# Stamps: installed when the requirements are newer, a no-op otherwise.
.venv/app: requirements.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt requirements.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/app

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
