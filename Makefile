# make setup | demo | test | test-slurm | test-browser | test-dicom | lint | link-profiles | clean-demo
#
# TORCH chooses the build of torch, all of the version in requirements.lock:
#   make setup              whatever your package index offers first (from PyPI on Linux: the CUDA build)
#   make setup TORCH=cuda   the plain build, which brings CUDA, even where a CPU build is offered as well
#   make setup TORCH=cpu    the +cpu build; your pip must know an index that has it
# PYTHON names the interpreter: make setup PYTHON=/opt/python3.12/bin/python3
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := setup
.PHONY: setup demo clean-demo test test-slurm test-browser test-dicom lint link-profiles

PYTHON ?=
TORCH ?= any
TEST_JOBS ?= 2
BIN := .venv/bin
# any: whatever build is installed already is kept
READY := $(or $(if $(filter any,$(TORCH)),$(firstword $(wildcard .venv/.ready-*))),.venv/.ready-$(TORCH))
TORCH_VERSION := $(shell sed -n 's/^torch==//p' requirements.lock)
TORCH_any := torch==$(TORCH_VERSION)
TORCH_cuda := torch===$(TORCH_VERSION)
TORCH_cpu := torch===$(TORCH_VERSION)+cpu
# numeric libraries: one thread each, so that sums do not depend on the machine
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
PYTEST := $(BIN)/python -m pytest

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@test -n "$(TORCH_$(TORCH))" || { echo "make setup: TORCH=$(TORCH) is none of any, cuda, cpu" >&2; exit 2; }
	@if ! test -x $(BIN)/python; then \
	  python=$$(for p in "$(PYTHON)" python3.11 python3.12 python3 python; do \
	    test -n "$$p" && "$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	      && echo "$$p" && break; done); \
	  test -n "$$python" || { echo "make setup: needs Python 3.11 or 3.12, found $$(python3 --version 2>&1 || true);" \
	    "install one or name it with PYTHON=..." >&2; exit 2; }; \
	  "$$python" -c 'import ensurepip, venv' 2>/dev/null || { echo "make setup: $$python lacks the venv module;" \
	    "on Debian: apt-get install python3-venv" >&2; exit 2; }; \
	  rm -rf .venv && "$$python" -m venv .venv; fi
	@echo "make setup: installing into .venv (3 GB, some minutes)"
	$(BIN)/python -m pip install --quiet --no-cache-dir --disable-pip-version-check \
	  -r requirements.lock "$(TORCH_$(TORCH))"
	$(BIN)/python -m pip install --quiet --no-cache-dir --disable-pip-version-check \
	  --no-deps --no-build-isolation --editable .
	@rm -f .venv/.ready-*; touch $@

demo: setup
	@test -e demo/cohort.tsv || $(BIN)/planardose make-demo demo --patients 3 --seed 7
	$(BIN)/snakemake --profile profiles/local --configfile config/demo.yaml
	@test demo/results/evaluation.csv -nt demo/results/cohort.csv || \
	  $(BIN)/planardose evaluate --cohort demo/cohort.tsv --config demo/results/config.yaml --results demo/results \
	  --truth demo/truth
	@echo "The first report: $(CURDIR)/demo/results/$$(sed -n '2s/\t.*//p' demo/cohort.tsv)/report.html"

clean-demo:
	rm -rf demo

test: setup
	$(PYTEST) -n $(TEST_JOBS) --dist loadfile -m "not slurm and not browser and not dicom" tests

test-slurm: setup
	$(PYTEST) -m slurm tests

test-browser: setup
	$(PYTEST) -m browser tests

test-dicom: setup
	$(PYTEST) -m dicom tests

lint: setup
	$(BIN)/ruff check src tests $(wildcard benchmarks)
	$(BIN)/snakefmt --check -l 120 Snakefile rules
	@! git grep -nE '^(<{7}|>{7}) ' || { echo "make lint: what a merge left behind" >&2; exit 1; }

# into the folder where Snakemake looks for profiles by name; nothing there is replaced
link-profiles:
	@folder="$${XDG_CONFIG_HOME:-$$HOME/.config}/snakemake"; mkdir -p "$$folder"; \
	for p in local slurm; do \
	  test "$$(readlink "$$folder/$$p")" = "$(CURDIR)/profiles/$$p" && continue; \
	  if test -e "$$folder/$$p" || test -L "$$folder/$$p"; then \
	    echo "make link-profiles: $$folder/$$p exists already; nothing was changed" >&2; exit 2; fi; done; \
	for p in local slurm; do ln -sfn "$(CURDIR)/profiles/$$p" "$$folder/$$p" && echo "$$folder/$$p"; done
