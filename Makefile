# `make app` and `make test` do all set-up themselves; the rest is for everyday work.
# The first Python on this machine that is new enough; or name one: make app PYTHON=/path/to/python3.12
PYTHON ?= $(or $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done),python3)
VENV ?= .venv
# Where torch comes from: empty, the index of this machine's pip; or the index of the CPU build (README, Start).
TORCH_INDEX ?=
RUN := $(VENV)/bin/python

.PHONY: app test check lint types slow wheel fuzz mutate sbom lock newest recipe-tiny instruct-tiny

app: $(VENV)/app.ready
	@$(RUN) app.py $(ARGS)

test: $(VENV)/dev.ready
	$(RUN) -m pytest $(ARGS)

check: lint types test

lint: $(VENV)/dev.ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	@if ! command -v npm >/dev/null; then echo "no npm here: the types of the viewer's script are not checked"; \
	elif ! npm --prefix tests/js ci --silent --no-audit --no-fund; then \
		echo "typescript could not be fetched: the types of the viewer's script are not checked"; \
	else npm --prefix tests/js run --silent types; fi

types: $(VENV)/dev.ready
	# Gradio writes an interface file beside each component class; mypy would believe it rather than the class.
	find omnivmed -name '*.pyi' -delete
	$(RUN) -m mypy omnivmed train app.py tests benchmarks

slow: $(VENV)/dev.ready
	$(RUN) -m pytest -m slow $(ARGS)

# Build the wheel, install it in an environment of its own, use it from another folder.
wheel: $(VENV)/dev.ready
	$(RUN) -m pytest -m slow tests/test_wheel.py $(ARGS)

# Everything the locked app consists of, as CycloneDX, for whoever has to know: sbom.json (not committed).
sbom: $(UV)
	$(VENV)/uv/bin/python -m pip install --quiet "cyclonedx-bom>=7,<8"
	$(VENV)/uv/bin/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --output-file sbom.json

mutate: $(VENV)/dev.ready
	$(RUN) -m tests.mutate $(ARGS)

fuzz: $(VENV)/dev.ready
	$(RUN) -m tests.fuzz --minutes 60 $(ARGS)

# Exactly what the lock holds, each file by its sha256; then torch, as the build that fits this machine (decision 0004).
define locked
	@command -v $(firstword $(PYTHON)) >/dev/null || { echo "OmniV-Med needs Python 3.11 or newer; none was found. \
	Install it, or name one: make app PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) locks/install.py $(VENV) $(1) --index "$(TORCH_INDEX)"
endef

$(VENV)/app.ready: locks/app.txt
	$(call locked,$<)
	@touch $@

$(VENV)/dev.ready: locks/dev.txt pyproject.toml
	$(call locked,$<)
	@$(RUN) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Renew the lock to the newest that the ranges in pyproject.toml allow; UPGRADE="--upgrade-package gradio" moves one
# package, UPGRADE= none (after a change of pyproject.toml).
UPGRADE ?= --upgrade
UV := $(VENV)/uv/bin/uv
COMPILE = $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--annotation-style line --custom-compile-command "make lock" $(UPGRADE)
HASHED = --generate-hashes --no-emit-package torch --constraint requirements.txt

lock: $(UV)
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) $(HASHED) --output-file locks/app.txt
	$(COMPILE) $(HASHED) --extra dev --extra eval --output-file locks/dev.txt

# The tests with the newest of everything that the ranges allow, and which package broke them.
newest: $(UV)
	$(VENV)/uv/bin/python -m tests.newest $(UV) $(VENV)/newest $(ARGS)

$(UV):
	$(PYTHON) -m venv $(VENV)/uv
	$(VENV)/uv/bin/python -m pip install --quiet "uv>=0.13,<0.14"

recipe-tiny: $(VENV)/dev.ready
	$(RUN) -m train tiny $(ARGS)

# Instruction data in miniature: phantoms, stub services, selection, a trained tiny model. ARGS="--out DIR"
instruct-tiny: $(VENV)/dev.ready
	$(RUN) -m train.instruct.tiny $(or $(ARGS),--out runs/instruct-tiny)
