"""How much work a clip is, before anything of it is done."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ..recipes import RECIPES
from ..run.levels import target_shape, usual_steps
from ..video.source import Part, open_source
from ..video.stylize import SHARE


def clip_work(args: argparse.Namespace) -> tuple[int, int, int]:
    """Height and width of the result of `nst video`, and all steps of all frames."""
    source = open_source(Path(args.content), args.fps)
    count = source.expected(Part(args.begin, args.end, args.every)) or 1
    recipe = RECIPES[args.recipe]
    height, width = target_shape(source.shape, args.size, recipe, torch.device("cuda"))
    steps = usual_steps((height, width), recipe, args.scales) if args.steps is None else args.steps
    later = round(SHARE * steps) if args.frame_steps is None else args.frame_steps
    return height, width, args.passes * (steps + later * (count - 1))
