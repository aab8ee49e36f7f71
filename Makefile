# Rhapsode's commands, for people and for CI alike. `make` alone lists them.
#
# Settings, all optional:
#   FEATURES=cuda     features of Cargo.toml to build with: cuda, metal, vulkan
#   PORTABLE=1        build for any CPU of this kind, not for this machine's own
#   ARGS='--help'     more arguments for what a target runs
#   CARGO_TARGET_DIR  where builds go (default: target)
#   MODELS_DIR        where models go (default: models)
#   LLAMA_SERVER      a llama-server to measure the engine beside
#   GOEMOTIONS        folder with GoEmotions to measure emotions on
#   LOCOMO            conversations to measure the memory with

SHELL := /bin/sh
CARGO ?= cargo
FEATURES ?=
LOCOMO ?=
PORTABLE ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run build test test-clients lint demo models bench bench-engine bench-emotion bench-memory bench-archive prepare

# Read by the shell, when a recipe runs.
target_dir = $${CARGO_TARGET_DIR:-target}
rhapsode = "$(target_dir)/release/rhapsode"
features = $(if $(strip $(FEATURES)),--features "$(strip $(FEATURES))")

# Said to the pull and to the tests alike, so that a .env cannot part them.
tested_models = MODELS_DIR="$${MODELS_DIR:-$(CURDIR)/models}"

# An empty RUSTFLAGS outdoes the target-cpu=native in .cargo/config.toml.
ifeq ($(PORTABLE),1)
export RUSTFLAGS :=
endif

help: ## list these commands
	@echo 'make TARGET [FEATURES=cuda|metal|vulkan] [PORTABLE=1] [ARGS=...]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

run: build ## fetch the models, build, and serve
	@$(rhapsode) models pull --default
	@exec $(rhapsode) serve $(ARGS)

build: prepare ## build the server as a release
	$(CARGO) build --release --locked --bin rhapsode $(features)

test: prepare ## run every test in Rust, with the real small models and a real ChromaDB
	$(tested_models) $(CARGO) run --locked $(features) -- models pull --default
	$(tested_models) $(CARGO) test --locked $(features) $(ARGS)

test-clients: build ## run OpenAI's own clients and Node's ws against the server (needs python3 and npm)
	@$(rhapsode) models pull --default
	@sh tests/clients/run.sh $(rhapsode)

lint: prepare ## check format, lints, docs and generated schemas
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked $(features) -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --locked --document-private-items $(features)
	$(CARGO) run --locked $(features) -- schemas check

demo: build ## write a chapter from an example request
	@$(rhapsode) models pull --default
	@$(rhapsode) write examples/generate-chapter.json $(ARGS)

# Whichever build is there already: a second one would cost minutes.
models: prepare ## fetch the writing model and the sentence embedder
	@if [ -x $(rhapsode) ]; then release=--release; else release=; fi; \
	set -x; $(CARGO) run --locked $$release $(features) -- models pull --default

bench: prepare ## measure, with the real small models
	$(tested_models) $(CARGO) run --release --locked $(features) -- models pull --default
	$(tested_models) $(CARGO) bench --locked --profile release $(features) $(ARGS)

bench-engine: prepare ## measure the engine, beside the llama-server that LLAMA_SERVER=path names
	$(tested_models) $(CARGO) run --release --locked $(features) -- models pull --default
	$(tested_models) $(CARGO) bench --locked --profile release --bench engine $(features) -- $(ARGS)

bench-emotion: prepare ## measure emotions, on GoEmotions where GOEMOTIONS=folder is set
	$(tested_models) $(CARGO) run --release --locked $(features) -- models pull --default
	$(tested_models) $(CARGO) bench --locked --profile release --bench emotion $(features) -- $(ARGS)

bench-memory: prepare ## measure what a talk's memory finds, in the conversations that LOCOMO=path names
	$(tested_models) $(CARGO) run --release --locked $(features) -- models pull --default
	$(tested_models) LOCOMO="$(LOCOMO)" $(CARGO) bench --locked --profile release --bench memory $(features) -- $(ARGS)

bench-archive: prepare ## measure what the archive finds, and how fast, beside a ChromaDB server
	$(tested_models) $(CARGO) run --release --locked $(features) -- models pull --default
	$(tested_models) $(CARGO) bench --locked --profile release --bench archive $(features) -- $(ARGS)

prepare: ## install what is needed (compiler, cmake, libclang, pip, venv), or say how
	@sh scripts/prepare.sh
