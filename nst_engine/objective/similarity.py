"""The content term of Kolkin et al. 2019 (STROTSS): how alike samples of the picture are among themselves, against how
alike the content's are at the same positions. Colours and textures may change as long as what differs goes on to."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..network.architecture import channels, position_count
from ..network.tiles import Tile
from ..network.vgg import Network
from ..recipes import Recipe
from ..statistics.earth_mover import self_similarity, similarities
from ..statistics.hypercolumns import (
    STEPS_AHEAD,
    ColumnGradient,
    PositionSampler,
    SampledPositions,
    by_tap,
    columns_at,
    joined,
)
from .factors import content_factor

Tensor = torch.Tensor


class SelfSimilarity:
    """α/n Σ |Dᵢⱼ / Σᵢ Dᵢⱼ − the content's|, at positions that are others at every step; for L-BFGS always the same.

    α goes with what the features' distance is for a blank picture, so that one weight means about the same in both."""

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        content: Tensor,
        weights: Mapping[str, float],
        emphasis: Tensor | None,
        seed: int,
    ) -> None:
        self.network, self.content, self.weights, self.emphasis = network, content, weights, emphasis
        self.shape = (content.shape[-2], content.shape[-1])
        self.draws_once = recipe.draws_once
        self.draws = PositionSampler(self.shape, None, seed)
        self.coming: list[tuple[SampledPositions, Tensor]] = []
        self.factor = self._factor(recipe)

    def _factor(self, recipe: Recipe) -> Tensor:
        """Σ over taps of what the content's features themselves would come to, from the first samples of them."""
        columns = self._look_ahead()
        total = torch.zeros((), device=self.network.device)
        for tap, weight in self.weights.items():
            numel = channels(tap) * position_count(self.shape, tap)
            energy = columns[tap].square().mean() * numel
            total = total + weight * content_factor(recipe.content_term, energy, numel) * energy
        return total

    def _look_ahead(self) -> dict[str, Tensor]:
        """Draws the positions of the next steps, and reads the content's hypercolumns there."""
        count = 1 if self.draws_once else STEPS_AHEAD
        drawn = [self.draws.next() for _ in range(count)]
        columns = columns_at(self.network, self.content, self.weights, torch.cat(drawn))
        parts = joined(columns, self.weights).split([len(samples) for samples in drawn])
        looks = [SampledPositions(samples, self.shape, self.network.device) for samples in drawn]
        self.coming = [(look, similarities(rows)) for look, rows in zip(looks, parts, strict=True)]
        return columns

    def begin(self) -> None:
        """Called before every evaluation."""
        if not self.coming:
            self._look_ahead()
        self.looks, self.target = self.coming[0] if self.draws_once else self.coming.pop(0)

    def columns(self, tap: str, features: Tensor, tile: Tile | None = None) -> Tensor:
        """The tap's part of the hypercolumns: of a tile, what it contributes to them."""
        return self.looks.at(tap).read(features, tap, tile)

    def value_and_gradient(self, columns: Mapping[str, Tensor]) -> tuple[Tensor, ColumnGradient]:
        ours = joined(columns, self.weights).requires_grad_()
        emphasis = None if self.emphasis is None else self.looks.of(self.emphasis.to(ours.device))[:, 0]
        with torch.enable_grad():
            value = self.factor * self_similarity(similarities(ours), self.target, emphasis)
            (gradient,) = torch.autograd.grad(value, ours)
        return value.detach(), ColumnGradient(self.looks, by_tap(gradient, columns, self.weights))
