"""How style is measured: every distance against its formula in float64, and its gradient against finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.recipes import network_for
from nst_engine.statistics.distances import (
    BY_MOMENTS,
    BY_SORTING,
    LEAST_VARIANCE,
    DistanceSettings,
    Statistics,
    distance_to,
    weighted_mean,
)
from nst_engine.statistics.measure import whole_statistics
from nst_engine.statistics.roots import newton_schulz, root_of_eigenvalues
from nst_engine.statistics.sorting import Quantiles, Samples, merged, random_directions, sorted_distance

CLASSIC = nst.RECIPES["classic"]


def rows(seed: int, n: int, c: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(c, c, generator=generator, dtype=torch.float64)
    return (torch.randn(n, c, generator=generator, dtype=torch.float64) @ mixing + 0.3 * seed).relu()


def apart(seed: int, n: int) -> torch.Tensor:
    """The same, no two numbers alike: among equals the order, and with it each one's share, is left open."""
    return rows(seed, n) + 0.01 * torch.rand(n, 6, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def of(f: torch.Tensor) -> Statistics:
    return Statistics(f.mean(0), f.T @ f / len(f), len(f))


def root(a: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(a)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def by_formula(name: str, f: np.ndarray, a: np.ndarray, shift: float) -> float:
    """From the features themselves, as the papers write it."""
    if name == "gram":
        return float((((f + shift).T @ (f + shift) / len(f) - (a + shift).T @ (a + shift) / len(a)) ** 2).sum())
    apart = float(((f.mean(0) - a.mean(0)) ** 2).sum())
    least = LEAST_VARIANCE * a.var(0).mean()
    if name == "mean-std":
        return apart + float(((np.sqrt(f.var(0) + least) - np.sqrt(a.var(0) + least)) ** 2).sum())
    c_f, c_a = (np.cov(x.T, bias=True) + least * np.eye(x.shape[1]) for x in (f, a))
    return apart + float(np.trace(c_f + c_a - 2 * root(root(c_a) @ c_f @ root(c_a))))


@pytest.mark.parametrize("shift", [0.0, -0.7])
@pytest.mark.parametrize("name", BY_MOMENTS)
def test_what_follows_from_moments_is_its_formula(name, shift):
    f, a = rows(1, 300), rows(2, 200)
    found = distance_to(name, of(a), DistanceSettings(shift))(of(f).mean, of(f).moment)
    assert float(found.value) == pytest.approx(by_formula(name, f.numpy(), a.numpy(), shift), rel=1e-9)
    assert float(distance_to(name, of(a), DistanceSettings(shift))(of(a).mean, of(a).moment).value) == pytest.approx(
        0, abs=1e-9
    )


@pytest.mark.parametrize(
    "settings", [DistanceSettings(), DistanceSettings(-0.7), DistanceSettings(least_direction=0.9)]
)
@pytest.mark.parametrize("name", BY_MOMENTS)
def test_its_gradient_is_that_of_small_steps(name, settings):
    f, distance = rows(1, 300), distance_to(name, of(rows(2, 200)), settings)
    way = torch.randn(f.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    there, back = (float(distance(s.mean, s.moment).value) for s in (of(f + 1e-6 * way), of(f - 1e-6 * way)))
    found = distance(of(f).mean, of(f).moment)
    gradient = f @ (2 * found.grad_moment) / len(f)
    if found.grad_mean is not None:
        gradient += found.grad_mean / len(f)
    assert float((gradient * way).sum()) == pytest.approx((there - back) / 2e-6, rel=1e-5)


def directions_of(a: torch.Tensor, least: float) -> torch.Tensor:
    """Those in which `a` varies at least this share of what it varies most, as columns."""
    variances, directions = torch.linalg.eigh(torch.cov(a.T, correction=0))
    return directions[:, variances >= least * variances[-1]]


def test_directions_in_which_the_style_hardly_varies_can_be_left_out():
    """What is left is the distance within the others, and all that the picture varies beside them."""
    f, a = rows(1, 300), rows(2, 200) * torch.logspace(0, -2, rows(2, 200).shape[1], dtype=torch.float64)
    kept = directions_of(a, 0.01)
    assert 1 < kept.shape[1] < a.shape[1]
    # Within these directions it is the usual distance; beside them nothing of the one cloud is matched with the other.
    settings = DistanceSettings(least_variance=0.0)
    within = distance_to("covariance", of(a @ kept), settings)(of(f @ kept).mean, of(f @ kept).moment)
    rest = [x - x @ kept @ kept.T for x in (f, a)]
    beside = sum(float(x.var(0, correction=0).sum()) for x in rest)
    beside += float((rest[0].mean(0) - rest[1].mean(0)).square().sum())
    found = distance_to("covariance", of(a), replace(settings, least_direction=0.01))(of(f).mean, of(f).moment)
    assert float(found.value) == pytest.approx(float(within.value) + beside, rel=1e-9)
    nothing_left_out = distance_to("covariance", of(a), DistanceSettings(least_direction=1e-9))
    usual = distance_to("covariance", of(a))(of(f).mean, of(f).moment)
    assert float(nothing_left_out(of(f).mean, of(f).moment).value) == pytest.approx(float(usual.value), rel=1e-9)


@pytest.mark.parametrize("way", [root_of_eigenvalues, newton_schulz])
def test_the_square_root_of_a_covariance_with_a_wide_spectrum(way):
    """On the CPU and on other devices, in double precision and in single."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.linalg.qr(torch.randn(64, 64, generator=generator, dtype=torch.float64))[0]
    values = torch.logspace(0, -4, 64, dtype=torch.float64)
    a = (vectors * values) @ vectors.T
    y, z = way(a)
    assert (y @ y - a).norm() < 1e-6 * a.norm()
    assert (y @ z - torch.eye(64)).norm() < 1e-4
    single, _ = way(a.float())
    assert (single.double() - y).norm() < 1e-3 * y.norm()


def test_the_two_ways_agree_on_real_features(vgg, monkeypatch):
    network = network_for(vgg, CLASSIC)
    taps = ("relu2_1", "relu3_1")
    ours, theirs = (whole_statistics(network, clouds(seed, 160, 200), taps) for seed in (1, 2))
    for tap in taps:
        exact = distance_to("covariance", theirs[tap])(ours[tap].mean, ours[tap].moment)
        with monkeypatch.context() as patch:
            patch.setattr("nst_engine.statistics.distances.square_root", lambda a, _: newton_schulz(a))
            other = distance_to("covariance", theirs[tap])(ours[tap].mean, ours[tap].moment)
        assert float(other.value) == pytest.approx(float(exact.value), rel=1e-3)
        assert (other.grad_moment - exact.grad_moment).norm() < 0.05 * exact.grad_moment.norm()


def quantile_distance(f: np.ndarray, a: np.ndarray, w_f: np.ndarray | None, w_a: np.ndarray | None) -> float:
    """Of two sets of numbers: Σ w (x − Q(p))², Q being the other's quantiles, straight lines between them."""

    def sorted_shares(x: np.ndarray, w: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        w = np.full(len(x), 1 / len(x)) if w is None else w / w.sum()
        order = np.argsort(x)
        return x[order], np.cumsum(w[order]) - w[order] / 2, w[order]

    x, p, w = sorted_shares(f, w_f)
    theirs, q, _ = sorted_shares(a, w_a)
    return float((w * (x - np.interp(p, q, theirs)) ** 2).sum())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", BY_SORTING)
def test_what_sorts_is_its_formula(name, weighted):
    f, a = apart(1, 150), apart(2, 211)
    generator = torch.Generator().manual_seed(5)
    w_f, w_a = (torch.rand(len(x), generator=generator) if weighted else None for x in (f, a))
    v = random_directions(6, 9, generator, f.device).double() if name == "sliced" else None
    value, _ = sorted_distance(f, w_f, Samples(a, w_a), v)
    project = torch.eye(6, dtype=torch.float64) if v is None else v
    numpy_of = [None if w is None else w.double().numpy() for w in (w_f, w_a)]
    columns = [
        quantile_distance(*((x @ project).numpy()[:, i] for x in (f, a)), *numpy_of) for i in range(project.shape[1])
    ]
    assert float(value) == pytest.approx(6 / project.shape[1] * sum(columns), rel=1e-6)
    assert float(sorted_distance(a, w_a, Samples(a, w_a), v)[0]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", BY_SORTING)
def test_the_gradient_of_what_sorts_is_that_of_small_steps(name, weighted):
    f, a = apart(1, 150), rows(2, 211)
    generator = torch.Generator().manual_seed(5)
    w = torch.rand(len(f), generator=generator) if weighted else None
    v = random_directions(6, 6, generator, f.device).double() if name == "sliced" else None
    way = torch.randn(f.shape, generator=generator, dtype=torch.float64)
    _, gradient = sorted_distance(f, w, Samples(a), v)
    there, back = (float(sorted_distance(f + e * way, w, Samples(a), v)[0]) for e in (1e-8, -1e-8))
    assert float((gradient * way).sum()) == pytest.approx((there - back) / 2e-8, rel=1e-4)


def test_a_sliced_distance_sees_what_channels_alone_do_not():
    """Two clouds with the same histograms and opposite diagonals."""
    line = torch.randn(500, generator=torch.Generator().manual_seed(0))
    up, down = torch.stack([line, line], 1), torch.stack([line, -line], 1)
    directions = random_directions(2, 64, torch.Generator().manual_seed(1), line.device)
    histogram = float(sorted_distance(up, None, Samples(down), None)[0])
    sliced = float(sorted_distance(up, None, Samples(down), directions)[0])
    assert sliced > 0.3 > 5 * histogram


def test_numbers_are_sorted_in_portions_without_a_difference(monkeypatch):
    f, a = rows(1, 150), Samples(rows(2, 211))
    whole = sorted_distance(f, None, a, None)
    monkeypatch.setattr("nst_engine.statistics.sorting.SORTED_AT_ONCE", 250)
    parts = sorted_distance(f, None, a, None)
    assert float(parts[0]) == pytest.approx(float(whole[0]), rel=1e-12)
    assert torch.allclose(parts[1], whole[1])


def test_blends_are_mixtures():
    a, b = rows(1, 100), rows(2, 300)
    together = of(torch.cat([a, b]))
    found = weighted_mean([(0.25, of(a)), (0.75, of(b))])
    assert torch.allclose(found.mean, together.mean) and torch.allclose(found.moment, together.moment)
    samples = merged([(0.25, Samples(a)), (0.75, Samples(b))])
    value, _ = sorted_distance(torch.cat([a, b]), None, samples, None)
    assert float(value) == pytest.approx(0, abs=1e-9)
    assert weighted_mean([(1.0, of(a))]).moment is not None


def test_quantiles_of_one_number_and_of_two():
    one = Quantiles.of(torch.tensor([[3.0]]), None)
    assert torch.equal(one.at(torch.tensor([0.1, 0.9])), torch.tensor([[3.0, 3.0]]))
    two = Quantiles.of(torch.tensor([[4.0, 2.0]]), torch.tensor([1.0, 3.0]))
    assert torch.allclose(two.at(torch.tensor([0.0, 0.375, 0.625, 0.875, 1.0])), torch.tensor([[2, 2, 3, 4.0, 4]]))
