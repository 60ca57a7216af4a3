"""The options of `nst video`."""

from __future__ import annotations

import argparse

from ...objective.controls import STRONGEST
from .groups import (
    Arguments,
    common_arguments,
    content_group,
    keep_colours,
    machine_group,
    protect_group,
    recipe_option,
    style_group,
)
from .types import rate, time, whole


def video_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes CLIP, a film or a folder of numbered frames, in the style of STYLE to OUT and prints its path. "
        "Finished frames are kept beside OUT until the end: after Ctrl-C, which writes what there is, or a power cut, "
        "the same command goes on where it was."
    )
    add = parser.add_argument
    add("content", metavar="CLIP", help="a film, or a folder of numbered pictures")
    add("styles", metavar="STYLE", nargs="+", help="a picture, or a style from --save-style; several are blended")
    add("-o", "--out", metavar="OUT", required=True, help="ending in .mp4 .mov .mkv .webm; without: a folder of frames")
    recipe_option(parser)
    add = parser.add_argument_group("which part of CLIP").add_argument
    add("--from", dest="begin", type=time, metavar="TIME", help="seconds, or such as 1:15")
    add("--to", dest="end", type=time, metavar="TIME")
    add("--every", type=whole(1), default=1, metavar="N", help="one frame in N, for a quick look")
    add("--fps", type=rate, metavar="N", help="frames a second of a folder of frames; default: 24")
    coherence = parser.add_argument_group("how frames hold together")
    coherence_options(coherence)
    coherence.add_argument(
        "--flow", metavar="WEIGHTS", help="optical flow by RAFT with torchvision's weights, instead of OpenCV's"
    )
    content_group(parser, "CLIP")
    add = parser.add_argument_group("the result as a whole").add_argument
    add("--strength", type=float, default=1.0, metavar="X", help=f"how much style, 0 to {STRONGEST:g}; default: 1")
    add("--start-mix", type=float, default=0.0, metavar="X", help="of CLIP in the start: 0, the default, to 1")
    style_group(parser)
    one_or_each = "where CLIP stays; a picture, or one mask for each frame: a folder or a clip"
    protect_group(parser, "CLIP", "every frame", one_or_each)
    machine_group(parser)
    group = parser.add_argument_group("output")
    add = group.add_argument
    codec_options(group)
    add("--bits", type=int, choices=(8, 10, 16), help="per channel; default: as many as CLIP has")
    keep_colours(group, "give OUT CLIP's")
    add("--restart", action="store_true", help="throw away what an unfinished run has made of OUT")
    common_arguments(group)


def coherence_options(parser: Arguments) -> None:
    add = parser.add_argument
    add("--temporal-weight", type=float, default=1.0, metavar="X", help="more is calmer, less is livelier; default: 1")
    add("--frame-steps", type=whole(0), metavar="N", help="of each frame but the first; default: a fifth of --steps")
    add("--passes", type=int, choices=(1, 2), default=1, help="2: once more backwards, which takes out drift")
    add("--look-back", type=whole(1), nargs="+", default=[1, 2, 4], metavar="N", help="frames; default: 1 2 4")
    add("--cuts", action=argparse.BooleanOptionalAction, default=True, help="find shots, and begin each on its own")


def codec_options(parser: Arguments) -> None:
    add = parser.add_argument
    add("--codec", metavar="NAME", help="such as libx265, prores_ks, ffv1; default: H.264, for .webm VP9")
    add("--crf", type=whole(0, 63), metavar="N", help="the codec's quality: less is better and larger")
