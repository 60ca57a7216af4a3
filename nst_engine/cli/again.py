"""`nst again`: the command stored in a result, run once more. The result may come from a stranger.

A stored command may name any file of this machine and ask for any amount of work. So the files it names are read only
from the result's folder, or from folders that the user names, and what it says of where to write, or where weights lie,
is ignored. What the user adds is trusted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import NSTError
from ..network.weights_location import BUILT_IN, is_there
from ..pictures.files import read_settings
from ..system.safe_files import below
from ..system.safe_text import shown
from ..video.encode import ENCODERS, clip_settings
from .arguments import COSTLY_LOOKS, COSTLY_SIDE, COSTLY_STYLES, COSTLY_WORK, parser
from .inputs import NAMED_STARTS, NONE, result_shape, style_side, work_of
from .video import clip_work

# The least that a command says, by its name. With the user's changes it tells what the user gave.
LEAST = {
    "stylize": ["stylize", "CONTENT", "STYLE", "--out", "OUT"],
    "texture": ["texture", "STYLE", "--out", "OUT", "--width", "1", "--height", "1"],
    "video": ["video", "CLIP", "STYLE", "--out", "OUT"],
}


@dataclass(frozen=True)
class Repeat:
    args: argparse.Namespace
    argv: list[str]  # goes into the new picture
    summary: str  # what will be done, in words
    costs: list[str]  # what goes beyond what is done unasked
    stopped_early: bool


def repeat(old: Path, changes: Sequence[str], more_folders: Sequence[str]) -> Repeat:
    """The run that made a result, with the user's changes; its files are looked for beside it and in `more_folders`."""
    if old.is_dir():
        raise NSTError(f"{old}: a folder of frames does not say how it was made; only films of nst video do.")
    settings = (clip_settings(old) if old.suffix.lower() in ENCODERS else read_settings(old)) or {}
    stored = settings.get("argv")
    if not isinstance(stored, list) or not all(isinstance(word, str) for word in stored) or stored[:1] == []:
        stored = [""]
    if stored[0] not in LEAST:
        raise NSTError(
            f"{old}: this does not say how it was made; only pictures of nst stylize and nst texture and films of nst "
            "video do, and frames in a folder do not."
        )
    given = parser().parse_args([*LEAST[stored[0]], *changes])
    # The style that was saved then is not saved over.
    argv = [*stored, "--out", str(old.with_stem(f"{old.stem}-again")), "--save-style", "", *changes]
    args = _parsed(argv, old)
    args.models, args.quiet, args.large = given.models, given.quiet, given.large
    if args.command == "video":
        args.restart = given.restart
    folders = [old.parent, *map(Path, more_folders)]
    _find_files(args, given, folders, old)
    if args.command == "video":
        height, width, steps = clip_work(args)
        megapixels = height * width * steps / 1e6
    else:
        height, width = result_shape(args, None if args.content is None else Path(args.content))
        steps, megapixels = work_of(args, (height, width))
    summary = (
        f"again: {' '.join(map(_quoted, [*stored, *changes]))}\n"
        f"reads {', '.join(_files(args))}; makes {width}×{height} pixels in {steps} steps with {args.recipe} and "
        f"{args.weights}; writes {args.out}"
    )
    costs = _costs(args, max(height, width), megapixels)
    return Repeat(args, argv, summary, costs, bool(settings.get("stopped_early")))


def _parsed(argv: list[str], old: Path) -> argparse.Namespace:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return parser().parse_args(argv)
    except SystemExit:  # --help and --version make nothing
        raise NSTError(f"{old}: this picture does not say how it was made.") from None


def _find_files(args: argparse.Namespace, given: argparse.Namespace, folders: list[Path], old: Path) -> None:
    """Replace every name of a file by its path."""

    def found(name: str, option: str) -> str:
        if path := _beside(name, folders, args.command == "video"):
            return str(path)
        raise NSTError(
            f"{option}: {shown(name)} does not lie beside {old}; name the folder it lies in with --from, or change the "
            "option if it has one."
        )

    def found_or_as_given(name: str, _: str) -> str:
        return name if Path(name).exists() else str(_beside(name, folders) or name)

    if args.content is not None:
        args.content = found(args.content, "CONTENT")
    args.styles = [found(style, "STYLE") for style in args.styles]
    for option in ("style_masks", "regions", "protect", "start", *(["flow"] if args.command == "video" else [])):
        look: Callable[[str, str], str] = found if getattr(given, option) is None else found_or_as_given
        value, shown_as = getattr(args, option), "--" + option.replace("_", "-")
        if isinstance(value, list):
            setattr(args, option, [name if name == NONE else look(name, shown_as) for name in value])
        elif value is not None and value != NONE and not (option == "start" and value in NAMED_STARTS):
            setattr(args, option, look(value, shown_as))
    if args.weights not in BUILT_IN and args.weights != given.weights:
        args.weights = str(
            _beside(args.weights, [*folders, *map(Path, given.models)]) or found(args.weights, "--weights")
        )


def _beside(name: str, folders: list[Path], frames: bool = False) -> Path | None:
    """By the same path from there, or by name alone; never by a link that leads out. With `frames`, a folder of them
    will do."""
    for folder in folders:
        for relative in dict.fromkeys((name, re.split(r"[\\/]", name)[-1])):
            with contextlib.suppress(NSTError, OSError):
                path = below(folder, relative, portable=False)
                if path.is_file() or (frames and path.is_dir()):
                    return path
    return None


def _files(args: argparse.Namespace) -> list[str]:
    start = None if args.start in NAMED_STARTS else args.start
    named = [args.content, *args.styles, start, *(args.style_masks or []), *(args.regions or []), args.protect]
    return [name for name in (*named, getattr(args, "flow", None)) if name not in (None, NONE)]


def _quoted(word: str) -> str:
    return word if re.fullmatch(r"[\w./=,:+-]+", word) else "'" + word.replace("'", "'\\''") + "'"


def _costs(args: argparse.Namespace, side: int, megapixels: float) -> list[str]:
    sizes = max(side, style_side(args, side), args.style_size)
    looks = len(set(getattr(args, "look_back", ())))
    found = [
        (sizes > COSTLY_SIDE, f"{sizes} pixels a side (more than {COSTLY_SIDE})"),
        (megapixels > COSTLY_WORK, f"{megapixels:.0f} megapixels in all steps (more than {COSTLY_WORK})"),
        (len(args.styles) > COSTLY_STYLES, f"{len(args.styles)} styles (more than {COSTLY_STYLES})"),
        (looks > COSTLY_LOOKS, f"{looks} earlier frames to look back at (more than {COSTLY_LOOKS})"),
        (not is_there(args.weights, args.models), f"the weights {args.weights} from the internet"),
    ]
    return [text for beyond, text in found if beyond]
