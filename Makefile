# Everything a fresh machine with Python 3.11 and make needs. A second call installs nothing again.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: serve test crashes kept page documents smoke everything lint shape docs pictures bench day oracles overload kills soak fuzz audit lock browser clean

serve: $(STAMP)
	$(BIN)/kerascope serve --log-format console

# What every change must pass, with the checks beside it; two at a time, a file stays together.
test: $(STAMP)
	$(MAKE) --no-print-directory lint & checks=$$!; $(BIN)/pytest -n 2 --dist loadfile; \
		tests=$$?; wait $$checks && exit $$tests

# What takes long, by subject; CONTRIBUTING says when each is run, `tests/later.py` what is in it.
crashes kept page: $(STAMP)
	$(BIN)/pytest -m "$@ and not soak" -n 2 --dist loadfile

# Whole files: pages go on with what the README's blocks wrote.
documents: $(STAMP)
	$(BIN)/pytest -m "not soak" -n 2 --dist loadfile tests/test_documents.py tests/test_example_clients.py

# The harnesses of `bench` and `day` on small networks, to see that they work.
smoke: $(STAMP)
	$(BIN)/pytest -m benchmark --quick

everything: test crashes kept page documents smoke soak

lint: $(STAMP)
	$(BIN)/ruff check service tests openapi_examples
	$(BIN)/ruff format --check service tests openapi_examples
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The form of the code in figures: the table of the house; LIST=--list says what was counted.
shape: $(STAMP)
	$(BIN)/python -m tests.shape $(LIST)

docs: $(STAMP)
	$(BIN)/python openapi_examples/make_docs.py

# The picture of each variant in docs/pictures, asked of the `make serve` that runs; `make docs` shows them.
pictures: $(STAMP)
	$(BIN)/python openapi_examples/make_pictures.py $(ONLY)

bench: $(STAMP)
	$(BIN)/python -m tests.benchmarks

# The memory of the processes over a day's mix of calls; CALLS=500 make day for a shorter one, which is not kept.
day: $(STAMP)
	$(BIN)/python -m tests.benchmarks.day $(if $(CALLS),--calls $(CALLS) --results .benchmarks/RESULTS.md)

# What other libraries' own code gives, on a small network, into tests/oracles/fixtures; tests compare ours with that.
oracles: $(STAMP)
	$(BIN)/python -m tests.oracles

# Overload, killed engines, a long run: what they measured stands in tests/reliability/RESULTS.md.
overload kills: $(STAMP)
	$(BIN)/python -m tests.reliability $@

soak: $(STAMP)
	$(BIN)/pytest -m soak
	$(BIN)/python -m tests.reliability soak --seconds $(or $(SECONDS),1800)

# Requests made from the schema, damaged files, and the parsers guided by coverage.
fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz
	for target in image npy base64 url config zip_walk hdf5_walk query; do \
		$(BIN)/python -m tests.fuzz.guided $$target -max_total_time=$(or $(SECONDS),60) -rss_limit_mb=4096 || exit 1; done

# Known vulnerabilities of what is installed; needs the network.
audit: $(STAMP)
	$(BIN)/pip-audit --requirement requirements.lock --disable-pip

# Debian's Chromium, for the tests of the explorer page; needs root.
browser:
	apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium

# What is developed with; what the containers run, at the same versions; what their build needs.
LOCK = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
RUN = --extra demo --extra postgres --extra otel --extra segments
lock: $(STAMP)
	$(LOCK) $(RUN) --extra dev pyproject.toml --output-file requirements.lock
	$(LOCK) --constraint requirements.lock $(RUN) pyproject.toml --output-file docker/cpu.lock
	$(LOCK) --constraint requirements.lock $(RUN) --extra cuda pyproject.toml --output-file docker/cuda.lock
	echo hatchling | $(LOCK) --constraint requirements.lock - --output-file docker/build.lock

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(STAMP)

clean:
	rm -rf $(VENV) tests/benchmarks/.peers tests/oracles/.peers .mypy_cache .pytest_cache .ruff_cache .hypothesis
