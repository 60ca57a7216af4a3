"""Photos and two styles to pair them with."""

from __future__ import annotations

import pytest
from pictures import clouds

from nst_engine.pictures.files import write_picture


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("photos/below", "styles"):
        (tmp_path / name).mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.jpg", "below/a.png")):
        write_picture(tmp_path / "photos" / name, clouds(i, 48, 64))
    for i, name in enumerate(("one", "two")):
        write_picture(tmp_path / "styles" / f"{name}.png", clouds(10 + i, 48, 48))
    monkeypatch.chdir(tmp_path)
    return tmp_path
