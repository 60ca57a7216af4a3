"""The optimisers' steps on an image: evaluate, move, and again, until the evaluation says that it is over."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from .recipes import LBFGS, Adam


class Finished(Exception):
    """Raised by an evaluation when the budget is spent or somebody said stop; the variable then holds the picture."""


# Evaluates at the variable as it stands, leaves the gradient in variable.grad and returns the loss.
Evaluate = Callable[[], torch.Tensor]


def minimise(
    variable: torch.Tensor, evaluate: Evaluate, settings: Adam | LBFGS, first: int = 0, total: int = 1
) -> None:
    """Move `variable` downhill until `evaluate` raises Finished. It is step `first` of `total` that comes next."""
    try:
        if isinstance(settings, Adam):
            adam(variable, evaluate, settings, first, total)
        else:
            lbfgs(variable, evaluate, settings)
    except Finished:
        pass


def adam(variable: torch.Tensor, evaluate: Evaluate, settings: Adam, first: int, total: int) -> None:
    """Kingma & Ba 2015; the rate falls along half a cosine from lr to lr·final_lr."""
    optimizer = torch.optim.Adam([variable], lr=settings.lr, betas=settings.betas)
    step = first
    while True:
        evaluate()
        fallen = 0.5 * (1 - math.cos(math.pi * step / max(1, total - 1)))
        optimizer.param_groups[0]["lr"] = settings.lr * (1 - fallen * (1 - settings.final_lr))
        optimizer.step()
        step += 1


def lbfgs(variable: torch.Tensor, evaluate: Evaluate, settings: LBFGS) -> None:
    """Liu & Nocedal 1989, torch's, in calls of `inner` evaluations; its history lasts from call to call."""
    optimizer = torch.optim.LBFGS(
        [variable],
        lr=settings.lr,
        max_iter=settings.inner,
        history_size=settings.history,
        tolerance_grad=settings.tolerance_grad,
        tolerance_change=settings.tolerance_change,
    )
    while True:
        optimizer.step(evaluate)  # type: ignore[arg-type]
