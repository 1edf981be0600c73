# The commands are `make demo`, `make test` and `make bench`. All start from nothing but Python 3.10+ and make.

PYTHON ?= python3
VENV ?= .venv
DATA ?=
OUT ?= demo-output
# Processes that run tests; auto is one a core
WORKERS ?= auto
# More options of the benchmark, such as ARGS="--tier full --draws 0"
ARGS ?=
# Where PyTorch's CPU releases are to be had, if pip's own index has only CUDA ones (see README, "Developers").
TORCH_INDEX ?=

BIN := $(VENV)/bin
GPU := $(shell nvidia-smi -L >/dev/null 2>&1 && echo yes)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	$(if $(GPU),,-c constraints-cpu.txt) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# Compiled tests are kept whatever the surroundings say: pytest rewrites 3000 asserts once, not at each worker's start.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q \
	-n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Text files are opened with an encoding: Windows has one of its own. A rule that ruff knows in its preview alone.
ENCODINGS := --preview --select PLW1514

.PHONY: demo test test-extras test-quick libraries bench bench-speed bench-reliability soak combinations coverage check format clean help

help:
	@echo "make demo [DATA=folder]   the whole job once, on a real image, into $(OUT)"
	@echo "make test                 every test"
	@echo "make test-quick           the tests that take about a second at most: under a minute on two cores"
	@echo "make test-extras          tests against programs that only they need, such as nnU-Net; ten minutes on two cores"
	@echo "make bench [DATA=folder] [ARGS=...]   the published tables, an hour on two cores; goes on where it stopped. ARGS="--tier methods": all methods, another hour"
	@echo "make bench-speed          time and memory against their references, half an hour on two cores"
	@echo "make bench-reliability    kills, bad input, fuzzing, soak, coverage: hours; ARGS=\"--only corpus\" for a part"
	@echo "make soak                 200 cycles of correct, fine-tune, predict in one engine process, and 200 kills"
	@echo "make combinations         the tests on each Python and MONAI that can be installed here"
	@echo "make coverage             what the module promises, measured, and how much of it its tests run"
	@echo "make check                ruff and mypy"
	@echo "make clean                remove the environment and what the commands made"

$(VENV)/ready: pyproject.toml constraints-cpu.txt
	@echo "== Making the environment in $(VENV) ($(if $(GPU),with,without) a GPU; several minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; set PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)
	@echo "== Installing PyTorch" && $(PIP) torch
	@echo "== Installing the engine, its tests and the demonstration" && $(PIP) -e '.[bundle,demo,test]'
	@echo "== Installing nnU-Net's networks, without what its other networks need" && $(PIP) --no-deps 'dynamic-network-architectures>=0.4'
	@echo "== Installing Slicer's own scene and view classes" && $(PIP) -e '.[viewer]' \
		|| echo "   They are not available for this Python; pictures by Slicer's views and their tests are left out."
	@touch $@

# Slicer's views and Qt need libraries of the system; what needs a missing one is left out, and this says how to have it.
libraries: $(VENV)/ready
	@$(BIN)/python -m Testing.system_libraries

demo: $(VENV)/ready libraries
	@$(BIN)/python -m DALESegmentLib.demo --out "$(OUT)" $(if $(DATA),--data "$(DATA)")

test-quick: $(VENV)/ready
	@echo "== Running the tests that are not marked slow"
	@$(PYTEST) -m "not slow"

test: $(VENV)/ready check libraries
	@echo "== Running every test, several files at a time"
	@$(PYTEST)

$(VENV)/extras-ready: $(VENV)/ready
	@echo "== Installing the programs that are compared with" && $(PIP) -e '.[extras-test]'
	@touch $@

test-extras: $(VENV)/extras-ready
	@echo "== Comparing with the real nnU-Net: it trains, and both predict"
	@$(PYTEST) Testing/extras

$(VENV)/bench-ready: $(VENV)/ready
	@echo "== Installing what the benchmark compares with" && $(PIP) -e '.[benchmark]'
	@touch $@

bench: $(VENV)/bench-ready
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks $(if $(DATA),--data "$(DATA)") $(ARGS)

bench-speed: $(VENV)/bench-ready
	@$(BIN)/python -m benchmarks.speed $(if $(DATA),--data "$(DATA)") $(ARGS)

bench-reliability: $(VENV)/bench-ready
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.reliability $(if $(DATA),--data "$(DATA)") $(ARGS)

soak: $(VENV)/bench-ready
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.reliability --only soak kills $(ARGS)

combinations: $(VENV)/ready
	@$(BIN)/python -m Testing.combinations $(ARGS)

coverage: $(VENV)/ready
	@$(BIN)/python Testing/ui/measure_bars.py --minutes 0.5 --coverage

check: $(VENV)/ready
	@echo "== Checking style and types"
	@$(BIN)/ruff check . && $(BIN)/ruff check --quiet $(ENCODINGS) . && $(BIN)/ruff format --check --quiet . \
		&& $(BIN)/mypy --no-error-summary

format: $(VENV)/ready
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info "$(OUT)" .pytest_cache .mypy_cache .ruff_cache .hypothesis
