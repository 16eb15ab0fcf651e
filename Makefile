# Every target sets itself up: a bare machine needs Python (3.11 or newer), git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Two test processes with one thread each use two cores better than one process with two threads.
WORKERS ?= 2

.PHONY: help install browser demo test test-all lint bench site clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
		{ echo "error: the venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

install: $(READY)  ## create the virtual environment and install into it

# The tests of the page drive Chromium; without one they skip, and say so.
browser:  ## install Chromium for the tests of the page, where this may be done
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core >/dev/null; } || \
		echo "no Chromium here: the tests of the page will be skipped (on Debian: apt-get install chromium)"

demo: $(READY)  ## generate photos, train, index, search, evaluate: minutes on two cores
	$(BIN)/perisphere demo --out demo --overwrite

lint: $(READY)  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint browser  ## lint and every quick test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" --hypothesis-profile repeatable

test-all: lint browser  ## lint and every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# landmarks.py, verification.py, hashing.py, words.py, queries.py, "serve.py images" and "runtimes.py loss" are not among
# them: they need what is given to them.
BENCHMARKS := embed.py index.py evaluation.py scenes.py vlad.py revisited.py hierarchy.py reid.py \
	"reid.py --size msmt17" "centroid.py loss" "centroid.py step" \
	"rerank.py search" "rerank.py kreciprocal" "rerank.py kreciprocal --size msmt17" \
	assignment.py codes.py "quantization.py loss" "tags.py build" "tags.py vectors" \
	"segmentation.py pamr" "segmentation.py correspondence" "wikiscenes.py tree" "wikiscenes.py keypoints" "wikiscenes.py pairs" \
	"runtimes.py speed" "serve.py vectors" "serve.py cold" "serve.py soak" scale.py

bench: $(READY)  ## the programs behind every performance claim
	@for words in $(BENCHMARKS); do echo "== $$words"; $(BIN)/python benchmarks/$$words || exit 1; done

site: $(READY)  ## build the documentation: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:  ## remove what was built and generated
	rm -rf $(VENV) demo build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
