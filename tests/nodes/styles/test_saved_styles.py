"""Styles that are saved, loaded and gone between: the nodes without a host, and graphs of them."""

from __future__ import annotations

import json
import os
import struct

import pytest
import torch
from some_styles import SIZE, blended, load, measured, run, save, statistics, transfer

# --- saving and loading -------------------------------------------------------------------------------------------


def test_a_saved_style_gives_the_same_picture_to_the_last_bit(pack, vgg, grams, io_folders):
    name = save(pack, grams)
    assert name == "nst/style_00001_.safetensors [output]"
    loaded, _ = load(pack, name)
    for before, after in zip(statistics(grams), statistics(loaded), strict=True):
        assert before.keys() == after.keys()
        for key, s in before.items():
            assert torch.equal(s.mean, after[key].mean) and torch.equal(s.moment, after[key].moment)
            assert s.n == after[key].n
    assert loaded.styles[0].picture is None
    assert torch.equal(transfer(pack, vgg, loaded), transfer(pack, vgg, grams))
    assert torch.equal(transfer(pack, vgg, loaded, scales=2), transfer(pack, vgg, grams, scales=2))


def test_a_file_has_a_few_megabytes_and_the_rights_of_any_other(pack, grams, io_folders):
    save(pack, grams)
    file = io_folders[1] / "nst" / "style_00001_.safetensors"
    assert 5e5 < file.stat().st_size < 5e6
    (io_folders[1] / "any").touch()
    assert file.stat().st_mode == (io_folders[1] / "any").stat().st_mode
    assert os.listdir(io_folders[1] / "nst") == [file.name]  # nothing else is left


def test_nothing_of_the_picture_is_saved_but_by_wish(pack, grams, styles, io_folders):
    save(pack, grams)
    assert float(load(pack, "nst/style_00001_.safetensors [output]")[1].max()) == 0
    file = io_folders[1] / "nst" / "style_00001_.safetensors"
    (length,) = struct.unpack("<Q", file.read_bytes()[:8])
    header = json.loads(file.read_bytes()[8 : 8 + length])
    named = [key for key in header if key != "__metadata__"]
    assert all(key.endswith((".mean", ".moment")) for key in named)
    assert "style image" not in header["__metadata__"]["nst"]  # nor what it was called

    loaded, thumbnail = load(pack, save(pack, grams, thumbnail=True))
    assert thumbnail.shape == (1, 128, 128, 3)
    wide = torch.nn.functional.interpolate(styles[:1].movedim(-1, 1), (91, 128), mode="bicubic", antialias=True)
    assert (thumbnail[0, 18:109] - wide[0].movedim(0, -1).clamp(0, 1)).abs().max() < 0.01
    assert float(thumbnail[0, :18].max()) == 0
    # A loaded style can be saved again, with what it has.
    again, kept = load(pack, save(pack, loaded, thumbnail=True))
    assert torch.equal(kept, thumbnail)
    assert torch.equal(statistics(again)[0].popitem()[1].moment, statistics(grams)[0].popitem()[1].moment)


def test_nothing_is_overwritten(pack, grams, io_folders):
    names = [save(pack, grams, "a/b %year%") for _ in range(2)]
    assert names[0].endswith("_00001_.safetensors [output]") and names[1].endswith("_00002_.safetensors [output]")
    assert "%" not in names[0]
    assert len(list((io_folders[1] / "a").iterdir())) == 2


def test_a_blend_is_saved_whole_and_keeps_its_proportions(pack, vgg, grams, other):
    blend = grams + other
    loaded, thumbnails = load(pack, save(pack, blend), weight=9.0)
    assert [style.weight for style in loaded.styles] == pytest.approx([3.0, 6.0])
    assert thumbnails.shape == (2, 128, 128, 3)
    assert torch.equal(blended(pack, vgg, loaded), blended(pack, vgg, blend))


def test_a_loaded_style_is_blended_with_others(pack, vgg, grams, other):
    name = save(pack, other)
    silent, _ = load(pack, name, weight=0.0, style_grams=grams)
    assert torch.equal(blended(pack, vgg, silent), blended(pack, vgg, grams))
    chained, _ = load(pack, name, weight=2.0, style_grams=grams)
    assert torch.equal(blended(pack, vgg, chained), blended(pack, vgg, grams + other))


def test_a_loaded_style_goes_to_a_region(pack, vgg, grams, other):
    content = torch.rand(1, 40, 48, 3, generator=torch.Generator().manual_seed(0))
    region = torch.zeros(1, 40, 48)
    region[..., :24] = 1
    name = save(pack, other)
    left, _ = load(pack, name, region_mask=region)
    assert not left.styles[0].region.is_inference()
    change = (transfer(pack, vgg, left) - content).abs().mean((0, 1, 3))
    assert change[:24].mean() > 0.01 and change[24:].max() < 1e-6
    # Beside a style that has no region, and so the rest.
    both, _ = load(pack, name, weight=2.0, style_grams=grams, region_mask=region)
    change = (transfer(pack, vgg, both) - content).abs().mean((0, 1, 3))
    assert change[:24].mean() > 0.01 and change[24:].mean() > 0.01
    assert torch.equal(transfer(pack, vgg, both), transfer(pack, vgg, grams + other.within(region)))
    with pytest.raises(pack.nst_engine.NSTError, match="its region is too small for every layer"):
        small = torch.zeros(1, 40, 48)
        small[..., 20:22, 20:22] = 1
        transfer(pack, vgg, load(pack, name, region_mask=small, mask_mode="inside")[0])


