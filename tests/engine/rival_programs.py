"""Well-known programs, written again from their published settings in plain torch, to hold the recipes against.

As in `seed_programs`, nothing here knows the engine, and pictures are 1x3xHxW in 0..1. `crowsonkb` was written for
torchvision's features; `pastiche` and `spst` for the Caffe network, which is fed bytes less their mean: its first layer
is folded so that normalised pixels give the same.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from seed_programs import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Run,
    _empty_vgg19_features,
    _entry,
    _fold_for_torchvision,
    _pastiche_convolutions,
    _random_convolutions,
)
from torch import Tensor, nn


def caffe_state_dict() -> dict[str, Tensor]:
    """Weights in the Caffe network's own units, for normalised pixels, in torchvision's layout."""
    convolutions = _pastiche_convolutions()
    if convolutions is None:
        # Random ones with about its units: mean activations of hundreds.
        convolutions = _random_convolutions()
        convolutions[0] = tuple(200 * x for x in convolutions[0])
    else:
        convolutions[0] = _fold_for_torchvision(*convolutions[0])
    layers = [i for i, layer in enumerate(_empty_vgg19_features()) if isinstance(layer, nn.Conv2d)]
    state = {}
    for i, (weight, bias) in zip(layers, convolutions, strict=True):
        state |= {f"features.{i}.weight": weight.contiguous(), f"features.{i}.bias": bias}
    return state


CAFFE_MEAN = torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1) / 255
RELUS = [1, 6, 11, 20, 29]  # relu1_1 … relu5_1
CONTENT = 22  # relu4_2


def _look(features: nn.Sequential, pixels: Tensor, border: str = "constant") -> dict[int, Tensor]:
    """What the layers after a ReLU hold. Beyond its border a picture goes on with its own last pixels, or with Caffe's
    mean, which is what zeros are to a program that takes that away first."""
    beyond = 0.0 if border == "replicate" else CAFFE_MEAN
    x = F.pad(pixels - beyond, (1, 1, 1, 1), mode=border) + beyond
    x = F.conv2d((x - IMAGENET_MEAN) / IMAGENET_STD, features[0].weight, features[0].bias)
    found = {}
    for index in range(1, RELUS[-1] + 1):
        x = features[index](x)
        if index in (*RELUS, CONTENT):
            found[index] = x
    return found


# --- crowsonkb --------------------------------------------------------------------------------------------------------


class _Root(torch.autograd.Function):
    """The square root Z of a covariance by 12 iterations of Newton and Schulz, and its gradient X, which solves the
    Lyapunov equation Z X + X Z = ∂L/∂Z, by 12 of the matrix sign's (Lin & Maji 2017)."""

    @staticmethod
    def forward(ctx, matrix):
        size = matrix.norm()
        three = 3 * torch.eye(len(matrix), dtype=matrix.dtype)
        root, inverse = matrix / size, three / 3
        for _ in range(12):
            factor = (three - inverse @ root) / 2
            root, inverse = root @ factor, factor @ inverse
        root = root * size.sqrt()
        ctx.save_for_backward(root)
        return root

    @staticmethod
    def backward(ctx, gradient):
        (root,) = ctx.saved_tensors
        size = root.norm()
        three = 3 * torch.eye(len(root), dtype=root.dtype)
        a, q = root / size, gradient / size
        for _ in range(12):
            left = three - a @ a
            q = (q @ left - a.T @ (a.T @ q - q @ a)) / 2
            a = a @ left / 2
        return q / 2


def _mean_and_covariance(features: Tensor) -> tuple[Tensor, Tensor]:
    rows = features[0].flatten(1)
    mean = rows.mean(1)
    second = rows @ rows.T / rows.shape[1]
    return mean, second - mean[:, None] * mean + 1e-4 * torch.eye(len(mean))


