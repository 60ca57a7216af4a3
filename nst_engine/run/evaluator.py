"""Value and gradient of a level's loss; when the device runs out of memory, once more by smaller tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from ..errors import NSTError
from ..network.tiles import margin
from ..objective.layout import Layout, does_at_once
from ..objective.objective import OnTile, Terms
from ..objective.setup import Setup
from ..statistics.distances import BY_FEATURES, BY_MOMENTS
from ..system.devices import release
from ..system.out_of_memory import is_out_of_memory

ValueAndGrad = Callable[[torch.Tensor, OnTile], tuple[Terms, torch.Tensor]]
T = TypeVar("T")


class Evaluator:
    """Evaluates `build(layout)`. When memory runs out, builds anew with `smaller(layout)` and tries again; `smaller`
    raises when nothing is left. What the optimiser itself allocates is not tried again."""

    def __init__(
        self,
        build: Callable[[Layout], ValueAndGrad],
        layout: Layout,
        smaller: Callable[[Layout], Layout],
        device: torch.device,
    ) -> None:
        self.build, self.layout, self.smaller, self.device = build, layout, smaller, device
        self.evaluate: ValueAndGrad | None = None
        # Built even if no step is to follow, so that unusable input is refused all the same.
        self._try(lambda _: None)

    def __call__(self, pixels: torch.Tensor, on_tile: OnTile) -> tuple[Terms, torch.Tensor]:
        return self._try(lambda evaluate: evaluate(pixels, on_tile))

    def _try(self, use: Callable[[ValueAndGrad], T]) -> T:
        while True:
            try:
                if self.evaluate is None:
                    self.evaluate = self.build(self.layout)
                return use(self.evaluate)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the handler, whose traceback would keep the failed attempt's tensors alive.
            self.evaluate = None
            release(self.device)
            self.layout = self.smaller(self.layout)


def smaller_layout(setup: Setup, shape: tuple[int, int], layout: Layout) -> Layout:
    """With smaller tiles, or without keeping the content's features; an error where neither is left."""
    (h, w), statistic, device = shape, setup.recipe.statistic, setup.network.device
    if statistic in BY_FEATURES:
        raise NSTError(
            f"size: {w}×{h} pixels do not fit into the memory of {device} in one pass, and the statistic "
            f"{statistic!r} {does_at_once(statistic)} the whole picture's features, which tiles cannot do. A smaller "
            f"size would do, or a statistic that is a sum: {', '.join(BY_MOMENTS)}."
        )
    smaller = layout.smaller(shape, margin(setup.layers, setup.network.vgg.architecture) if setup.layers else 0)
    if smaller is None:
        raise NSTError(
            f"size: {w}×{h} pixels do not fit into the memory of {device}, not even by tiles of {layout.tile}. A "
            "smaller size would do, or precision bf16, or fewer programs beside this one."
        )
    return smaller
