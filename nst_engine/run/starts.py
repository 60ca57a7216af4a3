"""What the first step begins from."""

from __future__ import annotations

import torch

from ..errors import NSTError
from ..network.conventions import IMAGENET_MEAN
from ..network.exact import einsum
from ..pictures.images import resize, shape_of
from ..recipes import Recipe
from ..statistics.distances import Statistics, weighted_mean
from ..statistics.masks import fit_mask
from ..statistics.moments import statistics
from ..styles.grams import StyleGrams
from ..styles.style import Style
from .pyramid import finest_band


def start_pixels(
    recipe: Recipe,
    shape: tuple[int, int],
    content: torch.Tensor | None,
    image: torch.Tensor | None,
    grams: StyleGrams,
    generator: torch.Generator,
) -> torch.Tensor:
    """1x3xHxW of this shape, as the recipe's start says."""
    if recipe.start == "content":
        assert content is not None
        return content
    if recipe.start == "detail":
        assert content is not None
        # Kolkin et al. 2019, section 2.5.
        return finest_band(content) + _mean_colours(grams, recipe.start).mean.view(1, 3, 1, 1)
    if recipe.start == "image":
        assert image is not None
        return resize(image, shape)
    if recipe.start == "grey":
        return torch.full((1, 3, *shape), 0.5)
    if recipe.start == "style":
        style = max(grams.counted, key=lambda s: s.weight)
        return covering(_picture(style, recipe.start), shape)
    # Drawn on the CPU: the same seed starts from the same noise on every device.
    noise = torch.randn(1, 3, *shape, generator=generator)
    if recipe.start == "noise":
        return noise * recipe.noise + torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    return coloured(noise, grams, recipe.start)


def coloured(noise: torch.Tensor, grams: StyleGrams, start: str) -> torch.Tensor:
    """White noise given the mean colour of the styles and the covariance of their colours."""
    colours = _mean_colours(grams, start)
    covariance = colours.moment - torch.outer(colours.mean, colours.mean)
    # A picture of one colour has no covariance to take the root of.
    values, vectors = torch.linalg.eigh(covariance.double())
    root = ((vectors * values.clamp_min(0).sqrt()) @ vectors.T).float()
    return (einsum("ij,njhw->nihw", root, noise) + colours.mean.view(1, 3, 1, 1)).clamp(0, 1)


def _mean_colours(grams: StyleGrams, start: str) -> Statistics:
    """Of all styles, by their weights."""
    total = sum(style.weight for style in grams.counted)
    return weighted_mean([(style.weight / total, _colours(style, start)) for style in grams.counted])


def _colours(style: Style, start: str) -> Statistics:
    picture = _picture(style, start)
    mask = None if style.mask is None else fit_mask(style.mask, shape_of(picture), f"mask of {style.name}")
    return statistics(picture.contiguous(memory_format=torch.channels_last), mask)


def _picture(style: Style, start: str) -> torch.Tensor:
    if style.picture is None:
        raise NSTError(
            f"start: {start!r} needs the style's picture, and {style.name} was loaded from a file, which has none. "
            "Choose content, grey or noise, or connect a start image."
        )
    return style.picture


def covering(picture: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """The middle of the picture, as large as it goes with this shape's proportions."""
    (h, w), (height, width) = shape_of(picture), shape
    scale = min(h / height, w / width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (h - rows) // 2, (w - columns) // 2
    return resize(picture[:, :, top : top + rows, left : left + columns], shape)
