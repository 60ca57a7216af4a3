"""Max-pooling in compiled loops against the same by torch's operations: bit for bit."""

from __future__ import annotations

import pytest
import torch

from nst_engine.network import pooling
from nst_engine.network.cpu.pooling import max_pool_rows
from nst_engine.network.cpu.winograd import in_loops
from nst_engine.network.plain import DEAD

FORMATS = (torch.bfloat16, torch.float32, torch.float64)


def features(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """What a ReLU leaves: many zeros, and many numbers that are equal."""
    numbers = torch.randint(-3, 6, shape, generator=torch.Generator().manual_seed(1))
    return numbers.to(dtype).relu().contiguous(memory_format=torch.channels_last)


def there_and_back(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    pooled, argmax = pooling.max_pool_with_argmax(x)
    gradient = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(2)).to(pooled)
    return pooled, argmax, pooling.max_pool_backward(gradient, argmax, x.shape)


@pytest.fixture(autouse=True)
def compiled():
    if not in_loops.can(torch.float32, 64, 64):
        pytest.skip("no llvmlite, or no machine that it has been tried on")


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("shape", [(1, 64, 37, 50), (2, 128, 12, 9), (1, 32, 2, 2), (1, 64, 300, 70), (1, 64, 1, 5)])
def test_they_give_the_same_bits(dtype, shape, monkeypatch):
    x = features(dtype, *shape)
    found = there_and_back(x)
    for name in ("max_pool_rows", "max_pool_backward_rows"):
        monkeypatch.setattr(pooling, name, lambda *_: None)
    assert all(map(torch.equal, found, there_and_back(x)))


def test_a_window_without_anything_lets_no_gradient_through():
    x = features(torch.bfloat16, 1, 64, 8, 8)
    x[:, :, 2:4, 4:6] = 0
    _, argmax, gradient = there_and_back(x)
    assert (argmax[:, :, 1, 2] == DEAD).all()
    assert not gradient[:, :, 2:4, 4:6].any()


@pytest.mark.parametrize("dtype", FORMATS)
def test_what_is_no_number_wins(dtype):
    """A run that diverges is found by its numbers: they must not vanish on the way."""
    x = features(dtype, 1, 64, 4, 4)
    x[0, 5, 1, 2] = float("nan")
    x[0, 6, 1, 2] = float("inf")
    pooled, _, _ = there_and_back(x)
    assert not torch.isfinite(pooled[0, 5:7, 0, 1]).any()


def test_what_does_not_fill_whole_lines_is_left_to_torch():
    for x in (features(torch.float32, 1, 24, 8, 8), features(torch.float32, 1, 64, 8, 8).contiguous()):
        pooled, argmax, _ = there_and_back(x)
        assert max_pool_rows(x, pooled, argmax) is None
        assert torch.equal(pooled, torch.nn.functional.max_pool2d(x, 2))
