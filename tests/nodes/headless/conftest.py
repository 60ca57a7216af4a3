from __future__ import annotations

import importlib

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def modules(pack):
    return {name: importlib.import_module(f"nst_pack.nodes.headless.{name}") for name in ("graph", "server_client")}


@pytest.fixture(scope="module")
def headless(pack):
    return importlib.import_module("nst_pack.nodes.headless")


@pytest.fixture(scope="module")
def graphs(modules):
    return modules["graph"]


@pytest.fixture(scope="module")
def client(modules):
    return modules["server_client"]


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "in").mkdir()
    gradient = np.linspace(0, 255, 64 * 80 * 3).reshape(64, 80, 3).astype(np.uint8)
    Image.fromarray(gradient).save(tmp_path / "in" / "content.png")
    Image.fromarray(gradient[::-1, ::2].copy()).save(tmp_path / "in" / "style.png")
    return tmp_path / "in", tmp_path / "out"


@pytest.fixture
def run(pack, headless, folders):
    def run(graph, node_classes=None, on_progress=None, **options):
        classes = pack.NODE_CLASS_MAPPINGS if node_classes is None else node_classes
        return headless.run_embedded(graph, classes, headless.Folders(*folders, **options), on_progress)

    return run


@pytest.fixture
def refused(pack, run):
    """The message with which a graph is refused."""

    def refused(graph, **options):
        with pytest.raises(pack.nodes.headless.graph.NSTError) as caught:
            run(graph, **options)
        return str(caught.value)

    return refused
