# `make book` builds the book, `make test` tests it; the others are extras. `make help` lists all.

# The first Python on the path that is new enough; or say it: make book PYTHON=python3.12
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$p && exit; done; echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
UV ?= uv
# Further options for pytest or JupyterLab: make lab ARGS=--no-browser
ARGS ?=
# The locked versions; `make test CONSTRAINTS=` takes the newest ones instead.
CONSTRAINTS ?= constraints.txt

PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	$(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))

.PHONY: help book test lab bench coursework grade teach strip format lint lock clean
.DEFAULT_GOAL := help

help:
	@echo "make book    build the book into _build/html (creates $(VENV) first)"
	@echo "make test    build the book and run all tests"
	@echo "make lab     open your own copy of the chapters in JupyterLab"
	@echo "make bench   measure speed, as ratios within one run"
	@echo "make coursework  write the students' sheets;  make grade SUBMISSIONS=folder  grade them"
	@echo "make teach   open a course folder with nbgrader in JupyterLab"
	@echo "make strip   remove stored outputs from the notebooks in book/"
	@echo "make format  format the code;  make lint  check it"
	@echo "make lock    write constraints.txt anew (needs uv)"
	@echo "make clean   remove what was built; keeps $(VENV), lab/ and course/"

book: $(VENV)/.installed
	@$(BIN)/jupyter-book build -W -n --keep-going .
	@echo "The book is ready. Open _build/html/index.html in a browser."

test: book
	@echo "Running the tests ..."
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile \
		--nbval-lax --nbval-current-env --nbval-cell-timeout=300 $(ARGS) tests book

lab: $(VENV)/.installed
	@$(BIN)/python book/_tools/lab.py $(ARGS)

bench: $(VENV)/.installed-bench
	@$(BIN)/python tests/bench/run.py $(ARGS)

# The sheets: YEAR=2027 changes the seeds, OVERLAY=folder the hidden tests, COURSE=folder names a
# course of nbgrader. More options: make grade SUBMISSIONS=folder ARGS=--cell-seconds=120
SHEETS = $(BIN)/python book/_tools/coursework.py
SAID = --year="$(YEAR)" --overlay="$(OVERLAY)"

coursework: $(VENV)/.installed
	@$(SHEETS) release $(SAID) --output="$(OUTPUT)" $(ARGS)

grade: $(VENV)/.installed
	@$(SHEETS) grade $(SAID) --submissions="$(SUBMISSIONS)" --output="$(OUTPUT)" \
		--course="$(COURSE)" $(ARGS)

teach: $(VENV)/.installed
	@$(SHEETS) teach $(SAID) --course="$(COURSE)" $(ARGS)

lint: $(VENV)/.installed
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: $(VENV)/.installed
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

strip: $(VENV)/.installed
	@find book -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*' \
		-exec $(BIN)/nbstripout --keep-id --extra-keys metadata.language_info {} +

lock:
	@command -v $(UV) >/dev/null || { echo "make lock needs uv; install it with pip install uv"; exit 1; }
	@{ echo "# Written by \`make lock\`: versions for Python 3.11 to 3.13 on Linux and macOS."; \
	$(UV) pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--fork-strategy fewest --only-binary :all: --prerelease disallow --no-header --no-annotate --no-emit-index-url --quiet; } > constraints.draft
	@mv constraints.draft constraints.txt
	@echo "constraints.txt is written. Next: make book, make test."

clean:
	@rm -rf _build build *.egg-info .pytest_cache .ruff_cache .hypothesis .benchmarks
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -not -path './lab/*' \
		-not -path './course/*' -prune \
		-exec rm -rf {} +
	@echo "Removed what was built. $(VENV), lab/ and course/ stay."

# The environment. It is installed again when pyproject.toml or constraints.txt is newer.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "This book needs Python 3.11 or newer; '$(PYTHON)' is" \
		"$$($(PYTHON) --version 2>/dev/null || echo missing)."; \
		echo "Install one and say which, for example: make book PYTHON=python3.12"; exit 1; }
	@echo "Installing the book's packages into $(VENV); the first time takes a few minutes ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) -e '.[book,test,teach]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	@echo "Installing what the benchmarks compare with ..."
	@$(PIP_INSTALL) -e '.[bench]'
	@touch $@
