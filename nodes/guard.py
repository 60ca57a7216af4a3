"""What every node does alike: it refuses what its inputs cannot take, and its errors call the inputs by their names."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import torch

from .. import nst_engine as nst
from .loss_history import LossHistory
from .method import Method

# By the type of an input. The host lets any number or text pass where a wire belongs.
TAKEN: dict[str, tuple[type, ...]] = {
    "IMAGE": (torch.Tensor,),
    "MASK": (torch.Tensor,),
    "VGG_FEATURES": (nst.VGGFeatures,),
    "STYLE_GRAMS": (nst.StyleGrams,),
    "LAYER_WEIGHTS": (nst.LayerWeights,),
    "NST_METHOD": (Method,),
    "LOSS_HISTORY": (LossHistory,),
    "VIDEO": (object,),  # the host's own, of which there are several kinds
    "INT": (Integral,),
    "FLOAT": (Real,),
    "BOOLEAN": (bool, Integral),
    "STRING": (str,),
}
WIDGETS = ("INT", "FLOAT", "BOOLEAN", "STRING")

# The engine's arguments, and what inputs they are given in: the first that a node has.
INPUTS = {
    "content": ("content_image", "frames", "video"),
    "picture": ("image",),
    "style": ("style_image", "style_grams"),
    "grams": ("style_grams",),
    "mask": ("style_mask",),
    "region": ("region_mask",),
    "protect": ("protect_mask",),
    "layers": ("layer_weights",),
    "layers.style": ("layer_weights",),
    "layers.content": ("layer_weights",),
    "tap": ("layer",),
    "count": ("maps",),
    "part": ("what",),
    "t": ("frames",),
    "size": ("size", "width and height"),
    "shape": ("width and height",),
}


def guarded(node: Any) -> Any:
    """The node's class, whose function now checks what it is given."""
    run = getattr(node, node.FUNCTION)
    types = functools.cache(node.INPUT_TYPES)  # of some nodes a look into folders

    order = [name for name in inspect.signature(run).parameters if name != "self"]

    @functools.wraps(run)
    def checked(self: Any, *first: Any, **given: Any) -> Any:
        given = {**dict(zip(order, first, strict=False)), **given}
        table = types()
        known = {**table.get("required", {}), **table.get("optional", {})}
        for name, value in given.items():
            if name in known and not (value is None and name not in table["required"]):
                check_value(name, value, known[name][0])
        try:
            return run(self, **given)
        except nst.NSTError as error:
            raise error.called(_names(known)) from error

    setattr(node, node.FUNCTION, checked)
    return node


def check_value(name: str, value: Any, kind: Any) -> None:
    taken = (str,) if isinstance(kind, list) else TAKEN[kind]
    too_flat = kind == "IMAGE" and isinstance(value, torch.Tensor) and value.ndim < 3
    if isinstance(value, taken) and not too_flat:
        return
    plain = value is None or isinstance(value, str | int | float)
    shown = repr(value)[:40] if plain else f"{type(value).__name__} {tuple(getattr(value, 'shape', ()))}"
    if isinstance(kind, list):
        raise nst.NSTError(f"{name}: takes one of its choices by name, and was given {shown}.")
    if kind in WIDGETS:
        raise nst.NSTError(f"{name}: takes {kind}, and was given {shown}.")
    raise nst.NSTError(
        f"{name}: takes {kind} from another node, and was given {shown}; connect an output of that type."
    )


def _names(known: Mapping[str, Any]) -> dict[str, str]:
    both = {"width", "height"} <= set(known)
    found = {}
    for argument, inputs in INPUTS.items():
        there = [name for name in inputs if name in known or (name == "width and height" and both)]
        if there:
            found[argument] = there[0]
    return found
