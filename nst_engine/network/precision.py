"""Which number format the network runs in, decided by what the device really has."""

from __future__ import annotations

import torch

from ..errors import NSTError
from ..system.devices import kind_of

PRECISIONS = ("auto", "fp32", "bf16", "fp16")

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def check_precision(precision: str) -> str:
    if precision not in PRECISIONS:
        raise NSTError(f"precision: {precision!r} is not one of {', '.join(PRECISIONS)}.")
    return precision


def resolve(precision: str, device: torch.device) -> torch.dtype:
    """`auto` is bf16 where the device has matrix units for it, and fp32 elsewhere."""
    if check_precision(precision) != "auto":
        return _DTYPES[precision]
    return torch.bfloat16 if has_bf16_units(device) else torch.float32


def has_bf16_units(device: torch.device) -> bool:
    if device.type == "cuda":
        # Before Ampere, and on AMD's cards without matrix units, bf16 is emulated and slower than fp32.
        if torch.version.hip is None:
            return torch.cuda.get_device_capability(device)[0] >= 8
        architecture = torch.cuda.get_device_properties(device).gcnArchName
        return architecture.startswith(("gfx90a", "gfx94", "gfx95", "gfx11", "gfx12"))
    if device.type == "cpu":
        return has_matrix_units() or _cpu_has("_is_avx512_bf16_supported")
    return False


def has_matrix_units() -> bool:
    """Of the CPU: Intel's AMX."""
    return _cpu_has("_is_amx_tile_supported")


def keeps_fp32(device: torch.device) -> bool:
    """Whether matrix products of fp32 numbers are in fp32: any program in the process may have told torch to round for
    speed, and torch's convolutions go by another setting."""
    backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    if not hasattr(torch.backends.mkldnn, "matmul"):  # before torch 2.9
        return torch.get_float32_matmul_precision() == "highest"
    return backend.matmul.fp32_precision in ("none", "ieee")


def convolves_in_fp32() -> bool:
    """The same of torch's convolutions on the CPU. Small ones go by the setting of matrix products, others by one of
    their own; no CPU rounds to TF32 yet."""
    if not has_bf16_units(torch.device("cpu")):
        return True
    mkldnn = torch.backends.mkldnn
    if not hasattr(mkldnn, "matmul"):  # before torch 2.9
        return torch.get_float32_matmul_precision() != "medium"
    return all(getattr(mkldnn, of).fp32_precision != "bf16" for of in ("matmul", "conv"))


def widest_float(device: torch.device) -> torch.dtype:
    """The format of sums for which fp32 is not enough."""
    return torch.float64 if kind_of(device).float64 else torch.float32


def _cpu_has(question: str) -> bool:
    # torch has no public question for this; an older torch without these answers "no", which is slower at worst.
    return bool(getattr(torch.cpu, question, bool)())


def name_of(dtype: torch.dtype) -> str:
    return next(name for name, value in _DTYPES.items() if value == dtype)
