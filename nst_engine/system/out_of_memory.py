"""When a device has no memory left: how torch says so."""

from __future__ import annotations

import torch

# Torch has an error type of its own for GPUs' allocators only; libraries, and other devices, say so in words.
OUT_OF_MEMORY = (
    "out of memory",  # CUDA, ROCm, MPS and XPU, their allocators and their drivers
    "can't allocate memory",  # the CPU
    "not enough memory",  # the CPU under Windows, DirectML
    "not enough gpu video memory",  # DirectML
    "_status_alloc_failed",  # cuBLAS, cuDNN, cuSOLVER, cuFFT, rocBLAS
    "out_of_device_memory",  # XPU, from its driver
    "out_of_host_memory",
    "outofmemory",  # hipErrorOutOfMemory, E_OUTOFMEMORY
    "memoryallocation",  # cudaErrorMemoryAllocation
    "invalid buffer size",  # MPS, of more than it gives in one piece
    "32-bit index",  # CUDA, of tensors with more numbers than its kernels count
)


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY)
