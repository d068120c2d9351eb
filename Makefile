# Everything lives in .venv; a second call of a target costs next to nothing.

PYTHON ?= python3
BIN := .venv/bin
LOCKS := requirements/runtime.txt requirements/build.txt
# Without --upgrade uv keeps each version that stands in the lock and that pyproject.toml still allows.
MOVED :=
UV_COMPILE = $(BIN)/uv pip compile --quiet $(MOVED) --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	--custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help demo install test lint pages types format docs bench bench-quick soak audit wheel \
	wheel-check lock upgrade clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.installed ## watch a simulated account being closed; needs no key
	$(BIN)/liqctl liquidate --env simulator

install: .venv/.installed ## install liqctl into .venv/bin/liqctl

# Four workers for two cores: most of a test is waiting. pytest keeps what it made of the tests'
# asserts, whatever the environment says: each worker would make it anew for five seconds.
test: .venv/.tools ## run every test
	$(BIN)/python -m compileall -q liqctl tests
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 4 --dist worksteal

lint: .venv/.tools ## check style and imports between layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

pages: .venv/.tools ## check that the generated pages are fresh; runs the drill
	$(BIN)/cog --check -r -P $(COGGED)
	$(BIN)/python docs/make_man.py --check

types: .venv/.tools ## check types
	$(BIN)/mypy

format: .venv/.tools ## put the code into its one format
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

docs: .venv/.tools ## renew man page, reference, schema and the generated parts of README and pages
	$(BIN)/cog -r -P $(COGGED)
	$(BIN)/python docs/make_man.py

bench: .venv/.tools .venv-bench/.installed ## measure speed against other closers; slow
	$(BIN)/python -m compileall -q liqctl tests
	$(BIN)/python -m tests.bench --json docs/bench.json --markdown docs/bench.md --svg docs/img/bench.svg

bench-quick: .venv/.tools .venv-bench/.installed ## measure only what the speed targets need
	$(BIN)/python -m compileall -q liqctl tests
	$(BIN)/python -m tests.bench --quick

SEEDS ?= 20000
FIRST ?= 0
KIND ?= runs
soak: .venv/.tools ## run many seeded fault runs in virtual time: make soak SEEDS=20000 FIRST=0
	$(BIN)/python -m compileall -q liqctl tests
	$(BIN)/python -m tests.soak $(SEEDS) $(FIRST) $(KIND)

audit: .venv/.installed ## list what liqctl is made of, with licences, and look for known faults
	$(BIN)/python .ci/supply_chain.py audit

wheel: .venv/.installed ## build the wheel and its CycloneDX bill of materials into dist/
	$(BIN)/python -m hatchling build -t wheel
	$(BIN)/python .ci/supply_chain.py sbom

wheel-check: .venv/.tools ## install with pipx and uv, also on PYTHONS="..."; slow
	$(BIN)/python -m tests.deploy.wheel_check $(PYTHONS)

lock: .venv/.tools ## bring requirements/ in line with pyproject.toml; moves no other version
	$(UV_COMPILE) pyproject.toml --output-file requirements/runtime.txt
	$(UV_COMPILE) --group build --output-file requirements/build.txt
	$(UV_COMPILE) pyproject.toml --group build --group dev \
		--constraint requirements/runtime.txt --output-file requirements/dev.txt
	$(UV_COMPILE) requirements/bench.in \
		--constraint requirements/runtime.txt --output-file requirements/bench.txt

upgrade: ## move one package, or all, to the newest version allowed: make upgrade P=ccxt
	$(MAKE) lock MOVED="$(if $(P),--upgrade-package $(P),--upgrade)"

clean: ## remove .venv, caches and build results
	rm -rf .venv .venv-bench build dist .hypothesis .mypy_cache .ruff_cache \
		.pytest_cache .import_linter_cache
	find liqctl tests -name __pycache__ -type d -prune -exec rm -rf {} +

COGGED := $(wildcard README.md docs/*.md)

# Bytecode is compiled here, whatever the environment says about writing it later: without it a
# start takes seconds, and a kill switch is started once.
.venv/.installed: $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "liqctl needs Python 3.11 or newer; name one: make PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		$(addprefix -r ,$(LOCKS))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	-$(BIN)/python -m compileall -q .venv/lib liqctl > /dev/null
	touch $@

.venv/.tools: requirements/dev.txt .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/dev.txt
	-$(BIN)/python -m compileall -q .venv/lib > /dev/null
	touch $@

# The rivals get what liqctl gets: their own environment, and bytecode.
.venv-bench/.installed: requirements/bench.txt .venv/.installed
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/bench.txt
	-.venv-bench/bin/python -m compileall -q .venv-bench/lib > /dev/null
	touch $@
