"""Pictures judged by eye, as `python -m bench.pictures` lays them out and counts what was said of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
COLOURS = {"ours": (200, 0, 0), "theirs": (0, 0, 200)}
PAIRS = ["bridge-wheat", "cat-scream", "town-wave", "rocket-night"]


def command(*words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bench.pictures", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def judged(tmp_path: Path) -> tuple[Path, dict[str, dict[str, str]]]:
    """Four pairs of plain pictures on sheets, and the key to them."""
    (tmp_path / "64").mkdir()
    for row in (line.split(",") for line in (ROOT / "bench" / "pairs.csv").read_text().splitlines()[1:]):
        for given in row[1:3]:
            Image.new("RGB", (60, 40), "grey").save(tmp_path / given)
        for name, colour in COLOURS.items():
            Image.new("RGB", (64, 48), colour).save(tmp_path / "64" / f"{row[0]}.{name}.png")
    command(
        *("sheets", "--out", tmp_path, "--from", tmp_path, "--size", 64),
        *("--contestants", "ours,theirs", "--pairs", ",".join(PAIRS)),
    )
    return tmp_path, json.loads((tmp_path / "key.json").read_text())


def test_the_key_says_which_picture_is_on_which_side(judged):
    folder, key = judged
    assert sorted(entry["pair"] for entry in key.values()) == sorted(PAIRS)
    for name, entry in key.items():
        sheet = Image.open(folder / "sheets" / f"{name}.png")
        for side, x in (("left", 0.25), ("right", 0.75)):
            assert sheet.getpixel((round(sheet.width * x), sheet.height - 60)) == COLOURS[entry[side]]


def test_answers_are_counted_by_contestant_and_pair(judged):
    folder, key = judged
    side_of = {name: {entry[side]: side for side in ("left", "right")} for name, entry in key.items()}
    for reader in (1, 2):  # the first always prefers ours; the second does so but for one pair
        lines = []
        for name, entry in key.items():
            preferred = "theirs" if reader == 2 and entry["pair"] == "town-wave" else "ours"
            lines.append(f"{name} {side_of[name][preferred]}")
        (folder / f"answers-{reader}.txt").write_text("\n".join(lines) + "\n")
    said = command("tally", "--out", folder, folder / "answers-1.txt", folder / "answers-2.txt").splitlines()
    assert said[0] == "64 px: ours preferred 7 of 8: 88% (53% to 98%)"
    assert {" ".join(line.split()) for line in said[2:]} == {
        *(f"{pair} 2 : 0" for pair in PAIRS if pair != "town-wave"),
        "town-wave 1 : 1",
    }
