"""Measuring a picture: what is told of it, how it is ended, and what is made of too little memory."""

from __future__ import annotations

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.network.vgg import Network
from nst_engine.visualise import feature_sheet, gram_sheet, reconstruct

SHALLOW = {"relu1_1": 1.0, "relu2_1": 1.0}


class Cancelled(Exception):
    pass


class Layers:
    """Counts the layers that the network runs, and cancels at one of them."""

    def __init__(self, last: float = float("inf")) -> None:
        self.count, self.last = 0, last

    def __call__(self) -> None:
        self.count += 1
        if self.count == self.last:
            raise Cancelled


def test_measuring_tells_of_every_piece(vgg):
    told, layers = [], Layers()
    # Four pieces, and one for each smaller rung.
    nst.compute_style_grams(
        vgg,
        clouds(3, 600, 600),
        size=600,
        layers=SHALLOW,
        on_measure=lambda done, of: told.append((done, of)),
        on_layer=layers,
    )
    of = told[0][1]
    assert of >= 7 and told == [(done, of) for done in range(1, of + 1)]
    assert layers.count == of * len(("conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1", "relu2_1"))


def test_measuring_ends_at_the_next_layer(vgg):
    layers = Layers(last=10)
    with pytest.raises(Cancelled):
        nst.compute_style_grams(vgg, clouds(3, 600, 600), size=600, layers=SHALLOW, on_layer=layers)
    assert layers.count == 10


def test_what_is_measured_for_a_transfer_is_told_and_can_be_ended(vgg, content, style):
    told: list[tuple[int, int]] = []
    steps: list[float] = []

    def transfer(layers: Layers) -> None:
        nst.stylize(
            vgg,
            content,
            nst.compute_style_grams(vgg, style),  # as large as the transfer, and so measured by it
            steps=2,
            tile=32,
            on_step=lambda progress: steps.append(progress.step) and None,
            on_measure=lambda done, of: told.append((done, of)),
            on_layer=layers,
        )

    whole = Layers()
    transfer(whole)
    assert (1, 1) in told and (9, 9) in told  # the style in one piece, the content by tiles
    assert len(steps) == 2
    steps.clear()
    for share in (0.02, 0.2, 0.5, 0.9):
        layers = Layers(last=round(share * whole.count))
        with pytest.raises(Cancelled):
            transfer(layers)
        assert layers.count == layers.last
    assert len(steps) == 1, "only the last was cancelled after a step"


def test_a_step_in_one_pass_can_be_ended_at_any_layer(vgg, content, grams):
    nst.stylize(vgg, content, grams, steps=0, tile=None)  # the style is measured
    whole, steps = Layers(), []
    nst.stylize(vgg, content, grams, steps=1, tile=None, on_layer=whole)
    layers = Layers(last=whole.count - 1)  # on the way back, nearly at the pixels
    with pytest.raises(Cancelled):
        nst.stylize(vgg, content, grams, steps=1, tile=None, on_layer=layers, on_step=steps.append)
    assert steps == []


def test_looking_inside_can_be_ended_at_any_layer(vgg, style):
    grams = nst.compute_style_grams(vgg, style)
    for look in (
        lambda on_layer: feature_sheet(vgg, style, "relu3_1", on_layer=on_layer),
        lambda on_layer: gram_sheet(vgg, grams, "relu3_1", on_layer=on_layer),
        lambda on_layer: reconstruct(vgg, style, "relu3_1", "style", size=32, steps=1, on_layer=on_layer),
    ):
        with pytest.raises(Cancelled):
            look(Layers(last=3))


def starve(monkeypatch):
    """As a device with room for 200 x 200 pixels would; the shapes for which there was none."""
    real, failed = Network.activations, []

    def starved(self, pixels, taps, tape=None, arena=None):
        if pixels.shape[2] * pixels.shape[3] > 200 * 200:
            failed.append(pixels.shape)
            torch.empty(2**60, dtype=torch.uint8)  # what torch really says on a CPU
        return real(self, pixels, taps, tape, arena)

    monkeypatch.setattr(Network, "activations", starved)
    return failed


def test_running_out_of_memory_halves_the_pieces_and_the_style_is_the_same(vgg, monkeypatch):
    picture = clouds(4, 300, 300)
    transfer = clouds(5, 48, 48)
    options = {"size": 300, "layers": SHALLOW}
    layers = nst.LayerWeights(style=SHALLOW, content={"relu2_1": 1.0})
    expected = nst.stylize(vgg, transfer, nst.compute_style_grams(vgg, picture, **options), layers=layers, steps=1)
    failed = starve(monkeypatch)
    made = nst.stylize(vgg, transfer, nst.compute_style_grams(vgg, picture, **options), layers=layers, steps=1)
    assert failed
    assert made.history[0].style == pytest.approx(expected.history[0].style, rel=1e-4)


def test_running_out_of_memory_halves_the_pieces_and_the_sheet_is_the_same(vgg, monkeypatch):
    picture = clouds(4, 300, 300)
    expected = feature_sheet(vgg, picture, "relu2_1", size=0)
    failed = starve(monkeypatch)
    made = feature_sheet(vgg, picture, "relu2_1", size=0)
    assert failed
    assert (made - expected).abs().mean() < 1e-3


def test_a_device_without_room_for_the_smallest_piece_says_so(vgg, style, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(Network, "activations", full)
    with pytest.raises(nst.NSTError, match="64×41 pixels do not fit into the memory of cpu, not even in pieces of 128"):
        nst.compute_style_grams(vgg, style, size=64, layers=SHALLOW)
