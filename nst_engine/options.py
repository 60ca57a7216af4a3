"""What a user may set of a transfer: one value that the nodes, the command line and `stylize` fill, checked here."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .errors import NSTError
from .objective.controls import LayerWeights, Multipliers
from .objective.octaves import MOST_OCTAVES
from .objective.temporal import Temporal
from .pictures.colour import METHODS, check_strength
from .recipes import FAST_ADAM, LBFGS, STARTS, VOCABULARY, Adam, Recipe, get_recipe
from .run.levels import OWN_SIZE

OPTIMIZERS = ("adam", "lbfgs")
KEEP_COLOURS = ("none", *METHODS)
PROTECT_MODES = ("pixels", "content")
STROKES = (0.05, 10.0)
LARGEST_RATE = 1e30

CHOICES = {
    "protect_mode": PROTECT_MODES,
    "optimizer": OPTIMIZERS,
    "start": STARTS,
    **{name: VOCABULARY[name] for name in ("statistic", "tv_kind", "content_measure")},
}
# What stands in place of the recipe's own, by the same name.
REPLACED = (
    "steps",
    "start",
    "statistic",
    "shift",
    "tv_kind",
    "normalise_gradients",
    "averaging",
    "content_measure",
    "octaves",
)
RANGES = {
    "start_mix": (0.0, 1.0),
    "protect_weight": (1.0, 1e6),
    "shift": (-1e6, 1e6),
    "averaging": (0.0, 0.9999),
    "stroke_size": STROKES,
    "octaves": (1, MOST_OCTAVES),
}


@dataclass(frozen=True, eq=False)
class Options:
    """The arguments of `stylize`, whose docstring says what they mean; None leaves a choice to the recipe."""

    recipe: str | Recipe = "balanced"
    steps: int | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    content_weight: float = 1.0
    style_weight: float = 1.0
    tv_weight: float | None = None
    tv_kind: str | None = None
    strength: float = 1.0
    statistic: str | None = None
    shift: float | None = None
    normalise_gradients: bool | None = None
    averaging: float | None = None
    content_measure: str | None = None
    octaves: int | None = None
    start: str | None = None
    start_image: torch.Tensor | None = None
    start_mix: float = 0.0
    size: int = OWN_SIZE
    stroke_size: float | None = None
    shape: tuple[int, int] | None = None
    seamless: bool = False
    scales: int | None = None
    seed: int = 0
    layers: LayerWeights | None = None
    keep_colours: str = "none"
    keep_colours_strength: float = 1.0
    protect: torch.Tensor | None = None
    protect_mode: str = "pixels"
    protect_weight: float = 20.0
    temporal: Temporal | None = None
    tile: int | str | None = "auto"
    memory: int | None = None

    def __post_init__(self) -> None:
        get_recipe(self.recipe)
        check_keep_colours(self.keep_colours, self.keep_colours_strength)
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise NSTError(f"{name}: {value!r} is not one of {', '.join(known)}.")
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most and not (name == "stroke_size" and value == 0):
                raise NSTError(f"{name}: {value} will not do; give {least:g} to {most:g}.")
        _ = self.multipliers  # for their own checks
        if self.steps is not None and self.steps < 0:
            raise NSTError(f"steps: {self.steps} is not a number of steps; give 0 (returns the start) or more.")
        if self.learning_rate is not None and not 0 < self.learning_rate <= LARGEST_RATE:
            raise NSTError(
                f"learning_rate: {self.learning_rate} is not a rate; give a number above 0, up to {LARGEST_RATE}."
            )
        if not (isinstance(self.seed, int) and 0 <= self.seed < 2**64):
            raise NSTError(f"seed: {self.seed} is not a seed; give a whole number from 0 to 2**64 − 1.")

    @property
    def multipliers(self) -> Multipliers:
        return Multipliers(self.content_weight, self.style_weight, self.tv_weight, self.strength)

    @property
    def used_recipe(self) -> Recipe:
        """The recipe with the user's choices replacing its own."""
        recipe = get_recipe(self.recipe)
        if self.optimizer == "adam" and not isinstance(recipe.optimizer, Adam):
            # In pixels, so that a learning rate means the same whatever space the recipe's own optimiser moves in.
            recipe = replace(recipe, optimizer=FAST_ADAM, variable="pixels")
        elif self.optimizer == "lbfgs" and not isinstance(recipe.optimizer, LBFGS):
            recipe = replace(recipe, optimizer=LBFGS())
        if self.learning_rate is not None:
            recipe = replace(recipe, optimizer=replace(recipe.optimizer, lr=self.learning_rate))
        return replace(recipe, **{name: value for name in REPLACED if (value := getattr(self, name)) is not None})


def check_keep_colours(method: str, strength: float) -> None:
    if method not in KEEP_COLOURS:
        raise NSTError(f"keep_colours: {method!r} is not one of {', '.join(KEEP_COLOURS)}.")
    check_strength(strength, "keep_colours_strength")
