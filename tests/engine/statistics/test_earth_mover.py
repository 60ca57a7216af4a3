"""The terms of STROTSS against their formulas written out in float64, and hypercolumns against enlarged features."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from pictures import clouds

from nst_engine.network.tiles import cut
from nst_engine.statistics import earth_mover, hypercolumns
from nst_engine.statistics.hypercolumns import (
    LEAST_SAMPLES,
    PositionSampler,
    SampledPositions,
    columns_at,
    grid_positions,
    random_positions,
)

TAPS = {"relu1_1": 1.0, "relu2_2": 1.0, "relu3_1": 1.0}


def rows(seed: int, n: int, c: int = 12) -> torch.Tensor:
    return torch.rand(n, c, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosines(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return 1 - F.cosine_similarity(a[:, None], b[None], dim=2)


def larger_mean(c: torch.Tensor) -> torch.Tensor:
    return torch.maximum(c.min(1).values.mean(), c.min(0).values.mean())


def decorrelated(rgb: torch.Tensor) -> torch.Tensor:
    r, g, b = rgb.unbind(1)
    return torch.stack(((r + g + b) / 3, (r - b) / 2, (2 * g - r - b) / 4), 1)


def written_palette(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    away = decorrelated(a)[:, None] - decorrelated(b)[None]
    return larger_mean(away.square().sum(2).sqrt())


def written_moments(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    d = a.shape[1]
    covariances = [torch.cov(x.T, correction=0) for x in (a, b)]
    return (a.mean(0) - b.mean(0)).abs().sum() / d + (covariances[0] - covariances[1]).abs().sum() / d**2


def written_similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    ours, theirs = (cosines(x, x) / cosines(x, x).sum(0) for x in (a, b))
    return (ours - theirs).abs().sum() / len(a)


def moments(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return earth_mover.moment_distance(earth_mover.mean_and_covariance(a), earth_mover.mean_and_covariance(b))


def similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return earth_mover.self_similarity(earth_mover.similarities(a), earth_mover.similarities(b))


def remd(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return larger_mean(cosines(a, b))


TERMS = [
    (earth_mover.remd, remd, 12, 70),
    (earth_mover.palette, written_palette, 3, 70),
    (moments, written_moments, 12, 70),
    (similarity, written_similarity, 12, 50),
]


@pytest.mark.parametrize("sizes", ["as they are", "ours the fewer", "in parts"])
@pytest.mark.parametrize(("term", "formula", "c", "m"), TERMS, ids=["remd", "palette", "moments", "similarity"])
def test_value_and_gradient_are_the_formulas(monkeypatch, term, formula, c, m, sizes):
    if sizes == "in parts":
        monkeypatch.setattr(earth_mover, "DISTANCES_AT_ONCE", 5 * m)
    n = 10 if sizes == "ours the fewer" and m != 50 else 50
    a, b = rows(1, n, c).requires_grad_(), rows(2, m, c) ** 2
    (found, gradient), (expected, expected_gradient) = (
        (value := f(a, b), torch.autograd.grad(value, a)[0]) for f in (term, formula)
    )
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)
    assert (gradient - expected_gradient).norm() < 1e-3 * expected_gradient.norm()


@pytest.mark.parametrize(("term", "formula", "c", "m"), TERMS, ids=["remd", "palette", "moments", "similarity"])
def test_the_gradient_is_that_of_small_steps(term, formula, c, m):
    a, b = rows(1, 50, c).requires_grad_(), rows(2, m, c) ** 2
    (gradient,) = torch.autograd.grad(term(a, b), a)
    way = torch.randn(a.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    ahead, behind = (float(term(a + e * way, b)) for e in (1e-7, -1e-7))
    assert float((gradient * way).sum()) == pytest.approx((ahead - behind) / 2e-7, rel=1e-4)


@pytest.mark.parametrize("term", [t[0] for t in TERMS], ids=["remd", "palette", "moments", "similarity"])
def test_clouds_of_one_point_and_of_nothing_have_a_finite_gradient(term):
    for value in (0.0, 0.4):
        a, b = torch.full((9, 3), value, requires_grad=True), torch.full((9, 3), value)
        (gradient,) = torch.autograd.grad(term(a, b), a)
        assert float(gradient.abs().max()) < 1e3
        assert torch.isfinite(gradient).all()


def test_the_threads_that_help_compute_no_gradient(monkeypatch):
    """In them torch does not know of `no_grad`, nor of being inside an autograd function."""

    def parallel_for(do, tasks):
        with torch.enable_grad():
            for task in tasks:
                do(task)

    def matmul(a, b):
        assert not a.requires_grad
        assert not b.requires_grad
        return a @ b

    monkeypatch.setattr(earth_mover, "parallel_for", parallel_for)
    monkeypatch.setattr(earth_mover, "matmul", matmul)
    a = rows(1, 30).requires_grad_()
    value = similarity(a, rows(2, 30)) + earth_mover.remd(a, rows(2, 40))
    assert torch.isfinite(torch.autograd.grad(value, a)[0]).all()


# --- hypercolumns -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(vgg):
    from nst_engine.recipes import RECIPES, network_for

    return network_for(vgg, RECIPES["strotss"])


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return clouds(9, 70, 93)


def test_samples_are_what_enlarged_features_have_there(network, image):
    samples = torch.tensor([[0, 0], [69, 92], [33, 40], [12, 91], [69, 0]])
    found = columns_at(network, image, TAPS, samples)
    for tap, features in network.features(image, TAPS).items():
        enlarged = F.interpolate(features, size=(70, 93), mode="bilinear", align_corners=False)
        assert torch.allclose(found[tap], enlarged[0, :, samples[:, 0], samples[:, 1]].T, atol=1e-5)


@pytest.mark.parametrize("tiled", [False, True])
def test_the_way_back_is_that_of_the_enlarged_features(network, image, tiled):
    samples, tap = random_positions((70, 93), 40, None, torch.Generator().manual_seed(1)), "relu3_1"
    features = network.features(image, [tap])[tap].requires_grad_()
    weight = torch.randn(40, features.shape[1], generator=torch.Generator().manual_seed(2))
    enlarged = F.interpolate(features, size=(70, 93), mode="bilinear", align_corners=False)
    value = (enlarged[0, :, samples[:, 0], samples[:, 1]].T * weight).sum()
    (expected,) = torch.autograd.grad(value, features)
    corners = SampledPositions(samples, (70, 93), features.device).at(tap)
    if not tiled:
        assert torch.allclose(corners.spread(weight, features.shape[2:], tap), expected, atol=1e-5)
        return
    for tile in cut((70, 93), 32, [tap], "vgg19"):
        part = tile.from_whole(expected, tap)
        assert torch.allclose(corners.spread(weight, part.shape[2:], tap, tile), part, atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 43), (512, 512), (4, 9000), (3000, 17)])
def test_the_grid_has_about_as_many_positions_as_it_should(shape):
    for seed in range(5):
        found = grid_positions(shape, None, torch.Generator().manual_seed(seed))
        assert 0.75 * hypercolumns.SAMPLES < len(found) < 1.6 * hypercolumns.SAMPLES
        assert (found >= 0).all()
        assert (found < torch.tensor(shape)).all()


def test_within_a_mask_all_positions_lie_in_it():
    mask = torch.zeros(1, 1, 200, 300)
    mask[..., 50:60, 100:110] = 1
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        for found in (grid_positions((200, 300), mask, generator), random_positions((200, 300), 30, mask, generator)):
            assert len(found) in (100, 30)
            assert mask[0, 0, found[:, 0], found[:, 1]].all()
    mask *= 1e-3  # hardly there, but the most that there is
    assert len(grid_positions((200, 300), mask, torch.Generator().manual_seed(0))) == LEAST_SAMPLES


def test_others_every_time_and_the_same_by_the_same_seed():
    draws = PositionSampler((512, 512), None, 3)
    first = draws.next()
    assert not torch.equal(first, draws.next())
    assert torch.equal(PositionSampler((512, 512), None, 3).next(), first)
