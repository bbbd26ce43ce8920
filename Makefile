# make demo: the main job on two images.   make test: everything.   Both set up .venv first.
# make model: train the model that ships anew (hours), from the EMPS images in SEGMETRY_DATA.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := $(VENV)/.torch
SEGMETRY_DATA ?= ../shared/data
EMPS := $(SEGMETRY_DATA)/emps
PARALLEL := -n auto --dist loadfile  # a process per core, each with whole files of tests

.PHONY: demo test test-fast test-core lint docs model clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check uv
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e ".[dev,formats]"
	touch $@

# By pip: where a build of torch for CPUs is at hand, pip takes that one.
$(TORCH): $(STAMP)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e ".[dev,formats,train]"
	touch $@

demo: $(STAMP)
	$(BIN)/segmetry demo -o demo

test: $(TORCH)
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(TORCH)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-core: $(STAMP)
	$(BIN)/python -m pytest $(PARALLEL) -m "not torch"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

model: $(TORCH)
	$(BIN)/segmetry train docs/models/particles/recipe.yaml --images $(EMPS)/images --labels $(EMPS)/segmaps --groups $(EMPS)/dois.csv --fold 1 -o out/particles/fold-1
	$(BIN)/segmetry train docs/models/particles/recipe.yaml --images $(EMPS)/images --labels $(EMPS)/segmaps --groups $(EMPS)/dois.csv --fold 0 -o out/particles/fold-0 \
		--calibrate-with out/particles/fold-1

docs: $(STAMP)
	$(BIN)/python -m segmetry.cli.reference docs/reference

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache
