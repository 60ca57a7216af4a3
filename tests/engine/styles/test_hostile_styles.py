"""Style files that were made to do harm: refused in words, in little memory."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peak_memory import STATUS

import nst_engine as nst

ROOT = Path(__file__).resolve().parents[3]
CHANNELS = 64
MEMO = ["net", "relu1_1", [32, 48], 1536.0]
STYLE = {"weight": 1.0, "size": 48, "aspect": [32, 48], "memo": [MEMO]}


def written(path: Path, styles: list, spaces: int = 0, changes: dict | None = None) -> Path:
    """A style file by hand, whatever it says."""
    sizes = {"mean": CHANNELS, "moment": CHANNELS * (CHANNELS + 1) // 2}
    table: dict[str, object] = {}
    at = 0
    for i in range(len(styles) if styles[0]["memo"] else 0):
        for name, size in sizes.items():
            table[f"{i}.0.{name}"] = {"dtype": "F32", "shape": [size], "data_offsets": [at, at + 4 * size]}
            at += 4 * size
    header = {"version": 1, "vgg_key": "net", "vgg": "a network", "styles": styles} | (changes or {})
    text = json.dumps({"__metadata__": {"nst": json.dumps(header)}, **table}).encode() + b" " * spaces
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))
    return path


PEAK = """
import importlib.util, sys, torch, safetensors.torch
sys.path.insert(0, sys.argv[1] + "/tests")
from peak_memory import peak
spec = importlib.util.spec_from_file_location("pack", sys.argv[1] + "/__init__.py")
sys.modules["pack"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
from pack.nst_engine.errors import NSTError
pack.nodes.host.stand_alone_input_and_output.set((sys.argv[2], sys.argv[2]))
before = peak()
try:
    grams, thumbnails = pack.NODE_CLASS_MAPPINGS["LoadStyleGrams"]().load("a.safetensors", 1.0)
    print(len(grams.styles), *thumbnails.shape)
except NSTError as error:
    print(error)
print(peak() - before)
"""


def loaded(path: Path) -> tuple[str, float]:
    """What Load Style Grams says of the file in a process of its own, and the megabytes that it took for it."""
    if not STATUS.exists():
        pytest.skip("nothing tells how much memory a process has had")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(ROOT), str(path.parent)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said, megabytes = done.stdout.splitlines()
    return said, float(megabytes)


def refusal(path: Path) -> str:
    with pytest.raises(nst.NSTError) as caught:
        nst.StyleGrams.load(path)
    return str(caught.value)


def test_a_style_file_by_hand_loads_with_what_it_says(tmp_path):
    (style,) = nst.StyleGrams.load(written(tmp_path / "a.safetensors", [STYLE])).styles
    assert (style.weight, style.size, style.aspect) == (1.0, 48, (32, 48))
    assert list(style.memo) == [("net", "relu1_1", (32, 48))]


@pytest.mark.parametrize("count", [4_000, 400_000])
def test_many_styles_of_nothing_take_no_memory(tmp_path, count):
    said, megabytes = loaded(written(tmp_path / "a.safetensors", [{**STYLE, "memo": []}] * count))
    assert "is not a saved style, or it is damaged" in said
    assert megabytes < 100


def test_a_long_table_of_contents_is_not_read(tmp_path):
    said, megabytes = loaded(written(tmp_path / "a.safetensors", [STYLE], spaces=90_000_000))
    assert "table of contents has 90" in said and megabytes < 50


def test_many_styles_that_are_some_take_little_more_than_their_file(tmp_path):
    path = written(tmp_path / "a.safetensors", [STYLE] * 1000)
    said, megabytes = loaded(path)
    assert said == "1000 1000 128 128 3" and megabytes < 10 * path.stat().st_size / 1e6


def test_more_styles_than_anybody_saves_are_refused(tmp_path):
    assert "it holds no styles, or more than 1000" in refusal(written(tmp_path / "a.safetensors", [STYLE] * 1001))


@pytest.mark.parametrize(
    "changes",
    [
        {"memo": []},
        {"memo": "relu1_1"},
        {"memo": [MEMO] * 100_000},
        {"memo": [["net", "relu1_1", [32, 48]]]},
        {"memo": [["net", "relu9_9", [32, 48], 1536.0]]},
        {"memo": [["net", "poolx", [32, 48], 1536.0]]},
        {"memo": [["net", "relu1_1", [10**400, 48], 1536.0]]},
        {"memo": [["net", "relu1_1", [32, True], 1536.0]]},
        {"memo": [["net", "relu1_1", [32, 48], 10**400]]},
        {"memo": [["net", "relu1_1", [32, 48], -1.0]]},
        {"memo": [["net", "relu1_1", [32, 48], float("nan")]]},
        {"memo": [["n" * 100_000, "relu1_1", [32, 48], 1536.0]]},
        {"memo": [[None, "relu1_1", [32, 48], 1536.0]]},
        {"aspect": [10**400, 1]},
        {"aspect": [0, 1]},
        {"aspect": [1.5, 1]},
        {"aspect": "ab"},
        {"aspect": [1, 2, 3]},
        {"size": 10**400},
        {"size": True},
        {"size": None},
        {"weight": 10**400},
        {"weight": float("inf")},
        {"weight": -1},
        {"weight": "1"},
    ],
)
def test_what_a_style_cannot_be_is_refused_in_a_short_sentence(tmp_path, changes):
    said = refusal(written(tmp_path / "a.safetensors", [{**STYLE, **changes}]))
    assert "is not a saved style, or it is damaged" in said and len(said) < 600


@pytest.mark.parametrize(
    "changes",
    [
        {"styles": {}},
        {"styles": None},
        {"styles": [None]},
        {"version": "1"},
        {"version": True},
        {"version": 10**400},
        {"vgg_key": ["net"]},
        {"vgg_key": "n" * 100_000},
    ],
)
def test_what_a_file_cannot_be_is_refused_in_a_short_sentence(tmp_path, changes):
    said = refusal(written(tmp_path / "a.safetensors", [STYLE], changes=changes))
    assert "is not a saved style, or it is damaged" in said and len(said) < 600


def test_a_description_that_is_nested_beyond_reason_is_refused(tmp_path):
    text = json.dumps({"__metadata__": {"nst": "[" * 200_000}}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    assert "nested too deep" in refusal(tmp_path / "a.safetensors")


def test_texts_from_a_file_are_cut_and_cleaned_before_they_are_shown(tmp_path):
    nasty = "\x1b[2J\x07\u202e\ud800" + "x" * 5000
    grams = nst.StyleGrams.load(written(tmp_path / "a.safetensors", [STYLE], changes={"vgg": nasty}))
    assert len(grams.vgg_description) <= 201 and grams.vgg_description.isprintable()
    said = refusal(written(tmp_path / "a.safetensors", [{**STYLE, "memo": [["net", nasty, [32, 48], 1536.0]]}]))
    assert said.isprintable() and len(said) < 600


def test_a_blend_of_heavy_styles_has_a_sum(tmp_path):
    grams = nst.StyleGrams.load(written(tmp_path / "a.safetensors", [{**STYLE, "weight": 1e30}] * 3))
    assert [style.weight for style in grams.weighted(3.0).styles] == pytest.approx([1.0] * 3)


def test_what_was_loaded_does_not_change_with_its_file(tmp_path):
    path = written(tmp_path / "a.safetensors", [STYLE])
    (style,) = nst.StyleGrams.load(path).styles
    with path.open("r+b") as file:
        file.seek(-4 * CHANNELS * (CHANNELS + 3) // 2, os.SEEK_END)
        file.write(struct.pack("<f", 1.0) * CHANNELS)
    (found,) = style.memo.values()
    assert torch.equal(found.mean, torch.zeros(CHANNELS))
