# Developers' chores. A learner needs none of them: see README.md.
# `make notebooks ONLY="04 05"` runs those two alone.
PYTHON ?= $(firstword $(wildcard .venv/bin/python .venv/Scripts/python.exe) python3)
UV ?= uv

.PHONY: help test lint format notebooks solutions exercises look site artifacts lock

help:           ## this list
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' $(MAKEFILE_LIST)

test:           ## everything that must pass, as in README.md
	python3 start.py test

lint:           ## style, formatting and types, without the tests
	$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy

format:         ## put every file into the one format
	$(PYTHON) -m ruff check --fix . ; $(PYTHON) -m ruff format .

notebooks:      ## run the notebooks in chain order and write their outputs back
	$(PYTHON) tools/notebooks.py $(ONLY)

solutions:      ## run the solution notebooks and write their outputs back
	$(PYTHON) tools/notebooks.py --folder solutions $(ONLY)

exercises:      ## make exercises/ from solutions/
	$(PYTHON) tools/exercises.py

look:           ## photograph the notebooks in JupyterLab, into build/look
	$(PYTHON) tools/look.py $(ONLY)

site:           ## build the web edition, into build/site
	$(PYTHON) tools/website.py

artifacts:      ## train the shipped models again (minutes)
	$(PYTHON) -m course.cli build --into course/shipped --force

# The packages that torch's GPU build brings along on Linux are left to torch, which pins them itself:
# where pip finds a CPU build, nobody downloads gigabytes for nothing.
lock:           ## choose the exact versions again, within the bounds of pyproject.toml
	$(UV) pip compile pyproject.toml --extra test --universal --python-version 3.11 --fork-strategy fewest \
	    --upgrade --no-annotate --no-header --no-emit-index-url --quiet -o build-lock.txt
	( echo '# Exact versions for Linux, macOS and Windows, made by `make lock`; the bounds are in pyproject.toml.' ; \
	  grep -vE '^(nvidia-|cuda-|triton=)' build-lock.txt ) > requirements.lock
	$(UV) pip compile pyproject.toml --extra test --extra grading --universal --python-version 3.11 \
	    --fork-strategy fewest -c requirements.lock --no-annotate --no-header --no-emit-index-url --quiet -o build-lock.txt
	( echo '# What grading needs beyond requirements.lock, made by `make lock`.' ; \
	  grep -vE '^(nvidia-|cuda-|triton=)' build-lock.txt | grep -vxFf requirements.lock ) > requirements-grading.lock
	$(UV) pip compile pyproject.toml --extra test --extra site --universal --python-version 3.11 \
	    --fork-strategy fewest -c requirements.lock -c requirements-grading.lock \
	    --no-annotate --no-header --no-emit-index-url --quiet -o build-lock.txt
	( echo '# What slides and the web edition need beyond requirements.lock, made by `make lock`.' ; \
	  grep -vE '^(nvidia-|cuda-|triton=)' build-lock.txt | grep -vxFf requirements.lock ) > requirements-site.lock
	rm build-lock.txt
