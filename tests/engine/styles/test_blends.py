"""Styles together: weights, blends and batches are means of statistics, which are measured once."""

from __future__ import annotations

import pytest
import torch
from pictures import clouds
from short_runs import run, style_term

import nst_engine as nst
from nst_engine.network.vgg import Network
from nst_engine.statistics.distances import Statistics
from nst_engine.statistics.moments import statistics
from nst_engine.styles.style import Style


def test_weights_of_nought_and_one_give_exactly_the_single_style(vgg, content, style, grams):
    other = clouds(12, 50, 50)
    both = nst.compute_style_grams(vgg, other, weight=0.0, blend_with=grams)
    assert style_term(vgg, content, both) == style_term(vgg, content, grams)
    twice = nst.compute_style_grams(vgg, style, weight=3.0, blend_with=grams)
    assert style_term(vgg, content, twice) == pytest.approx(style_term(vgg, content, grams), rel=1e-5)


def test_a_blend_is_the_weighted_mean_of_the_statistics(vgg, style):
    other = clouds(12, 64, 100)
    first = nst.compute_style_grams(vgg, style, weight=3.0)
    blended = nst.compute_style_grams(vgg, other, weight=1.0, blend_with=first)
    network = Network(vgg)
    shape = (70, 90)
    moments = [
        Style(p, aspect=(64, 100))
        .statistics(network, ["relu3_1"], blended.styles[0].shape_at(shape, 1, "long"))["relu3_1"]
        .moment
        for p in (style, other)
    ]
    found = blended.blend(network, ["relu3_1"], shape)["relu3_1"].moment
    assert torch.allclose(found, 0.75 * moments[0] + 0.25 * moments[1], rtol=1e-5)


def test_statistics_are_symmetric_whatever_rounding_does(vgg, style, monkeypatch):
    # A saved style has one half of the matrix, so there must not be another.
    def lopsided(features, t=None):
        found = statistics(features, t)
        return Statistics(found.mean, found.moment + torch.rand(found.moment.shape) * 1e-3, found.n)

    monkeypatch.setattr("nst_engine.statistics.measure.statistics", lopsided)
    (memo,) = (style.memo for style in nst.compute_style_grams(vgg, style, size=32).styles)
    assert memo and all(torch.equal(s.moment, s.moment.T) for s in memo.values())


def test_a_batch_of_styles_is_several_styles(vgg, content, style):
    batch = nst.compute_style_grams(vgg, torch.cat([style, clouds(12, 64, 100)]))
    chain = nst.compute_style_grams(vgg, clouds(12, 64, 100), blend_with=nst.compute_style_grams(vgg, style))
    assert style_term(vgg, content, batch) == pytest.approx(style_term(vgg, content, chain), rel=1e-6)


def test_statistics_are_measured_once(vgg, content, style, monkeypatch):
    passes = []
    original = Network.activations

    def counted(self, x, taps, *rest, **named):
        passes.append(x.shape)
        return original(self, x, taps, *rest, **named)

    monkeypatch.setattr(Network, "activations", counted)
    grams = nst.compute_style_grams(vgg, style, size=64)
    measured = len(passes)
    assert measured > 0
    shapes = {tuple(shape[-2:]) for shape in passes}
    for weight in (1.0, 5.0):
        run(vgg, content, grams, content_weight=weight, size=64, steps=2)
    run(vgg, clouds(3, 40, 64), grams, steps=2)
    again = [shape for shape in passes[measured:] if tuple(shape[-2:]) in shapes - {(50, 64), (40, 64)}]
    assert again == []


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_style_weights_that_are_none(vgg, style, weight):
    with pytest.raises(nst.NSTError, match="is not a weight"):
        nst.compute_style_grams(vgg, style, weight=weight)


def test_style_weights_that_sum_to_zero(vgg, content, style):
    grams = nst.compute_style_grams(vgg, style, weight=0.0)
    with pytest.raises(nst.NSTError, match="sum to zero"):
        run(vgg, content, grams)
