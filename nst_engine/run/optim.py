"""The optimisers' steps on an image: evaluate, move, and again, until the evaluation says that it is over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..recipes import LBFGS, Adam

Tensor = torch.Tensor


class Finished(Exception):
    """Raised by an evaluation when the budget is spent or somebody said stop; the variable then holds the picture."""


# Evaluates at the variable as it stands, leaves the gradient in variable.grad and returns the loss.
Closure = Callable[[], Tensor]


@dataclass
class AdamState:
    """What Adam remembers: m and v of Kingma & Ba 2015, after t steps."""

    m: Tensor
    v: Tensor
    t: int = 0

    def resized(self, shape: tuple[int, int], moments: str = "scaled") -> AdamState:
        """For the next level of coarse-to-fine. The loss is a mean over the picture, so where there are more pixels
        each one's gradient is smaller by as much."""
        if moments == "kept":
            # On the CPU, for not every device has it.
            m = F.interpolate(self.m.cpu(), size=shape, mode="bicubic", align_corners=False).to(self.m.device)
            v = F.interpolate(self.v, size=shape, mode="bilinear", align_corners=False)
            return AdamState(m, v, self.t)
        share = self.m.shape[-2] * self.m.shape[-1] / (shape[0] * shape[1])
        m, v = (F.interpolate(x, size=shape, mode="bilinear", align_corners=False) for x in (self.m, self.v))
        return AdamState(m.mul_(share), v.mul_(share**2), self.t)


@dataclass
class Average:
    """A running mean over the last 1 / (1 − decay) pictures or so. Before there are as many: the plain mean, or, if
    `exponential`, the bias-corrected one (Kingma & Ba 2015)."""

    decay: float
    exponential: bool = False
    pixels: Tensor | None = None
    count: int = 0

    def begin(self, pixels: Tensor) -> None:
        self.pixels, self.count = pixels.clone(), 1

    def add(self, pixels: Tensor) -> None:
        if self.pixels is None:
            self.begin(pixels)
            return
        self.count += 1
        least = 1 - self.decay
        share = least / (1 - self.decay**self.count) if self.exponential else max(least, 1 / self.count)
        self.pixels.lerp_(pixels, share)


def adam(
    variable: Tensor,
    evaluate: Closure,
    settings: Adam,
    steps: int,
    state: AdamState | None = None,
    rate_factor: Tensor | None = None,
) -> AdamState:
    """Kingma & Ba 2015; the rate falls along half a cosine from lr to lr·final_lr, and starts over on every level: the
    detail that a level adds is too fine to converge at a low rate.
    `rate_factor` multiplies the rate, pixel by pixel."""
    beta1, beta2 = settings.betas
    pixels = variable.shape[-2] * variable.shape[-1]
    epsilon = 1e-8 * (min(1.0, settings.usual_pixels / pixels) if settings.usual_pixels else 1.0)
    state = state or AdamState(torch.zeros_like(variable), torch.zeros_like(variable))
    try:
        for step in itertools.count():
            evaluate()
            assert variable.grad is not None
            g = variable.grad
            fallen = 0.5 * (1 - math.cos(math.pi * step / max(1, steps - 1)))
            rate = settings.lr * (1 - fallen * (1 - settings.final_lr))
            state.t += 1
            correction1, correction2 = (1 - beta**state.t if settings.corrected else 1.0 for beta in settings.betas)
            state.m.lerp_(g, 1 - beta1)
            state.v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            # Both with their bias corrections. The denominator takes the gradient's memory, which is no longer needed.
            denominator = torch.sqrt(state.v, out=g).div_(math.sqrt(correction2)).add_(epsilon)
            numerator = state.m if rate_factor is None else state.m * rate_factor
            variable.addcdiv_(numerator, denominator, value=-rate / correction1)
            del g, denominator, numerator  # or the next gradient would be allocated beside this one
    except Finished:
        pass
    return state


def lbfgs(variable: Tensor, evaluate: Closure, settings: LBFGS) -> None:
    """Liu & Nocedal 1989, torch's, in calls of `inner` evaluations; its history lasts from call to call."""
    optimizer = torch.optim.LBFGS(
        [variable],
        lr=settings.lr,
        max_iter=settings.inner,
        history_size=settings.history,
        tolerance_grad=settings.tolerance_grad,
        tolerance_change=settings.tolerance_change,
    )
    try:
        while True:
            with torch.enable_grad():
                optimizer.step(evaluate)
    except Finished:
        pass
