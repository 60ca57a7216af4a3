"""What `nst` can be asked: its commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from . import RECIPES, NSTError, __version__
from .files import FORMATS
from .levels import OWN_SIZE, RECIPE_SIZE
from .precision import PRECISIONS
from .regions import MODES
from .stylize import KEEP_COLOURS, OPTIMIZERS, check_keep_colours
from .vgg import PADDINGS, POOLINGS
from .weights import BUILT_IN, INPUTS


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise NSTError(f"{message}; see {self.prog} --help")


def _whole(low: int, high: int = 2**63) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value

    return number


def _colours(text: str) -> tuple[str, float]:
    method, _, strength = text.partition("=")
    try:
        value = float(strength or 1)
        check_keep_colours(method, value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error
    return method, value


def _tile(text: str) -> int | str | None:
    if text in ("auto", "off"):
        return None if text == "off" else text
    try:
        return _whole(1)(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not auto, off or a number of pixels") from None


def parser() -> argparse.ArgumentParser:
    root = _Parser(prog="nst", description="Neural style transfer.")
    root.add_argument("--version", action="version", version=f"nst {__version__}")
    commands = root.add_subparsers(required=True, dest="command", metavar="COMMAND")
    _stylize_arguments(commands.add_parser("stylize", help="give a picture the style of others"))

    again = commands.add_parser(
        "again",
        help="make a result once more, from the settings in it",
        usage="nst again RESULT [OPTION of nst stylize …]",
        description="Makes a result of nst stylize once more from the settings it carries; options given change them. "
        "Pictures are looked for where they were, then beside RESULT. Without -o the new one lies there, too.",
    )
    again.add_argument("result", metavar="RESULT")
    again.add_argument("changes", nargs=argparse.REMAINDER, help="options of nst stylize")

    run = commands.add_parser("run", help="run a ComfyUI workflow (API format), here or on a server")
    run.add_argument("workflow", metavar="WORKFLOW.json")
    run.add_argument("--server", metavar="URL", help="a running ComfyUI, such as http://127.0.0.1:8188; default: here")
    run.add_argument("--input", metavar="DIR", default=".", help="where loaders find files; default: %(default)s")
    run.add_argument("--output", metavar="DIR", default="output", help="where files go; default: %(default)s")
    run.add_argument(
        "--set",
        metavar="NODE.INPUT=VALUE",
        action="append",
        default=[],
        help="change an input; NODE: id, title or class",
    )
    _common_arguments(run)

    commands.add_parser("recipes", help="list the recipes")
    return root


def _common_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--models", metavar="FOLDER", action="append", default=[], help="where weights files lie; may be repeated"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, no notes; only where the picture is")


def _stylize_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    parser.description = (
        "Writes CONTENT in the style of STYLE to OUT and prints its path. Settings, names and this command line are "
        "stored in the picture, for nst again. Ctrl-C ends early and keeps the picture so far."
    )
    add("content", metavar="CONTENT")
    add("styles", metavar="STYLE", nargs="+", help="a picture, or a style from --save-style; several are blended")
    add("-o", "--out", metavar="OUT", required=True, help=f"a file ending in {' '.join(FORMATS)}")
    add("--recipe", choices=RECIPES, default="balanced", metavar="RECIPE", help="see nst recipes; default: %(default)s")
    rate = "multiplies the recipe's own; default: 1"
    group = parser.add_argument_group("instead of what the recipe says")
    add = group.add_argument
    add("--steps", type=_whole(0), metavar="N", help="evaluations of the loss in all; 0 gives back the start")
    add("--optimizer", choices=OPTIMIZERS)
    add("--lr", type=float, metavar="RATE", help="learning rate")
    add("--content-weight", type=float, default=1.0, metavar="X", help=rate)
    add("--style-weight", type=float, default=1.0, metavar="X", help=rate)
    add("--tv-weight", type=float, metavar="X", help="smoothing; 1 is a light one, 0 none")
    add("--start", metavar="content|noise|PATH", help="what the first step begins from")
    add("--size", type=_whole(RECIPE_SIZE), default=RECIPE_SIZE, metavar="PIXELS", help="long side; 0: CONTENT's own")
    add("--scales", type=_whole(1), metavar="N", help="coarse-to-fine levels; more give larger strokes")
    add("--style-layers", metavar="LAYERS", help='such as "relu3_2=0.5, conv4_2=1"; these alone')
    add("--content-layers", metavar="LAYERS")
    add("--pooling", choices=POOLINGS, default="recipe")
    add("--padding", choices=PADDINGS, default="recipe")
    group = parser.add_argument_group("styles")
    add = group.add_argument
    add("--style-size", type=_whole(0), default=OWN_SIZE, metavar="PIXELS", help="long side; 0: as large as the result")
    add("--style-weights", type=float, nargs="+", metavar="W", help="one for each STYLE; only proportions matter")
    add("--save-style", metavar="FILE", help="keep the measured style, ending in .safetensors; needs --style-size")
    group = parser.add_argument_group(
        "masks",
        "A mask is a picture in the proportions of the one it is for. White is covered, black is not, grey is in part; "
        "where a file has transparent parts, what is opaque is covered, whatever its colour.",
    )
    add = group.add_argument
    each = "one FILE for each STYLE, - for none"
    add("--style-masks", nargs="+", metavar="FILE", help=f"the part of STYLE that is the style; {each}")
    add("--regions", nargs="+", metavar="FILE", help=f"the part of CONTENT that takes on STYLE; {each}: the rest")
    add("--mask-mode", choices=MODES, default="simple", help="at edges: in part, or nothing that sees beyond them")
    add("--protect", metavar="FILE", help="where CONTENT stays as it is")
    group = parser.add_argument_group("network and machine")
    add = group.add_argument
    add("--weights", default=BUILT_IN[0], metavar="NAME|PATH", help=f"{', '.join(BUILT_IN)}, or a file")
    add("--input", choices=INPUTS, default="auto", help="what a weights file of your own was trained on")
    add("--precision", choices=PRECISIONS, default="auto")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps …")
    add("--tile", type=_tile, default="auto", metavar="auto|off|PIXELS", help="of the picture at a time: saves memory")
    add("--seed", type=_whole(0, 2**64 - 1), default=0, metavar="N", help="of the noise start")
    group = parser.add_argument_group("output")
    group.add_argument(
        "--keep-colours",
        type=_colours,
        default=("none", 1.0),
        metavar="METHOD[=STRENGTH]",
        help=f"give OUT the colours of CONTENT: {', '.join(KEEP_COLOURS)}; such as lab=0.5",
    )
    group.add_argument(
        "--bits", type=int, choices=(8, 16), help="per channel; default: CONTENT's, if OUT can hold them"
    )
    group.add_argument("--quality", type=_whole(1, 100), default=95, metavar="N", help="of JPEG and WebP; default: 95")
    _common_arguments(group)
