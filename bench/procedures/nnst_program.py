"""Neural Neighbor Style Transfer (Kolkin et al. 2022) written out plainly: autograd through the layers of VGG, torch's
Adam, every cosine at once. Pictures and styles are resized by the caller's function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from nst_engine.network.conventions import IMAGENET_MEAN, IMAGENET_STD
from nst_engine.network.vgg import Network

Tensor = torch.Tensor
LAYERS = ["relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3", "relu4_1", "relu4_2", "relu4_3"]
BLOCKS = (2, 2, 4, 3)  # convolutions of VGG-19, as far as they are needed


def layers(network: Network, x: Tensor) -> dict[str, Tensor]:
    mean, std = (torch.tensor(v, dtype=x.dtype).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    x = (x - mean) / std
    found = {}
    for block, count in enumerate(BLOCKS, 1):
        for i in range(1, count + 1):
            weight, bias = network.weights(f"conv{block}_{i}")
            x = F.relu(F.conv2d(x, weight.to(x), bias.to(x), padding=1))
            found[f"relu{block}_{i}"] = x
        x = F.max_pool2d(x, 2)
    return found


def averaging(side: int, factor: int) -> Tensor:
    """The matrix that takes means of so many positions, those left at the end with the last."""
    count = side // factor
    parts = torch.arange(side).div(factor, rounding_mode="floor").clamp_max(count - 1)
    counted = F.one_hot(parts, count).T.double()
    return counted / counted.sum(1, keepdim=True)


def hypercolumns(network: Network, x: Tensor) -> list[Tensor]:
    """By layer, N×C, on a grid of every fourth pixel."""
    grid = [side // 4 for side in x.shape[2:]]
    parts = []
    for name, f in layers(network, x).items():
        if name in LAYERS:
            if factor := {"relu1": 4, "relu2": 2}.get(name[:5]):
                down, across = (averaging(side, factor).to(f) for side in f.shape[2:])
                f = down @ f @ across.T
            else:
                f = F.interpolate(f, size=grid, mode="bilinear")
            parts.append(f[0].flatten(1).T)
    return parts


def cosines(a: Tensor, b: Tensor) -> Tensor:
    return (a / a.norm(dim=1, keepdim=True)) @ (b / b.norm(dim=1, keepdim=True)).T


def matched(ours: Tensor, theirs: Tensor) -> Tensor:
    return theirs[cosines(ours - ours.mean(0), theirs - theirs.mean(0)).argmax(1)]


def distance(h: Tensor, targets: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(h, targets, dim=1).mean()


def style_columns(network: Network, style: Tensor) -> list[Tensor]:
    with torch.no_grad():
        copies = [hypercolumns(network, style.rot90(k, (2, 3))) for k in range(4)]
    return [torch.cat(parts) for parts in zip(*copies, strict=True)]


def pyramid(x: Tensor) -> list[Tensor]:
    bands = []
    while len(bands) < 7 and min(x.shape[2:]) > 1:
        small = F.interpolate(x, size=[side // 2 for side in x.shape[2:]], mode="bilinear")
        bands.append(x - F.interpolate(small, size=x.shape[2:], mode="bilinear"))
        x = small
    return [*bands, x]


def collapsed(bands: Sequence[Tensor]) -> Tensor:
    x = bands[-1]
    for band in reversed(bands[:-1]):
        x = band + F.interpolate(x, size=band.shape[2:], mode="bilinear")
    return x


def run(
    network: Network,
    content: Tensor,
    style: Tensor,
    levels: Sequence[tuple[tuple[int, int], tuple[int, int], int, int]],
    resize: Callable[[Tensor, tuple[int, int]], Tensor],
    start: Tensor | None = None,
) -> tuple[list[float], list[Tensor], Tensor]:
    """Losses, gradients by the pixels and the picture. A level: the picture's shape, the style's, its steps, and 0 or,
    for the last pass, after how many steps layers are matched again."""
    alpha = 0.75
    losses, gradients = [], []
    x = start
    for shape, style_shape, steps, rematch in levels:
        c = resize(content, shape)
        x = c if x is None else resize(x.clamp(0, 1), shape)
        theirs = style_columns(network, resize(style, style_shape))
        with torch.no_grad():
            ours = hypercolumns(network, alpha * c + (1 - alpha) * x)
        targets = [matched(torch.cat(ours, 1), torch.cat(theirs, 1))]
        bands = [band.clone().requires_grad_() for band in pyramid(x)]
        adam = torch.optim.Adam(bands, lr=2e-3)
        for step in range(steps):
            adam.zero_grad()
            x = collapsed(bands)
            x.retain_grad()
            h = hypercolumns(network, x)
            if rematch and step % rematch == 0:
                targets = [matched(a.detach(), b) for a, b in zip(h, theirs, strict=True)]
            if rematch:
                loss = sum(distance(a, t) for a, t in zip(h, targets, strict=True)) / len(h)
            else:
                loss = distance(torch.cat(h, 1), targets[0])
            loss.backward()
            losses.append(float(loss.detach()))
            gradients.append(x.grad.detach().clone())
            adam.step()
        x = collapsed(bands).detach()
    return losses, gradients, x.clamp(0, 1)
