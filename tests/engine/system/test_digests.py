"""Hashes of what is in files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nst_engine.system.digests import digest


def test_names_that_are_no_text_are_hashed_too(tmp_path: Path) -> None:
    name = tmp_path / os.fsdecode(b"\xff.png")
    try:
        name.write_bytes(b"mask")
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    before = digest(tmp_path)
    name.rename(tmp_path / os.fsdecode(b"\xfe.png"))
    assert digest(tmp_path) != before
