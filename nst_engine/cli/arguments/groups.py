"""Options that several commands have."""

from __future__ import annotations

import argparse

from ... import RECIPES
from ...network.conventions import PADDINGS, POOLINGS
from ...network.precision import PRECISIONS
from ...network.weights_format import INPUTS
from ...network.weights_location import BUILT_IN
from ...objective.octaves import MOST_OCTAVES
from ...objective.total_variation import VARIATIONS
from ...options import OPTIMIZERS, PROTECT_MODES
from ...pictures.files import FORMATS
from ...recipes import VOCABULARY
from ...run.levels import OWN_SIZE, RECIPE_SIZE
from ...statistics.distances import STATISTICS
from ...statistics.masks import MODES
from ...styles.copies import COPIES
from ..inputs import NAMED_STARTS
from .types import colours, strokes, tile, whole

EACH = "one FILE for each STYLE, - for none"
Arguments = argparse.ArgumentParser | argparse._ArgumentGroup


def recipe_option(parser: Arguments) -> None:
    parser.add_argument(
        "--recipe", choices=RECIPES, default="balanced", metavar="RECIPE", help="see nst recipes; default: %(default)s"
    )


def styles_and_out(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("styles", metavar="STYLE", nargs="+", help="a picture, or a style from --save-style; several are blended")
    add("-o", "--out", metavar="OUT", required=True, help=f"a file ending in {' '.join(FORMATS)}")
    recipe_option(parser)


def seamless(parser: Arguments, default: bool) -> None:
    # With a --no- to it, so that nst again can take it back.
    parser.add_argument(
        "--seamless",
        action=argparse.BooleanOptionalAction,
        default=default,
        help=f"left meets right and top meets bottom; default: {'yes' if default else 'no'}",
    )


def recipe_group(parser: argparse.ArgumentParser, starts: tuple[str, ...]) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("instead of what the recipe says")
    add = group.add_argument
    add("--steps", type=whole(0), metavar="N", help="evaluations of the loss in all; 0 gives back the start")
    add("--optimizer", choices=OPTIMIZERS)
    add("--lr", type=float, metavar="RATE", help="learning rate")
    add("--averaging", type=float, metavar="X", help="a running mean of the last pictures: 0.9 of about ten, 0 of none")
    add("--normalise-gradients", action=argparse.BooleanOptionalAction, help="every layer's, to the same size")
    add("--tv-weight", type=float, metavar="X", help="smoothing; 1 is a light one, 0 none")
    add("--tv-kind", choices=VARIATIONS, help="squared or plain differences of neighbours, of four or of eight")
    add("--statistic", choices=STATISTICS, help="what of the style's features is matched")
    add("--octaves", type=whole(1, MOST_OCTAVES), metavar="N", help="sizes in which style is matched at once; 1: one")
    add("--shift", type=float, metavar="X", help="added to the activations before their Gram matrix, such as -1")
    add("--start", metavar="NAME|PATH", help=f"what the first step begins from: {', '.join(starts)}, a picture")
    add("--scales", type=whole(1), metavar="N", help="coarse-to-fine levels; more give larger strokes")
    add("--style-layers", metavar="LAYERS", help='such as "relu3_2=0.5, conv4_2=1"; these alone')
    add("--pooling", choices=POOLINGS, default="recipe")
    add("--padding", choices=PADDINGS, default="recipe")
    return group


def style_group(parser: argparse.ArgumentParser, saves_style: bool = True) -> None:
    add = parser.add_argument_group("styles").add_argument
    add("--style-size", type=whole(0), default=OWN_SIZE, metavar="PIXELS", help="long side; 0: as large as the result")
    add(
        "--stroke-size",
        type=strokes,
        metavar="X",
        help="large strokes or small, whatever the size of OUT: 1 is a STYLE as large as OUT; not --style-size; "
        "0, the default: none of it",
    )
    add("--style-weights", type=float, nargs="+", metavar="W", help="one for each STYLE; only proportions matter")
    copies = "of each STYLE, measured with it: mirrored, turned by right angles, rescaled by √2; default: none"
    add("--style-copies", choices=COPIES, default="none", help=copies)
    if saves_style:
        add("--save-style", metavar="FILE", help="keep the measured style, ending in .safetensors; needs --style-size")


def mask_group(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group(
        "masks",
        "A mask is a picture in the proportions of the one it is for. White is covered, black is not, grey is in part; "
        "where a file has transparent parts, what is opaque is covered, whatever its colour.",
    )
    add = group.add_argument
    add("--style-masks", nargs="+", metavar="FILE", help=f"the part of STYLE that is the style; {EACH}")
    add("--mask-mode", choices=MODES, default="simple", help="at edges: in part, or nothing that sees beyond them")
    return group


def machine_group(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("network and machine").add_argument
    add("--weights", default=BUILT_IN[0], metavar="NAME|PATH", help=f"{', '.join(BUILT_IN)}, or a file")
    add("--input", choices=INPUTS, default="auto", help="what a weights file of your own was trained on")
    add("--precision", choices=PRECISIONS, default="auto")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps …")
    add("--tile", type=tile, default="auto", metavar="auto|off|PIXELS", help="of the picture at a time: saves memory")
    add("--seed", type=whole(0, 2**64 - 1), default=0, metavar="N", help="of the noise start")


def output_group(parser: argparse.ArgumentParser, like: str) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("output")
    add = group.add_argument
    add("--bits", type=int, choices=(8, 16), help=f"per channel; default: {like}'s, if OUT can hold them")
    add("--quality", type=whole(1, 100), default=95, metavar="N", help="of JPEG and WebP; default: 95")
    common_arguments(group)
    return group


def content_group(parser: argparse.ArgumentParser, content: str) -> None:
    """What of the recipe is about a content, and the recipe's other options."""
    add = recipe_group(parser, NAMED_STARTS).add_argument
    multiplies = "multiplies the recipe's own; default: 1"
    add("--content-weight", type=float, default=1.0, metavar="X", help=multiplies)
    add("--style-weight", type=float, default=1.0, metavar="X", help=multiplies)
    add("--size", type=whole(RECIPE_SIZE), default=RECIPE_SIZE, metavar="PIXELS", help=f"long side; 0: {content}'s own")
    add("--content-layers", metavar="LAYERS")
    add(
        "--content-measure",
        choices=VOCABULARY["content_measure"],
        help="what of CONTENT is kept: laplacian adds its edges",
    )


def protect_group(parser: argparse.ArgumentParser, content: str, region: str, protect: str) -> None:
    add = mask_group(parser).add_argument
    add("--regions", nargs="+", metavar="FILE", help=f"the part of {region} that takes on STYLE; {EACH}: the rest")
    add("--protect", metavar="FILE", help=protect)
    more = f"as it is, or stylised with more of {content}"
    add("--protect-mode", choices=PROTECT_MODES, default="pixels", help=more)
    add("--protect-weight", type=float, default=20.0, metavar="X", help="with content: how much more; default: 20")


def keep_colours(parser: Arguments, help: str) -> None:
    parser.add_argument("--keep-colours", type=colours, default=("none", 1.0), metavar="METHOD[=STRENGTH]", help=help)


def common_arguments(parser: Arguments) -> None:
    parser.add_argument(
        "--models", metavar="FOLDER", action="append", default=[], help="where weights files lie; may be repeated"
    )
    parser.add_argument("--large", action="store_true", help="read pictures of more than 134 megapixels, too")
    parser.add_argument("--quiet", action="store_true", help="no progress, no notes; only where the picture is")
