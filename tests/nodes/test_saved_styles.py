"""Styles that are saved, loaded and gone between: the nodes without a host, and graphs of them."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import struct
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

SIZE = 48


@pytest.fixture(scope="module")
def vgg(pack):
    return run(pack, "LoadVGGFeatures", weights="vgg19-caffe", pooling="recipe", padding="recipe", precision="fp32")[0]


@pytest.fixture(scope="module")
def styles() -> torch.Tensor:
    return torch.rand(2, 40, 56, 3, generator=torch.Generator().manual_seed(1)) ** torch.tensor([1, 3]).view(2, 1, 1, 1)


@pytest.fixture(scope="module")
def grams(pack, vgg, styles):
    return measured(pack, vgg, styles[:1])


@pytest.fixture(scope="module")
def other(pack, vgg, styles):
    return measured(pack, vgg, styles[1:], weight=2.0)


@pytest.fixture(autouse=True)
def places(pack, tmp_path):
    """The input and the output folder."""
    folders = tmp_path / "in", tmp_path / "out"
    for folder in folders:
        folder.mkdir()
    token = pack.nodes.host.stand_alone_places.set(folders)
    yield folders
    pack.nodes.host.stand_alone_places.reset(token)


def run(pack, node, **inputs):
    kind = pack.NODE_CLASS_MAPPINGS[node]
    with torch.inference_mode():
        return getattr(kind(), kind.FUNCTION)(**inputs)


def measured(pack, vgg, picture, weight=1.0, size=SIZE):
    return run(pack, "ComputeStyleGrams", vgg=vgg, style_image=picture, weight=weight, size=size)[0]


def save(pack, grams, prefix="nst/style", **options) -> str:
    """The name by which the style can be loaded."""
    outcome = run(pack, "SaveStyleGrams", style_grams=grams, filename_prefix=prefix, **options)
    assert outcome["result"] == (grams,)
    return outcome["ui"]["text"][0]


def load(pack, name, weight=1.0, **options):
    return run(pack, "LoadStyleGrams", style=name, weight=weight, **options)


def transfer(pack, vgg, grams, **options) -> torch.Tensor:
    content = torch.rand(1, 40, 48, 3, generator=torch.Generator().manual_seed(0))
    settings = {"recipe": "balanced", "steps": 3, "size": 0, **options}
    return run(pack, "NeuralStyleTransfer", vgg=vgg, content_image=content, style_grams=grams, **settings)[0]


def statistics(grams):
    return [dict(style.memo) for style in grams.styles]


def blended(pack, vgg, grams, tap="relu3_1"):
    recipes = importlib.import_module("nst_pack.nst_engine.recipes")
    network = recipes.network_for(vgg, recipes.RECIPES["balanced"])
    return grams.blend(network, (tap,), (SIZE, SIZE), 1.0, "long")[tap].moment


# --- saving and loading -------------------------------------------------------------------------------------------


def test_a_saved_style_gives_the_same_picture_to_the_last_bit(pack, vgg, grams, places):
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


def test_a_file_has_a_few_megabytes_and_the_rights_of_any_other(pack, grams, places):
    save(pack, grams)
    file = places[1] / "nst" / "style_00001_.safetensors"
    assert 5e5 < file.stat().st_size < 5e6
    (places[1] / "any").touch()
    assert file.stat().st_mode == (places[1] / "any").stat().st_mode
    assert os.listdir(places[1] / "nst") == [file.name]  # nothing else is left


def test_nothing_of_the_picture_is_saved_but_by_wish(pack, grams, styles, places):
    save(pack, grams)
    assert float(load(pack, "nst/style_00001_.safetensors [output]")[1].max()) == 0
    file = places[1] / "nst" / "style_00001_.safetensors"
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


def test_nothing_is_overwritten(pack, grams, places):
    names = [save(pack, grams, "a/b %year%") for _ in range(2)]
    assert names[0].endswith("_00001_.safetensors [output]") and names[1].endswith("_00002_.safetensors [output]")
    assert "%" not in names[0]
    assert len(list((places[1] / "a").iterdir())) == 2


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


def test_a_file_that_its_recipe_could_not_use_is_not_saved(pack, vgg, styles, places):
    grams = measured(pack, vgg, styles[:1])
    with pytest.raises(pack.nst_engine.NSTError, match=r"^recipe: johnson needs .* connect vgg"):
        save(pack, grams, recipe="johnson")
    alone, _ = load(pack, save(pack, grams))
    with pytest.raises(pack.nst_engine.NSTError, match=r"^style_grams: .* has nothing for this recipe"):
        save(pack, alone, vgg=vgg, recipe="johnson")
    assert len(list(places[1].rglob("*.*"))) == 1


def test_a_style_that_counts_nothing_is_not_saved(pack, vgg, styles, places):
    grams = measured(pack, vgg, styles[:1], weight=0.0)
    for options in ({}, {"vgg": vgg, "recipe": "gatys2016"}):
        with pytest.raises(pack.nst_engine.NSTError, match=r"^style_grams: the weights of the styles sum to zero"):
            save(pack, grams, **options)
    assert list(places[1].iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 250, "ß" * 130, "CON", "a/aux.txt", "a|b", "a./b"])
def test_a_name_that_not_every_system_has_is_refused_before_anything_is_measured(pack, vgg, styles, name):
    grams = measured(pack, vgg, styles[:1])
    before = dict(grams.styles[0].memo)
    assert "Give a name" in pack.NODE_CLASS_MAPPINGS["SaveStyleGrams"].VALIDATE_INPUTS(name)
    with pytest.raises(pack.nst_engine.NSTError, match="Give a name"):  # by wire it comes unseen
        save(pack, grams, name, vgg=vgg, recipe="gatys2016")
    assert grams.styles[0].memo == before


def test_a_style_without_a_size_is_refused_with_a_way_out(pack, vgg, styles, places):
    loose = measured(pack, vgg, styles[:1], size=0)
    for _ in range(2):  # before a transfer has measured it, and after
        with pytest.raises(pack.nst_engine.NSTError, match=r"style image has size 0.*512"):
            save(pack, loose)
        transfer(pack, vgg, loose)
    assert list(places[1].iterdir()) == []


def test_another_network_is_refused_by_name(pack, vgg, grams):
    loaded, _ = load(pack, save(pack, grams))
    average = run(pack, "LoadVGGFeatures", weights="vgg19-caffe", pooling="average", padding="recipe", precision="fp32")
    with pytest.raises(pack.nst_engine.NSTError, match=r"pooling recipe.*pooling average"):
        transfer(pack, average[0], loaded)
    with pytest.raises(pack.nst_engine.NSTError, match=r"pooling recipe.*pooling average"):
        save(pack, loaded, vgg=average[0])


def test_a_failed_save_leaves_nothing(pack, grams, places):
    resource = pytest.importorskip("resource")  # a limit on the size of files stands in for a full disk
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(pack.nst_engine.NSTError, match="no file can be written there"):
            save(pack, grams)
        with pytest.raises(pack.nst_engine.NSTError, match="cannot be written"):
            grams.save(places[1] / "nst" / "own.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((places[1] / "nst").iterdir()) == []


# --- files that will not do ---------------------------------------------------------------------------------------

OUTSIDE = [
    "../style",
    "a/../../style",
    "a/../style",
    "/tmp/style",
    "\\style",
    "..\\style",
    "a\\..\\..\\style",
    "C:\\style",
    "C:style",
    "\\\\server\\share\\style",
    "st\0yle",
    "st\nyle",
    "style:stream",
    "",
    ".",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_out_of_the_folders(pack, grams, places, name):
    saver, loader = (pack.NODE_CLASS_MAPPINGS[n] for n in ("SaveStyleGrams", "LoadStyleGrams"))
    save(pack, grams, "here")
    for folder in (places[0].parent, places[1]):
        (folder / "style").write_bytes((places[1] / "here_00001_.safetensors").read_bytes())
    before = sorted(places[0].parent.rglob("*"))
    assert "does not name a file in or below the folder" in saver.VALIDATE_INPUTS(name)
    with pytest.raises(pack.nst_engine.NSTError, match="does not name a file"):
        save(pack, grams, name)
    for written in (name, f"{name} [output]", f"{name} [input]"):
        assert "does not name a file" in loader.VALIDATE_INPUTS(written)
        with pytest.raises(pack.nst_engine.NSTError, match="does not name a file"):
            load(pack, written)
    assert sorted(places[0].parent.rglob("*")) == before


def test_no_link_leads_out_of_the_folders(pack, grams, places, tmp_path):
    save(pack, grams)
    (tmp_path / "elsewhere").mkdir()
    file = places[1] / "nst" / "style_00001_.safetensors"
    file.rename(tmp_path / "elsewhere" / "s.safetensors")
    try:
        (places[1] / "away").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        (places[0] / "s.safetensors").symlink_to(tmp_path / "elsewhere" / "s.safetensors")
    except OSError:
        pytest.skip("this system makes no links")
    for name in ("away/s.safetensors [output]", "s.safetensors"):
        with pytest.raises(pack.nst_engine.NSTError, match="leads out of the folder"):
            load(pack, name)
    with pytest.raises(pack.nst_engine.NSTError, match="leads out of the folder"):
        save(pack, grams, "away/style")
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


def test_folders_that_are_links_themselves_are_fine(pack, grams, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "disk", target_is_directory=True)
    token = pack.nodes.host.stand_alone_places.set((tmp_path / "linked", tmp_path / "linked"))
    assert load(pack, save(pack, grams))[0].styles
    pack.nodes.host.stand_alone_places.reset(token)


def test_a_file_that_is_not_there_is_told_before_anything_runs(pack):
    kind = pack.NODE_CLASS_MAPPINGS["LoadStyleGrams"]
    assert "there is no file gone.safetensors" in kind.VALIDATE_INPUTS("nst/gone.safetensors [output]")
    assert "a name of 5000 bytes is longer than the 255" in kind.VALIDATE_INPUTS("x" * 5000)
    assert kind.VALIDATE_INPUTS(None) is True  # linked: the host does not know the name yet
    assert pack.NODE_CLASS_MAPPINGS["SaveStyleGrams"].VALIDATE_INPUTS(None) is True
    assert pack.NODE_CLASS_MAPPINGS["SaveStyleGrams"].VALIDATE_INPUTS([]) is True  # the host says that it is no name


def rewritten(whole: bytes, **changes) -> bytes:
    """A saved style with other metadata."""
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    header["__metadata__"]["nst"] = json.dumps(json.loads(header["__metadata__"]["nst"]) | changes)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + whole[8 + length :]


def test_damaged_newer_and_other_files_are_refused_by_name(pack, grams, places):
    save(pack, grams)
    whole = (places[1] / "nst" / "style_00001_.safetensors").read_bytes()
    styles = json.loads(json.loads(whole[8 : 8 + struct.unpack("<Q", whole[:8])[0]])["__metadata__"]["nst"])["styles"]
    no_style = "file.safetensors is not a saved style, or it is damaged"
    for damaged, says in (
        (whole[: len(whole) // 2], no_style),
        (whole[:-1], no_style),
        (whole[:100], no_style),
        (b"", no_style),
        (b"not a style", no_style),
        (whole[:8] + bytes(200) + whole[208:], no_style),
        (rewritten(whole, styles=[]), no_style),
        (rewritten(whole, styles=[{**styles[0], "size": -3}]), no_style),
        (rewritten(whole, styles=[{**styles[0], "aspect": [0, 4]}]), no_style),
        (rewritten(whole, styles=[{**styles[0], "weight": float("nan")}]), no_style),
        (rewritten(whole, styles=styles * 2), no_style),
        (rewritten(whole, version=99, styles="who knows"), "file.safetensors was saved by a newer version"),
    ):
        (places[0] / "file.safetensors").write_bytes(damaged)
        with pytest.raises(pack.nst_engine.NSTError, match=says):
            load(pack, "file.safetensors")
    (places[0] / "file.safetensors").write_bytes(rewritten(whole))
    assert load(pack, "file.safetensors")


def test_weights_of_a_network_are_no_style(pack, places):
    from safetensors.torch import save_file

    save_file({"features.0.weight": torch.zeros(3)}, str(places[0] / "net.safetensors"), metadata={"format": "pt"})
    with pytest.raises(pack.nst_engine.NSTError, match=r"net\.safetensors is not a saved style.*nothing in it says so"):
        load(pack, "net.safetensors")


def test_the_list_to_choose_from_holds_saved_styles_and_nothing_else(pack, grams, places):
    from safetensors.torch import save_file

    for prefix in ("nst/style", "nst/style", "top", "a/b/c"):
        save(pack, grams, prefix)
    save_file({"weight": torch.zeros(3)}, str(places[1] / "net.safetensors"), metadata={"format": "pt"})
    (places[1] / "half.safetensors").write_bytes(b"")
    Image.new("RGB", (4, 4)).save(places[1] / "picture.png")
    listed = importlib.import_module("nst_pack.nodes.file_names").styles_in(places[1])
    assert listed == [
        "a/b/c_00001_.safetensors",
        "nst/style_00001_.safetensors",
        "nst/style_00002_.safetensors",
        "top_00001_.safetensors",
    ]
    assert importlib.import_module("nst_pack.nodes.file_names").styles_in(places[1] / "none") == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_that_is_called_a_style_is_none_and_nobody_waits_for_it(pack, grams, places):
    """As in a folder that others can write to: opened plainly it would hang the host's list of nodes."""
    save(pack, grams, "style")
    pipe = places[1] / "pipe.safetensors"
    os.mkfifo(pipe)
    listed = []
    looking = threading.Thread(
        target=lambda: listed.append(importlib.import_module("nst_pack.nodes.file_names").styles_in(places[1])),
        daemon=True,
    )
    looking.start()
    looking.join(timeout=20)
    assert listed == [["style_00001_.safetensors"]]
    with pytest.raises(pack.nst_engine.NSTError, match=r"pipe\.safetensors"):
        load(pack, "pipe.safetensors [output]")


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """An output folder as years of use leave it: 100,000 files in 50 folders, and a few of them are styles."""
    folder = tmp_path_factory.mktemp("crowded")
    for i in range(50):
        (folder / f"{i}").mkdir()
        for j in range(2000):
            os.close(os.open(folder / f"{i}" / f"ComfyUI_{j:05}_.png", os.O_CREAT | os.O_WRONLY))
        os.utime(folder / f"{i}", (1, 1))
    return folder


