# What a person types here. Each command makes the virtual environment it needs; nothing else has to be installed.
#   make demo     a year of real flights, from raw data to a model that is retrained and promoted again
#   make test     the tests, with a real PostgreSQL and a real S3 server
#   make check    formatting, lint, types, import order and the tests: what has to be green before a commit

.DEFAULT_GOAL := help
SHELL := /bin/sh
.PHONY: help demo test test-slow test-lowest lint check bench format lock clean venv provider

# The newest Python that really runs and can make a virtual environment. A name on PATH is not enough: version
# managers leave shims behind that only print an error, and some systems ship Python without venv.
ifndef PYTHON
PYTHON := $(shell for name in python3.13 python3.12 python3.11 python3; do \
	"$$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' </dev/null >/dev/null 2>&1 \
	&& { echo "$$name"; break; }; done)
endif

# Extra arguments for pytest: make test PYTEST="tests/data -x"
PYTEST ?=
# Test processes at once.
JOBS ?= auto

# $(call venv,FOLDER,LOCK,PEER): a virtual environment with exactly what LOCK lists, and this source tree on top unless
# it is for a PEER, another tool that taut is tested against.
# It is made again when the lock, this folder's place, its Python or what is compiled changed. The stamp is written last, so that
# whatever was interrupted half-way is thrown away and made anew the next time.
define venv
@key="$$( { pwd; cat $(2) hatch_build.py src/taut/runs/capture/observer/*.[ch] src/taut/data/workspace/native/*.[ch]; } | cksum )"; \
if [ "$$key" != "$$(cat $(1)/stamp 2>/dev/null)" ] || ! $(1)/bin/python -c '' 2>/dev/null; then \
	if [ -z "$(PYTHON)" ]; then \
		echo 'taut needs Python 3.11 or newer with its venv module; none of python3.13, python3.12, python3.11, python3 is one.' >&2; \
		echo '  try: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11   (Debian: apt-get install python3-venv)' >&2; \
		exit 2; \
	fi; \
	echo "making $(1) from $(2) with $(PYTHON): about a minute, once" >&2; \
	rm -rf $(1) \
	&& $(PYTHON) -m venv $(1) \
	&& $(1)/bin/python -m pip install --quiet --no-input --disable-pip-version-check --require-hashes -r $(2) \
	$(if $(3),,&& $(1)/bin/python -m pip install --quiet --no-input --disable-pip-version-check --no-deps --no-build-isolation -e .) \
	&& echo "$$key" > $(1)/stamp; \
fi
endef

help:
	@sed -n 's/^#   //p' Makefile

demo:
	$(call venv,.venv-demo,requirements/demo.lock)
	@.venv-demo/bin/taut demo $(DEMO)

venv:
	$(call venv,.venv,requirements/dev.lock)

test: venv
	.venv/bin/python -m pytest -n $(JOBS) --dist worksteal -m "not slow" $(PYTEST)

# What `make test` leaves out: slow tests, the real DVC, and with engines at hand those that skipped.
test-slow: venv
	$(call venv,.venv-dvc,requirements/dvc.lock,peer)
	DVC_PROGRAM=$(CURDIR)/.venv-dvc/bin/dvc .venv/bin/python -m pytest -n $(JOBS) --dist worksteal -m "slow or engine" $(PYTEST)

# The rooms whose code calls other packages, on the oldest versions of these that pyproject.toml allows.
LOWEST ?= tests/suites tests/models tests/serve tests/data tests/watch tests/faces/test_http.py tests/faces/test_cli.py
test-lowest:
	$(call venv,.venv-lowest,requirements/lowest.lock)
	.venv-lowest/bin/python -m pytest -n $(JOBS) --dist worksteal -m "not slow and not engine" $(LOWEST) $(PYTEST)

# The OpenID provider that tests/oidc logs in to, exactly as its lock lists it; without it those tests skip and say so.
provider:
	npm ci --prefix tests/oidc --ignore-scripts --no-audit --no-fund

lint: venv
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m ruff check .
	.venv/bin/python -m mypy src tests
	.venv/bin/lint-imports --no-logo

check: lint test

bench: venv
	@for file in $$(grep -l '^if __name__ ==' bench/*.py); do echo "== $$file" >&2; .venv/bin/python "$$file" || exit 1; done

format: venv
	.venv/bin/python -m ruff format .
	.venv/bin/python -m ruff check --fix .

# The newest versions that the lower bounds in pyproject.toml allow, for every Python from 3.11 on, with hashes and
# without a word about where they came from: whoever installs has a registry of their own choice.
LOCK = uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --quiet $(UPGRADE)
lock:
	@command -v uv >/dev/null || { echo 'make lock needs uv' >&2; echo '  try: pip install uv' >&2; exit 2; }
	$(LOCK) --all-extras --group dev -o requirements/dev.lock
	$(LOCK) --extra demo --group build -o requirements/demo.lock
	$(LOCK) --all-extras --group dev --resolution lowest-direct -o requirements/lowest.lock
	uv pip compile requirements/dvc.in --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-emit-index-url --no-emit-find-links --no-header --quiet $(UPGRADE) -o requirements/dvc.lock

clean:
	rm -rf .venv .venv-demo .venv-lowest .venv-dvc build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis tests/oidc/node_modules
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
