"""Layers and their weights as people write them: `relu3_2=0.5, conv4_2=1`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .errors import NSTError
from .network.architecture import check_taps


def parse_layers(text: str, where: str) -> dict[str, float]:
    """A table of layer and weight; a name alone counts 1. `where` names the input in errors."""
    layers: dict[str, float] = {}
    for part in filter(None, re.split(r"[,;\s]+", re.sub(r"\s*=\s*", "=", text.strip()))):
        tap, _, weight = part.partition("=")
        if not tap:
            raise NSTError(f"{where}: {part!r} names no layer; write relu3_2=0.5, conv4_2=1.")
        if tap in layers:
            raise NSTError(f"{where}: {tap} is named twice; give it one weight.")
        try:
            layers[tap] = float(weight) if weight else 1.0
        except ValueError:
            raise NSTError(f"{where}: {part!r} is not layer=weight; write relu3_2=0.5, conv4_2=1.") from None
    # VGG-19 has every layer that VGG-16 has; which of the two is in use is known, and checked, later.
    check_taps(layers, "vgg19", where)
    return layers


def check_layers(layers: Mapping[str, float], where: str) -> dict[str, float]:
    for tap, weight in layers.items():
        if not 0 <= weight < float("inf"):
            raise NSTError(f"{where}: the weight {weight:g} of {tap} cannot be; weights are 0 or more.")
    counted = {tap: float(weight) for tap, weight in layers.items() if weight > 0}
    if not counted:
        raise NSTError(f"{where}: every weight is 0 ({', '.join(layers) or 'no layer'}); raise at least one.")
    return counted
