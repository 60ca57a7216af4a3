"""The pictures of docs/methods.md, which method when: the same four pairs through all of them.

python tools/make_methods.py              makes every picture, with all steps: for a GPU
python tools/make_methods.py PAIR ...     makes these, such as landscape-mosaic
python tools/make_methods.py --only NAME  makes what this method paints, and keeps the rest of each sheet
python tools/make_methods.py --page       makes none; links those that are there
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from sheets import contact_sheet, image_of

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import nst_engine as nst  # noqa: E402
from nst_engine.pictures.files import read_picture  # noqa: E402
from nst_engine.pictures.images import fit_long, resize, shape_of  # noqa: E402

DOCS, EXAMPLES = ROOT / "docs", ROOT / "nodes" / "examples"
PAIRS = tuple(
    (content, style)
    for content, styles in (("landscape", ("strokes", "mosaic")), ("still-life", ("fields", "watercolour")))
    for style in styles
)
# What stands in each picture, and how it is made.
Methods = Sequence[tuple[str, dict[str, Any]]]
METHODS: Methods = (
    ("balanced", {"recipe": "balanced"}),
    ("balanced, laplacian", {"recipe": "balanced", "content_measure": "laplacian"}),
    ("classic", {"recipe": "classic"}),
    ("strotss", {"recipe": "strotss"}),
    ("nnst", {"recipe": "nnst"}),
)
SIZE = 256
COLUMNS = 4

PAGE, HEADING_OF_PICTURES = DOCS / "methods.md", "## The same pairs through all of them\n"


def sheet(
    content: str, style: str, methods: Methods, old: Image.Image | None = None, only: Collection[str] = ()
) -> Image.Image:
    """Both pictures, and what every method makes of them; but for `only` these methods, what is on an old sheet."""
    pixels = [read_picture(EXAMPLES / f"{name}.jpg").pixels for name in (f"content-{content}", f"style-{style}")]
    shape = fit_long(shape_of(pixels[0]), SIZE)
    vgg = nst.load_vgg("vgg19-caffe")
    cells = [("your picture", resize(pixels[0], shape)), ("the style", _within(pixels[1], shape))]
    pictures = [(title, image_of(pixels[0].clamp(0, 1))) for title, pixels in cells]
    for title, how in methods:
        if old is not None and only and title not in only:
            left, top = len(pictures) % COLUMNS * shape[1], len(pictures) // COLUMNS * shape[0]
            pictures.append((title, old.crop((left, top, left + shape[1], top + shape[0]))))
            continue
        began = time.perf_counter()
        grams = nst.compute_style_grams(vgg, pixels[1], recipe=how["recipe"])
        result = nst.stylize(vgg, pixels[0], grams, size=SIZE, **how)
        pictures.append((title, image_of(result.image[0].clamp(0, 1))))
        print(f"{content}-{style}: {title}, {time.perf_counter() - began:.0f} s", flush=True)
    return contact_sheet(pictures, COLUMNS, (shape[1], shape[0]), "white")


def _within(pixels: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """The middle of it, as wide and as high."""
    scale = max(a / b for a, b in zip(shape, shape_of(pixels), strict=True))
    h, w = (max(side, round(side_of * scale)) for side, side_of in zip(shape, shape_of(pixels), strict=True))
    top, left = (h - shape[0]) // 2, (w - shape[1]) // 2
    return resize(pixels, (h, w))[..., top : top + shape[0], left : left + shape[1]]


def page(text: str) -> str:
    """With the pictures that are there below their heading."""
    before, heading, rest = text.partition(HEADING_OF_PICTURES)
    _, next_heading, after = rest.partition("\n## ")
    names = [f"{content}-{style}" for content, style in PAIRS]
    there = [name for name in names if (DOCS / "methods" / f"{name}.jpg").exists()]
    said = (
        f"The pack's own pictures, {SIZE} pixels, all else as the recipes have it. `tools/make_methods.py` makes them."
        if there
        else "![balanced, strotss and nnst on one pair](../workflows/Three%20ways%20to%20paint.jpg)\n\n"
        "The template *Three ways to paint*, 224 pixels. `tools/make_methods.py` makes four pairs by every method,\n"
        "which takes hours on a CPU."
    )
    pictures = [f"![{name}: both pictures, and every method](methods/{name}.jpg)" for name in there]
    return before + heading + "\n" + "\n\n".join([said, *pictures]) + "\n" + next_heading + after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [f"{content}-{style}" for content, style in PAIRS]
    parser.add_argument("pairs", nargs="*", metavar="PAIR")
    parser.add_argument("--page", action="store_true", help="make no picture")
    titles = [title for title, _ in METHODS]
    parser.add_argument("--only", nargs="+", choices=titles, default=[], metavar="NAME", help="methods")
    parser.add_argument("--to", type=Path, default=DOCS / "methods", metavar="FOLDER", help="for the pictures")
    given = parser.parse_args()
    if unknown := set(given.pairs) - set(names):
        parser.error(f"no pair is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    for pair, name in zip(PAIRS, names, strict=True):
        if not given.page and name in (given.pairs or names):
            given.to.mkdir(parents=True, exist_ok=True)
            there = DOCS / "methods" / f"{name}.jpg"
            old = Image.open(there) if given.only and there.exists() else None
            sheet(*pair, METHODS, old, given.only).save(given.to / f"{name}.jpg", quality=85, optimize=True)
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
