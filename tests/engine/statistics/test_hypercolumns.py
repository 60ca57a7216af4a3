"""Hypercolumns: to one grid and back, and the nearest by cosine distance, against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pictures import clouds

from nst_engine.network.architecture import channels, stride
from nst_engine.network.vgg import Network
from nst_engine.statistics import measure
from nst_engine.statistics import nearest as module
from nst_engine.statistics.measure import whole_hypercolumns
from nst_engine.statistics.nearest import from_grid, grid_tap, nearest_by_cosine, to_grid

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")


def rows(seed: int, n: int, c: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n, c, generator=generator) + torch.arange(c)).relu()


def by_formula(ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    a, b = ours - np.average(ours, 0, weights), theirs - theirs.mean(0)
    cosine = (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    return (1 - cosine).argmin(1)


@pytest.mark.parametrize("at_once", [1, 200, 1 << 20])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_nearest_is_the_one_at_the_least_cosine_distance(monkeypatch, weighted, at_once):
    monkeypatch.setattr(module, "COSINES_AT_ONCE", at_once)
    ours, theirs = rows(1, 61), rows(2, 90)
    weights = torch.linspace(0.1, 3, 61) if weighted else None
    found = nearest_by_cosine(ours, theirs, weights)
    expected = by_formula(ours.double().numpy(), theirs.double().numpy(), None if weights is None else weights.numpy())
    assert found.tolist() == expected.tolist()
    assert len(set(found.tolist())) > 10


def test_without_the_means_removed_others_would_be_nearest():
    ours, theirs = rows(1, 61), rows(2, 90)
    plain = (F.normalize(ours, dim=1) @ F.normalize(theirs, dim=1).T).argmax(1)
    assert not torch.equal(nearest_by_cosine(ours, theirs), plain)


def test_no_more_cosines_than_are_said_exist_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "COSINES_AT_ONCE", 500)
    parts = []
    found = nearest_by_cosine(rows(1, 100), rows(2, 50), on_block=lambda: parts.append(1))
    assert len(found) == 100
    assert len(parts) == 5 * 3  # of at most 22×22


@pytest.mark.parametrize("flat", [rows(3, 1).expand(40, -1), torch.zeros(40, 7), rows(3, 1)])
def test_what_is_all_alike_has_a_nearest_too(flat):
    for ours, theirs in ((flat, rows(2, 30)), (rows(2, 30), flat), (flat, flat)):
        found = nearest_by_cosine(ours, theirs)
        assert len(found) == len(ours)
        assert 0 <= int(found.min()) <= int(found.max()) < len(theirs)


@pytest.mark.parametrize("shape", [(64, 48), (71, 45), (16, 19)])
@pytest.mark.parametrize("tap", TAPS)
def test_to_the_grid_and_back(shape, tap):
    """The way back is the transpose of the way there; a constant stays what it is, and no position counts nowhere."""
    generator = torch.Generator().manual_seed(1)
    there = tuple(side // stride(tap) for side in shape)
    grid = tuple(side // 4 for side in shape)
    f = torch.randn(1, 5, *there, generator=generator, dtype=torch.float64)
    on_grid = to_grid(f, tap, "relu3_1", grid)
    assert on_grid.shape == (1, 5, *grid)
    g = torch.randn(on_grid.shape, generator=generator, dtype=torch.float64)
    back = from_grid(g, tap, "relu3_1", there)
    assert back.shape == f.shape
    assert float((on_grid * g).sum()) == pytest.approx(float((f * back).sum()), rel=1e-12)
    assert torch.allclose(to_grid(torch.full_like(f, 3.0), tap, "relu3_1", grid), torch.tensor(3.0).double())
    assert float(from_grid(torch.ones_like(g), tap, "relu3_1", there).min()) > 0


def test_the_grid_is_the_papers_where_a_layer_has_it():
    assert grid_tap(TAPS) == "relu3_1"
    assert grid_tap(("relu4_1", "relu2_1")) == "relu2_1"
    assert grid_tap(("relu5_1",)) == "relu5_1"


def test_hypercolumns_piece_by_piece_are_those_of_the_whole(vgg, monkeypatch, plain_convolutions):
    network, picture = Network(vgg), clouds(1, 128, 136)
    whole = whole_hypercolumns(network, picture, TAPS)
    for tap, features in network.features(picture, TAPS).items():
        expected = to_grid(features, tap, "relu3_1", (32, 34))[0].flatten(1).T
        assert torch.allclose(whole[tap], expected, atol=1e-5)
    monkeypatch.setattr(measure, "PIECE", 64)
    pieces = whole_hypercolumns(network, picture, TAPS)
    # The same rows, in another order.
    for tap in TAPS:
        assert torch.allclose(pieces[tap].sum(0), whole[tap].sum(0), rtol=1e-4)
        assert torch.allclose(pieces[tap].square().sum(0), whole[tap].square().sum(0), rtol=1e-4)


def test_of_many_hypercolumns_some_are_drawn_the_same_at_every_layer(vgg):
    network, picture = Network(vgg), clouds(1, 128, 136)
    whole, some = (whole_hypercolumns(network, picture, TAPS, most=most) for most in (1 << 16, 300))
    assert all(part.shape == (300, channels(tap)) for tap, part in some.items())
    joined, all_of = (torch.cat([part[tap] for tap in TAPS], 1).double() for part in (some, whole))
    assert float(torch.cdist(joined, all_of).min(1).values.max()) < 1e-4


def test_only_positions_inside_are_taken(vgg):
    network, picture = Network(vgg), clouds(1, 64, 64)
    inside = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    inside[..., :3, :5] = True
    found = whole_hypercolumns(network, picture, TAPS, inside)
    features = network.features(picture, ("relu3_1",))["relu3_1"][0]
    assert torch.allclose(found["relu3_1"], features[:, :3, :5].flatten(1).T, atol=1e-5)
