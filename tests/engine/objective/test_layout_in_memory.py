"""How a run is laid out in the memory that is free: one pass or tiles, and what is kept from step to step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.network.vgg import Network
from nst_engine.objective import layout as layout_module
from nst_engine.objective.build import build
from nst_engine.objective.footprint import footprint
from nst_engine.objective.layout import Layout, lay_out
from nst_engine.objective.setup import set_up
from nst_engine.recipes import FIVE, LBFGS, Adam

CONTENT = ("relu4_2",)
GB = 2**30
ADAM = Adam(0.03)
CLASSIC = nst.RECIPES["classic"]


def taken(vgg):
    return footprint(Network(vgg, dtype=torch.bfloat16), CLASSIC, (FIVE, CONTENT))


def lay(vgg, shape, free, optimizer=ADAM, tile="auto"):
    recipe = replace(CLASSIC, optimizer=optimizer)
    return lay_out(Network(vgg, dtype=torch.bfloat16), recipe, (FIVE, CONTENT), shape, tile, int(free))


def test_a_gpu_is_given_no_more_numbers_at_a_time_than_it_counts(vgg):
    """An H200 has the memory for 8192² in one pass, but torch refused such tensors."""
    network = Network(replace(vgg, device=torch.device("cuda")), dtype=torch.bfloat16)

    def laid_out(*shape, recipe=CLASSIC):
        return lay_out(network, recipe, (FIVE, CONTENT), shape, "auto", 2**40)

    assert laid_out(5600, 5600).tile is None
    for shape in ((8192, 8192), (16384, 2048)):
        layout = laid_out(*shape)
        around = 2 * footprint(network, CLASSIC, (FIVE, CONTENT)).margin
        assert layout.tile is not None
        assert 64 * min(shape[0], layout.tile + around) * min(shape[1], layout.tile + around) < 2**31
    with pytest.raises(
        nst.NSTError, match=r"8192×8192 pixels in one pass are too many for a GPU\. A long side of 5792"
    ):
        laid_out(8192, 8192, recipe=replace(CLASSIC, statistic="sliced"))


def test_memory_is_kept_from_pass_to_pass_only_where_there_is_plenty(vgg):
    whole = taken(vgg).total((512, 512)) / layout_module.USABLE_SHARE
    assert lay(vgg, (512, 512), whole * 1.01 * layout_module.AMPLE).ample
    assert not lay(vgg, (512, 512), whole * 0.99 * layout_module.AMPLE).ample
    by_tiles = lay(vgg, (512, 512), whole * 0.8)
    assert by_tiles.tile and not by_tiles.ample
    assert not lay(vgg, (512, 512), whole * 100).smaller((512, 512), 80).ample


def test_one_pass_when_it_fits_and_tiles_as_large_as_fit_when_it_does_not(vgg):
    whole = taken(vgg).total((1024, 1024)) / layout_module.USABLE_SHARE
    assert lay(vgg, (1024, 1024), whole * 1.01).tile is None
    tiles = [lay(vgg, (1024, 1024), whole * share).tile for share in (0.99, 0.8, 0.6)]
    assert tiles == sorted(tiles, reverse=True)
    assert all(tile % 16 == 0 and 128 <= tile < 1024 for tile in tiles)
    # Never more than there is, and not much less either.
    for share, tile in zip((0.99, 0.8, 0.6), tiles, strict=True):
        assert taken(vgg).total((1024, 1024), tile) <= share * whole * layout_module.USABLE_SHARE
        assert (
            taken(vgg).total((1024, 1024), tile + 16) > share * whole * layout_module.USABLE_SHARE
            or tile + 16 > 1024 - 160
        )


def test_content_targets_are_given_up_when_that_saves_time_or_makes_it_possible(vgg):
    shape = (8192, 8192)
    keeping = taken(vgg)
    tight = (keeping.network + keeping.state * 8192**2 + keeping.seen * 400**2) / layout_module.USABLE_SHARE
    assert lay(vgg, shape, 64 * GB).keep_content
    assert not lay(vgg, shape, tight).keep_content
    assert not lay(vgg, shape, tight - 0.3 * GB).keep_content


def test_what_masks_take_leaves_less_for_tiles(vgg):
    """Regions and a protected part are in memory whole, however small the tiles."""
    layers, content = nst.LayerWeights(style={"relu1_1": 1.0}, content={"relu2_1": 1.0}), clouds(1, 512, 512)
    one = nst.compute_style_grams(vgg, clouds(2, 48, 48), size=48, layers=layers.style)
    rows = torch.arange(512).view(512, 1).expand(512, 512) // 86
    six = [one.within((rows == number).float()) for number in range(6)]
    memory = round(0.7 * nst.memory_needed(vgg, (512, 512), layers=layers))

    def tile(grams, **options):
        options |= {"layers": layers, "memory": memory, "steps": 0, "scales": 1, "size": 0}
        return nst.stylize(vgg, content, grams, **options).settings["tiles"][0]

    free, guided = tile(one), tile(sum(six[1:], six[0]))
    assert free is not None and guided < free
    assert tile(one, protect=torch.ones(512, 512).tril()) < free
    assert tile(one, protect=torch.ones(512, 512).tril(), protect_mode="content") < free
    whole = nst.memory_needed(vgg, (512, 512))
    assert nst.memory_needed(vgg, (512, 512), masks=True) > whole
    assert nst.memory_needed(vgg, (512, 512), regions=6) > nst.memory_needed(vgg, (512, 512), regions=2) > whole


def test_lbfgs_remembers_no_more_than_half_of_what_is_free(vgg):
    assert lay(vgg, (512, 512), 8 * GB, LBFGS(history=100)).history == 100
    layout = lay(vgg, (4096, 4096), 16 * GB, LBFGS(history=100))
    assert 4 <= layout.history < 100
    assert 24 * layout.history * 4096**2 <= 0.5 * layout_module.USABLE_SHARE * 16 * GB
    assert lay(vgg, (512, 512), 8 * GB).history == 0


def test_what_cannot_be_done_is_refused_with_the_size_that_can(vgg):
    with pytest.raises(nst.NSTError, match=r"16384×16384 pixels take .* GB.* A long side of \d+ would do") as refused:
        lay(vgg, (16384, 16384), 8 * GB)
    side = int(str(refused.value).split("A long side of ")[1].split()[0])
    assert 4096 < side < 16384
    lay(vgg, (side, side), 8 * GB)  # and so it does
    with pytest.raises(nst.NSTError):
        lay(vgg, (side + 64, side + 64), 8 * GB)
    with pytest.raises(nst.NSTError, match=r"even by tiles, .* free\. No size would do, but more free memory\.$"):
        lay(vgg, (64, 64), GB // 1000)
    with pytest.raises(nst.NSTError, match="tile: 'large'"):
        lay(vgg, (64, 64), GB, tile="large")


def test_targets_made_anew_are_those_that_are_kept(vgg, content, grams):
    image = clouds(4, *content.shape[-2:])
    setup = set_up(vgg, nst.RECIPES["balanced"], None, content=True)
    found = [
        build(setup, content, grams, content.shape[-2:], 1.0, Layout(32, keep)).value_and_grad(image)
        for keep in (True, False)
    ]
    (kept, gradient), (made, same) = found
    assert float(made.content) == pytest.approx(float(kept.content), rel=1e-6)
    assert torch.allclose(same, gradient, rtol=1e-4, atol=1e-9)