@contextlib.contextmanager
def counted():
    """How many files and folders are opened."""
    calls = []
    watching = True

    def hook(event: str, args: tuple) -> None:
        if watching and event in ("open", "os.scandir", "os.listdir"):
            calls.append((event, str(args[0])))

    sys.addaudithook(hook)
    yield calls
    watching = False


def test_a_crowded_folder_is_looked_through_once(pack, grams, crowded):
    places = importlib.import_module("nst_pack.nodes.file_names")
    for name in ("3/one.safetensors", "7/two.safetensors"):
        grams.save(crowded / name)
        os.utime((crowded / name).parent, (1, 1))
    os.utime(crowded, (1, 1))
    with counted() as calls:
        began = time.perf_counter()
        assert places.styles_in(crowded) == ["3/one.safetensors", "7/two.safetensors"]
        first = time.perf_counter() - began
    assert sum(event == "os.scandir" for event, _ in calls) == 51
    assert {Path(at).suffix for event, at in calls if event == "open"} <= {".safetensors", ""}  # "": by its number
    with counted() as calls:
        began = time.perf_counter()
        assert places.styles_in(crowded) == ["3/one.safetensors", "7/two.safetensors"]
        again = time.perf_counter() - began
    assert calls == []
    assert first < 10 and again < 0.5  # 0.1 and 0.001 s on a quiet machine

    # What comes, changes or goes is seen at once all the same.
    grams.save(crowded / "9" / "three.safetensors")
    (crowded / "3" / "one.safetensors").write_bytes(b"no longer a style")
    assert places.styles_in(crowded) == ["7/two.safetensors", "9/three.safetensors"]
    (crowded / "9" / "three.safetensors").unlink()
    (crowded / "new" / "below").mkdir(parents=True)
    grams.save(crowded / "new" / "below" / "four.safetensors")
    assert places.styles_in(crowded) == ["7/two.safetensors", "new/below/four.safetensors"]


