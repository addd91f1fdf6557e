# The commands of this repository; `make help` lists them. They write to .venv, artifacts and dist.
PYTHON ?= python3
DATA ?= demo
WEIGHTS ?= imagenet
SEED ?= 0
PLUGIN ?= resnet:50
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: help setup demo test test-fast test-families test-long test-large test-lowest fuzz lint types docs bench bench-checking bench-training bench-resuming bench-gpu bench-peers bench-serving bench-predict bench-rolling bench-trust bench-accuracy pretrain-pocket lock build sbom audit image image-check deploy-check release-tag release-notes clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1  /p' Makefile

setup: $(VENV)/.ready ## install everything into .venv, in the locked versions

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Graft needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make setup PYTHON=python3.11")'
	@echo "installing 3 GB into $(VENV); this takes a few minutes, and pip prints nothing until it is done"
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "Graft is installed; the next step is make demo, or $(RUN) -m trainers.run --help"

demo: setup ## train a model on sample pictures, serve it and classify a picture (a few minutes)
	$(RUN) -m trainers.demo

test: setup lint types ## run every test except those of `test-families`, `test-long` and `test-large`
	$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 15

test-fast: setup ## run the tests that take less than about 1.5 seconds each
	$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not long and not large and not family and not image"

CONFORMANCE := tests/trainers/conformance/test_checking.py tests/trainers/conformance/test_copies.py
test-families: setup ## test the smallest backbones of the families that `make test` leaves out, except NASNet (10 minutes)
	$(RUN) -m pytest -n 2 -m family $(CONFORMANCE)

test-long: setup ## run the tests that take half a minute or more each, and check code that rarely changes (8 minutes)
	$(RUN) -m pytest -n 2 --dist loadfile -m long

test-large: setup ## test the larger backbones: training, export, copies (about an hour, 16 GB of memory)
	$(RUN) -m pytest -m large $(CONFORMANCE)

test-lowest: artifacts/lowest/.ready ## run the tests of the service with the lowest versions that pyproject.toml allows
	artifacts/lowest/bin/python -m pytest -n 2 --dist loadfile tests/service

artifacts/lowest/.ready: requirements/lowest.txt pyproject.toml
	$(PYTHON) -m venv artifacts/lowest
	artifacts/lowest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/lowest.txt
	artifacts/lowest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

fuzz: setup ## decode 200,000 random pictures, half of them damaged, and send random requests to the service (half an hour)
	$(RUN) tests/fuzz/pictures.py mutated 100000 $(SEED)
	$(RUN) tests/fuzz/pictures.py drawn 100000 $(SEED)
	GRAFT_FUZZ_POSTS=5000 GRAFT_FUZZ_EXAMPLES=1000 $(RUN) -m pytest tests/service/app/test_fuzz.py tests/service/http/pages/test_openapi.py

lint: setup ## run ruff
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: setup ## run mypy in strict mode
	$(RUN) -m mypy

docs: setup ## update the tables, indexes and screenshots of the docs (5 minutes; needs chromium)
	GRAFT_WRITE_DOCS=1 $(RUN) -m pytest tests/docs/test_tables.py tests/docs/test_commands.py tests/test_architecture.py

bench: bench-checking bench-training bench-serving bench-predict ## run the main benchmarks

bench-checking: setup ## time the check of 10,000 pictures
	$(RUN) benchmarks/checking.py

bench-training: setup ## compare Graft with a tutorial's recipe: make bench-training DATA=FOLDER WEIGHTS=FILE
	$(RUN) benchmarks/training.py $(DATA) $(WEIGHTS)

bench-gpu: setup ## measure training speed on GPUs: make bench-gpu PLUGIN=resnet:50 (15 minutes)
	$(RUN) benchmarks/gpu.py $(PLUGIN)

bench-resuming: setup ## kill 20 training runs at random moments, and resume them
	$(RUN) benchmarks/resuming.py

bench-peers: artifacts/peers/.ready artifacts/peers-mlserver/.ready ## install the servers that bench-serving compares with (2 GB in artifacts/)

# If a server cannot be installed, the benchmark lists it as missing and measures the others.
artifacts/peers/.ready artifacts/peers-mlserver/.ready: artifacts/%/.ready: benchmarks/serving/peers/requirements-%.txt
	$(PYTHON) -m venv artifacts/$*
	-artifacts/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $< && touch $@

bench-serving: setup bench-peers ## compare the service with other servers, and with a loop without a server (10 minutes; needs wrk)
	$(RUN) -m benchmarks.serving.run $$($(RUN) -m trainers.run --plugin mobilenet:v2-1.0 --weights none --data demo --strategy features --name bench --quiet)

bench-predict: setup ## compare service.predict with plain loops that do the same work
	$(RUN) benchmarks/predict.py $$($(RUN) -m trainers.run --plugin mobilenet:v2-1.0 --weights none --data demo --strategy features --name bench --quiet)

bench-rolling: setup ## restart two replicas behind nginx 20 times under load, and count lost requests (needs nginx)
	$(RUN) -m benchmarks.rolling $$($(RUN) -m trainers.run --plugin pocket --data demo --strategy features --name bench --quiet)

bench-trust: setup ## measure how far answers can be trusted, over 10 seeds: make bench-trust PLUGIN=NAME WEIGHTS=FILE DATA=FOLDER FOREIGN=FOLDER (an hour)
	$(RUN) -m benchmarks.trust $(PLUGIN) $(WEIGHTS) $(DATA) $(FOREIGN)

