"""What differs between kinds of devices, as data: the rest of the engine asks for a property, and never for a name.

Names are asked for where a thing is of one device alone: the CPU's network in `network/cpu`, cuDNN in `network/exact`,
CUDA graphs in `run/cuda_graphs`, and the precision that each device prefers in `network/precision`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

from ..errors import NSTError
from .limits import left_to_this_process


def _left_of_the_machine(device: torch.device) -> int:
    return max(0, min([int(psutil.virtual_memory().available), *left_to_this_process()]))


def _left_under_cuda(device: torch.device) -> int:
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _left_under_mps(device: torch.device) -> int:
    # A Mac's GPU shares the memory of all programs. Before torch 2.5 nothing tells how much of it the GPU may take.
    left: list[int] = [psutil.virtual_memory().available]
    if hasattr(torch.mps, "recommended_max_memory"):
        left.append(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return int(max(0, min(left)))


def _left_under_xpu(device: torch.device) -> int:
    if not hasattr(torch.xpu, "mem_get_info"):  # before torch 2.6
        return int(torch.xpu.get_device_properties(device).total_memory)
    free, _ = torch.xpu.mem_get_info(device)
    return int(free + torch.xpu.memory_reserved(device) - torch.xpu.memory_allocated(device))


@dataclass(frozen=True)
class Kind:
    """A kind of device. The defaults are what goes for one of which nothing is known."""

    free_memory: Callable[[torch.device], int] = _left_of_the_machine
    # The CPU itself: work is shared out to its cores in strips, in memory that is kept from pass to pass.
    is_cpu: bool = False
    float64: bool = False  # some have none (Apple's, Intel's Arc A, most under DirectML), and not all of them say so
    eigenvalues: bool = False  # finds them sooner than it iterates; others are good at matrix products only
    # Does what it is told while Python goes on; to ask it for a value is to wait for it.
    queues: bool = True
    fetches: bool = False  # reads pinned memory when it comes to it; from other memory Python copies and waits
    keeps_freed: bool = False  # torch keeps its freed memory for later
    # Some of torch's kernels count a tensor's numbers with 32 bits.
    most_numbers: float = 2**31


KINDS = {
    "cpu": Kind(is_cpu=True, float64=True, eigenvalues=True, queues=False, most_numbers=float("inf")),
    "cuda": Kind(_left_under_cuda, float64=True, fetches=True, keeps_freed=True),
    "mps": Kind(_left_under_mps, keeps_freed=True),
    "xpu": Kind(_left_under_xpu, keeps_freed=True),
}
UNKNOWN = Kind()


def kind_of(device: torch.device) -> Kind:
    return KINDS.get(device.type, UNKNOWN)


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had: from the driver, or from the operating system and whatever limits it sets."""
    return kind_of(device).free_memory(device)


def release(device: torch.device) -> None:
    """Give what torch keeps for later back to the device."""
    if kind_of(device).keeps_freed:
        getattr(torch, device.type).empty_cache()


def sent(numbers: torch.Tensor, device: torch.device) -> torch.Tensor:
    """From the CPU to the device; Python goes on meanwhile where it can."""
    if kind_of(device).fetches:
        return numbers.pin_memory().to(device, non_blocking=True)
    return numbers.to(device)


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
