"""From the terms' gradients at every tap to the gradient that goes back through the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from ..network import operations
from ..network.fast import parallel_for, rows_of, synchronize
from ..network.tiles import Tile
from ..statistics.hypercolumns import ColumnGradient
from ..statistics.moments import positions
from .any_style import AnyStyleGradient
from .content import ContentTerm

Tensor = torch.Tensor

# By part (content or style) and tap, Σ|∂L/∂F|.
Norms = dict[tuple[str, str], Tensor]


@dataclass(frozen=True)
class TapGradients:
    """∂L/∂F of one tap after the other, for the whole picture or for a tile."""

    style: AnyStyleGradient
    content: ContentTerm
    targets: Mapping[str, Tensor]  # P, of the tile
    dtype: torch.dtype
    tile: Tile | None = None
    normalised: bool = False  # each part and tap by its Σ|∂L/∂F|
    norms: Norms | None = None  # of the whole picture, when this is a tile of it
    similarity: ColumnGradient | None = None  # of content by self-similarity

    def at(self, tap: str, features: Tensor) -> Tensor:
        total: Tensor | None = None
        for part, gradient in self.parts(tap, features):
            if self.normalised:
                self._normalise(part, tap, gradient)
            if total is None:
                total = gradient
            else:
                add_(total, gradient)
        return torch.zeros_like(features, dtype=self.dtype) if total is None else total

    def add_to(self, gradient: Tensor, tap: str, features: Tensor, through_relu: bool) -> None:
        """The same, added to what the deeper layers gave, and taken back through the ReLU that the features came out
        of."""
        compared = self.targets if self.similarity is None else self.similarity.by_tap
        alone = None if self.normalised or tap in compared else self.style.of_one_region(tap)
        if alone is not None and gradient.is_contiguous(memory_format=torch.channels_last):
            # In less than half of the time, and without memory for the product.
            alone.add_to(positions(gradient), positions(features), self.tile is None, through_relu)
        elif self._is_content_alone(tap):
            self.content.add_to(gradient, tap, features, self.targets[tap], through_relu)
        else:
            synchronize()
            add_(gradient, self.at(tap, features))
            if through_relu:
                operations.relu_backward(gradient, features)

    def _is_content_alone(self, tap: str) -> bool:
        """Of a whole picture, as it is."""
        return (
            tap in self.targets
            and tap not in self.style.weights
            and self.similarity is None
            and self.tile is None
            and not self.normalised
        )

    def parts(self, tap: str, features: Tensor) -> Iterator[tuple[str, Tensor]]:
        f = features.to(self.dtype)
        style = self.style.at(tap, f, self.tile)
        if style is not None:
            yield "style", style
        if tap in self.targets:
            yield "content", self.content.gradient(tap, f, self.targets[tap], self.tile)
        if self.similarity is not None and (similarity := self.similarity.at(tap, f, self.tile)) is not None:
            yield "content", similarity

    def _normalise(self, part: str, tap: str, gradient: Tensor) -> None:
        norm = l1(gradient) if self.norms is None else self.norms[part, tap]
        weights = self.style.weights if part == "style" else self.content.weights
        gradient.mul_(weights[tap] / norm.clamp_min(1e-30))


def l1(gradient: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(gradient, 1, dtype=torch.float32)
    return norm


def add_(total: Tensor, part: Tensor) -> None:
    parallel_for(lambda rows: total[:, :, rows].add_(part[:, :, rows]), rows_of(total))
