"""The picture in work: the numbers that the optimiser moves, and what is remembered from step to step."""

from __future__ import annotations

import torch

from ..network.conventions import IMAGENET_MEAN, IMAGENET_STD
from ..pictures.images import shape_of
from ..recipes import Recipe
from .optim import AdamState, Average
from .pyramid import Pyramid


class Parametrisation:
    """The numbers that the optimiser moves, as an affine image of the pixels: pixels = scale·variable + shift."""

    def __init__(self, name: str, device: torch.device) -> None:
        scale, shift = {
            "pixels": ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
            "imagenet": (IMAGENET_STD, IMAGENET_MEAN),
            "bytes": ((1 / 255,) * 3, (0.0, 0.0, 0.0)),
        }[name]
        self.plain = name == "pixels"
        self.scale = torch.tensor(scale, device=device).view(1, 3, 1, 1)
        self.shift = torch.tensor(shift, device=device).view(1, 3, 1, 1)

    def pixels(self, variable: torch.Tensor) -> torch.Tensor:
        return variable if self.plain else variable * self.scale + self.shift

    def variable(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.clone() if self.plain else (pixels - self.shift) / self.scale

    def gradient(self, gradient: torch.Tensor) -> torch.Tensor:
        """By the variable. Contiguous: torch's L-BFGS flattens it with a view."""
        return (gradient if self.plain else gradient * self.scale).contiguous()

    def rate_factor(self, factor: torch.Tensor) -> torch.Tensor:
        """What is to multiply each number's rate, from what is to multiply each pixel's."""
        return factor

    def clamp_(self, variable: torch.Tensor) -> None:
        variable.clamp_(-self.shift / self.scale, (1 - self.shift) / self.scale)


class Bands:
    """The same for the variable `laplacian`, whose numbers are the bands of the picture's pyramid."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.pyramid = Pyramid(shape)

    def pixels(self, variable: torch.Tensor) -> torch.Tensor:
        return self.pyramid.pixels(variable)

    def variable(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.pyramid.bands(pixels)

    def gradient(self, gradient: torch.Tensor) -> torch.Tensor:
        return self.pyramid.gradient(gradient)

    def rate_factor(self, factor: torch.Tensor) -> torch.Tensor:
        return self.pyramid.means(factor)

    def clamp_(self, variable: torch.Tensor) -> None:
        variable.copy_(self.variable(self.pixels(variable).clamp_(0, 1)))


class Canvas:
    """The variable, in the recipe's space; Adam's state, which goes from level to level; the mean of the last pictures,
    which is the result if the recipe averages."""

    parametrisation: Parametrisation | Bands
    variable: torch.Tensor

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.variable_name, self.device = recipe.variable, device
        self.average = Average(recipe.averaging, recipe.average == "exponential") if recipe.averaging else None
        self.adam_state: AdamState | None = None

    def begin_level(self, pixels: torch.Tensor) -> None:
        bands = self.variable_name == "laplacian"
        self.parametrisation = Bands(shape_of(pixels)) if bands else Parametrisation(self.variable_name, self.device)
        self.variable = self.parametrisation.variable(pixels).requires_grad_()

    def pixels(self) -> torch.Tensor:
        """The picture that the optimiser's variable stands for."""
        return self.parametrisation.pixels(self.variable.detach()).clamp(0, 1)

    def shown(self) -> torch.Tensor:
        """The result if the run ended now."""
        return self.pixels() if self.average is None or self.average.pixels is None else self.average.pixels
