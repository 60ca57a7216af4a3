"""Nodes called as a host calls them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch


def call(pack: ModuleType, node: str, **inputs: Any) -> Any:
    """One node's outputs, as the host would ask for them: defaults of required widgets filled in."""
    cls = pack.NODE_CLASS_MAPPINGS[node]
    for name, (kind, *options) in cls.INPUT_TYPES()["required"].items():
        if name not in inputs and options and "default" in options[0]:
            inputs[name] = options[0]["default"]
        elif name not in inputs and isinstance(kind, list):
            inputs[name] = kind[0]
    with torch.inference_mode():
        return getattr(cls(), cls.FUNCTION)(**inputs)


def transfer(pack, vgg, content, grams, **inputs) -> Any:
    options = {"recipe": "balanced", "steps": 3, "size": 0, **inputs}
    return call(pack, "NeuralStyleTransfer", vgg=vgg, content_image=content, style_grams=grams, **options)
