# Each target makes .venv by itself; PYTHON chooses the interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# PyTorch's threads sleep while they wait for each other; spinning, they starve all else on a busy machine.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-app lint bench bench-world clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/.installed  ## match points on photos: make demo, or make demo A=one.jpg B=two.jpg
	$(BIN)/diffsight demo $(if $(A),"$(A)") $(if $(B),"$(B)")

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test-app: $(VENV)/.installed  ## the web page in a real browser, and twenty visitors; needs Chromium
	@command -v chromium || command -v chromium-browser || command -v google-chrome || { echo "no Chromium here; install it (Debian: apt-get install chromium)" >&2; exit 2; }
	$(BIN)/python -m pytest tests/app -m "crowd or not crowd"

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed  ## the speed and memory table
	$(BIN)/python benchmarks/run.py

bench-world: $(VENV)/.installed  ## every benchmark on procedural trees, from folder to report
	$(BIN)/python benchmarks/world_table.py bench-world

clean:
	rm -rf $(VENV) demo bench-world
