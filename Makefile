# Two commands set everything up: `make lab` and `make test`. The rest is for who changes the code.
# Needs Python >= 3.11, git and make; uv comes into .venv-tools when it is not there already.

.DEFAULT_GOAL := help
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .venv-tools/bin/uv)
RUN := .venv/bin
# Byte code is compiled when the environment is made: every Ray worker starts in half the time.
export UV_COMPILE_BYTECODE = 1
export UV_LINK_MODE ?= copy

.PHONY: help env lab test test-integrations quick check front front-check format soak bench down clean chromium lock dist release-check

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 20

.venv-tools/bin/uv:
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/pip install --quiet uv

.venv/.ready: pyproject.toml uv.lock $(filter .venv-tools/bin/uv,$(UV))
	$(UV) sync --frozen --quiet
	@touch .venv/.ready

env: .venv/.ready  ## the environment, from the lock file

lab: env  ## background Ray, and JupyterLab on the first example; prints the URLs; Ctrl-C ends both
	@$(RUN)/kodosumi-lab lab examples/01_hello.ipynb

down:  ## end the background Ray, and runs that `make lab` left on it
	@$(RUN)/kodosumi-lab down

# In three processes, since it waits more than it computes; which takes what, tests/conftest.py says.
test: env chromium  ## the whole suite
	$(RUN)/python -m pytest -n 3 --rerun-show-tracebacks

# Tests in a browser take the system's Chromium; where it cannot be installed they are skipped and say so.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core >/dev/null; } || \
	echo "no Chromium here: tests in a browser will be skipped"

.venv-integrations/.ready: pyproject.toml tests/integrations/requirements.txt $(filter .venv-tools/bin/uv,$(UV))
	$(UV) venv --quiet --allow-existing --python 3.11 .venv-integrations
	$(UV) pip sync --quiet --python .venv-integrations tests/integrations/requirements.txt
	$(UV) pip install --quiet --python .venv-integrations --no-deps --editable .
	@touch .venv-integrations/.ready

# Other people's packages warn as they like: ours are held to that by `make test`.
test-integrations: .venv-integrations/.ready  ## flows with CrewAI and LangGraph, in an environment of their own
	.venv-integrations/bin/python -m pytest tests/integrations -W default

quick: env  ## what needs neither Ray nor a browser, in under two minutes
	$(RUN)/python -m pytest -n 2 --dist loadfile -m "not ray and not slow and not browser"

check: env  ## lint, format and types; with Node also the front end, and whether its bundles are fresh
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	@if command -v npm >/dev/null; then $(MAKE) front-check; else echo "no Node here: the front end is not checked"; fi

labextension/node_modules/.ready: labextension/package-lock.json
	cd labextension && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

front: labextension/node_modules/.ready  ## build what the front end's sources say; needs Node
	cd labextension && npm run --silent build

front-check: front
	cd labextension && npm run --silent check
	git diff --exit-code --stat -- kodosumi_lab/widgets/static kodosumi_lab/labextension

format: env  ## let the formatter decide
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

soak: env  ## the survival tests at full size; up to an hour
	KODOSUMI_SOAK=1 $(RUN)/python -m pytest tests/lab/test_survival.py tests/lab/test_clusters.py tests/unit tests/browser/test_runs_view.py --timeout 3600

bench: env  ## all benchmarks; writes benchmarks/RESULTS.md
	$(RUN)/python -m benchmarks

lock: $(filter .venv-tools/bin/uv,$(UV))  ## after changing dependencies: uv.lock, and what Binder installs
	$(UV) lock
	$(UV) export --frozen --no-dev --no-emit-project --no-hashes --no-header --no-annotate --quiet -o binder/constraints.txt

dist: $(filter .venv-tools/bin/uv,$(UV))  ## the source distribution and the wheel, as they would be published
	rm -rf dist
	$(UV) build --quiet
	$(UV) tool run --quiet twine check --strict dist/*.tar.gz dist/*.whl

release-check: dist env chromium  ## install, use, upgrade and uninstall what `make dist` has built, in fresh environments
	$(RUN)/python packaging/release.py

clean:  ## remove what the commands above have made
	rm -rf dist .venv .venv-integrations .venv-tools .pytest_cache .mypy_cache .ruff_cache .hypothesis
