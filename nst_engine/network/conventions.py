"""What recipes choose of a network: its units, its input, how it pools and how it goes on at the border."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

POOLINGS = ("recipe", "max", "average", "l2")
PADDINGS = ("recipe", "zeros", "replicate", "reflect")
# Keeps activations at the size that the weights were trained with when another pooling takes max-pooling's place.
POOLING_GAIN = {"max": 1.0, "average": 2.0, "l2": 0.78}
# What ImageNet pictures (RGB, 0..1) have in common: removed before the first convolution.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Nearly the same, of bytes, in programs for Caffe's network.
CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)
MEANS = {"imagenet": IMAGENET_MEAN, "caffe": tuple(mean / 255 for mean in CAFFE_MEAN_RGB)}


def normalise(pixels: torch.Tensor, mean: tuple[float, ...] = IMAGENET_MEAN) -> torch.Tensor:
    return (pixels - column(mean, pixels.device)) / column(IMAGENET_STD, pixels.device)


@cache
def column(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    # Kept: bringing numbers to a GPU waits for it, and this happens at every step.
    with torch.inference_mode(False):
        return torch.tensor(values, device=device).view(1, -1, 1, 1)


@dataclass(frozen=True)
class Conventions:
    """What a recipe takes the network for.

    `space` is what the first convolution is fed: `imagenet`, normalised pixels; `caffe`, the same with Caffe's mean,
    which differs only at a border of zeros; or `raw`, pixels as they are.
    """

    units: str = "unit"
    space: str = "imagenet"
    pooling: str = "max"
    padding: str = "zeros"
    rescale_pooling: bool = True


USUAL = Conventions()