def test_what_a_recipe_needs_is_measured_before_saving(pack, vgg, styles):
    alone, _ = load(pack, save(pack, measured(pack, vgg, styles[:1])))
    with pytest.raises(pack.nst_engine.NSTError, match=r"nothing for this recipe.s padding and pooling"):
        transfer(pack, vgg, alone, recipe="johnson")
    grams = measured(pack, vgg, styles[:1])
    prepared, _ = load(pack, save(pack, grams, vgg=vgg, recipe="johnson"))
    picture = transfer(pack, vgg, prepared, recipe="johnson")
    assert torch.equal(picture, transfer(pack, vgg, grams, recipe="johnson"))


@pytest.mark.parametrize("options", [{"scales": 4}, {"recipe": "gatys2017"}])
def test_every_level_of_a_recipe_finds_its_size_in_the_file(pack, vgg, styles, options):
    large = measured(pack, vgg, styles[:1], size=4 * SIZE)
    loaded, _ = load(pack, save(pack, large, vgg=vgg, recipe=options.get("recipe", "balanced")))
    settings = {"steps": 8, "size": 2 * SIZE, **options}
    assert torch.equal(transfer(pack, vgg, loaded, **settings), transfer(pack, vgg, large, **settings))


def test_a_file_that_its_recipe_could_not_use_is_not_saved(pack, vgg, styles, io_folders):
    grams = measured(pack, vgg, styles[:1])
    with pytest.raises(pack.nst_engine.NSTError, match=r"^recipe: johnson needs .* connect vgg"):
        save(pack, grams, recipe="johnson")
    alone, _ = load(pack, save(pack, grams))
    with pytest.raises(pack.nst_engine.NSTError, match=r"^style_grams: .* has nothing for this recipe"):
        save(pack, alone, vgg=vgg, recipe="johnson")
    assert len(list(io_folders[1].rglob("*.*"))) == 1


def test_a_style_that_counts_nothing_is_not_saved(pack, vgg, styles, io_folders):
    grams = measured(pack, vgg, styles[:1], weight=0.0)
    for options in ({}, {"vgg": vgg, "recipe": "gatys2016"}):
        with pytest.raises(pack.nst_engine.NSTError, match=r"^style_grams: the weights of the styles sum to zero"):
            save(pack, grams, **options)
    assert list(io_folders[1].iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 250, "ß" * 130, "CON", "a/aux.txt", "a|b", "a./b"])
def test_a_name_that_not_every_system_has_is_refused_before_anything_is_measured(pack, vgg, styles, name):
    grams = measured(pack, vgg, styles[:1])
    before = dict(grams.styles[0].memo)
    assert "Give a name" in pack.NODE_CLASS_MAPPINGS["SaveStyleGrams"].VALIDATE_INPUTS(name)
    with pytest.raises(pack.nst_engine.NSTError, match="Give a name"):  # by wire it comes unseen
        save(pack, grams, name, vgg=vgg, recipe="gatys2016")
    assert grams.styles[0].memo == before


def test_a_style_without_a_size_is_refused_with_a_way_out(pack, vgg, styles, io_folders):
    loose = measured(pack, vgg, styles[:1], size=0)
    for _ in range(2):  # before a transfer has measured it, and after
        with pytest.raises(pack.nst_engine.NSTError, match=r"style image has size 0.*512"):
            save(pack, loose)
        transfer(pack, vgg, loose)
    assert list(io_folders[1].iterdir()) == []


def test_another_network_is_refused_by_name(pack, grams):
    loaded, _ = load(pack, save(pack, grams))
    average = run(pack, "LoadVGGFeatures", weights="vgg19-caffe", pooling="average", padding="recipe", precision="fp32")
    with pytest.raises(pack.nst_engine.NSTError, match=r"pooling recipe.*pooling average"):
        transfer(pack, average[0], loaded)
    with pytest.raises(pack.nst_engine.NSTError, match=r"pooling recipe.*pooling average"):
        save(pack, loaded, vgg=average[0])


def test_a_failed_save_leaves_nothing(pack, grams, io_folders):
    resource = pytest.importorskip("resource")  # a limit on the size of files stands in for a full disk
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(pack.nst_engine.NSTError, match="no file can be written there"):
            save(pack, grams)
        with pytest.raises(pack.nst_engine.NSTError, match="cannot be written"):
            grams.save(io_folders[1] / "nst" / "own.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((io_folders[1] / "nst").iterdir()) == []
