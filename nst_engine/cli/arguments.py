"""What `nst` can be asked: its commands and their options."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import IO, NoReturn

from .. import RECIPES, NSTError, __version__
from ..network.precision import PRECISIONS
from ..network.vgg import PADDINGS, POOLINGS
from ..network.weights import BUILT_IN, INPUTS
from ..objective.controls import STRONGEST
from ..objective.losses import VARIATIONS
from ..options import KEEP_COLOURS, OPTIMIZERS, PROTECT_MODES, STROKES, check_keep_colours
from ..pictures.files import FORMATS
from ..pictures.images import LARGEST_SIDE
from ..run.levels import OWN_SIZE, RECIPE_SIZE
from ..statistics.distances import STATISTICS
from ..statistics.regions import MODES
from .inputs import NAMED_STARTS

# What nst again does unasked: beyond it, a run takes hours, or much memory.
COSTLY_SIDE = 4096
COSTLY_WORK = 4000  # steps times megapixels of the result
COSTLY_STYLES = 16

STORED = (
    "Settings, names and this command line are stored in the picture, for nst again. Ctrl-C ends early and keeps the "
    "picture so far."
)
COMBINATIONS = ("every", "pairs", "blend")
DEFAULT_NAME = "{folder}/{content}-{style}"
EACH = "one FILE for each STYLE, - for none"

# What the engine's arguments are called here.
OPTIONS = {
    "content": "CONTENT",
    "style": "STYLE",
    "grams": "STYLE",
    "mask": "--style-masks",
    "region": "--regions",
    "layers": "--style-layers",
    "layers.style": "--style-layers",
    "layers.content": "--content-layers",
    "learning_rate": "--lr",
    "start_image": "--start",
    "keep_colours_strength": "--keep-colours",
    "shape": "--width and --height",
    "frames": "CLIP",
    "back": "--look-back",
    **{
        name: f"--{name.replace('_', '-')}"
        for name in (
            *("recipe", "steps", "optimizer", "tv_weight", "tv_kind", "statistic", "shift", "normalise_gradients"),
            *(
                "averaging",
                "start",
                "scales",
                "stroke_size",
                "content_weight",
                "style_weight",
                "strength",
                "start_mix",
                "size",
            ),
            *(
                "temporal_weight",
                "frame_steps",
                "passes",
                "protect",
                "protect_mode",
                "protect_weight",
                "mask_mode",
                "keep_colours",
                "seamless",
                "seed",
                "tile",
            ),
            *("weights", "input", "precision", "device", "pooling", "padding"),
        )
    },
}

_Arguments = argparse.ArgumentParser | argparse._ArgumentGroup


def printable(text: str, stream: IO[str] | None) -> str:
    """With \\u2026 for … and its like where a console's alphabet does not have them."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


class _Parser(argparse.ArgumentParser):
    def format_help(self) -> str:
        return printable(super().format_help(), sys.stdout)

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


def _strokes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if value != 0 and not STROKES[0] <= value <= STROKES[1]:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or between {STROKES[0]:g} and {STROKES[1]:g}")
    return value


def _time(text: str) -> Fraction:
    """75, 1:15 or 0:01:15.5."""
    total = Fraction(0)
    try:
        for part in text.split(":"):
            total = total * 60 + Fraction(part)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; give seconds, or such as 1:15") from None
    if total < 0:
        raise argparse.ArgumentTypeError(f"{text} lies before the beginning")
    return total


