# `make app` and `make test` do all set-up themselves; the rest is for everyday work.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python

.PHONY: app test check lint types slow wheel fuzz recipe-tiny

app: $(VENV)/app.ready
	$(RUN) app.py $(ARGS)

test: $(VENV)/dev.ready
	$(RUN) -m pytest $(ARGS)

check: lint types test

lint: $(VENV)/dev.ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/dev.ready
	$(RUN) -m mypy omnivmed train app.py

slow: $(VENV)/dev.ready
	$(RUN) -m pytest -m slow $(ARGS)

# Build the wheel, install it in an environment of its own, use it from another folder.
wheel: $(VENV)/dev.ready
	$(RUN) -m pytest -m slow tests/test_wheel.py $(ARGS)

fuzz: $(VENV)/dev.ready
	$(RUN) -m tests.fuzz --minutes 60 $(ARGS)

$(VENV)/app.ready: requirements.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/dev.ready: requirements.txt pyproject.toml
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --requirement requirements.txt --editable ".[dev,eval]"
	touch $@

recipe-tiny: $(VENV)/dev.ready
	$(RUN) -m train tiny $(ARGS)
