"""Two nodes that the tests put beside the pack: one makes pictures that no node should, one looks at what comes out."""

from __future__ import annotations

import dataclasses

import torch

FILLS = {
    "noise": None,
    "nan": torch.nan,
    "inf": torch.inf,
    "-inf": -torch.inf,
    "1e30": 1e30,
    "-5": -5.0,
    "0": 0.0,
    "few": 0.0,
}


class AttackMake:
    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "make"
    CATEGORY = "attack"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"shape": ("STRING", {}), "fill": (list(FILLS), {}), "dtype": ("STRING", {})}}

    def make(self, shape: str, fill: str, dtype: str) -> tuple[torch.Tensor, torch.Tensor]:
        made = torch.rand([int(n) for n in shape.split(",")], generator=torch.Generator().manual_seed(0))
        if FILLS[fill] is not None:
            made = torch.full_like(made, FILLS[fill])
        if fill == "few":
            made[..., :2, :2] = 1
        made = (made * 255 if dtype == "uint8" else made).to(getattr(torch, dtype))
        return made, made


class AttackProbe:
    """Raises when a number in what it is given is not finite."""

    RETURN_TYPES = ()
    FUNCTION = "look"
    OUTPUT_NODE = True
    CATEGORY = "attack"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("*", {})}}

    def look(self, value: object) -> dict:
        shapes = []
        for tensor in tensors(value):
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise ValueError("a number is not finite")
            shapes.append(list(tensor.shape))
        return {"ui": {"shapes": shapes}}


def tensors(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for part in value.values() for t in tensors(part)]
    if isinstance(value, (list, tuple)):
        return [t for part in value for t in tensors(part)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [t for part in dataclasses.fields(value) for t in tensors(getattr(value, part.name))]
    return []


NODE_CLASS_MAPPINGS = {"AttackMake": AttackMake, "AttackProbe": AttackProbe}