artifacts/peers-accuracy/.ready: benchmarks/accuracy/peers/requirements.txt
	$(PYTHON) -m venv artifacts/peers-accuracy
	artifacts/peers-accuracy/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

bench-accuracy: setup artifacts/peers-accuracy/.ready ## compare the accuracy with fastai, timm and a tutorial, from weights of EfficientNet-Lite0: make bench-accuracy PLUGIN=NAME WEIGHTS=FILE DATA=FOLDER (hours; 6 GB)
	$(RUN) -m benchmarks.accuracy.run $(PLUGIN) $(WEIGHTS) $(DATA)

pretrain-pocket: setup ## train the weights of the backbone pocket again (about 40 minutes on 2 cores)
	$(RUN) -m trainers.pretraining.run --output artifacts/pocket

TOOL := $(RUN) -m uv tool run
LOCKS := serving serving-sign serving-gpu train train-kerashub train-gpu
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

build: setup ## build the package into dist/
	$(RUN) -m uv build

sbom: setup ## write lists of the packages in the images to dist/, in CycloneDX format
	mkdir -p dist
	for lock in $(LOCKS); do PYTHONWARNINGS=ignore $(TOOL) --from cyclonedx-bom==7.5.0 cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible -o dist/graft-$(VERSION)-$$lock.cdx.json requirements/$$lock.txt || exit; done

# --strict: fail also if the vulnerability database does not know a package.
audit: setup ## look up known vulnerabilities of the packages in the images (PyPI's database)
	for lock in $(LOCKS); do $(TOOL) pip-audit==2.10.1 --strict --disable-pip --require-hashes --requirement requirements/$$lock.txt || exit; done

LABELS = --build-arg VERSION=$(VERSION) --build-arg REVISION=$(shell git rev-parse HEAD) --build-arg SOURCE=$(shell git config --get remote.origin.url | sed 's|//[^/]*@|//|')

image: ## build both images with Docker: make image BUNDLE=artifacts/NAME; without BUNDLE, the serving image has no model
	docker build -f deploy/Dockerfile $(LABELS) $(if $(BUNDLE),--build-arg BUNDLE=$(BUNDLE),--target bare) -t graft:$(VERSION) .
	docker build -f deploy/training.Dockerfile $(LABELS) -t graft-training:$(VERSION) .

image-check: setup ## build the serving image without Docker, and test it (2 minutes; needs root and debootstrap)
	$(RUN) -m pytest -s -m image tests/deploy/images/test_image.py

# pytest would skip tests whose program is missing, so look for all programs first.
NEEDS := nginx prometheus promtool unshare systemd-analyze debootstrap
deploy-check: setup ## test everything in deploy/ with real programs (10 minutes; needs root)
	@[ "$$(id -u)" = 0 ] || { echo "deploy-check builds images without Docker, which needs root" >&2; exit 1; }
	@for program in $(NEEDS); do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	command -v kubectl >/dev/null || command -v kustomize >/dev/null || missing="$$missing kubectl"; \
	[ -z "$$missing" ] || { echo "deploy-check needs$$missing; all but kubectl are in Debian's packages nginx-light, prometheus, util-linux, systemd and debootstrap" >&2; exit 1; }
	GRAFT_NO_SKIPS=1 $(RUN) -m pytest -s -m "not large and not family" tests/deploy tests/test_workflow.py
	$(MAKE) sbom

release-tag: ## check that the git tag, pyproject.toml and the changelog have the same version
	@[ -z "$$(sed -n '/^## \[Unreleased\]/,/^## \[[^U]/{/^## /!p;}' CHANGELOG.md | tr -d '[:space:]')" ] || { echo "CHANGELOG.md has entries under [Unreleased]: move them to [$(VERSION)]" >&2; exit 1; }
	@git tag --points-at HEAD | grep -Fqx v$(VERSION) || { echo "this commit has no tag v$(VERSION), the version in pyproject.toml: run git tag v$(VERSION)" >&2; exit 1; }

release-notes: ## print the changelog of a version: make release-notes VERSION=0.1.0
	@sed -n '/^## \[$(VERSION)\]/,/^## \[/{/^## /!p;}' CHANGELOG.md | grep . || { echo "CHANGELOG.md has no section [$(VERSION)]" >&2; exit 1; }

COMPILE := $(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml

# The other lock files start as copies of dev.txt, so that images have the versions that the tests ran
# with. lowest.txt is for Python 3.11 on Linux only, because newer versions of Python need higher
# versions of packages.
lock: setup ## write the lock files in requirements/, after a change in pyproject.toml
	$(COMPILE) --extra dev --extra kerashub -o requirements/dev.txt
	for lock in $(LOCKS); do cp requirements/dev.txt requirements/$$lock.txt; done
	$(COMPILE) -o requirements/serving.txt
	$(COMPILE) --extra sign -o requirements/serving-sign.txt
	$(COMPILE) requirements/serving-gpu.in --no-emit-package onnxruntime -o requirements/serving-gpu.txt
	$(COMPILE) --extra train -o requirements/train.txt
	$(COMPILE) --extra train --extra kerashub -o requirements/train-kerashub.txt
	$(COMPILE) --extra gpu -o requirements/train-gpu.txt
	$(filter-out --universal,$(COMPILE)) --python-platform linux --upgrade --resolution lowest-direct --extra dev -o requirements/lowest.txt

clean: ## remove everything that make has created, except bundles in artifacts/
	rm -rf $(VENV) artifacts/peers* artifacts/lowest build dist *.egg-info
