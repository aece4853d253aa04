# Every target says what it does in `make help`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
PYTHON ?= python3
TERRAFORM ?= $(shell command -v terraform >/dev/null 2>&1 && echo terraform || echo tofu)
target := $(abspath $(or $(CARGO_TARGET_DIR),target))
version := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
export TF_CLI_CONFIG_FILE := $(target)/terraformrc
export CHECKPOINT_DISABLE := 1

os := $(shell uname -s | tr '[:upper:]' '[:lower:]')
arch := $(shell uname -m | sed -e 's/x86_64/amd64/' -e 's/aarch64/arm64/')
mirror := $(target)/mirror/registry.terraform.io/openazureml/azureml/$(version)/$(os)_$(arch)
tools := $(target)/tools
cargo_deny := $(or $(shell command -v cargo-deny),$(tools)/bin/cargo-deny)

.PHONY: help
help: ## Lists the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  %-20s %s\n' "$$name" "$$text"; done

.PHONY: check-tools
check-tools:
	@missing=0; \
	need() { echo "missing: $$1, needed to $$2. $$3" >&2; missing=1; }; \
	command -v $(CARGO) >/dev/null || need "Rust toolchain" "build the provider, the router and the scorer" "Install it from https://rustup.rs"; \
	command -v $(PYTHON) >/dev/null && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || need "Python >= 3.10" "train and run the model" "Install it from your system's packages, or name one with PYTHON=..."; \
	command -v $(TERRAFORM) >/dev/null && $(TERRAFORM) version -json 2>/dev/null | $(PYTHON) -c 'import json, sys; v = json.load(sys.stdin)["terraform_version"]; sys.exit(tuple(int(n) for n in v.split("-")[0].split(".")[:2]) < (1, 11))' \
	  || need "Terraform or OpenTofu >= 1.11" "apply the configuration" "See https://developer.hashicorp.com/terraform/install or https://opentofu.org/docs/intro/install/"; \
	exit $$missing

.PHONY: check-test-tools
check-test-tools: check-tools
	@command -v npm >/dev/null || { echo "missing: Node.js with npm, needed to run the identity providers that the router is tested with. Install it from https://nodejs.org" >&2; exit 1; }

$(tools)/bin/maturin:
	@echo "==> Installing maturin, which packs the scorer as a wheel"
	@$(PYTHON) -m venv $(tools)
	@$(tools)/bin/python -m pip install --quiet --disable-pip-version-check 'maturin==1.16.0' 'pytest==9.*'

# The lowest glibc that Rust's standard library runs on. zig links against it wherever it is built.
glibc := 2.17
$(tools)/bin/zig: $(tools)/bin/maturin
	@echo "==> Installing zig, which links wheels for older systems"
	@$(tools)/bin/python -m pip install --quiet --disable-pip-version-check 'ziglang==0.17.1' 'auditwheel==6.8.2'
	@printf '#!/bin/sh\nexec "%s" -m ziglang "$$@"\n' $(tools)/bin/python > $@
	@chmod +x $@

$(tools)/bin/cargo-deny:
	@echo "==> Installing cargo-deny, which checks the dependencies' licences and sources"
	@$(CARGO) install --quiet --locked --root $(tools) cargo-deny --version 0.20.2

# Equal inputs give equal wheels.
packed_at := SOURCE_DATE_EPOCH=315532800

.PHONY: wheel
wheel: check-tools $(tools)/bin/maturin ## Builds the scorer's wheel for this machine
	@echo "==> Building the scorer's wheel"
	@rm -f $(target)/wheels/azureml_scorer-*.whl
	@$(packed_at) $(tools)/bin/maturin build --profile release --quiet --manifest-path scorer/Cargo.toml --interpreter $(PYTHON) --out $(target)/wheels

# With the features that the tests turn on: what differs in one of them would be built twice.
built := --release --package terraform-provider-azureml --package azureml-fe --features objects/testing,tfplugin/testing
xtask = $(CARGO) build --quiet $(built) --package xtask && $(target)/release/xtask

