"""Styles as files: the statistics without the pictures, so that a style can be passed on and the picture kept.

A .safetensors file whose metadata has one entry, `nst`: a JSON object with the format's version, the network, and for
every style its weight, size, proportions and list of statistics (network key, layer, height and width, positions).
Statistics number j of style i are the tensors `i.j.mean` and `i.j.moment`, of which the upper triangle is kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from .distances import Statistics
from .errors import NSTError
from .grams import MemoKey, Style, StyleGrams, check_weight
from .images import LARGEST_SIDE, fit_long, resize
from .vgg import channels

VERSION = 1
SUFFIX = ".safetensors"
# How such a file begins, after eight bytes for the length of its header.
MARK = b'{"__metadata__":{"nst":'
THUMBNAIL = (128, 128, 3)  # the picture fills the longer side


def save(grams: StyleGrams, path: Path, thumbnails: bool) -> None:
    """The file appears complete or not at all."""
    from safetensors.torch import save as serialise

    tensors: dict[str, torch.Tensor] = {}
    styles = []
    for i, style in enumerate(grams.styles):
        with style.lock:
            memo = list(style.memo.items())
        if not memo:
            raise NSTError(f"style grams: {style.name} has not been measured yet, so there is nothing to save.")
        for j, (_, s) in enumerate(memo):
            # A clone: two styles of a blend may share their statistics, and the format wants each once.
            tensors[f"{i}.{j}.mean"], tensors[f"{i}.{j}.moment"] = s.mean.clone(), triangle(s.moment)
        small = _thumbnail(style) if thumbnails else None
        if small is not None:
            tensors[f"{i}.thumbnail"] = small
        described = {"weight": style.weight, "size": style.size, "aspect": style.aspect}
        styles.append({**described, "memo": [[*key, s.n] for key, s in memo]})
    header = {"version": VERSION, "vgg_key": grams.vgg_key, "vgg": grams.vgg_description, "styles": styles}
    part = path.with_name(f".nst-{os.urandom(8).hex()}.part")
    try:
        # Not by the format's own function for files, which lets nobody else read them.
        part.write_bytes(serialise(tensors, {"nst": json.dumps(header)}))
        os.replace(part, path)
    except OSError as error:
        raise NSTError(f"style grams: {path} cannot be written ({error}).") from error
    finally:
        part.unlink(missing_ok=True)


def load(path: Path) -> StyleGrams:
    """Styles that are named after the file: what their pictures were called was not saved, either."""
    try:
        header, tensors = _read(path)
        if header["version"] <= VERSION:
            return _grams(header, tensors, path.stem)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can break its reader anywhere, with any exception
        raise NSTError(f"style grams: {path} is not a saved style, or it is damaged ({error}).") from error
    raise NSTError(
        f"style grams: {path} was saved by a newer version (format {header['version']}; this one reads up to "
        f"{VERSION}). Update the pack."
    )


def _read(path: Path) -> tuple[Mapping, dict[str, torch.Tensor]]:
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        text = (file.metadata() or {}).get("nst")
        if text is None:  # said before the tensors are read: a checkpoint has gigabytes of them
            raise ValueError("nothing in it says so")
        return json.loads(text), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)


def _grams(header: Mapping, tensors: Mapping[str, torch.Tensor], name: str) -> StyleGrams:
    entries = header["styles"]
    if not entries:
        raise ValueError("it holds none")
    names = [name] if len(entries) == 1 else [f"{name} {i}" for i in range(1, len(entries) + 1)]
    styles = [_style(entry, i, tensors, names[i]) for i, entry in enumerate(entries)]
    return StyleGrams(styles, str(header["vgg_key"]), str(header["vgg"]))


def looks_saved(path: Path) -> bool:
    """By its first bytes alone: other files that end like this may have gigabytes."""
    try:
        with path.open("rb") as file:
            return file.read(8 + len(MARK))[8:] == MARK
    except OSError:
        return False


def triangle(moment: torch.Tensor) -> torch.Tensor:
    """The upper triangle of a symmetric matrix, row by row: half the file."""
    rows, columns = torch.triu_indices(*moment.shape)
    return moment[rows, columns]


def _from_triangle(values: torch.Tensor, c: int) -> torch.Tensor:
    rows, columns = torch.triu_indices(c, c)
    moment = values.new_empty(c, c)
    moment[rows, columns] = values
    moment[columns, rows] = values
    return moment


def _thumbnail(style: Style) -> torch.Tensor | None:
    if style.picture is None:
        return style.thumbnail
    height, width = fit_long(style.aspect, max(THUMBNAIL))
    top, left = (THUMBNAIL[0] - height) // 2, (THUMBNAIL[1] - width) // 2
    codes = (resize(style.picture, (height, width))[0] * 255).round().to(torch.uint8)
    square = torch.zeros(THUMBNAIL, dtype=torch.uint8)
    square[top : top + height, left : left + width] = codes.movedim(0, -1)
    return square


def _style(entry: Mapping, i: int, tensors: Mapping[str, torch.Tensor], name: str) -> Style:
    memo: dict[MemoKey, Statistics] = {}
    for j, (key, tap, (h, w), n) in enumerate(entry["memo"]):
        mean, values, c = tensors[f"{i}.{j}.mean"], tensors[f"{i}.{j}.moment"], channels(tap)
        for tensor, shape in ((mean, (c,)), (values, (c * (c + 1) // 2,))):
            if tensor.shape != shape or tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
                raise ValueError(f"the statistics of {tap} are not those of {c} channels")
        memo[str(key), str(tap), (int(h), int(w))] = Statistics(mean, _from_triangle(values, c), float(n))
    (height, width), size = map(int, entry["aspect"]), int(entry["size"])
    if min(height, width) < 1 or not 0 <= size <= LARGEST_SIDE:
        raise ValueError(f"{width}×{height} at size {size} cannot be")
    thumbnail = tensors.get(f"{i}.thumbnail")
    if thumbnail is not None and (thumbnail.shape != THUMBNAIL or thumbnail.dtype != torch.uint8):
        raise ValueError("its thumbnail is not one")
    weight = check_weight(float(entry["weight"]))
    return Style(None, weight, size, name, (height, width), memo, thumbnail=thumbnail)
