"""STROTSS (Kolkin et al. 2019) written out plainly: autograd through the layers of VGG, features enlarged whole, every
distance at once, the pyramid's bands as leaves of torch's RMSprop. Of the engine it has the weights and the positions
that are drawn."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from nst_engine.network.conventions import IMAGENET_MEAN, IMAGENET_STD
from nst_engine.network.vgg import Network

from .nnst_program import collapsed, pyramid

Tensor = torch.Tensor
# What each layer's features are multiplied by, before all are multiplied so that the mean of these is 1.
FACTORS = {
    **{"relu1_1": 1.0, "relu1_2": 1.0, "relu2_1": 1.0, "relu2_2": 1.0, "relu3_1": 1.0, "relu3_2": 1.0, "relu3_3": 1.0},
    **{"relu4_1": 0.3, "relu5_1": 0.3},
}
BLOCKS = (2, 2, 4, 4, 1)  # convolutions of VGG-19, as far as they are needed


def hypercolumns(network: Network, picture: Tensor) -> Tensor:
    """C×H×W, at every pixel."""
    mean, std = (torch.tensor(v, dtype=picture.dtype).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    x, parts = (picture - mean) / std, []
    for block, count in enumerate(BLOCKS, 1):
        for i in range(1, count + 1):
            weight, bias = network.weights(f"conv{block}_{i}")
            x = F.relu(F.conv2d(x, weight.to(x), bias.to(x), padding=1))
            if factor := FACTORS.get(f"relu{block}_{i}"):
                enlarged = F.interpolate(x, size=picture.shape[2:], mode="bilinear", align_corners=False)
                parts.append(enlarged * factor * len(FACTORS) / sum(FACTORS.values()))
        x = F.max_pool2d(x, 2)
    return torch.cat(parts, 1)[0]


def cosines(a: Tensor, b: Tensor) -> Tensor:
    return 1 - (a / a.norm(dim=1, keepdim=True)) @ (b / b.norm(dim=1, keepdim=True)).T


def larger_mean(c: Tensor) -> Tensor:
    return torch.maximum(c.min(1).values.mean(), c.min(0).values.mean())


def moments(a: Tensor, b: Tensor) -> Tensor:
    covariances = [torch.cov(x.T, correction=0) for x in (a, b)]
    return (a.mean(0) - b.mean(0)).abs().mean() + (covariances[0] - covariances[1]).abs().mean()


def palette(a: Tensor, b: Tensor) -> Tensor:
    ohta = torch.tensor([[2.0, 2, 2], [3, 0, -3], [-1.5, 3, -1.5]]).to(a) / 6
    return larger_mean(torch.cdist(a @ ohta.T, b @ ohta.T, compute_mode="donot_use_mm_for_euclid_dist"))


def content_loss(a: Tensor, b: Tensor) -> Tensor:
    ours, theirs = (cosines(x, x) / cosines(x, x).sum(0) for x in (a, b))
    return (ours - theirs).abs().sum() / len(a)


def run(
    network: Network,
    pictures: tuple[Tensor, Tensor, Tensor],
    alpha: float,
    steps: int,
    positions: Callable[[], Tensor],
) -> tuple[list[float], Tensor]:
    """One level of content and style from a start, against all of the style's pixels: the totals, and the picture."""
    content, style, start = pictures
    with torch.no_grad():
        theirs, own = (hypercolumns(network, picture) for picture in (style, content))
    theirs, colours = theirs.flatten(1).T, style[0].flatten(1).T
    bands = [band.clone().requires_grad_() for band in pyramid(start)]
    optimizer = torch.optim.RMSprop(bands, lr=1e-3, alpha=0.99)  # on the last level, half of 0.002
    totals = []
    for _ in range(steps):
        y, x = positions().T
        picture = collapsed(bands)
        ours = hypercolumns(network, picture)[:, y, x].T
        total = larger_mean(cosines(ours, theirs)) + moments(ours, theirs)
        total = total + palette(picture[0, :, y, x].T, colours) / alpha + alpha * content_loss(ours, own[:, y, x].T)
        totals.append(total.item())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return totals, collapsed(bands).detach().clamp(0, 1)


def start(content: Tensor, style: Tensor) -> Tensor:
    """The content's finest band on the style's mean colour."""
    return pyramid(content)[0] + style.mean((2, 3), keepdim=True)
