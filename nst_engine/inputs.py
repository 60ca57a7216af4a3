"""What `nst stylize` and `nst texture` read: its files found, checked against what it writes, and read."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from .errors import NSTError
from .files import Picture, check_target, read_picture
from .grams import StyleGrams
from .images import shape_of
from .recipes import STARTS
from .regions import check_mask, fit_mask
from .saved import SUFFIX

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


def read_inputs(args: argparse.Namespace, beside: Path | None) -> Inputs:
    """Files are looked for in the folder `beside`, too."""
    content = None if args.content is None else _find(args.content, beside)
    styles = [_find(style, beside) for style in args.styles]
    start = _find_start(args.start, beside)
    masks = _find_masks(args.style_masks, "--style-masks", len(styles), beside)
    regions = _find_masks(args.regions, "--regions", len(styles), beside)
    protect = None if args.protect in (None, NONE) else _find(args.protect, beside)
    paths = [path for path in (content, *styles, start, *masks, *regions, protect) if path]
    _check_output(Path(args.out), args.bits or 8, paths)
    _check_style_target(args, paths)

    picture = None if content is None else read_picture(content)
    return Inputs(
        picture,
        [_read_style(*files, picture) for files in zip(styles, masks, regions, strict=True)],
        read_picture(start) if start else None,
        None if picture is None else _read_mask(protect, "--protect", picture),
    )


def _find(name: str, beside: Path | None) -> Path:
    """As given; else in the folder `beside`, by the same path or by name alone."""
    path = Path(name)
    candidates = [path, *([beside / path, beside / path.name] if beside else [])]
    return next((candidate for candidate in candidates if candidate.is_file()), path)


def _find_start(name: str | None, beside: Path | None) -> Path | None:
    if name is None or name in NAMED_STARTS:
        return None
    path = _find(name, beside)
    if not path.exists():
        raise NSTError(f"--start: {name}: no such file, and none of {', '.join(NAMED_STARTS)}.")
    return path


def _find_masks(names: list[str] | None, option: str, count: int, beside: Path | None) -> list[Path | None]:
    if not names:
        return [None] * count
    if len(names) != count:
        raise NSTError(f"{option}: {len(names)} for {count} styles; give one for each, {NONE} for none.")
    return [None if name == NONE else _find(name, beside) for name in names]


def _read_style(path: Path, mask: Path | None, region: Path | None, content: Picture | None) -> StyleInput:
    part = None if content is None else _read_mask(region, "--regions", content)
    if not _is_saved(path):
        picture = read_picture(path)
        return StyleInput(picture, _read_mask(mask, "--style-masks", picture), part)
    if mask:
        raise NSTError(f"--style-masks: {path} has been measured already; give {NONE} for it, or its picture.")
    return StyleInput(StyleGrams.load(path), None, part)


def _read_mask(path: Path | None, option: str, of: Picture) -> torch.Tensor | None:
    """What is opaque; where everything is, what is white."""
    if path is None:
        return None
    name, picture = f"{option}: {path}", read_picture(path)
    if picture.alpha is not None and float(picture.alpha.min()) < 1:
        mask = picture.alpha
    else:
        r, g, b = picture.pixels.split(1, 1)
        mask = (g + 0.299 * (r - g) + 0.114 * (b - g)).clamp(0, 1)  # luma, and of a grey exactly that grey
    fit_mask(check_mask(mask, name), shape_of(of.pixels), name)  # refused here, where its file is known
    return mask


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
