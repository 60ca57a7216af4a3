"""A run that gets less memory than it was laid out for: smaller tiles, the same picture, or a refusal in words."""

from __future__ import annotations

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.network.vgg import Network
from nst_engine.objective.content import ContentTarget
from nst_engine.system.out_of_memory import is_out_of_memory


@pytest.mark.parametrize("error", [MemoryError(), torch.cuda.OutOfMemoryError(), None])
def test_running_out_of_memory_halves_the_tiles_and_the_picture_is_the_same(vgg, grams, monkeypatch, error):
    content = clouds(1, 480, 480)
    options = {"steps": 3, "scales": 1, "layers": nst.LayerWeights(style={"relu2_1": 1.0}, content={"relu2_2": 1.0})}
    expected = nst.stylize(vgg, content, grams, tile=None, **options)
    real = Network.activations
    failed = []

    def starved(self, pixels, taps, tape=None, arena=None):
        # As a device with room for 200 x 200 pixels would.
        if pixels.shape[2] * pixels.shape[3] > 200 * 200:
            failed.append(pixels.shape)
            if error is None:
                torch.empty(2**60, dtype=torch.uint8)  # what torch really says on a CPU
            raise error
        return real(self, pixels, taps, tape, arena)

    monkeypatch.setattr(Network, "activations", starved)
    result = nst.stylize(vgg, content, grams, tile="auto", **options)
    # Adam's first step is a sign, so a pixel whose slope is nearly nothing may go either way.
    assert (result.image - expected.image).abs().mean() < 1e-5
    assert len(result.history) == 3
    assert result.settings["tiles"] == [128]
    assert len(failed) >= 2
    assert [note for note in result.notes if "memory ran out" in note] == result.notes


def test_content_is_made_anew_before_a_run_is_refused(vgg, grams, monkeypatch):
    content = clouds(1, 320, 320)
    options = {"steps": 2, "layers": nst.LayerWeights(style={"relu2_1": 1.0}, content={"relu2_2": 1.0})}
    expected = nst.stylize(vgg, content, grams, tile=None, **options)
    real = ContentTarget.keep

    def starved(self, tile, tap, p):
        # As a device would that has no room for the features of the whole picture.
        if p.numel() * 2 < self.picture.numel() * 32 / 3:
            torch.empty(2**60, dtype=torch.uint8)
        real(self, tile, tap, p)

    monkeypatch.setattr(ContentTarget, "keep", starved)
    result = nst.stylize(vgg, content, grams, tile=160, **options)
    assert (result.image - expected.image).abs().mean() < 1e-5
    assert "computed again" in result.notes[-1]


def test_other_errors_are_not_taken_for_a_lack_of_memory(vgg, content, grams, monkeypatch):
    def broken(*_):
        raise RuntimeError("expected scalar type Float but found Half")

    monkeypatch.setattr(Network, "activations", broken)
    with pytest.raises(RuntimeError, match="Half"):
        nst.stylize(vgg, content, grams, steps=1)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 must have the same dtype"))


def test_a_device_without_room_for_the_smallest_tile_says_so(vgg, content, grams, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(Network, "activations", full)
    with pytest.raises(nst.NSTError, match="do not fit into the memory of cpu"):
        nst.stylize(vgg, content, grams, steps=1)
