# Everything runs in a virtual environment of the checkout's own; both commands set up whatever they need.
PYTHON ?= python3
BIN := .venv/bin
# The oldest versions that pyproject.toml says will do, on the oldest Python at hand that they were built for.
OLDEST := $(shell sed -n 's/^standalone = //p' pyproject.toml | grep -oE '[a-z]+>=[0-9.]+' | sed 's/>=/==/')
OLDEST_PYTHON ?= $(firstword $(foreach v,3.10 3.11 3.12,$(call executable,$(v))) $(PYTHON))
executable = $(shell PYENV_VERSION=$(1) python$(1) -c 'import sys; print(sys.executable)' 2>/dev/null)
# The ends of the range that pyproject.toml has for Ray.
RAYS := $(shell sed -n 's/^cluster = \["ray\[data\]>=\(.*\),<\(.*\)"\]/==\1 <\2/p' pyproject.toml)
# Most tests keep no more than one core busy.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile

.PHONY: demo test test-oldest test-hosts test-ray attack lint bench bench-scale workflows gallery clean

demo: .venv/standalone
	$(BIN)/nst run workflows/api/quickstart.json --output output

test: .venv/test lint
	$(BIN)/python -m pytest -c tests/pytest.ini $(SIDE_BY_SIDE) tests/engine tests/nodes
	$(BIN)/python -m pytest -c tests/pytest.ini tests/host tests/browser

test-oldest: .venv-oldest/test
	.venv-oldest/bin/python -m pytest -c tests/pytest.ini $(SIDE_BY_SIDE) tests/engine tests/nodes

# The newest host's own front end, and the oldest host: what `make test` leaves out.
test-hosts: .venv/test
	$(BIN)/python -m pytest -c tests/pytest.ini tests/host tests/browser --hosts others

# nst batch on the oldest and the newest Ray; without one, make test leaves these tests out.
test-ray: .venv/test
	for ray in $(RAYS:%='%'); do \
		$(BIN)/python -m pip install --quiet --upgrade "ray[data]$$ray" && \
		$(BIN)/python -m pytest -c tests/pytest.ini tests/engine/cli/batch/test_batch_on_*.py || exit 1; \
	done

attack: .venv/test
	$(BIN)/python -m pytest -c tests/pytest.ini tests/attack

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	ln -sfn .. .venv/nst_pack
	MYPYPATH=.venv $(BIN)/mypy -p nst_pack.nodes

bench: .venv/standalone
	$(BIN)/python -m bench

bench-scale: .venv/standalone
	$(BIN)/python -m bench.scale

workflows: .venv/standalone
	$(BIN)/python tools/make_workflows.py
	$(BIN)/python tools/make_gallery.py --page

gallery: workflows
	$(BIN)/python tools/make_gallery.py

.venv/standalone: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[standalone]'
	touch $@

.venv/test: .venv/standalone
	$(BIN)/python -m pip install --quiet --editable '.[standalone,video,test]'
	touch $@

.venv-oldest/test: pyproject.toml
	$(OLDEST_PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --editable '.[standalone,video,test]' $(OLDEST)
	touch $@

clean:
	rm -rf .venv .venv-oldest build *.egg-info
