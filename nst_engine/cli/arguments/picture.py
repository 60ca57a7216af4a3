"""The options of `nst stylize` and `nst texture`, which make one picture."""

from __future__ import annotations

import argparse

from ...objective.controls import STRONGEST
from ...options import KEEP_COLOURS
from ...pictures.images import LARGEST_SIDE
from ...run.levels import OWN_SIZE
from ..inputs import NAMED_STARTS
from .groups import (
    content_group,
    keep_colours,
    machine_group,
    mask_group,
    output_group,
    protect_group,
    recipe_group,
    seamless,
    style_group,
    styles_and_out,
)
from .types import whole

STORED = (
    "Settings, names and this command line are stored in the picture, for nst again. Ctrl-C ends early and keeps the "
    "picture so far."
)


def stylize_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = f"Writes CONTENT in the style of STYLE to OUT and prints its path. {STORED}"
    parser.add_argument("content", metavar="CONTENT")
    styles_and_out(parser)
    stylize_options(parser)


def stylize_options(parser: argparse.ArgumentParser, saves_style: bool = True) -> None:
    content_group(parser, "CONTENT")
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
    seamless(group, False)
    style_group(parser, saves_style)
    protect_group(parser, "CONTENT", "CONTENT", "where CONTENT stays")
    machine_group(parser)
    methods = f"give OUT the colours of CONTENT: {', '.join(KEEP_COLOURS)}; such as lab=0.5"
    keep_colours(output_group(parser, "CONTENT"), methods)


def texture_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = f"Writes a picture made of STYLE alone, as if it went on, to OUT and prints its path. {STORED}"
    styles_and_out(parser)
    add = parser.add_argument
    add("--width", type=whole(1, LARGEST_SIDE), required=True, metavar="PIXELS")
    add("--height", type=whole(1, LARGEST_SIDE), required=True, metavar="PIXELS")
    seamless(parser, True)
    recipe_group(parser, tuple(start for start in NAMED_STARTS if start != "content"))
    style_group(parser)
    mask_group(parser)
    machine_group(parser)
    output_group(parser, "STYLE")
    # What is about a content, as stylize() has it where there is none.
    parser.set_defaults(
        content=None,
        content_weight=1.0,
        content_layers=None,
        content_measure=None,
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
