"""What the statistics and the recipes of the studies cost, beside the Gram matrix and beside the paper's procedure.

python -m bench.methods                      a step of each at 512 px, and the whole of nnst
python -m bench.methods --size 128 --only nnst
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

import nst_engine as nst
from nst_engine.pictures.images import fit_long, resize, shape_of
from nst_engine.recipes import network_for
from nst_engine.run.levels import levels_of, usual_steps
from nst_engine.system.devices import best_device

from .__main__ import machine, pictures, table
from .procedures import nnst_program
from .programs import now

PARTS = ("steps", "nnst")
CLASSIC = nst.RECIPES["classic"]  # the Gram matrices of five layers, and one of the content
METHODS = {
    "gram": CLASSIC,
    **{name: replace(CLASSIC, statistic=name) for name in ("mean-std", "covariance", "histogram", "sliced")},
    **{name: replace(CLASSIC, statistic=name) for name in ("nearest", "remd")},
    "gram, three octaves": replace(CLASSIC, octaves=3),
    "gram, content by self-similarity": replace(CLASSIC, content_measure="self-similarity"),
    "gram, content by edges": replace(CLASSIC, content_measure="laplacian"),
    **{f"recipe {name}": nst.RECIPES[name] for name in ("balanced", "nnst", "strotss")},
}
# Of a level of the paper's procedure, timed after so many; what comes between is the cost of as many as the recipe has.
FEW, MORE = 10, 20


def seconds_per_step(size: int, device: str, rounds: int) -> dict[str, float]:
    """Medians over interleaved rounds; nearest features are matched before. On a GPU, nothing is recorded."""
    content, style = pictures(size)
    vgg = nst.load_vgg("vgg19-caffe", device=device)
    ready: dict[str, Callable[[], object]] = {}
    for name, recipe in METHODS.items():
        grams = nst.compute_style_grams(vgg, style, recipe=recipe)
        objective = nst.objective(vgg, content, grams, recipe=recipe)
        x = content.to(device)
        ready[name] = lambda objective=objective, x=x: objective.value_and_grad(x)
    times: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(rounds + 1):
        for name, step in ready.items():
            began = now(device)
            step()
            times[name].append(now(device) - began)
    return {name: statistics.median(measured[1:]) for name, measured in times.items()}


def seconds_of_nnst(size: int, device: str) -> float:
    """Of the engine's whole run, in the precision that it chooses."""
    content, style = pictures(size)
    vgg = nst.load_vgg("vgg19-caffe", device=device)
    began = now(device)
    nst.stylize(vgg, content, nst.compute_style_grams(vgg, style, recipe="nnst"), recipe="nnst")
    return now(device) - began


def seconds_of_the_procedure(size: int, device: str) -> float:
    """Of the same run written out plainly in fp32: autograd, torch's Adam, every cosine at once. Of every level a few
    steps are timed, and the others taken to be like them."""
    content, style = (picture.to(device) for picture in pictures(size))
    recipe = nst.RECIPES["nnst"]
    network = network_for(nst.load_vgg("vgg19-caffe", precision="fp32", device=device), recipe)
    shape = shape_of(content)
    levels = levels_of(shape, replace(recipe, steps=usual_steps(shape, recipe)), None)
    total = 0.0

    def seconds(level: Any, steps: int, start: torch.Tensor | None) -> tuple[float, torch.Tensor]:
        style_shape = fit_long(shape_of(style), max(level.shape))
        began = now(device)
        how = [(level.shape, style_shape, steps, level.rematch)]
        _, _, picture = nnst_program.run(network, content, style, how, resized, start)
        return now(device) - began, picture

    def resized(picture: torch.Tensor, to: tuple[int, int]) -> torch.Tensor:
        return resize(picture.cpu(), to).to(device)

    picture = None
    for level in levels:
        few, _ = seconds(level, FEW, picture)
        more, picture = seconds(level, MORE, picture)
        total += few + (level.steps - FEW) * max(0.0, more - few) / (MORE - FEW)
        print(f"{max(level.shape)} px: {few:.1f} s for {FEW}, {more:.1f} s for {MORE}", file=sys.stderr, flush=True)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.methods", description=__doc__)
    parser.add_argument("--device", default=str(best_device()))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS))
    args = parser.parse_args()
    print(f"{machine(args.device)}, {time.strftime('%B %Y')}\n")
    if "steps" in args.only:
        seconds = seconds_per_step(args.size, args.device, args.rounds)
        rows = [[name, f"{s:.3f}", f"{s / seconds['gram']:.2f}"] for name, s in seconds.items()]
        print(table([f"a step at {args.size} px, medians of {args.rounds}", "seconds", "gram = 1"], rows), flush=True)
    if "nnst" in args.only:
        ours = seconds_of_nnst(args.size, args.device)
        theirs = seconds_of_the_procedure(args.size, args.device)
        rows = [
            ["engine", f"{ours:.1f}", f"1/{theirs / ours:.1f}"],
            ["the paper's procedure, fp32", f"{theirs:.1f}", "1"],
        ]
        print(table([f"nnst at {args.size} px, style and all", "seconds", "of the procedure's"], rows), flush=True)


if __name__ == "__main__":
    main()
