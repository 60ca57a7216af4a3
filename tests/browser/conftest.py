"""The live server is a plugin, registered once, so that host/ and browser/ share one ComfyUI."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    name = "live_comfyui"
    if config.pluginmanager.has_plugin(name):
        return
    # By its path: what lies on sys.path depends on how pytest was started.
    spec = importlib.util.spec_from_file_location(name, Path(__file__).resolve().parents[1] / f"{name}.py")
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config.pluginmanager.register(module, name)