def test_checking_a_chosen_style_looks_at_that_file_alone(pack, grams, crowded):
    kind, host = pack.NODE_CLASS_MAPPINGS["LoadStyleGrams"], pack.nodes.host
    grams.save(crowded / "3" / "chosen.safetensors")
    token = host.stand_alone_places.set((crowded, crowded))
    try:
        with counted() as calls:
            assert kind.VALIDATE_INPUTS(style="3/chosen.safetensors [output]") is True
            kind.IS_CHANGED(style="3/chosen.safetensors [output]")
        assert calls == []
    finally:
        host.stand_alone_places.reset(token)


def test_a_file_that_changes_is_loaded_anew(pack, grams, other, places):
    changed = pack.NODE_CLASS_MAPPINGS["LoadStyleGrams"].IS_CHANGED
    name = save(pack, grams)
    first = changed(style=name, weight=1.0)
    assert changed(style=name, weight=2.0) == first
    file = places[1] / "nst" / "style_00001_.safetensors"
    os.utime(file, ns=(1, 1))
    assert changed(style=name) != first
    (grams + other).save(file)
    assert changed(style=name) != first
    assert isinstance(changed(weight=1.0), str)


# --- from one style to another ------------------------------------------------------------------------------------


def test_the_ends_of_a_row_are_exactly_the_two_styles(pack, vgg, grams, other):
    three = other + grams  # a blend of 2 to 1, so its weights are not 1
    (row,) = run(pack, "NSTInterpolateStyles", from_style=grams, to_style=three, frames=5)
    assert len(row) == 5 and row[0] is grams and row[-1] is three
    moments = [blended(pack, vgg, grams) for grams in row]
    assert torch.equal(moments[0], blended(pack, vgg, grams))
    assert torch.equal(moments[-1], blended(pack, vgg, three))
    for i, moment in enumerate(moments):
        expected = (1 - i / 4) * moments[0] + i / 4 * moments[-1]
        assert torch.allclose(moment, expected, rtol=1e-5, atol=1e-6), i
    first, last = transfer(pack, vgg, row[0]), transfer(pack, vgg, row[-1])
    assert torch.equal(first, transfer(pack, vgg, grams)) and torch.equal(last, transfer(pack, vgg, three))


