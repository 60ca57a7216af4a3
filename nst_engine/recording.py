"""A GPU's step as one recording, played back.

A step is some four hundred small operations. Python takes about as long to start them as a fast GPU takes to do them on
a picture of a megapixel; a CUDA graph starts them all at once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import torch

from .distances import BY_MOMENTS
from .objective import Objective, Terms

log = logging.getLogger("nst_engine.recording")

Evaluation = tuple[Terms, torch.Tensor]
Evaluate = Callable[[torch.Tensor], Evaluation]

# The first evaluations are done as usual: what is made only once (kernels, constants, plans of cuDNN) is made there.
WARM_UP = 2
# Two ways of computing one gradient in bf16 differ by less; one that went wrong, by more.
CLOSE = 0.05
# Fewer steps than this, and making a recording takes longer than it saves.
LEAST_STEPS = 10
# Set to 0, this variable says "no recordings", should a driver not bear them.
SWITCH = "NST_CUDA_GRAPHS"


def worth_recording(objective: Objective, steps: int) -> bool:
    """A recording repeats the same operations in the same memory. Sorting looks into new directions at every step, and
    what goes by tiles is large enough to keep any GPU busy."""
    return (
        steps >= LEAST_STEPS
        and objective.network.device.type == "cuda"
        and objective.tiles is None
        and objective.recipe.statistic in BY_MOMENTS
        and os.environ.get(SWITCH) != "0"
    )


class Recorded:
    """Evaluates, as the function that it is given does; from some evaluation on, by playing back a recording of it.

    The recording is compared with the function before it is used. Where it cannot be made, or says something else, the
    function is called as before.
    """

    def __init__(self, evaluate: Evaluate, record: Callable[[Evaluate, torch.Tensor], Evaluate]) -> None:
        self.usual = evaluate
        self.now = evaluate
        self.record = record
        self.until_recorded = WARM_UP

    def __call__(self, pixels: torch.Tensor) -> Evaluation:
        if self.until_recorded == 0:
            self._change_over(pixels)
        self.until_recorded -= 1
        return self.now(pixels)

    def _change_over(self, pixels: torch.Tensor) -> None:
        _, expected = self.usual(pixels)
        try:
            recording = self.record(self.usual, pixels)
            _, found = recording(pixels)
        except RuntimeError as error:  # not enough memory among them: the recording keeps what it works in
            log.warning("The step could not be recorded, and goes on operation by operation: %s", error)
            return
        difference = float((found - expected).norm() / expected.norm().clamp_min(1e-30))
        if difference <= CLOSE:  # not so either if it is not a number
            self.now = recording
        else:
            log.warning("The recorded step differs by %.2g and is not used. Please report this.", difference)


def record_on_cuda(evaluate: Evaluate, pixels: torch.Tensor) -> Evaluate:
    """One evaluation as a CUDA graph. What it gives is copied, for the next one is written into the same memory."""
    device = torch.cuda.device(pixels.device)
    with device:
        seen = pixels.clone()
        graph = torch.cuda.CUDAGraph()
        # Other threads of the host may use the GPU meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            terms, gradient = evaluate(seen)
            values = torch.stack([terms.total, terms.content, terms.style, terms.tv])

    def play(pixels: torch.Tensor) -> Evaluation:
        with device:
            seen.copy_(pixels)
            graph.replay()
            return Terms(*values.clone().unbind()), gradient.clone()

    return play
