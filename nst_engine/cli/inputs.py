"""What `nst stylize` and `nst texture` read: its files found, checked against what it writes, and read."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from ..errors import NSTError
from ..network.weights_location import BUILT_IN
from ..options import Options
from ..pictures.files import Picture, check_target, picture_shape, read_picture
from ..pictures.images import shape_of
from ..recipes import RECIPES, STARTS
from ..run.levels import levels_of, stroke_side, target_shape, usual_steps
from ..statistics.masks import check_mask, fit_mask
from ..styles.grams import StyleGrams
from ..styles.saved import SUFFIX

Read = Callable[[Path], Picture]
NONE = "-"  # in the place of a mask
NAMED_STARTS = tuple(start for start in STARTS if start != "image")  # for that, --start has the picture's path


@dataclass(frozen=True, eq=False)
class StyleInput:
    style: Picture | StyleGrams
    mask: torch.Tensor | None  # 1x1xHxW, as the region
    region: torch.Tensor | None


@dataclass(frozen=True, eq=False)
class Inputs:
    content: Picture | None
    styles: list[StyleInput]
    start: Picture | None
    protect: torch.Tensor | None

    @property
    def model(self) -> Picture | None:
        """Whose depth and colour profile the result has: the content, or the first style that is a picture."""
        styles = (given.style for given in self.styles)
        return self.content or next((style for style in styles if isinstance(style, Picture)), None)


def files_of(args: argparse.Namespace) -> dict[str, str]:
    """Every file that a job reads, by what it is to the job."""
    found = {"content": args.content}
    for name in ("styles", "style_masks", "regions"):
        found |= {f"{name}.{i}": file for i, file in enumerate(getattr(args, name) or (), 1) if file != NONE}
    if args.protect not in (None, NONE):
        found["protect"] = args.protect
    if args.start is not None and args.start not in NAMED_STARTS:
        found["start"] = args.start
    if args.weights not in BUILT_IN:
        found["weights"] = args.weights
    return found


def style_side(args: argparse.Namespace, side: int) -> int:
    """How large styles are measured for a result with this long side."""
    return stroke_side(args.stroke_size, side) if args.stroke_size else args.style_size or side


@dataclass(frozen=True)
class Paths:
    content: Path | None
    styles: list[Path]
    start: Path | None
    masks: list[Path | None]  # one for each style, as the regions
    regions: list[Path | None]
    protect: Path | None


def paths_of(args: argparse.Namespace) -> Paths:
    """What is to be read; raises where the options do not go together."""
    styles = [Path(style) for style in args.styles]
    start = _find_start(args.start)
    masks = _find_masks(args.style_masks, "--style-masks", len(styles))
    regions = _find_masks(args.regions, "--regions", len(styles))
    if args.style_copies != "none" and all(map(_is_saved, styles)):
        raise NSTError("--style-copies: a saved style has been measured already; leave it out, or give the picture.")
    protect = None if args.protect in (None, NONE) else Path(args.protect)
    return Paths(None if args.content is None else Path(args.content), styles, start, masks, regions, protect)


def read_inputs(args: argparse.Namespace, read: Callable[..., Picture] = read_picture) -> Inputs:
    """`read` reads the pictures of styles; one that keeps them spares the next call the work."""
    given = paths_of(args)
    content = given.content
    paths = [
        path for path in (content, *given.styles, given.start, *given.masks, *given.regions, given.protect) if path
    ]
    _check_output(Path(args.out), args.bits or 8, paths)
    _check_style_target(args, paths)

    # What is read of the content and for it, and of a style and for it, goes by the size that each is used at.
    side = max(result_shape(args, content))
    of_result = partial(read_picture, side=side, large=args.large)
    of_style = partial(read, side=max(style_side(args, side), args.style_size), large=args.large)
    picture = None if content is None else of_result(content)
    styles = []
    for style, mask, region in zip(given.styles, given.masks, given.regions, strict=True):
        part = None if picture is None else _read_mask(region, "--regions", picture, of_result)
        styles.append(_read_style(style, mask, part, of_style))
    return Inputs(
        picture,
        styles,
        of_result(given.start) if given.start else None,
        None if picture is None else _read_mask(given.protect, "--protect", picture, of_result),
    )


def result_shape(args: argparse.Namespace, content: Path | None) -> tuple[int, int]:
    """Height and width of the result; where they depend on the device, the larger."""
    if content is None:
        return args.height, args.width
    return target_shape(picture_shape(content), args.size, RECIPES[args.recipe], torch.device("cuda"))


def work_of(args: argparse.Namespace, shape: tuple[int, int]) -> tuple[int, float]:
    """The steps that a result of this shape takes, and how many megapixels they work on in all, most of them on levels
    smaller than it is."""
    recipe = Options(recipe=args.recipe, steps=args.steps, optimizer=args.optimizer).used_recipe
    if args.steps is None:
        recipe = replace(recipe, steps=usual_steps(shape, recipe, args.scales))
    levels = levels_of(shape, recipe, args.scales) if recipe.steps else []
    # A step's worth for measuring at every level.
    pixels = sum(level.shape[0] * level.shape[1] * (level.steps + 1) for level in levels)
    return recipe.steps, pixels / 1e6


def _find_start(name: str | None) -> Path | None:
    if name is None or name in NAMED_STARTS:
        return None
    path = Path(name)
    if not path.exists():
        raise NSTError(f"--start: {name}: no such file, and none of {', '.join(NAMED_STARTS)}.")
    return path


def _find_masks(names: list[str] | None, option: str, count: int) -> list[Path | None]:
    if not names:
        return [None] * count
    if len(names) != count:
        raise NSTError(f"{option}: {len(names)} for {count} styles; give one for each, {NONE} for none.")
    return [None if name == NONE else Path(name) for name in names]


def _read_style(path: Path, mask: Path | None, region: torch.Tensor | None, read: Read) -> StyleInput:
    if not _is_saved(path):
        picture = read(path)
        return StyleInput(picture, _read_mask(mask, "--style-masks", picture, read), region)
    if mask:
        raise NSTError(f"--style-masks: {path} has been measured already; give {NONE} for it, or its picture.")
    return StyleInput(StyleGrams.load(path), None, region)


def _read_mask(path: Path | None, option: str, of: Picture, read: Read) -> torch.Tensor | None:
    if path is None:
        return None
    name, picture = f"{option}: {path}", read(path)
    mask = luma_mask(picture.pixels, picture.alpha)
    fit_mask(check_mask(mask, name), shape_of(of.pixels), name)  # refused here, where its file is known
    return mask


def luma_mask(pixels: torch.Tensor, alpha: torch.Tensor | None) -> torch.Tensor:
    """1x1xHxW: what is opaque; where everything is, what is white."""
    if alpha is not None and float(alpha.min()) < 1:
        return alpha
    r, g, b = pixels.split(1, 1)
    luma: torch.Tensor = g + 0.299 * (r - g) + 0.114 * (b - g)  # of a grey exactly that grey
    return luma.clamp(0, 1)


def _check_output(out: Path, bits: int, inputs: list[Path]) -> None:
    """Raise now what would otherwise be raised when hours of work are to be written."""
    check_target(out, bits)
    try:
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise NSTError(f"{out}: the folder {out.parent} cannot be written to ({error.strerror}).") from error
    for path in inputs:
        if out.exists() and path.exists() and out.samefile(path):
            raise NSTError(f"{out}: this is one of the pictures to be read, and would be lost; give another --out.")


def _is_saved(style: str | Path) -> bool:
    return Path(style).suffix.lower() == SUFFIX


def _check_style_target(args: argparse.Namespace, inputs: list[Path]) -> None:
    """The same for the file of --save-style."""
    if not args.save_style:
        return
    path = Path(args.save_style)
    if not _is_saved(path) or path.is_dir() or not path.parent.is_dir():
        raise NSTError(f"--save-style: {path} will not do; name a file ending in {SUFFIX}, in a folder that exists.")
    if any(path.exists() and given.exists() and path.samefile(given) for given in inputs):
        raise NSTError(f"--save-style: {path} is one of the files to be read, and would be lost; give another name.")
    if not args.style_size and not all(map(_is_saved, args.styles)):
        raise NSTError("--save-style: a style as large as the result has no size to be saved at; give --style-size.")
