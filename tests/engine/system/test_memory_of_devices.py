"""How much memory is free, and by which words a device says that there is none left."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from nst_engine.system.devices import free_memory
from nst_engine.system.out_of_memory import is_out_of_memory


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA error: out of memory",
        "HIP out of memory. Tried to allocate 2.00 GiB",
        "MPS backend out of memory (MPS allocated: 8.00 GB, max allowed: 9.07 GB).",
        "Invalid buffer size: 16.00 GB",
        "XPU out of memory. Tried to allocate 2.00 GiB.",
        "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
        "Could not allocate tensor with 1073741824 bytes. There is not enough GPU video memory available!",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1152921504606846976 bytes.",
        "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate",
    ],
)
def test_a_lack_of_memory_is_known_in_every_devices_words(words):
    assert is_out_of_memory(RuntimeError(words))


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`",
        "view size is not compatible with input tensor's size and memory format",
    ],
)
def test_words_about_memory_alone_are_no_lack_of_it(words):
    assert not is_out_of_memory(RuntimeError(words))


def test_what_is_free_is_known_here():
    free = free_memory(torch.device("cpu"))
    assert 2**20 < free < 2**44


@pytest.mark.skipif(sys.platform == "win32", reason="no ulimit")
def test_a_limit_of_the_process_counts():
    code = (
        "import json, resource, torch\nfrom nst_engine.system import devices as m\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**36, 2**36))\n"
        "print(json.dumps(m.free_memory(torch.device('cpu'))))"
    )
    free = json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert free < 2**36
