from __future__ import annotations

from pathlib import Path

import pytest
from pictures import clouds

from nst_engine.pictures.files import write_picture


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_picture(tmp_path / "content.png", clouds(1, 64, 80))
    write_picture(tmp_path / "style.png", clouds(2, 64, 64))
    write_picture(tmp_path / "other.png", clouds(3, 64, 64))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("style") / "style.png"
    write_picture(path, clouds(2, 48, 64))
    return path