def test_a_row_measures_nothing_twice(pack, vgg, styles, monkeypatch):
    engine = importlib.import_module("nst_pack.nst_engine.styles.style")
    loose = [measured(pack, vgg, styles[i : i + 1], size=0) for i in range(2)]
    count = []
    original = engine.Style._measure
    monkeypatch.setattr(engine.Style, "_measure", lambda self, *a: count.append(1) or original(self, *a))
    for grams in run(pack, "NSTInterpolateStyles", from_style=loose[0], to_style=loose[1], frames=4)[0]:
        transfer(pack, vgg, grams, steps=1)
    assert len(count) == 2


def test_a_row_between_two_networks_or_of_nothing_is_refused(pack, vgg, grams, styles):
    average = run(pack, "LoadVGGFeatures", weights="vgg19-caffe", pooling="average", padding="recipe", precision="fp32")
    foreign = measured(pack, average[0], styles[:1])
    with pytest.raises(pack.nst_engine.NSTError, match="different networks"):
        run(pack, "NSTInterpolateStyles", from_style=grams, to_style=foreign, frames=2)
    silent = measured(pack, vgg, styles[1:], weight=0.0)
    with pytest.raises(pack.nst_engine.NSTError, match="sum to zero"):
        run(pack, "NSTInterpolateStyles", from_style=grams, to_style=silent, frames=2)
    for t in (-0.1, 1.5, float("nan")):
        with pytest.raises(pack.nst_engine.NSTError, match="does not lie between"):
            pack.nst_engine.interpolate(grams, grams, t)


