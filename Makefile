# Every target does its own set-up: it needs Python 3.11 or newer, make and a package index.
# A second call is instant; a changed pyproject.toml or constraints.txt installs again.

PYTHON ?= python3
# Where to look for the CPU build of torch beside pip's own index (empty: pip's own settings).
TORCH_INDEX ?=
# Further arguments to pytest, for example PYTEST_ARGS="-k archive -x".
PYTEST_ARGS ?=
# Processes that share the tests, file by file; each uses one thread where a library gives the choice.
TEST_PROCESSES ?= auto
PYTEST := -m pytest --numprocesses $(TEST_PROCESSES) --maxprocesses 4 --dist loadfile

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

INSTALL := -m pip install --quiet --progress-bar off --constraint constraints.txt
# The build back-end is installed too, so that builds use the pinned one (no build isolation).
BACKEND := hatchling editables
# What the reader in JavaScript is built and tried with; nothing else needs Node.
READER := web/reader/node_modules/.installed
PACKAGE := $(shell find src -type f ! -name '*.pyc') hatch_build.py pyproject.toml README.md LICENSE

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-runtime check lint format size wheels pins sbom clean distclean

help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: .venv-demo/.kinpack ## pack, search and unpack 1,560 photographic thumbnails, then show drawings (no torch)
	@.venv-demo/bin/python -m benchmarks.demo
	@.venv-demo/bin/kinpack demo demo-output/drawings

test: .venv/.installed $(READER) ## the whole test suite (installs torch)
	OMP_NUM_THREADS=1 .venv/bin/python $(PYTEST) $(PYTEST_ARGS)

test-fast: .venv/.installed ## the laws without the long trials: a minute and a half on two cores
	OMP_NUM_THREADS=1 .venv/bin/python $(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-runtime: .venv-runtime/.installed $(READER) ## the tests that need no torch, where there is none
	OMP_NUM_THREADS=1 .venv-runtime/bin/python $(PYTEST) -m "not learn" $(PYTEST_ARGS)

check: .venv/.installed ## format check, lint, types, then all tests, documentation examples among them
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	$(MAKE) --no-print-directory test

lint: .venv/.installed ## lint and types only
	.venv/bin/ruff check .
	.venv/bin/mypy

format: .venv/.installed ## format, and fix what lint can fix by itself
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

size: .venv-demo/.kinpack ## bytes that installing kinpack puts on disk, by package
	@.venv-demo/bin/python -m benchmarks.ship.installed_size

wheels: .venv-release/.installed ## build the source package and both wheels: for musl, and for all else
	.venv-release/bin/python -m hatchling build -d dist
	KINPACK_LIBC=musl .venv-release/bin/python -m hatchling build -t wheel -d dist

PINS := pip compile pyproject.toml --quiet --refresh --universal --python-version 3.11 --generate-hashes \
	--no-annotate --constraint constraints.txt --custom-compile-command 'make pins'
pins: .venv-release/.installed ## write requirements.txt again: every run-time package with its hashes
	KINPACK_LIBC=glibc .venv-release/bin/uv $(PINS) --output-file requirements.txt
	KINPACK_LIBC=musl .venv-release/bin/uv $(PINS) --output-file requirements-musl.txt

sbom: wheels ## install requirements.txt by its hashes, and write what that is as CycloneDX into dist
	rm -rf .venv-sbom
	$(PYTHON) -m venv --without-pip .venv-sbom
	.venv-release/bin/python -m pip --python .venv-sbom install --quiet --require-hashes -r requirements.txt
	.venv-release/bin/python -m pip --python .venv-sbom install --quiet --no-deps --no-index --find-links dist kinpack
	.venv-release/bin/cyclonedx-py environment .venv-sbom/bin/python \
		--output-reproducible --output-format JSON --output-file dist/kinpack.cdx.json
	rm -rf .venv-sbom

clean: ## remove caches, builds and the demo's output
	rm -rf demo-output dist web/reader/dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path './.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the virtual environments as well
	rm -rf .venv .venv-demo .venv-runtime .venv-release .venv-sbom web/reader/node_modules

# A stamp is written last, so that an interrupted installation is taken up again.
define environment
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "kinpack needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(1)
endef

.venv/.installed: pyproject.toml constraints.txt
	$(call environment,.venv)
	@echo "Installing torch (the CPU build where pip finds it) into .venv: some minutes ..."
	@.venv/bin/python $(INSTALL) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	@echo "Installing kinpack with all its extras into .venv ..."
	@.venv/bin/python $(INSTALL) $(BACKEND)
	@.venv/bin/python $(INSTALL) --no-build-isolation --editable '.[learn,photo,fast,heic,jxl,raw,datasets,object-stores,lance,sql,serve,measure,dev]'
	@touch $@

.venv-runtime/.installed: pyproject.toml constraints.txt
	$(call environment,.venv-runtime)
	@echo "Installing kinpack and its test tools, without torch, into .venv-runtime ..."
	@.venv-runtime/bin/python $(INSTALL) $(BACKEND)
	@.venv-runtime/bin/python $(INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@

$(READER): web/reader/package-lock.json
	@if command -v npm > /dev/null; then \
		echo "Installing what builds the reader in JavaScript into web/reader/node_modules ..." && \
		npm ci --prefix web/reader --ignore-scripts --no-audit --no-fund --silent && touch $@; \
	else \
		echo "There is no npm: the reader in JavaScript is not tried."; \
	fi

.venv-release/.installed: pyproject.toml constraints.txt
	$(call environment,.venv-release)
	@echo "Installing what builds and pins releases into .venv-release ..."
	@.venv-release/bin/python -m pip install --quiet --upgrade pip
	@.venv-release/bin/python $(INSTALL) $(BACKEND) cyclonedx-bom uv
	@touch $@

.venv-demo/.installed: pyproject.toml constraints.txt
	$(call environment,.venv-demo)
	@echo "Installing kinpack's run-time packages into .venv-demo ..."
	@.venv-demo/bin/python $(INSTALL) $(BACKEND)
	@.venv-demo/bin/python $(INSTALL) --no-build-isolation .
	@echo "Fetching the demo's photographs (scikit-image, as data: no dependencies) ..."
	@.venv-demo/bin/python $(INSTALL) --no-deps scikit-image
	@touch $@

# The demo runs kinpack as a user has it: built and installed, not linked to the sources.
.venv-demo/.kinpack: .venv-demo/.installed $(PACKAGE)
	@.venv-demo/bin/python $(INSTALL) --no-deps --no-build-isolation --force-reinstall .
	@touch $@