def _wasserstein(features: Tensor, target: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Squared, of two normal distributions, and divided by the number of channels."""
    (mean, covariance), (their_mean, theirs, their_root) = _mean_and_covariance(features), target
    between = _Root.apply(their_root @ covariance @ their_root)
    return ((mean - their_mean) ** 2).mean() + (theirs + covariance - 2 * between).diagonal().mean()


def _variation(pixels: Tensor) -> Tensor:
    x = F.pad(pixels, (1, 1, 1, 1), mode="replicate")
    inner = x[:, :, 1:-1, 1:-1]
    straight = (x[:, :, 1:-1, 2:] - inner, x[:, :, 2:, 1:-1] - inner)
    slanting = (x[:, :, 1:, 1:] - x[:, :, :-1, :-1], x[:, :, 1:, :-1] - x[:, :, :-1, 1:])
    squares = [(d**2).mean() / 3 for d in straight] + [(d**2).mean() / 12 for d in slanting]
    return 2 * sum(squares)


def crowsonkb(
    features: nn.Sequential, contents: list[Tensor], styles: list[Tensor], steps: list[int], keep_iterates: bool = False
) -> Run:
    """Content and style at each level, from the smallest on, and how many steps there."""
    weights = {index: weight / 341 for index, weight in zip(RELUS, (256, 64, 16, 4, 1), strict=True)}
    run, average, optimizer = Run(), contents[0], None
    for content, style, count in zip(contents, styles, steps, strict=True):
        with torch.no_grad():
            wanted = _look(features, content, "replicate")[CONTENT]
            seen = _look(features, style, "replicate")
            targets = {index: _mean_and_covariance(seen[index]) for index in RELUS}
            targets = {index: (*pair, _Root.apply(pair[1])) for index, pair in targets.items()}
        image = F.interpolate(average, content.shape[2:], mode="bicubic").clamp(0, 1)
        total, seen_so_far = 0.01 * image, 0.99  # of the mean over iterates: Σ 0.01·0.99ᵏ·picture, and 0.99ⁿ
        image.requires_grad_()
        later = torch.optim.Adam([image], lr=0.02, betas=(0.9, 0.99))
        if optimizer is not None:
            (state,) = optimizer.state_dict()["state"].values()
            shape = content.shape[2:]
            m = F.interpolate(state["exp_avg"], shape, mode="bicubic")
            v = F.interpolate(state["exp_avg_sq"], shape, mode="bilinear")
            later.state[image] = {"step": state["step"].clone(), "exp_avg": m, "exp_avg_sq": v}
        optimizer = later
        for _ in range(count):
            seen = _look(features, image, "replicate")
            content_term = 0.015 * F.mse_loss(seen[CONTENT], wanted)
            style_terms = [weights[index] * _wasserstein(seen[index], targets[index]) for index in RELUS]
            smoothing = 2 * _variation(image)
            loss = content_term + sum(style_terms) + smoothing
            run.history.append({**_entry(content_term, style_terms, loss), "tv": smoothing.item()})
            optimizer.zero_grad()
            loss.backward()
            if keep_iterates:
                run.iterates.append(image.detach().clone())
                run.gradients.append(image.grad.clone())
            optimizer.step()
            image.data.clamp_(0, 1)
            total, seen_so_far = 0.99 * total + 0.01 * image.detach(), 0.99 * seen_so_far
        average = total / (1 - seen_so_far)
    run.image = average.clamp(0, 1)
    return run


# --- pastiche and spst ------------------------------------------------------------------------------------------------


def _gram(features: Tensor) -> Tensor:
    rows = features[0].flatten(1)
    return rows @ rows.T / rows.shape[1]


def _mean_std(features: Tensor) -> tuple[Tensor, Tensor]:
    rows = features[0].flatten(1).double()  # or the difference of nearly equal numbers is all rounding
    mean = rows.mean(1)
    return mean, ((rows**2).mean(1) - mean**2).sqrt()


def _by_lbfgs(
    pixels: Tensor,
    terms: Callable[[Tensor], tuple[Tensor, list[Tensor]]],
    evaluations: int,
    **options: int,
) -> Run:
    """Of bytes, never clamped; what each evaluation saw, up to that many or as many more as end its call."""
    image = (255 * pixels).requires_grad_()
    optimizer = torch.optim.LBFGS([image], **options)
    run = Run()

    def closure() -> Tensor:
        optimizer.zero_grad()
        content_term, style_terms = terms(image / 255)
        loss = content_term + sum(style_terms)
        loss.backward()
        run.history.append({**_entry(content_term, style_terms, loss), "tv": 0.0})
        run.iterates.append(image.detach() / 255)
        run.gradients.append(255 * image.grad)  # by pixels
        return loss

    while len(run.history) < evaluations:
        optimizer.step(closure)
    run.image = (image.detach() / 255).clamp(0, 1)
    return run


def pastiche(features: nn.Sequential, content: Tensor, style: Tensor, steps: int) -> Run:
    """The package's defaults: 0.01 times the content's mean square, 10/C² times that of each layer's Gram matrix; one
    evaluation a call."""
    with torch.no_grad():
        wanted = _look(features, content)[CONTENT]
        seen = _look(features, style)
        targets = {index: _gram(seen[index]) for index in RELUS}

    def terms(pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        seen = _look(features, pixels)
        grams = {index: _gram(seen[index]) for index in RELUS}
        style_terms = [10 / len(g) ** 2 * F.mse_loss(g, targets[index]) for index, g in grams.items()]
        return 0.01 * F.mse_loss(seen[CONTENT], wanted), style_terms

    return _by_lbfgs(content, terms, steps, max_iter=1)


def spst(features: nn.Sequential, contents: list[Tensor], styles: list[Tensor], more_than: list[int]) -> list[Run]:
    """Content and style at each level, each twice as large as the one before. Evaluations come in calls of 20, until
    there are more than so many. Each level's run."""
    runs: list[Run] = []
    for content, style, least in zip(contents, styles, more_than, strict=True):
        with torch.no_grad():
            wanted = _look(features, content)[CONTENT]
            seen = _look(features, style)
            targets = {index: (_gram(seen[index]), *_mean_std(seen[index])) for index in RELUS}

        def terms(pixels: Tensor, wanted=wanted, targets=targets) -> tuple[Tensor, list[Tensor]]:
            seen = _look(features, pixels)
            style_terms = []
            for index in RELUS:
                gram, mean, deviation = targets[index]
                weight = 1e3 / len(gram) ** 2
                own_mean, own_deviation = _mean_std(seen[index])
                moments = F.mse_loss(own_mean, mean) + F.mse_loss(own_deviation, deviation)
                beside = weight * len(gram) ** 2 * 1000 / 100
                style_terms.append(weight * F.mse_loss(_gram(seen[index]), gram) + beside * moments)
            return F.mse_loss(seen[CONTENT], wanted), style_terms

        start = content
        if runs:
            start = F.interpolate(runs[-1].image, content.shape[2:], mode="bicubic", antialias=True).clamp(0, 1)
        runs.append(_by_lbfgs(start, terms, least + 1, history_size=10 if runs else 100))
    return runs