# Without line tables: Terraform hashes all of the mirror's files in every command, which was half of its time with them.
.PHONY: build
build: wheel ## Builds the provider, the router and the scorer's wheel, and lays out the provider mirror
	@echo "==> Building the provider and the router"
	@$(CARGO) build $(built)
	@mkdir -p $(mirror)
	@rm -f $(mirror)/*.whl
	@install -m 0755 $(target)/release/terraform-provider-azureml $(mirror)/terraform-provider-azureml_v$(version)
	@install -m 0755 $(target)/release/azureml-fe $(mirror)/azureml-fe
	@! command -v strip >/dev/null || strip -S $(mirror)/terraform-provider-azureml_v$(version) $(mirror)/azureml-fe
	@install -m 0644 $(target)/wheels/azureml_scorer-$(version)-*.whl $(mirror)/
	@printf 'provider_installation {\n  filesystem_mirror {\n    path    = "%s"\n    include = ["registry.terraform.io/openazureml/*", "registry.opentofu.org/openazureml/*"]\n  }\n  direct {\n    exclude = ["registry.terraform.io/openazureml/*", "registry.opentofu.org/openazureml/*"]\n  }\n}\n' $(target)/mirror > $(TF_CLI_CONFIG_FILE)

published := $(target)/published
wheel_of_release = PATH=$(tools)/bin:$$PATH $(packed_at) $(tools)/bin/maturin build --profile dist --quiet --zig --compatibility manylinux_$(subst .,_,$(glibc)) --manifest-path scorer/Cargo.toml --out $(published)
# Where there is a free-threaded Python: found by uv, or named.
FREE_THREADED ?= $(shell $(tools)/bin/uv python find --no-project 3.14t 2>/dev/null)

.PHONY: wheels
wheels: check-tools $(tools)/bin/zig $(tools)/bin/uv ## Builds the scorer's wheels for release, for any Linux, and its source distribution
	@rm -rf $(published)
	@echo "==> Building the scorer's wheel for CPython 3.9 and newer, glibc $(glibc) and newer"
	@$(wheel_of_release) --interpreter $(PYTHON)
	@if [ -n "$(FREE_THREADED)" ]; then \
	  echo "==> Building the scorer's wheel for $(FREE_THREADED)"; \
	  $(wheel_of_release) --no-default-features --interpreter "$(FREE_THREADED)"; \
	else \
	  echo "There is no free-threaded Python 3.14 (python3.14t) here, so no wheel for it is built; name one with FREE_THREADED=..."; \
	fi
	@echo "==> Packing the scorer's source distribution"
	@$(tools)/bin/maturin sdist --manifest-path scorer/Cargo.toml --out $(published) 2>/dev/null
	@ls -1 $(published)

.PHONY: wheels-test
wheels-test: wheels ## Installs what `make wheels` packed into bare environments of every Python here, and serves there
	@DIST=$(published) $(tools)/bin/python -m pytest -q scorer/tests/packaging

# Where no public registry is to be had, the base is a Debian of debootstrap's.
IMAGES ?= --base debootstrap
.PHONY: images
images: wheel ## Builds the images of the router and the scorer; IMAGES="--registry HOST:PORT --push ..." says how (cargo xtask images --help)
	@$(xtask) images $(IMAGES) --router $(target)/release/azureml-fe --wheel $(target)/wheels/azureml_scorer-$(version)-*.whl

quickstart := examples/quickstart
# A provider that was built anew has the version and another checksum than the one in the lock file.
quickstart_init = rm -f $(quickstart)/.terraform.lock.hcl; $(TERRAFORM) -chdir=$(quickstart) init -input=false -no-color > $(target)/quickstart-init.log 2>&1 || { cat $(target)/quickstart-init.log; exit 1; }
quickstart_python := $(target)/quickstart/bin/python

$(target)/quickstart/.installed: $(quickstart)/requirements.txt
	@echo "==> Installing the model's packages, the same that the service will use"
	@$(PYTHON) -m venv $(target)/quickstart
	@$(target)/quickstart/bin/pip install --quiet --disable-pip-version-check --requirement $(quickstart)/requirements.txt
	@touch $@

$(quickstart)/model/ridge.joblib: $(quickstart)/train.py $(target)/quickstart/.installed
	@echo "==> Training the model"
	@$(quickstart_python) $(quickstart)/train.py

.PHONY: quickstart
quickstart: build $(quickstart)/model/ridge.joblib ## Trains a model, applies examples/quickstart and scores ten rows over HTTP
	@echo "==> terraform init and apply"
	@$(quickstart_init)
	@$(TERRAFORM) -chdir=$(quickstart) apply -input=false -auto-approve
	@echo "==> Scoring"
	@TERRAFORM=$(TERRAFORM) AZUREML_FE=$(target)/release/azureml-fe $(quickstart_python) $(quickstart)/score_rows.py

.PHONY: quickstart-destroy
quickstart-destroy: ## Destroys what the quickstart made
	@$(quickstart_init)
	@$(TERRAFORM) -chdir=$(quickstart) destroy -input=false -auto-approve
	@rm -rf $(quickstart)/.terraform $(quickstart)/.terraform.lock.hcl $(quickstart)/terraform.tfstate* $(quickstart)/model

# In a copy, so that it meets no running quickstart.
.PHONY: quickstart-test
quickstart-test: build $(quickstart)/model/ridge.joblib ## Runs `terraform test` on a copy of examples/quickstart
	@rm -rf $(target)/quickstart-test
	@mkdir -p $(target)/quickstart-test
	@cp -R $(quickstart)/*.tf $(quickstart)/requirements.txt $(quickstart)/model $(quickstart)/src $(quickstart)/tests $(target)/quickstart-test/
	@$(TERRAFORM) -chdir=$(target)/quickstart-test init -input=false -no-color > /dev/null
	@$(TERRAFORM) -chdir=$(target)/quickstart-test test

.PHONY: lint
lint: $(cargo_deny) cluster-lint ## Checks formatting, lints, licences, and the published schemas
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --release --workspace --all-targets --all-features --quiet -- --deny warnings
	@RUSTDOCFLAGS='--deny warnings' $(CARGO) doc --release --workspace --no-deps --quiet
	@$(cargo_deny) --all-features --log-level error check bans licenses sources
	@$(xtask) schemas --check
	@$(xtask) docs --check
	@$(TERRAFORM) fmt -check -recursive examples
	@test -z "$$(git ls-files '*.rs' '*.py' '*.proto' | xargs wc -l | awk '$$2 != "total" && $$1 > 600')" || { echo "a source file has more than 600 lines" >&2; exit 1; }

.PHONY: audit
audit: $(cargo_deny) ## Compares the dependencies with the RustSec advisory database, which it fetches
	@$(cargo_deny) --all-features check advisories

.PHONY: uv
uv: $(tools)/bin/uv

$(tools)/bin/uv: $(tools)/bin/maturin
	@$(tools)/bin/python -m pip install --quiet --disable-pip-version-check 'uv==0.13.9'

# Installed anew only when what is asked for has changed, which a time stamp does not tell after a checkout.
packages := $(target)/packages
packages_list := scorer/tests/packages/requirements.txt scorer/tests/packages/requirements-original.txt
.PHONY: packages
packages: $(tools)/bin/uv
	@wanted="$$(cat $(packages_list) | cksum) $$($(PYTHON) -VV)"; \
	if [ "$$(cat $(packages)/.installed 2>/dev/null)" = "$$wanted" ]; then exit; fi; \
	echo "==> Installing libraries of models, and the original server beside them"; \
	rm -rf $(packages); \
	for part in models original; do $(PYTHON) -m venv --without-pip $(packages)/$$part; done; \
	$(tools)/bin/uv pip install --quiet --no-deps --python $(packages)/models/bin/python --requirement scorer/tests/packages/requirements.txt; \
	$(tools)/bin/uv pip install --quiet --no-deps --python $(packages)/original/bin/python --requirement scorer/tests/packages/requirements-original.txt; \
	paths='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	$(packages)/models/bin/python -c "$$paths" > "$$($(packages)/original/bin/python -c "$$paths")/models.pth"; \
	echo "$$wanted" > $(packages)/.installed

.PHONY: test
test: check-test-tools build lint quickstart-test packages ## Runs all tests
	@RUST_TEST_THREADS=4 $(CARGO) test --release --workspace
	@$(tools)/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(mirror)/azureml_scorer-*.whl
	@$(tools)/bin/python -m pip install --quiet --disable-pip-version-check 'pytest-xdist==3.*'
	@$(tools)/bin/python -m pytest -q --numprocesses 3 scorer/tests
	@DIST=$(mirror) $(tools)/bin/python -m pytest -q scorer/tests/packaging/test_wheel.py
	@$(tools)/bin/uv pip install --quiet --no-deps --reinstall --python $(packages)/models/bin/python $(mirror)/azureml_scorer-*.whl
	@$(packages)/models/bin/python -m pytest -q --numprocesses 3 scorer/tests/packages
	@$(MAKE) cluster-test
	@$(MAKE) test-kubernetes

include tests/acceptance/cluster/cluster.mk

.PHONY: clean
clean: ## Removes everything that was built
	@$(CARGO) clean
