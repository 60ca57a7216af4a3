from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from nst_process import started

if "PYTEST_XDIST_WORKER" in os.environ:  # tests that run side by side have a core each, and so have their processes
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent

# `python -m pytest` puts the repository's root on the path, where our nodes/ would shadow the host's nodes.py.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]


def load_package(name: str, folder: Path) -> ModuleType:
    """A package from its folder, under any name: how ComfyUI imports a pack."""
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    assert spec and spec.loader
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


if importlib.util.find_spec("nst_engine") is None:  # the project is not installed
    load_package("nst_engine", ROOT / "nst_engine")
load_package("procedures", ROOT / "bench" / "procedures")


@pytest.fixture(scope="session")
def pack() -> ModuleType:
    """The whole pack as `nst_pack`, outside ComfyUI. Its engine is nst_pack.nst_engine, with classes of its own."""
    return load_package("nst_pack", ROOT)


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """A test that fails midway leaves nothing running."""
    yield
    while started:
        started.pop().kill()


@pytest.fixture
def folder_of_photos(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in: a style, and as many photos as PICTURES of the test's module says, called by their numbers."""
    from pictures import clouds

    from nst_engine.pictures.files import write_picture

    (tmp_path / "photos").mkdir()
    for i in range(request.module.PICTURES):
        write_picture(tmp_path / "photos" / f"{i}.png", clouds(i, 48, 64))
    write_picture(tmp_path / "style.png", clouds(10, 48, 48))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hosts", choices=("newest", "others"), default="newest", help="which hosts the tests run on")


def pytest_configure(config: pytest.Config) -> None:
    """The live server is a plugin, registered once, so that all folders share one ComfyUI."""
    if config.pluginmanager.has_plugin("live_comfyui"):
        return
    for name in ("comfyui_found", "comfyui_runs", "live_comfyui"):  # each may import those before it
        # By its path: what lies on sys.path depends on how pytest was started.
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec and spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    config.pluginmanager.register(sys.modules["live_comfyui"], "live_comfyui")