def _rate(text: str) -> Fraction:
    with contextlib.suppress(ValueError, ZeroDivisionError):
        if 0 < (rate := Fraction(text)) <= 1000:
            return rate
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames a second; give such as 24 or 30000/1001")


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
    _texture_arguments(commands.add_parser("texture", help="make a picture of any size of a style alone"))
    _batch_arguments(commands.add_parser("batch", help="give many pictures the style of others"))

    _video_arguments(commands.add_parser("video", help="give a clip the style of pictures, without flicker"))

    again = commands.add_parser(
        "again",
        help="make a result once more, from the settings in it",
        usage="nst again RESULT [--from FOLDER] [--yes] [OPTION …]",
        description="Makes a result of nst stylize or nst texture once more from the settings it carries; options "
        "given change them. It says what it will do. Pictures, masks and styles that RESULT names are looked for "
        "beside it and in the folders of --from, and nowhere else; without -o the new picture lies beside it, too.",
    )
    again.add_argument(
        "--from", metavar="FOLDER", dest="folders", action="append", default=[], help="where the files lie, too"
    )
    again.add_argument(
        "--yes",
        action="store_true",
        help=f"go on, though RESULT asks for more than {COSTLY_SIDE} pixels a side, {COSTLY_WORK} steps × megapixels, "
        f"{COSTLY_STYLES} styles, or a download; without it a terminal is asked",
    )
    again.add_argument("result", metavar="RESULT")
    again.add_argument("changes", nargs=argparse.REMAINDER, help="options of the command that made it")

    run = commands.add_parser("run", help="run a ComfyUI workflow (API format), here or on a server")
    run.add_argument("workflow", metavar="WORKFLOW.json")
    run.add_argument("--server", metavar="URL", help="a running ComfyUI, such as http://127.0.0.1:8188; default: here")
    run.add_argument("--input", metavar="DIR", default=".", help="where loaders find files; default: %(default)s")
    run.add_argument("--output", metavar="DIR", default="output", help="where files go; default: %(default)s")
    run.add_argument(
        "--allow-outside",
        action="store_true",
        help="let the workflow read files outside DIR, too: for one of your own, not for a stranger's",
    )
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


def _common_arguments(parser: _Arguments) -> None:
    parser.add_argument(
        "--models", metavar="FOLDER", action="append", default=[], help="where weights files lie; may be repeated"
    )
    parser.add_argument("--large", action="store_true", help="read pictures of more than 134 megapixels, too")
    parser.add_argument("--quiet", action="store_true", help="no progress, no notes; only where the picture is")


def _stylize_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = f"Writes CONTENT in the style of STYLE to OUT and prints its path. {STORED}"
    parser.add_argument("content", metavar="CONTENT")
    _styles_and_out(parser)
    _stylize_options(parser)


def _stylize_options(parser: argparse.ArgumentParser, saves_style: bool = True) -> None:
    rate = "multiplies the recipe's own; default: 1"
    add = _recipe_group(parser, NAMED_STARTS).add_argument
    add("--content-weight", type=float, default=1.0, metavar="X", help=rate)
    add("--style-weight", type=float, default=1.0, metavar="X", help=rate)
    add("--size", type=_whole(RECIPE_SIZE), default=RECIPE_SIZE, metavar="PIXELS", help="long side; 0: CONTENT's own")
    add("--content-layers", metavar="LAYERS")
    group = parser.add_argument_group("the result as a whole")
    add = group.add_argument
    add(
        "--strength",
        type=float,
        default=1.0,
        metavar="X",
        help=f"how much style: 0 gives CONTENT back, 1 is what the recipe says, up to {STRONGEST:g} is more",
    )
    add("--start-mix", type=float, default=0.0, metavar="X", help="of CONTENT in the start: 0, the default, to 1")
    _seamless(group, False)
    _style_group(parser, saves_style)
    add = _mask_group(parser).add_argument
    add("--regions", nargs="+", metavar="FILE", help=f"the part of CONTENT that takes on STYLE; {EACH}: the rest")
    add("--protect", metavar="FILE", help="where CONTENT stays")
    add("--protect-mode", choices=PROTECT_MODES, default="pixels", help="as it is, or stylised with more of CONTENT")
    add("--protect-weight", type=float, default=20.0, metavar="X", help="with content: how much more; default: 20")
    _machine_group(parser)
    _output_group(parser, "CONTENT").add_argument(
        "--keep-colours",
        type=_colours,
        default=("none", 1.0),
        metavar="METHOD[=STRENGTH]",
        help=f"give OUT the colours of CONTENT: {', '.join(KEEP_COLOURS)}; such as lab=0.5",
    )


