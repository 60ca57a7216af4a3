# Everything runs in a virtual environment of the checkout's own; both commands set up whatever they need.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench bench-scale workflows gallery clean

demo: .venv/standalone
	$(BIN)/nst run workflows/api/quickstart.json --output output

test: .venv/test lint
	$(BIN)/python -m pytest -c tests/pytest.ini tests

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

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
	$(BIN)/python -m pip install --quiet --editable '.[standalone,test]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