# --- graphs -------------------------------------------------------------------------------------------------------


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def graph_of(pack, places, graph, **options):
    headless = importlib.import_module("nst_pack.nodes.headless")
    return headless.run_embedded(graph, pack.NODE_CLASS_MAPPINGS, headless.Folders(*places), **options)


def measuring(name, **inputs):
    picture = {f"{name} picture": node("NSTExampleImage", name=f"style-{name}")}
    grams = node("ComputeStyleGrams", vgg=["vgg", 0], style_image=[f"{name} picture", 0], weight=1.0, size=SIZE)
    return {**picture, name: grams}


def transferring(style, **inputs):
    vgg = node("LoadVGGFeatures", weights="vgg19-caffe", pooling="recipe", padding="recipe", precision="fp32")
    made = {"vgg": ["vgg", 0], "content_image": ["content", 0], "style_grams": style, "recipe": "balanced"}
    return {
        "vgg": vgg,
        "content": node("NSTExampleImage", name="content-landscape"),
        "transfer": node("NeuralStyleTransfer", **made, steps=2, size=SIZE, **inputs),
        "save": node("SaveImage", images=["transfer", 0], filename_prefix="made"),
    }


def pixels(path):
    with Image.open(path) as picture:
        return picture.tobytes()


def test_a_graph_saves_a_style_and_another_loads_it(pack, places):
    keep = node("SaveStyleGrams", style_grams=["strokes", 0], filename_prefix="kept")
    first = {**transferring(["keep", 0]), **measuring("strokes"), "keep": keep}
    style, made = sorted(graph_of(pack, places, first), key=lambda path: path.suffix, reverse=True)
    assert style == places[1] / "kept_00001_.safetensors" and style.is_file()
    load = node("LoadStyleGrams", style="kept_00001_.safetensors [output]", weight=1.0)
    (again,) = graph_of(pack, places, {**transferring(["load", 0]), "load": load})
    assert pixels(again) == pixels(made)

    load["inputs"]["style"] = "../kept_00001_.safetensors"
    with pytest.raises(pack.nst_engine.NSTError, match=r"node load \(Load Style Grams\): style: .* does not name"):
        graph_of(pack, places, {**transferring(["load", 0]), "load": load})
    keep["inputs"]["filename_prefix"] = "/tmp/x"
    with pytest.raises(pack.nst_engine.NSTError, match=r"node keep \(Save Style Grams\): filename_prefix: .* does not"):
        graph_of(pack, places, first)


