"""What a user may set of the objective beside the recipe: which layers count, and how much of what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import NSTError


@dataclass(frozen=True)
class LayerWeights:
    """Which taps count and how much; None leaves that to the recipe."""

    style: Mapping[str, float] | None = None
    content: Mapping[str, float] | None = None

    def __repr__(self) -> str:
        def listed(taps: Mapping[str, float] | None) -> str:
            return "as the recipe" if taps is None else ", ".join(f"{t}={w:g}" for t, w in taps.items())

        return f"<LAYER_WEIGHTS style: {listed(self.style)}; content: {listed(self.content)}>"


STRONGEST = 10.0
MOST = 1e12  # of a multiplier: beyond, the loss has no float32
# Beyond strength 1 the content counts less by this power of it.
STRENGTH_POWER = 3


@dataclass(frozen=True)
class Multipliers:
    """The user's sliders: of content and style, 1 is what the recipe says; of total variation, None is.

    `strength` is how far the statistics aimed at lie from the content's own (0) to the style's (1); beyond, the content
    counts less and less.
    """

    content: float = 1.0
    style: float = 1.0
    tv: float | None = None
    strength: float = 1.0

    @property
    def content_in_all(self) -> float:
        return self.content / max(1.0, self.strength) ** STRENGTH_POWER

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= STRONGEST:
            raise NSTError(
                f"strength: {self.strength} is not a strength; 0 leaves the content as it is, 1 is what the recipe "
                f"says, up to {STRONGEST:g} is more."
            )
        for name, value in (("content_weight", self.content), ("style_weight", self.style), ("tv_weight", self.tv)):
            if value is not None and not 0 <= value <= MOST:
                raise NSTError(f"{name}: {value} is not a multiplier; give 0 to {MOST:g} (1 is what the recipe says).")
