"""Masks as hosts hand them over: where nothing is painted, there is none."""

from __future__ import annotations

import torch

from . import host


def painted(mask: torch.Tensor | None, name: str, notes: list[str]) -> torch.Tensor | None:
    """The mask, or None and a note if it is empty, as Load Image's is of a picture that nobody has painted on."""
    if mask is None or mask.numel() == 0 or bool(mask.any()):  # what is no mask at all, the engine refuses
        return mask
    _note(notes, f"{name}: the mask is empty, and counts as none")
    return None


def painted_or_whole(mask: torch.Tensor | None, name: str, notes: list[str]) -> torch.Tensor | None:
    """The same of a mask that chooses a part: in a batch, an empty one chooses all of its picture."""
    mask = painted(mask, name, notes)
    if mask is None or mask.ndim < 3 or mask.numel() == 0:
        return mask
    empty = ~mask.flatten(1).any(1)
    if not bool(empty.any()):
        return mask
    _note(notes, f"{name}: {int(empty.sum())} of {len(mask)} masks are empty, and choose the whole of their pictures")
    return torch.where(empty.reshape(-1, *[1] * (mask.ndim - 1)), torch.ones_like(mask), mask)


def _note(notes: list[str], text: str) -> None:
    """In the log at once; on the canvas with the node's first and last words."""
    host.log.info("%s", text)
    notes.append(text)