def test_a_row_of_styles_is_a_row_of_pictures(pack, places):
    row = node("NSTInterpolateStyles", from_style=["strokes", 0], to_style=["hatching", 0], frames=3)
    graph = {**transferring(["row", 0]), **measuring("strokes"), **measuring("hatching"), "row": row}
    told = []
    pictures = graph_of(pack, places, graph, on_progress=lambda title, *what: told.append((title, *what[:2])))
    assert [path.name for path in pictures] == [f"made_{i:05}_.png" for i in (1, 2, 3)]
    assert told.count(("Neural Style Transfer", 2, 2)) == 3
    for end, style in ((pictures[0], "strokes"), (pictures[-1], "hatching")):
        (alone,) = graph_of(pack, places, {**transferring([style, 0]), **measuring(style)})
        assert pixels(alone) == pixels(end)
    assert pixels(pictures[0]) != pixels(pictures[1]) != pixels(pictures[2])


def test_lists_run_as_the_host_runs_them(pack, places):
    """Once for every entry of the longest list, the last of a shorter one again; lists in a list's place are joined."""
    seen = []

    class Count:
        FUNCTION, RETURN_TYPES, OUTPUT_IS_LIST = "count", ("INT", "INT"), (True, False)

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"start": ("INT", {}), "length": ("INT", {})}}

        def count(self, start, length):
            return list(range(start, start + length)), length

    class See:
        FUNCTION, RETURN_TYPES, OUTPUT_NODE = "see", (), True

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"a": ("INT", {}), "b": ("INT", {}), "c": ("INT", {})}}

        def see(self, a, b, c):
            seen.append((a, b, c))
            return ()

    graph = {
        "long": node("Count", start=10, length=3),
        "short": node("Count", start=0, length=2),
        "both": node("Count", start=["short", 0], length=2),
        "see": node("See", a=["long", 0], b=["short", 0], c=7),
        "more": node("See", a=["both", 0], b=["both", 1], c=["long", 1]),
    }
    headless = importlib.import_module("nst_pack.nodes.headless")
    headless.run_embedded(graph, {"Count": Count, "See": See}, headless.Folders(*places))
    assert seen[:3] == [(10, 0, 7), (11, 1, 7), (12, 1, 7)]
    assert seen[3:] == [(0, 2, 3), (1, 2, 3), (1, 2, 3), (2, 2, 3)]
