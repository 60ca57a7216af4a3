"""VGG-16 and VGG-19 as tables of layers, and the steps of every pass through them.

A tap is a layer whose output is compared, by its name: `relu4_1`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..errors import NSTError

# Convolutions per block; a block ends in a pooling layer (Simonyan & Zisserman 2015, configurations D and E).
CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


def convolution_names(architecture: str) -> tuple[str, ...]:
    blocks = CONVOLUTIONS[architecture]
    return tuple(f"conv{b}_{i}" for b, count in enumerate(blocks, 1) for i in range(1, count + 1))


def layer_names(architecture: str) -> tuple[str, ...]:
    """conv1_1 relu1_1 conv1_2 relu1_2 pool1 conv2_1 … pool5, in the order in which they run."""
    names: list[str] = []
    for block, count in enumerate(CONVOLUTIONS[architecture], 1):
        for i in range(1, count + 1):
            names += [f"conv{block}_{i}", f"relu{block}_{i}"]
        names.append(f"pool{block}")
    return tuple(names)


def check_taps(taps: Iterable[str], architecture: str, where: str) -> None:
    known = layer_names(architecture)
    for tap in taps:
        if tap not in known:
            near = difflib.get_close_matches(tap, known, n=3, cutoff=0.5) or known[:3]
            raise NSTError(
                f"{where}: {architecture} has no layer {tap!r}; nearest: {', '.join(near)}. "
                "Layers are conv1_1 relu1_1 … pool5."
            )


def stride(tap: str) -> int:
    """How many pixels one position of the tap stands for: each pooling layer before it halves the picture."""
    block = int(tap[len("pool") :]) if tap.startswith("pool") else int(tap[4:].split("_")[0]) - 1
    return 1 << block


def tap_shape(shape: tuple[int, int], tap: str) -> tuple[int, int]:
    """Height and width of the tap's features, of a picture of this shape."""
    return shape[0] // stride(tap), shape[1] // stride(tap)


def position_count(shape: tuple[int, int], tap: str) -> int:
    """N: how many positions they have."""
    height, width = tap_shape(shape, tap)
    return height * width


def channels(tap: str) -> int:
    return CHANNELS[int(tap[4]) - 1]


def deepest_tap(taps: Iterable[str], architecture: str) -> str:
    return max(taps, key=layer_names(architecture).index)


def layers_to(taps: Iterable[str], architecture: str) -> tuple[str, ...]:
    """The layers that these taps need."""
    names = layer_names(architecture)
    return names[: names.index(deepest_tap(taps, architecture)) + 1]


def smallest_side(taps: Iterable[str], padding: str) -> int:
    """The shortest side a picture may have for every tap to see at least one position."""
    # Reflection needs a second row to mirror.
    return max(stride(tap) for tap in taps) * (2 if padding == "reflect" else 1)


@dataclass(frozen=True)
class LayerStep:
    """One layer of a pass, forwards and backwards."""

    layer: str
    tap: bool  # its output is asked for
    edges: str = ""  # how a convolution continues the picture
    fused: bool = False  # a convolution that does the ReLU after it as well; a ReLU that is done already
    keeps: str = ""  # what the way back needs: "output", "argmax", "input and output", or nothing

    @property
    def kind(self) -> str:
        """conv, relu or pool."""
        return self.layer[:4]

    @property
    def holds_output(self) -> bool:
        """Whether the output stays in memory until the way back."""
        return self.tap or "output" in self.keeps

    @property
    def numbers(self) -> float:
        """Of its output, for each pixel of the picture."""
        return channels(self.layer) / stride(self.layer) ** 2


def layer_steps(
    taps: Iterable[str], architecture: str, pooling: str, edges: Callable[[str], str]
) -> tuple[LayerStep, ...]:
    """The steps of a pass up to the deepest tap. `edges(layer)` is how a convolution continues the picture."""
    taps = set(taps)
    names = layers_to(taps, architecture)
    steps = []
    for layer, following in zip(names, (*names[1:], ""), strict=True):
        if layer.startswith("conv"):
            step = LayerStep(layer, layer in taps, edges=edges(layer), fused=layer not in taps)
        elif layer.startswith("relu"):
            # Max-pooling remembers where nothing was above 0, so the ReLU before it need keep nothing.
            masked_later = pooling == "max" and following.startswith("pool") and layer not in taps
            fused = layer.replace("relu", "conv") not in taps
            step = LayerStep(layer, layer in taps, fused=fused, keeps="" if masked_later else "output")
        else:
            step = LayerStep(layer, layer in taps, keeps={"max": "argmax", "l2": "input and output"}.get(pooling, ""))
        steps.append(step)
    return tuple(steps)
