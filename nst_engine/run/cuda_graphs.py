"""A GPU's step as one recording, played back: a CUDA graph.

A step is some four hundred small operations. On a picture of a megapixel or less, Python takes longer to start them
than a fast GPU takes to do them; a graph starts them all at once. On an H200 a step at 512 pixels takes a quarter of
the time or less, and gives the same bits. The environment variable NST_CUDA_GRAPHS turns that off, set to 0.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from functools import cache

import torch

from ..objective.objective import Objective, Terms

log = logging.getLogger("nst_engine.run.cuda_graphs")

Evaluation = tuple[Terms, torch.Tensor]
OfPixels = Callable[[torch.Tensor], Evaluation]

SWITCH = "NST_CUDA_GRAPHS"
# The first evaluations are done as usual: what is made only once (kernels, constants, plans of cuDNN) is made there.
WARM_UP = 2
# Fewer steps than this are not worth the making of a recording.
LEAST_STEPS = 10
# A recording that went wrong is expected to be further from the usual gradient than rounding in bf16 is.
CLOSE = 0.05


def worth_recording(objective: Objective, steps: int) -> bool:
    """A recording repeats the same operations in the same memory. Sorting looks into new directions at every step,
    samples and self-similarity at new positions, and nearest features that are matched again are others; what goes by
    tiles is large enough to keep any GPU busy."""
    return (
        os.environ.get(SWITCH) != "0"
        and steps >= LEAST_STEPS
        and objective.network.device.type == "cuda"
        and objective.tiles is None
        and objective.style.repeats
        and objective.similarity is None
        and torch.version.hip is None
        # With others, a graph's memory is not given back, or is given away while the graph still writes to it.
        and torch.cuda.get_allocator_backend() == "native"
    )


class Recorded:
    """Evaluates by the function it is given and, after a few calls, by a recording of it, if the two agree.

    Where no recording can be made, or the two differ, the function itself goes on being used.
    """

    def __init__(self, evaluate: OfPixels, record: Callable[[OfPixels, torch.Tensor], OfPixels]) -> None:
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
        terms, expected = self.usual(pixels)
        if not math.isfinite(float(terms.total)):
            return  # as the run will say
        try:
            # Of other pixels, to catch a recording that ignores its input.
            recording = self.record(self.usual, torch.zeros_like(pixels))
            found_terms, found = recording(pixels)
        except RuntimeError as error:
            log.warning("The step could not be recorded and goes on operation by operation: %s", error)
            return
        difference = max(
            float((found - expected).norm() / expected.norm().clamp_min(1e-30)),
            abs(float(found_terms.total) / float(terms.total) - 1),
        )
        if difference <= CLOSE:
            self.now = recording
        else:
            log.warning("The recorded step differs by %.2g and is not used. Please report this.", difference)


@cache
def _aside(device: torch.device) -> torch.cuda.Stream:
    """Where recordings are made. Always the same, for torch keeps a workspace for every stream that it has seen."""
    return torch.cuda.Stream(device)


def capture_cuda_graph(evaluate: OfPixels, pixels: torch.Tensor) -> OfPixels:
    """One evaluation as a CUDA graph. What it gives is copied, for the next one is written into the same memory."""
    seen = pixels.clone()
    stream = _aside(pixels.device)
    graph = torch.cuda.CUDAGraph()
    with (
        torch.cuda.stream(stream),  # a failed recording does not always go back to the stream before
        # Another node's graphs, made in inference mode, make torch refuse to begin and to play one outside of it.
        torch.inference_mode(),
        # Other threads of the host may use the GPU meanwhile.
        torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"),
        torch.inference_mode(False),
    ):
        terms, gradient = evaluate(seen)
        values = torch.stack([terms.total, terms.content, terms.style, terms.tv, terms.temporal])

    def play(pixels: torch.Tensor) -> Evaluation:
        with torch.cuda.device(pixels.device):
            seen.copy_(pixels)
            with torch.inference_mode():
                graph.replay()
            return Terms(*values.clone().unbind()), gradient.clone()

    return play
