# A real Kubernetes node for the acceptance tests. Included by the Makefile.

cluster := tests/acceptance/cluster
node_up := $(target)/node-up
go_missing := there is no Go, which builds a node: install it from https://go.dev/dl
# Only what is said to make counts: the cluster that a shell happens to be set
# up for is not one to test on.
given_kubeconfig := $(if $(findstring command line,$(origin KUBECONFIG)),$(KUBECONFIG))
kubernetes_tests = $(MAKE) kubernetes-tests
# Programs without which what runs on a node cannot: kubectl to look at it, the
# others to make the images that run on it.
on_node_needs =
test-kubernetes bench-kubernetes: on_node_needs = kubectl buildah debootstrap
# Runs a command on a node of its own, if this machine can run one. Else says
# loudly that it did not; under CI that is a failure.
on_a_node = \
  if [ $(os) != linux ]; then reason="a node needs Linux, and this is $(os)"; \
  elif ! command -v go >/dev/null; then reason="$(go_missing)"; \
  else $(MAKE) node-up; reason="$$($(node_up) check 2>&1)" && reason=; fi; \
  for program in $(on_node_needs); do command -v $$program >/dev/null || reason="there is no $$program"; done; \
  if [ -n "$$reason" ] && [ -n "$${CI:-}" ]; then echo "The tests on Kubernetes cannot run: $$reason" >&2; exit 1; fi; \
  if [ -n "$$reason" ]; then echo "SKIPPED, ALL TESTS ON KUBERNETES: $$reason" >&2; exit 0; fi; \
  binaries="$$($(node_up) build --sources $(cluster))"
# In a folder with a short name, as sockets need; it stays when something failed, with all logs.
run_on_a_node = state="$$(mktemp -d)"; $(node_up) run --state "$$state" --binaries "$$binaries" -- $(1); rm -rf "$$state"

.PHONY: node-up
node-up:
	@command -v go >/dev/null || { echo "$(go_missing)" >&2; exit 1; }
	@mkdir -p $(target)
	@CGO_ENABLED=0 go build -C $(cluster) -trimpath -o $(node_up) .

.PHONY: cluster-build
cluster-build: node-up ## Builds the programs of a Kubernetes node into the cache, and prints their folder
	@$(node_up) build --sources $(cluster)

.PHONY: cluster
cluster: node-up ## Starts a Kubernetes node with a registry and Azurite, to play with, and prints how to enter it
	@$(node_up) start --background --state $(target)/cluster --binaries "$$($(node_up) build --sources $(cluster))"

.PHONY: cluster-down
cluster-down: node-up ## Ends the node that `make cluster` started
	@$(node_up) stop --state $(target)/cluster

.PHONY: cluster-test
cluster-test: ## Tests the Kubernetes node itself
	@$(on_a_node); \
	cd $(cluster); NODE_UP=$(node_up) NODE_BINARIES="$$binaries" go test -count=1 .

.PHONY: cluster-lint
cluster-lint: ## Checks the Go sources
	@command -v go >/dev/null || { [ -z "$${CI:-}" ] || exit 1; echo "SKIPPED, THE LINTS OF $(cluster): $(go_missing)" >&2; exit 0; }; \
	unformatted="$$(gofmt -l $(cluster))"; \
	[ -z "$$unformatted" ] || { printf 'gofmt changes these files:\n%s\n' "$$unformatted" >&2; exit 1; }; \
	for module in . kubernetes registry; do GOOS=linux go vet -C $(cluster)/$$module ./...; done

push_images = $(xtask) images --base debootstrap --registry $$REGISTRY --push --plain-http --router $(target)/release/azureml-fe --wheel "$$(ls $(mirror)/azureml_scorer-*.whl)"

# On the cluster of the environment, with images of what was built here.
.PHONY: kubernetes-tests
kubernetes-tests: $(target)/quickstart/.installed
	@$(push_images)
	@AZUREML_CLUSTER_REQUIRED=1 AZUREML_IMAGES=$(target)/images/images.json $(CARGO) test --release --workspace --test kubernetes --test outage --no-fail-fast -- --test-threads 4

# On a cluster that is given: where its NodePorts are reached, and which.
NODE_PORT_HOST ?= 127.0.0.1
NODE_PORTS ?= $(shell seq 30080 30119 | sed 's/.*/&:&/' | paste -sd, -)

.PHONY: test-kubernetes
test-kubernetes: ## Runs the tests on Kubernetes: on a node that is started for them, or KUBECONFIG=... REGISTRY=...
ifneq ($(given_kubeconfig),)
	@[ -n "$(REGISTRY)" ] || { echo "Name a registry that this machine pushes to and the cluster pulls from: REGISTRY=host:port" >&2; exit 1; }
	@[ -n "$(AZURITE_URL)" ] && [ -n "$(AZURITE_URL_IN_CLUSTER)" ] || { echo "Name an Azurite as this machine and as pods reach it: AZURITE_URL=http://127.0.0.1:10000/devstoreaccount1 AZURITE_URL_IN_CLUSTER=http://host:port/devstoreaccount1" >&2; exit 1; }
	@export REGISTRY="$(REGISTRY)" AZURITE_URL="$(AZURITE_URL)" AZURITE_URL_IN_CLUSTER="$(AZURITE_URL_IN_CLUSTER)"; \
	export NODE_PORT_HOST="$(NODE_PORT_HOST)" NODE_PORTS="$(NODE_PORTS)"; \
	$(kubernetes_tests) KUBECONFIG="$(abspath $(given_kubeconfig))"
else
	@$(on_a_node); \
	$(call run_on_a_node,$(kubernetes_tests))
endif

# What `cargo xtask bench` shall measure on a node.
BENCH ?= apply
.PHONY: kubernetes-bench
kubernetes-bench:
	@$(push_images)
	@export AZUREML_IMAGES=$(target)/images/images.json; $(xtask) bench $(BENCH)

.PHONY: bench-kubernetes
bench-kubernetes: build ## Measures on a node that is started for it: BENCH=apply or BENCH=slots
	@$(on_a_node); \
	$(call run_on_a_node,$(MAKE) kubernetes-bench)

# What the kind cluster shall have, by the names that Docker knows.
KIND_IMAGES ?=
.PHONY: kind
kind: ## Creates a kind cluster as examples/kind says, and loads KIND_IMAGES="name..." into it; needs Docker and kind
	@for program in docker kind; do command -v $$program >/dev/null || { echo "missing: $$program, needed to create a kind cluster. See examples/kind/README.md; without Docker, \`make cluster\` starts a node" >&2; exit 1; }; done
	@docker info >/dev/null 2>&1 || { echo "Docker does not answer \`docker info\`: start it, or let this user use it" >&2; exit 1; }
	@kind get clusters 2>/dev/null | grep -qx azureml || kind create cluster --config examples/kind/kind.yaml --wait 120s
	@for image in $(KIND_IMAGES); do kind load docker-image --name azureml "$$image"; done
	@echo "kubectl --context kind-azureml reaches it; \`kind delete cluster --name azureml\` removes it"
