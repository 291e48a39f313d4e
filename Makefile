# make book: run every chapter, build the book from those runs.   make test: everything that must hold.
PYTHON ?= python3
PY := .venv/bin/python
LONG := $(patsubst %,tests/test_%.py,laboratory pages audit gate training)
CHAPTERS := $(wildcard notebooks/*.ipynb)
# two chapters at a time, each on one core; those at the end, which take longer, first
RUN = printf '%s\n' $(CHAPTERS) | sort -r | OMP_NUM_THREADS=1 xargs -n 1 -P 2 $(PY) scripts/run_notebooks.py
# in the order in which processes take files: what takes long first
ALL := $(LONG) notebooks $(filter-out $(LONG),$(wildcard tests/test_*.py))
PYTEST := $(PY) -m pytest -n 2 --dist worksteal --durations=10
CELLS := $(PY) -m pytest -c tests/notebooks.ini --rootdir . -n 3 --dist loadfile --no-loadscope-reorder
export JUPYTER_PLATFORM_DIRS := 1
unexport PYTHONDONTWRITEBYTECODE # what is imported is compiled once, where it is
export PYDEVD_DISABLE_FILE_VALIDATION := 1

.PHONY: book test compare units sets busy slow chapters results clean

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --disable-pip-version-check -q --no-compile -r requirements.txt
	$(PY) -m pip install --disable-pip-version-check -q --no-deps -e .
	touch $@

# A clean build: of the notebooks in the folder $(1), into _build/html
define build
	rm -rf _build/source _build/sphinx _build/html
	mkdir -p _build/source
	cp -R _config.yml _toc.yml README.md _static book results benchmarks _build/source/
	cp -R $(1) _build/source/notebooks
	$(PY) scripts/fetch_packages.py _build/source/_extra/_static
	$(PY) scripts/export_laboratory.py _build/source/_extra/_static/lab
	cp _static/offline.js _build/source/_extra/
	.venv/bin/jupyter-book build -q -W -n --keep-going --path-output _build/sphinx _build/source > _build/build.log \
		|| { cat _build/build.log; exit 1; }
	mv _build/sphinx/_build/html _build/html
	@for page in $(CHAPTERS:.ipynb=.html); do test -s _build/html/$$page || { echo "no page $$page"; exit 1; }; done
endef

book: .venv/installed
	rm -rf _build/run
	$(RUN) _build/run
	$(call build,_build/run)
	@echo "The book: $(CURDIR)/_build/html/index.html"

test: .venv/installed
	$(PY) -m ruff check .
	$(call build,notebooks)
	$(CELLS) $(ALL)

# Both of these, apart: the chapters cell by cell, and all other tests
compare: .venv/installed
	$(CELLS) notebooks

units: .venv/installed
	$(PYTEST)

# What else can differ where other image sets are there: the tests of modules that open one
sets: .venv/installed
	$(PYTEST) $$(grep -lE 'mark\.needs|COLDAVG_(DATA|SETS)' tests/test_*.py)

# The chapters that train, cell by cell, on a machine as busy as it can be
busy: .venv/installed
	$(PY) scripts/under_load.py $(CELLS) --training notebooks

# The same for all chapters and all tests, on the pages that `make test` built
slow: .venv/installed
	$(PY) scripts/under_load.py $(CELLS) $(ALL)

# Renew the committed outputs of the chapters
chapters: .venv/installed
	$(RUN) notebooks

# Renew the stored rows of results (hours on two cores; scripts/results.py takes the names of those wanted)
results: .venv/installed
	$(PY) scripts/results.py
	$(PY) scripts/pictures.py

clean:
	rm -rf _build