def _batch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes every CONTENT in every STYLE to FOLDER, with the network and the styles kept loaded. What is there "
        "already, made of the same files with the same options, is left alone: after an interruption, give the same "
        "command again."
    )
    parser.add_argument(
        "contents",
        metavar="CONTENT",
        nargs="+",
        help="a picture, a folder (with those below it), a pattern such as 'photos/*.jpg', or a table (.csv, .jsonl) "
        "with the columns content, style, out, and any option of nst stylize",
    )
    add = parser.add_argument
    add("--styles", metavar="STYLE", nargs="+", default=[], help="pictures, folders, patterns, saved styles")
    add("-o", "--out", metavar="FOLDER", required=True, help="is made if it is not there")
    add("--recipe", choices=RECIPES, default="balanced", metavar="RECIPE", help="see nst recipes; default: %(default)s")
    _list_group(parser)
    _work_group(parser)
    _stylize_options(parser, saves_style=False)


def _list_group(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("the list of pictures").add_argument
    add(
        "--combine",
        choices=COMBINATIONS,
        default="every",
        help="every CONTENT with every STYLE; pairs: the first with the first, and so on; blend: all STYLEs in one",
    )
    add(
        "--name",
        default=DEFAULT_NAME,
        metavar="PATTERN",
        help="of the pictures in FOLDER, ending in .png if not in another format's; {content} and {style} are names "
        "without endings, {file} is CONTENT's with it, {folder} the one below that of CONTENT, {number} counts, and "
        "options go by their names, such as {steps}; default: %(default)s",
    )
    add("--dry-run", action="store_true", help="only say what would be done, and about how long it would take")
    add("--report", metavar="FILE", help="JSON lines, one for each picture; default: report.jsonl in FOLDER")


def _work_group(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("how the work is done").add_argument
    add("--fail-fast", action="store_true", help="end at the first picture that fails; otherwise the others go on")
    add("--time-limit", type=float, metavar="SECONDS", help="for one picture, which then fails")
    add("--devices", metavar="LIST", help="several devices of this machine, a process each, such as cuda:0,cuda:1")
    add(
        "--server",
        metavar="URL",
        nargs="+",
        help="running ComfyUI hosts with this pack, such as http://127.0.0.1:8188, which share out the pictures",
    )
    add = parser.add_argument_group("on a cluster (Ray)").add_argument
    add("--ray", nargs="?", const="", metavar="ADDRESS", help="of a running cluster; without: workers on this machine")
    add("--actors", type=_whole(1), metavar="N", help="default: as many as there are GPUs, or cores for")
    add("--gpus-per-actor", type=float, metavar="X", help="default: 1 where the cluster has any")
    add("--cpus-per-actor", type=float, metavar="X", help="default: 1 beside a GPU, otherwise up to 4")
    add("--return-pictures", action="store_true", help="for workers that see CONTENTs and STYLEs, but not FOLDER")


def _texture_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = f"Writes a picture made of STYLE alone, as if it went on, to OUT and prints its path. {STORED}"
    _styles_and_out(parser)
    add = parser.add_argument
    add("--width", type=_whole(1, LARGEST_SIDE), required=True, metavar="PIXELS")
    add("--height", type=_whole(1, LARGEST_SIDE), required=True, metavar="PIXELS")
    _seamless(parser, True)
    _recipe_group(parser, tuple(start for start in NAMED_STARTS if start != "content"))
    _style_group(parser)
    _mask_group(parser)
    _machine_group(parser)
    _output_group(parser, "STYLE")
    # What is about a content, as stylize() has it where there is none.
    parser.set_defaults(
        content=None,
        content_weight=1.0,
        content_layers=None,
        style_weight=1.0,
        strength=1.0,
        start_mix=0.0,
        size=OWN_SIZE,
        regions=None,
        protect=None,
        protect_mode="pixels",
        protect_weight=20.0,
        keep_colours=("none", 1.0),
    )


def _video_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes CLIP, a film or a folder of numbered frames, in the style of STYLE to OUT and prints its path. "
        "Finished frames are kept beside OUT until the end: after Ctrl-C, which writes what there is, or a power cut, "
        "the same command goes on where it was."
    )
    add = parser.add_argument
    add("content", metavar="CLIP", help="a film, or a folder of numbered pictures")
    add("styles", metavar="STYLE", nargs="+", help="a picture, or a style from --save-style; several are blended")
    add("-o", "--out", metavar="OUT", required=True, help="ending in .mp4 .mov .mkv .webm; without: a folder of frames")
    add("--recipe", choices=RECIPES, default="balanced", metavar="RECIPE", help="see nst recipes; default: %(default)s")
    add = parser.add_argument_group("which part of CLIP").add_argument
    add("--from", dest="begin", type=_time, metavar="TIME", help="seconds, or such as 1:15")
    add("--to", dest="end", type=_time, metavar="TIME")
    add("--every", type=_whole(1), default=1, metavar="N", help="one frame in N, for a quick look")
    add("--fps", type=_rate, metavar="N", help="frames a second of a folder of frames; default: 24")
    add = parser.add_argument_group("how frames hold together").add_argument
    add("--temporal-weight", type=float, default=1.0, metavar="X", help="more is calmer, less is livelier; default: 1")
    add("--frame-steps", type=_whole(0), metavar="N", help="of each frame but the first; default: a fifth of --steps")
    add("--passes", type=int, choices=(1, 2), default=1, help="2: once more backwards, which takes out drift")
    add("--look-back", type=_whole(1), nargs="+", default=[1, 2, 4], metavar="N", help="frames; default: 1 2 4")
    add("--cuts", action=argparse.BooleanOptionalAction, default=True, help="find shots, and begin each on its own")
    rate = "multiplies the recipe's own; default: 1"
    add = _recipe_group(parser, NAMED_STARTS).add_argument
    add("--content-weight", type=float, default=1.0, metavar="X", help=rate)
    add("--style-weight", type=float, default=1.0, metavar="X", help=rate)
    add("--size", type=_whole(RECIPE_SIZE), default=RECIPE_SIZE, metavar="PIXELS", help="long side; 0: CLIP's own")
    add("--content-layers", metavar="LAYERS")
    add("--strength", type=float, default=1.0, metavar="X", help=f"how much style, 0 to {STRONGEST:g}; default: 1")
    add("--start-mix", type=float, default=0.0, metavar="X", help="of CLIP in the start: 0, the default, to 1")
    _style_group(parser)
    add = _mask_group(parser).add_argument
    add("--regions", nargs="+", metavar="FILE", help=f"the part of every frame that takes on STYLE; {EACH}: the rest")
    add("--protect", metavar="FILE", help="where CLIP stays; a picture, or one mask for each frame: a folder or a clip")
    add("--protect-mode", choices=PROTECT_MODES, default="pixels", help="as it is, or stylised with more of CLIP")
    add("--protect-weight", type=float, default=20.0, metavar="X", help="with content: how much more; default: 20")
    _machine_group(parser)
    group = parser.add_argument_group("output")
    add = group.add_argument
    add("--codec", metavar="NAME", help="such as libx265, prores_ks, ffv1; default: H.264, for .webm VP9")
    add("--crf", type=_whole(0, 63), metavar="N", help="the codec's quality: less is better and larger")
    add("--bits", type=int, choices=(8, 10, 16), help="per channel; default: as many as CLIP has")
    add("--keep-colours", type=_colours, default=("none", 1.0), metavar="METHOD[=STRENGTH]", help="give OUT CLIP's")
    add("--restart", action="store_true", help="throw away what an unfinished run has made of OUT")
    _common_arguments(group)


# --- what nst stylize and nst texture share -----------------------------------------------------------------------


def _styles_and_out(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("styles", metavar="STYLE", nargs="+", help="a picture, or a style from --save-style; several are blended")
    add("-o", "--out", metavar="OUT", required=True, help=f"a file ending in {' '.join(FORMATS)}")
    add("--recipe", choices=RECIPES, default="balanced", metavar="RECIPE", help="see nst recipes; default: %(default)s")


def _seamless(parser: _Arguments, default: bool) -> None:
    # With a --no- to it, so that nst again can take it back.
    parser.add_argument(
        "--seamless",
        action=argparse.BooleanOptionalAction,
        default=default,
        help=f"left meets right and top meets bottom; default: {'yes' if default else 'no'}",
    )


def _recipe_group(parser: argparse.ArgumentParser, starts: tuple[str, ...]) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("instead of what the recipe says")
    add = group.add_argument
    add("--steps", type=_whole(0), metavar="N", help="evaluations of the loss in all; 0 gives back the start")
    add("--optimizer", choices=OPTIMIZERS)
    add("--lr", type=float, metavar="RATE", help="learning rate")
    add("--averaging", type=float, metavar="X", help="a running mean of the last pictures: 0.9 of about ten, 0 of none")
    add("--normalise-gradients", action=argparse.BooleanOptionalAction, help="every layer's, to the same size")
    add("--tv-weight", type=float, metavar="X", help="smoothing; 1 is a light one, 0 none")
    add("--tv-kind", choices=VARIATIONS, help="squared or plain differences of neighbours, of four or of eight")
    add("--statistic", choices=STATISTICS, help="what of the style's features is matched")
    add("--shift", type=float, metavar="X", help="added to the activations before their Gram matrix, such as -1")
    add("--start", metavar="NAME|PATH", help=f"what the first step begins from: {', '.join(starts)}, a picture")
    add("--scales", type=_whole(1), metavar="N", help="coarse-to-fine levels; more give larger strokes")
    add("--style-layers", metavar="LAYERS", help='such as "relu3_2=0.5, conv4_2=1"; these alone')
    add("--pooling", choices=POOLINGS, default="recipe")
    add("--padding", choices=PADDINGS, default="recipe")
    return group


def _style_group(parser: argparse.ArgumentParser, saves_style: bool = True) -> None:
    add = parser.add_argument_group("styles").add_argument
    add("--style-size", type=_whole(0), default=OWN_SIZE, metavar="PIXELS", help="long side; 0: as large as the result")
    add(
        "--stroke-size",
        type=_strokes,
        metavar="X",
        help="large strokes or small, whatever the size of OUT: 1 is a STYLE as large as OUT; not --style-size; "
        "0, the default: none of it",
    )
    add("--style-weights", type=float, nargs="+", metavar="W", help="one for each STYLE; only proportions matter")
    if saves_style:
        add("--save-style", metavar="FILE", help="keep the measured style, ending in .safetensors; needs --style-size")


def _mask_group(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group(
        "masks",
        "A mask is a picture in the proportions of the one it is for. White is covered, black is not, grey is in part; "
        "where a file has transparent parts, what is opaque is covered, whatever its colour.",
    )
    add = group.add_argument
    add("--style-masks", nargs="+", metavar="FILE", help=f"the part of STYLE that is the style; {EACH}")
    add("--mask-mode", choices=MODES, default="simple", help="at edges: in part, or nothing that sees beyond them")
    return group


def _machine_group(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("network and machine").add_argument
    add("--weights", default=BUILT_IN[0], metavar="NAME|PATH", help=f"{', '.join(BUILT_IN)}, or a file")
    add("--input", choices=INPUTS, default="auto", help="what a weights file of your own was trained on")
    add("--precision", choices=PRECISIONS, default="auto")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps …")
    add("--tile", type=_tile, default="auto", metavar="auto|off|PIXELS", help="of the picture at a time: saves memory")
    add("--seed", type=_whole(0, 2**64 - 1), default=0, metavar="N", help="of the noise start")


def _output_group(parser: argparse.ArgumentParser, like: str) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("output")
    add = group.add_argument
    add("--bits", type=int, choices=(8, 16), help=f"per channel; default: {like}'s, if OUT can hold them")
    add("--quality", type=_whole(1, 100), default=95, metavar="N", help="of JPEG and WebP; default: 95")
    _common_arguments(group)
    return group
