"""What a frame takes over from those before it: the nearest earlier result that shows the same, place by place."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..errors import NSTError
from ..objective.temporal import Temporal
from ..pictures.images import shape_of
from .flow import Flow, dis_flow, warp
from .reliability import alike, reliability

MOST_BACK = 1000


@dataclass(frozen=True)
class Coherence:
    """How frames hold together. `weight` is that of the temporal term, 1 for what was found to be right; `steps` are
    those of every frame but the first of a shot (None: a fifth of the first's); `back` are the frames before that are
    looked at, nearest first; `passes` is 2 to go through each shot once more, backwards; with `cuts` shots are found
    and treated apart; `flow` is given to use another than OpenCV's."""

    weight: float = 1.0
    steps: int | None = None
    back: tuple[int, ...] = (1, 2, 4)
    passes: int = 1
    cuts: bool = True
    flow: Flow | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1000:
            raise NSTError(f"temporal_weight: {self.weight} will not do; give 0 to 1000 (1 is usual).")
        if self.steps is not None and self.steps < 0:
            raise NSTError(f"frame_steps: {self.steps} is not a number of steps; give 0 or more.")
        if self.passes not in (1, 2):
            raise NSTError(f"passes: {self.passes} will not do; give 1, or 2 to go over each shot backwards, too.")
        if not self.back or any(n < 1 for n in self.back) or list(self.back) != sorted(set(self.back)):
            raise NSTError(f"back: {self.back} are not frames before this one; give rising numbers such as 1, 2, 4.")
        if self.back[-1] > MOST_BACK:
            raise NSTError(f"back: {self.back[-1]} frames would be kept in memory; {MOST_BACK} are the most.")


# γ at weight 1: a deviation of 1/255 in every pixel costs as much as UNIT/255² of the style term.
UNIT = 400.0
# The flow from one shot to another is relied on in a few places, by chance.
SAME_SHOT = 0.25
# Of how many rows and columns one is looked at, where colours are.
SPARSE = 2


@dataclass(frozen=True, eq=False)
class Past:
    """A frame that is finished, in the result's size: what it shows, and how it was painted."""

    content: torch.Tensor
    painted: torch.Tensor
    settled: torch.Tensor  # 1x1xHxW: what share of a picture's steps each place has had


def anchor(content: torch.Tensor, past: Sequence[Past], coherence: Coherence, flow: Flow) -> Temporal | None:
    """ω and c of a frame. `past` are the frames that are looked at, nearest first. None: another shot begins.

    c is what is not yet reliable in a nearer one, so that every place is taken from one frame (Ruder et al., 4.3).
    """
    target = torch.zeros_like(content)
    settled = torch.zeros(1, 1, *shape_of(content))
    found = torch.zeros(1, 1, *shape_of(content))
    for number, earlier in enumerate(past):
        there, back = _both_ways(content, earlier.content, flow)
        shown, painted = warp(torch.cat((earlier.content, earlier.painted), 1), there).split(3, 1)
        c = torch.minimum(reliability(there, back) * alike(content, shown), 1 - found)
        target += c * painted.clamp(0, 1)
        settled += c * warp(earlier.settled, there, "bilinear")
        found += c
        share = float(found.mean())
        if number == 0 and coherence.cuts and share < SAME_SHOT:
            return None
        if share == 1:
            break  # nothing is left for those further back
    return Temporal(target, found, settled, coherence.weight * UNIT)


def coloured(content: torch.Tensor, past: Past) -> torch.Tensor:
    """`content` in the colours that the frame before has got: what is new starts from that.

    From the content's own colours few steps only get half-way, and the style asks of the few free pixels what the many
    that are held cannot give, in specks. The colours are the affine function of the content's that fits best.
    """
    x, y = (_at_some(picture) for picture in (past.content, past.painted))
    fit = (torch.linalg.pinv(x.T @ x) @ (x.T @ y)[:, :3]).to(content)
    return torch.addmm(fit[3:], content[0].flatten(1).T, fit[:3]).T.reshape(content.shape).clamp(0, 1)


def _at_some(picture: torch.Tensor) -> torch.Tensor:
    """A pixel's values and 1, in each row."""
    values = picture[0, :, ::SPARSE, ::SPARSE].flatten(1).T.double()
    return F.pad(values, (0, 1), value=1.0)


def cut_between(earlier: torch.Tensor, content: torch.Tensor, flow: Flow) -> bool:
    """Whether another shot begins with `content`."""
    there, back = _both_ways(content, earlier, flow)
    return float((reliability(there, back) * alike(content, warp(earlier, there))).mean()) < SAME_SHOT


def _both_ways(content: torch.Tensor, earlier: torch.Tensor, flow: Flow) -> tuple[torch.Tensor, torch.Tensor]:
    """There and back: OpenCV's side by side, as it lets Python go meanwhile; what a caller gives is called in turn."""
    if flow is not dis_flow:
        return flow(content, earlier), flow(earlier, content)
    with ThreadPoolExecutor(1) as other:
        back = other.submit(dis_flow, earlier, content)
        return dis_flow(content, earlier), back.result()
