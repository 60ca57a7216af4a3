"""Styles as files: the statistics without the pictures, so that a style can be passed on and the picture kept.

A .safetensors file whose metadata has one entry, `nst`: a JSON object with the format's version, the network, and for
every style its weight, size, proportions, copies measured with it if there were any, and list of statistics (network
key, layer, height and width, positions).
Statistics number j of style i are the tensors `i.j.mean` and `i.j.moment`, of which the upper triangle is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..errors import NSTError
from ..network.architecture import channels, check_taps
from ..pictures.images import LARGEST_SIDE, fit_long, resize
from ..statistics.distances import Statistics
from ..system.safe_files import open_file, write_over
from ..system.safe_text import parse_json, shown
from .copies import check_copies
from .style import Memo, Style, check_weight

VERSION = 1
SUFFIX = ".safetensors"
# How such a file begins, after eight bytes for the length of its header.
MARK = b'{"__metadata__":{"nst":'
THUMBNAIL = (128, 128, 3)  # the picture fills the longer side

# Beyond what anybody saves, and below what would take much memory: a file from elsewhere can say anything.
LONGEST_HEADER = 2**23  # bytes; the safetensors format's own table is in it
MOST_STYLES = 1000
MOST_STATISTICS = 1000  # of one style
LONGEST_TEXT = 1000
LONGEST_SIDE = 2**30
MOST_POSITIONS = 2.0**60
HEAVIEST = 1e30  # of weights

Read = Callable[[str], torch.Tensor | None]  # a tensor of the file, by name


class Contents(NamedTuple):
    """What `StyleGrams` is made from."""

    styles: Sequence[Style]
    vgg_key: str
    vgg_description: str


def save(contents: Contents, path: Path, thumbnails: bool) -> None:
    content = to_bytes(contents, thumbnails)
    try:
        write_over(path, lambda file: file.write(content))
    except OSError as error:
        raise NSTError(f"grams: {path} cannot be written ({error}).") from error


def to_bytes(contents: Contents, thumbnails: bool) -> bytes:
    """What a file of these styles holds."""
    from safetensors.torch import save as serialise

    tensors: dict[str, torch.Tensor] = {}
    styles = []
    for i, style in enumerate(contents.styles):
        memo = style.memo.entries()
        if not memo:
            raise NSTError(f"grams: {style.name} has not been measured yet, so there is nothing to save.")
        for j, (_, s) in enumerate(memo):
            # A clone: two styles of a blend may share their statistics, and the format wants each once.
            tensors[f"{i}.{j}.mean"], tensors[f"{i}.{j}.moment"] = s.mean.clone(), triangle(s.moment)
        small = _thumbnail(style) if thumbnails else None
        if small is not None:
            tensors[f"{i}.thumbnail"] = small
        described: dict[str, Any] = {"weight": style.weight, "size": style.size, "aspect": style.aspect}
        if style.copies != "none":
            described["copies"] = style.copies
        styles.append({**described, "memo": [[*key, s.n] for key, s in memo]})
    header = {"version": VERSION, "vgg_key": contents.vgg_key, "vgg": contents.vgg_description}
    header["styles"] = styles
    return serialise(tensors, {"nst": json.dumps(header)})


def load(path: Path) -> Contents:
    """Styles that are named after the file: what their pictures were called was not saved, either."""
    try:
        with _opened(path) as file:
            header = _header(file)
            version = _number(header["version"], "format", 1, 2**31, whole=True)
            if version <= VERSION:
                names = set(file.keys())
                # A clone: what was read may be the file itself, mapped into memory, and change with it.
                return _contents(header, lambda k: file.get_tensor(k).clone() if k in names else None, shown(path.stem))
    except MemoryError:
        raise
    except OSError as error:
        raise NSTError(f"grams: {path} cannot be read ({error.strerror or shown(error)}).") from error
    except Exception as error:  # a damaged file can break its reader anywhere, with any exception
        raise NSTError(
            f"grams: {path} is not a saved style, or it is damaged ({shown(error) or type(error).__name__})."
        ) from error
    raise NSTError(
        f"grams: {path} was saved by a newer version (format {version:g}; this one reads up to {VERSION}). "
        "Update the pack."
    )


def _opened(path: Path) -> Any:
    from safetensors import safe_open

    with open_file(path) as file:
        length = int.from_bytes(file.read(8), "little")
    if length > LONGEST_HEADER:
        raise ValueError(f"its table of contents has {length} bytes, of which {LONGEST_HEADER} at most are read")
    return safe_open(str(path), "pt")


def _header(file: Any) -> Mapping[str, Any]:
    text = (file.metadata() or {}).get("nst")
    if text is None:  # said before the tensors are read: a checkpoint has gigabytes of them
        raise ValueError("nothing in it says so")
    header = parse_json(text)
    if not isinstance(header, dict):
        raise ValueError("its description is not a JSON object")
    return header


def _contents(header: Mapping[str, Any], tensor: Read, name: str) -> Contents:
    entries = header["styles"]
    if not isinstance(entries, list) or not 0 < len(entries) <= MOST_STYLES:
        raise ValueError(f"it holds no styles, or more than {MOST_STYLES}")
    names = [name] if len(entries) == 1 else [f"{name} {i}" for i in range(1, len(entries) + 1)]
    styles = [_style(entry, i, tensor, names[i]) for i, entry in enumerate(entries)]
    if not sum(style.weight for style in styles) < float("inf"):
        raise ValueError("its weights come to more than a number can hold")
    return Contents(styles, _text(header["vgg_key"], "network"), shown(header["vgg"]))


def _number(value: object, what: str, low: float, high: float, whole: bool = False) -> float:
    """Bounded before it is used: a file can say 10⁴⁰⁰."""
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise ValueError(f"{what} {shown(value, 20)} is not {'a whole' if whole else 'a'} number from {low} to {high}")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError(f"{what} {shown(value, 20)!r} is no text of at most {LONGEST_TEXT} characters")
    return value


def _sides(value: object, what: str) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{what} is no height and width")
    height, width = (int(_number(side, what, 1, LONGEST_SIDE, whole=True)) for side in value)
    return height, width


def looks_saved(path: Path) -> bool:
    """By its first bytes alone: other files that end like this may have gigabytes."""
    try:
        with open_file(path) as file:
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


def _style(entry: Mapping[str, Any], i: int, tensor: Read, name: str) -> Style:
    listed = entry["memo"]
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_STATISTICS:
        raise ValueError(f"a style has no statistics, or more than {MOST_STATISTICS}")
    memo = Memo()
    for j, (key, tap, shape, n) in enumerate(listed):
        key, tap, shape = _text(key, "network"), _text(tap, "layer"), _sides(shape, "size of statistics")
        memo[key, tap, shape] = _statistics(f"{i}.{j}", tap, _number(n, "positions", 0, MOST_POSITIONS), tensor)
    aspect = _sides(entry["aspect"], "aspect")
    size = int(_number(entry["size"], "size", 0, LARGEST_SIDE, whole=True))
    weight = check_weight(float(_number(entry["weight"], "weight", 0, HEAVIEST)))
    thumbnail = tensor(f"{i}.thumbnail")
    if thumbnail is not None and (thumbnail.shape != THUMBNAIL or thumbnail.dtype != torch.uint8):
        raise ValueError("its thumbnail is not one")
    copies = check_copies(_text(entry.get("copies", "none"), "copies"))
    return Style(None, weight, size, name, aspect, memo, thumbnail=thumbnail, copies=copies)


def _statistics(name: str, tap: str, n: float, tensor: Read) -> Statistics:
    check_taps((tap,), "vgg19", "layer")
    c = channels(tap)
    read = []
    for part, count in (("mean", c), ("moment", c * (c + 1) // 2)):
        found = tensor(f"{name}.{part}")
        if found is None or found.shape != (count,) or found.dtype != torch.float32 or not torch.isfinite(found).all():
            raise ValueError(f"the statistics of {tap} are not those of {c} channels")
        read.append(found)
    return Statistics(read[0], _from_triangle(read[1], c), float(n))
