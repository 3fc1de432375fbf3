# make serve    from a fresh clone to a printed link; later runs start at once
# make quick    format, lint, types, import rules and the core ring with a tenth of the examples: what to run before each commit
# make ring     runs one ring of tests: R=web, or R="host engine"; ARGS="-x -k lease" goes to pytest
# make test     sets up, checks and runs every ring of tests; ARGS="tests/web -x" runs what it says instead
# make test-gpu checks memory and life on a real NVIDIA card; says so where there is none; ARGS="--store" keeps the figures
# make test-shared checks a box on PostgreSQL and Redis; says so where they are not installed
# make test-kills kills processes at random, 200 times over a whole box with jobs of every kind and 200 in each of two kinds; ARGS="-k box"
# make check    the checks alone
# make bench    measures what docs/performance.md shows; ARGS="web --quick" chooses
# make bench-memory   the same for memory: what is told, what is held, swaps; ARGS="--quick"
# make clean    removes what was installed in the clone; compiled wheels stay in the user's cache
SHELL := /bin/sh
VENV := .venv/bin

.PHONY: help serve quick ring test test-gpu test-shared test-kills lint types check bench bench-memory clean

# Rings that decode with every core, and kill whole boxes that do, run alone. The others run side by side, a file at a time,
# in as many processes as there are cores; in their order, so that a ring's boxes and browsers are started once a process.
ALONE := engine live kills
SIDE_BY_SIDE := -n logical --maxprocesses=8 --dist=loadfile --no-loadscope-reorder

help:
	@sed -n '/^#/!q; s/^# //p' Makefile

define set_up
python=$$(sh hostui/setup/find_python.sh) && $$python -m hostui.setup
endef

serve:
	@$(set_up) serve && exec $(VENV)/python manage.py serve

quick:
	@$(set_up) test
	@$(MAKE) --no-print-directory lint
	$(VENV)/python -m pytest -q --hypothesis-profile=dev tests/core

ring:
	@test -n "$(R)" || { echo "Say which, such as: make ring R=web" >&2; exit 2; }
	@$(set_up) test
	$(VENV)/python -m pytest $(if $(filter $(ALONE),$(R)),,$(SIDE_BY_SIDE)) $(R:%=tests/%) $(ARGS)

test:
	@$(set_up) test
	@$(MAKE) --no-print-directory check
ifdef ARGS
	$(VENV)/python -m pytest $(ARGS)
else
	@# both, whatever becomes of the first
	$(VENV)/python -m pytest $(SIDE_BY_SIDE) $(ALONE:%=--ignore=tests/%); first=$$?; \
	$(VENV)/python -m pytest $(ALONE:%=tests/%) && exit $$first
endif

test-gpu:
	@$(set_up) test
	$(VENV)/python -m tests.gpu $(ARGS)

test-shared:
	@# set, whatever to: the packages of requirements-shared.txt are installed then
	@export HOSTUI_REDIS_URL=redis: && $(set_up) test
	$(VENV)/python -m tests.shared $(ARGS)

test-kills:
	@$(set_up) test
	KILL_ROUNDS=200 $(VENV)/python -m pytest -s tests/kills tests/downloads/test_killed_at_random.py tests/jobs/test_requantizing_is_killed.py $(ARGS)

lint:
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	@$(MAKE) --no-print-directory types

types:
	$(VENV)/mypy
	$(VENV)/lint-imports

check: lint
	@# djlint's release that formats as we do needs Python 3.11
	@if [ -x $(VENV)/djlint ]; then $(VENV)/djlint --check --quiet templates; else echo "templates: not checked on this Python"; fi
	@# node comes with the machine's npm, or with npm from PyPI: hostui/setup
	@if [ -x node_modules/.bin/tsc ]; then PATH="$(CURDIR)/$(VENV):$$PATH"; node_modules/.bin/tsc && node_modules/.bin/eslint static/js; else echo "static/js: not checked, as its tools are not here (make test installs them)"; fi
	$(VENV)/python manage.py makemigrations --check --dry-run
	$(VENV)/python manage.py check --deploy --fail-level WARNING

bench:
	@$(set_up) bench
	$(VENV)/python -m tests.bench $(ARGS)

bench-memory:
	@$(set_up) bench
	$(VENV)/python -m tests.bench memory memory-live swap alternate $(ARGS)

clean:
	rm -rf .venv node_modules .setup.lock .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
