"""What `nst` can be asked: its commands, a module of options for each, and `groups` of options that several have."""

from __future__ import annotations

import argparse
import sys
from typing import IO, Any, NoReturn

from ... import NSTError, __version__
from .batch import batch_arguments
from .groups import common_arguments
from .picture import stylize_arguments, texture_arguments
from .video import video_arguments

# What nst again does unasked: beyond it, a run takes hours, or much memory.
COSTLY_SIDE = 4096
COSTLY_WORK = 4000  # megapixels, those of all steps
COSTLY_STYLES = 16
COSTLY_LOOKS = 8  # back, from each frame of a film

# What the engine's arguments are called here.
OPTIONS = {
    "content": "CONTENT",
    "style": "STYLE",
    "grams": "STYLE",
    "mask": "--style-masks",
    "copies": "--style-copies",
    "region": "--regions",
    "weight": "--style-weights",
    "layers": "--style-layers",
    "layers.style": "--style-layers",
    "layers.content": "--content-layers",
    "learning_rate": "--lr",
    "start_image": "--start",
    "keep_colours_strength": "--keep-colours",
    "shape": "--width and --height",
    "frames": "CLIP",
    "back": "--look-back",
} | {
    name: f"--{name.replace('_', '-')}"
    for name in (
        *("recipe", "steps", "optimizer", "tv_weight", "tv_kind", "statistic", "shift", "normalise_gradients"),
        *("averaging", "start", "scales", "stroke_size", "content_weight", "style_weight", "strength", "start_mix"),
        *("size", "temporal_weight", "frame_steps", "passes", "protect", "protect_mode", "protect_weight", "mask_mode"),
        *("keep_colours", "seamless", "seed", "tile", "content_measure", "octaves"),
        *("weights", "input", "precision", "device", "pooling", "padding"),
    )
}


def printable(text: str, stream: IO[str] | None) -> str:
    """With \\u2026 for … and its like where a console's alphabet does not have them."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


class _Parser(argparse.ArgumentParser):
    def format_help(self) -> str:
        return printable(super().format_help(), sys.stdout)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """A command's own words that are unknown are told by it, so that its own help is named."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and " " in self.prog:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        raise NSTError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    root = _Parser(prog="nst", description="Neural style transfer.")
    root.add_argument("--version", action="version", version=f"nst {__version__}")
    commands = root.add_subparsers(required=True, dest="command", metavar="COMMAND")
    stylize_arguments(commands.add_parser("stylize", help="give a picture the style of others"))
    texture_arguments(commands.add_parser("texture", help="make a picture of any size of a style alone"))
    batch_arguments(commands.add_parser("batch", help="give many pictures the style of others"))
    video_arguments(commands.add_parser("video", help="give a clip the style of pictures, without flicker"))
    _again_arguments(commands.add_parser("again", help="make a result once more, from the settings in it"))
    _run_arguments(commands.add_parser("run", help="run a ComfyUI workflow (API format), here or on a server"))
    commands.add_parser("recipes", help="list the recipes")
    return root


def _again_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "nst again RESULT [--from FOLDER] [--yes] [OPTION …]"
    parser.description = (
        "Makes a result of nst stylize, nst texture or nst video once more from the settings it carries; options given "
        "change them. It says what it will do. Pictures, masks and styles that RESULT names are looked for beside it "
        "and in the folders of --from, and nowhere else; without -o the new picture lies beside it, too."
    )
    add = parser.add_argument
    add("--from", metavar="FOLDER", dest="folders", action="append", default=[], help="where the files lie, too")
    add(
        "--yes",
        action="store_true",
        help=f"go on, though RESULT asks for more than {COSTLY_SIDE} pixels a side, {COSTLY_WORK} megapixels in all "
        f"steps, {COSTLY_STYLES} styles, {COSTLY_LOOKS} earlier frames to look back at, or a download; without it a "
        "terminal is asked",
    )
    add("result", metavar="RESULT")
    add("changes", nargs=argparse.REMAINDER, help="options of the command that made it")


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("workflow", metavar="WORKFLOW.json")
    add("--server", metavar="URL", help="a running ComfyUI, such as http://127.0.0.1:8188; default: here")
    add("--input", metavar="DIR", default=".", help="where loaders find files; default: %(default)s")
    add("--output", metavar="DIR", default="output", help="where files go; default: %(default)s")
    add(
        "--allow-outside",
        action="store_true",
        help="let the workflow read files outside DIR, too: for one of your own, not for a stranger's",
    )
    add(
        "--set",
        metavar="NODE.INPUT=VALUE",
        action="append",
        default=[],
        help="change an input; NODE: id, title or class",
    )
    common_arguments(parser)
