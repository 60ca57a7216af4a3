"""The nodes without a host: called as the host calls them, under inference mode."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
import torch
from node_calls import call, transfer

IDS = {
    "LoadVGGFeatures",
    "LayerWeights",
    "ComputeStyleGrams",
    "NeuralStyleTransfer",
    "NSTMethod",
    "NSTSynthesizeTexture",
    "NSTMatchColours",
    "NSTPlotLossHistory",
    "NSTExampleImage",
    "SaveStyleGrams",
    "LoadStyleGrams",
    "NSTInterpolateStyles",
    "NSTShowFeatures",
    "NSTShowGram",
    "NSTReconstructLayer",
    "NSTVideoTransfer",
    "NSTStyliseVideo",
    "NSTExampleClip",
}


def test_the_tables(pack):
    assert set(pack.NODE_CLASS_MAPPINGS) == IDS == set(pack.NODE_DISPLAY_NAME_MAPPINGS)
    assert pack.WEB_DIRECTORY == "./nodes/web"


@pytest.mark.parametrize("node", sorted(IDS))
def test_every_node_explains_itself(pack, node):
    cls = pack.NODE_CLASS_MAPPINGS[node]
    assert cls.CATEGORY.startswith("style transfer")
    assert cls.DESCRIPTION.endswith(".")
    assert len(cls.OUTPUT_TOOLTIPS) == len(cls.RETURN_TYPES) == len(cls.RETURN_NAMES)
    types = cls.INPUT_TYPES()
    parameters = inspect.signature(getattr(cls, cls.FUNCTION)).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    assert types.keys() <= {"required", "optional", "hidden"}
    for name, (_, options) in {**types["required"], **types.get("optional", {})}.items():
        assert len(options["tooltip"]) > 10, name
        assert takes_any or name in parameters, name
    for name in {**types.get("optional", {}), **types.get("hidden", {})}:  # callers of the API may leave these out
        assert parameters[name].default is not inspect.Parameter.empty, name
    page = pack.__path__[0] + f"/nodes/web/docs/{node}.md"
    with open(page, encoding="utf-8") as file:
        assert file.readline().strip() == f"# {cls.TITLE}"


def test_defaults_of_the_optional_inputs_are_those_of_the_widgets(pack):
    for cls in pack.NODE_CLASS_MAPPINGS.values():
        parameters = inspect.signature(getattr(cls, cls.FUNCTION)).parameters
        for name, (kind, options) in cls.INPUT_TYPES().get("optional", {}).items():
            shown = options.get("default", kind[0] if isinstance(kind, list) else None)
            assert parameters[name].default == shown, f"{cls.__name__}.{name}"


def test_a_transfer_under_inference_mode_changes_no_input(pack, vgg, content, style, grams):
    before = content.clone(), style.clone()
    image, history = transfer(pack, vgg, content, grams)
    assert image.shape == content.shape
    assert not image.requires_grad
    assert torch.isfinite(image).all()
    assert [s.step for s in history.histories[0]] == [0, 1, 2]
    assert torch.equal(before[0], content)
    assert torch.equal(before[1], style)


def test_nothing_stays_on_the_instance(pack, vgg, content, grams):
    node = pack.NODE_CLASS_MAPPINGS["NeuralStyleTransfer"]()
    with torch.inference_mode():
        node.transfer(vgg, content, grams, "balanced", steps=1, size=0)
    assert vars(node) == {}


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_number_of_channels_and_any_batch(pack, vgg, grams, channels):
    pictures = torch.rand(2, 33, 47, channels)
    image, history = transfer(pack, vgg, pictures, grams, steps=1)
    assert image.shape == (2, 33, 47, 4 if channels == 4 else 3)
    assert len(history.histories) == 2
    if channels == 4:
        assert torch.equal(image[..., 3], pictures[..., 3])


def test_a_style_is_measured_once_for_many_transfers(pack, vgg, content, style, monkeypatch):
    engine = pack.NODE_CLASS_MAPPINGS["ComputeStyleGrams"].compute.__globals__["nst"]
    measured = []
    original = engine.styles.style.Style._measure
    monkeypatch.setattr(
        engine.styles.style.Style, "_measure", lambda self, *a: measured.append(a[1]) or original(self, *a)
    )
    for size in (0, 48):
        measured.clear()
        grams = call(pack, "ComputeStyleGrams", vgg=vgg, style_image=style, size=size)[0]
        transfer(pack, vgg, content, grams)
        once = len(measured)
        assert once > 0
        transfer(pack, vgg, content, grams, content_weight=3.0)
        transfer(pack, vgg, content.flip(2), grams, steps=1, seed=4)
        assert len(measured) == once


def test_blending_by_a_chain_and_by_a_batch(pack, vgg, content, style, grams):
    other = style.flip(0, 1, 2) ** 2
    chained = call(pack, "ComputeStyleGrams", vgg=vgg, style_image=other, size=48, style_grams=grams)[0]
    batch = call(pack, "ComputeStyleGrams", vgg=vgg, style_image=torch.cat([style, other]), size=48)[0]
    assert torch.allclose(transfer(pack, vgg, content, chained)[0], transfer(pack, vgg, content, batch)[0], atol=1e-4)
    silent = call(pack, "ComputeStyleGrams", vgg=vgg, style_image=other, weight=0.0, size=48, style_grams=grams)[0]
    assert torch.equal(transfer(pack, vgg, content, silent)[0], transfer(pack, vgg, content, grams)[0])


def test_layer_weights(pack, vgg, content, grams):
    sliders = {"relu1_1": 0.0, "relu2_1": 1.0, "relu3_1": 0.5, "relu4_1": 0.0, "relu5_1": 0.0}
    own = call(pack, "LayerWeights", style_layers="relu3_2 = 0.5, conv4_2;relu2_1=0", **sliders)[0]
    assert own.style == {"relu3_1": 0.5, "relu3_2": 0.5, "conv4_2": 1.0}
    assert own.content is None
    preset = call(pack, "LayerWeights", preset="udacity", content_layers="conv3_1=2", **sliders)[0]
    assert preset.style["relu2_1"] == 0.75
    assert preset.content == {"relu4_2": 1.0, "conv3_1": 2.0}
    same = call(pack, "LayerWeights", preset="balanced")[0]
    assert torch.equal(
        transfer(pack, vgg, content, grams)[0], transfer(pack, vgg, content, grams, layer_weights=same)[0]
    )
    image, history = transfer(pack, vgg, content, grams, layer_weights=own)
    assert history.settings["layers"]["style"] == own.style
    assert not torch.equal(image, transfer(pack, vgg, content, grams)[0])


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"style_layers": "relu31=1"}, "nearest: relu3_1"),
        ({"style_layers": "relu3_1=much"}, "relu3_1=much"),
        ({"style_layers": "relu3_1=-1"}, "weights are 0 or more"),
        ({"content_layers": "relu4_2=0"}, "every weight is 0"),
        (dict.fromkeys(("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), 0.0), "every weight is 0"),
    ],
)
def test_layer_weights_that_cannot_be_used(pack, inputs, says):
    with pytest.raises(ValueError, match=says):
        call(pack, "LayerWeights", **inputs)


def test_progress_preview_and_cancel(pack, vgg, content, grams):
    host = pack.nodes.host
    told: list[tuple[int, int, bool]] = []

    def listen(value, total, picture):
        told.append((value, total, picture is not None))

    token = host.listener.set(listen)
    try:
        transfer(pack, vgg, torch.cat([content, content]), grams, preview_every=2)
        assert [t[:2] for t in told] == [(i, 6) for i in range(1, 7)]
        assert [t[2] for t in told] == [False, True, False, False, True, False]
        told.clear()

        class Cancelled(Exception):
            pass

        def cancel(value, total, picture):
            told.append((value, total, False))
            if value == 2:
                raise Cancelled

        host.listener.set(cancel)
        with pytest.raises(Cancelled):
            transfer(pack, vgg, content, grams, steps=50)
        assert len(told) == 2
    finally:
        host.listener.reset(token)


def test_matched_colours(pack, content, style):
    clear = torch.linspace(0, 1, 56).expand(1, 40, 56).unsqueeze(-1)
    image = torch.cat([content, clear], -1)
    matched = call(pack, "NSTMatchColours", image=image, reference=style)[0]
    assert matched.shape == image.shape
    assert torch.equal(matched[..., 3:], clear)
    assert torch.equal(matched[..., :3], call(pack, "NSTMatchColours", image=content, reference=style)[0])
    # The first method is one for any two pictures: their sizes differ here.
    assert torch.allclose(matched[..., :3].mean((1, 2)), style.mean((1, 2)), atol=0.02)
    methods = pack.NODE_CLASS_MAPPINGS["NSTMatchColours"].INPUT_TYPES()["required"]["method"][0]
    for method in methods:
        made = call(pack, "NSTMatchColours", image=torch.cat([content, content]), reference=style, method=method)[0]
        assert made.shape == (2, 40, 56, 3)
        assert not torch.equal(made[:1], content)
        untouched = call(pack, "NSTMatchColours", image=image, reference=style, method=method, strength=0.0)[0]
        assert torch.equal(untouched, image)
    with pytest.raises(ValueError, match="a batch of 2 for 1 picture"):
        call(pack, "NSTMatchColours", image=content, reference=torch.cat([style, style]))


def test_a_transfer_in_the_contents_colours(pack, vgg, content, grams):
    plain, _ = transfer(pack, vgg, content, grams)
    kept, history = transfer(pack, vgg, content, grams, keep_colours="lab", keep_colours_strength=0.5)
    assert torch.equal(
        kept, call(pack, "NSTMatchColours", image=plain, reference=content, method="lab", strength=0.5)[0]
    )
    assert not torch.equal(kept, plain)
    assert (history.settings["keep_colours"], history.settings["keep_colours_strength"]) == ("lab", 0.5)


@pytest.mark.parametrize("side", [56, 600])
def test_previews_show_the_colours_that_are_kept(pack, vgg, content, grams, side):
    shown: list[torch.Tensor] = []
    token = pack.nodes.host.listener.set(lambda value, total, picture: picture is not None and shown.append(picture))
    try:
        layers = call(pack, "LayerWeights", style_layers="relu1_1", content_layers="relu1_1", preset="custom")[0]
        first_grey = torch.cat([content[..., :1].expand_as(content), content])
        options = {"steps": 1, "size": side, "preview_every": 1, "keep_colours": "luminance", "layer_weights": layers}
        transfer(pack, vgg, first_grey, grams, recipe="classic", **options)
    finally:
        pack.nodes.host.listener.reset(token)
    assert [max(picture.shape) for picture in shown] == [min(side, 512)] * 2
    saturation = [float((picture.amax(1) - picture.amin(1)).max()) for picture in shown]
    assert saturation[0] < 1e-5 < 0.5 < saturation[1]


def test_a_preview_of_a_picture_that_is_lost_is_left_to_the_engine(pack, content):
    picture = torch.full((1, 3, 40, 56), float("nan"))
    lost = SimpleNamespace(preview=lambda side: picture, picture=0)
    preview = pack.nodes.preview.Preview(1, content.movedim(-1, 1), "symmetric", 1.0)
    assert preview(lost) is picture


def test_the_plot_shows_what_happened(pack, vgg, content, grams):
    _, history = transfer(pack, vgg, torch.cat([content, content]), grams)
    plots = call(pack, "NSTPlotLossHistory", loss_history=history, width=320, height=240)[0]
    assert plots.shape == (2, 240, 320, 3)
    assert float(plots.max()) > 0.8
    _, empty = transfer(pack, vgg, content, grams, steps=0)
    nothing = call(pack, "NSTPlotLossHistory", loss_history=empty, width=320, height=240)[0]
    assert not torch.equal(plots[:1], nothing)


def test_looking_inside(pack, vgg, content, grams):
    pictures = torch.cat([content, content.flip(2)])
    before = pictures.clone()
    maps = call(pack, "NSTShowFeatures", vgg=vgg, image=pictures, maps=4)[0]
    assert maps.shape[0] == 2 and maps.shape[3] == 3
    assert not torch.equal(maps, call(pack, "NSTShowFeatures", vgg=vgg, image=pictures, maps=4, recipe="convnet")[0])
    heat = call(pack, "NSTShowGram", vgg=vgg, style_grams=grams)[0]
    assert heat.shape[0] == 1 and float(heat.max()) > 0.8
    assert not torch.equal(heat, call(pack, "NSTShowGram", vgg=vgg, style_grams=grams, order="channel")[0])
    made, history = call(
        pack, "NSTReconstructLayer", vgg=vgg, image=pictures, layer="relu1_2", what="content", steps=9, size=0
    )
    assert made.shape == pictures.shape
    assert all(steps[-1].content < 0.5 * steps[0].content for steps in history.histories)
    assert call(pack, "NSTPlotLossHistory", loss_history=history)[0].shape[0] == 2
    assert torch.equal(before, pictures)
    with pytest.raises(ValueError, match="too few"):
        call(pack, "NSTShowFeatures", vgg=vgg, image=pictures, layer="pool5", size=16)
    small = call(pack, "NSTShowGram", vgg=vgg, style_grams=grams, layer="relu1_1", scale="sqrt")[0]
    assert not torch.equal(small, heat)


def test_reconstructing_moves_the_bar_and_can_be_cancelled(pack, vgg, content):
    host = pack.nodes.host
    told: list[tuple[int, int]] = []

    def listen(value, total, picture):
        told.append((value, total))
        if len(told) == 5:
            raise KeyError("cancelled")

    token = host.listener.set(listen)
    try:
        with pytest.raises(KeyError, match="cancelled"):
            pictures = torch.cat([content, content])
            call(pack, "NSTReconstructLayer", vgg=vgg, image=pictures, layer="relu1_1", what="style", steps=4, size=0)
    finally:
        host.listener.reset(token)
    assert told == [(i, 8) for i in range(1, 6)]


def test_examples_are_there(pack):
    names = pack.NODE_CLASS_MAPPINGS["NSTExampleImage"].INPUT_TYPES()["required"]["name"][0]
    assert sum(n.startswith("content-") for n in names) >= 2
    assert sum(n.startswith("style-") for n in names) >= 4
    for name in names:
        picture = call(pack, "NSTExampleImage", name=name)[0]
        assert picture.ndim == 4
        assert float(picture.std()) > 0.1


def test_a_weights_file_that_changes_is_loaded_anew(pack, tmp_path):
    host, cls = pack.nodes.host, pack.NODE_CLASS_MAPPINGS["LoadVGGFeatures"]
    token = host.stand_alone_folders.set((tmp_path,))
    try:
        state = {"0.weight": torch.rand(64, 3, 3, 3), "0.bias": torch.rand(64)}
        torch.save(state, tmp_path / "mine.pth")
        assert "mine.pth" in cls.INPUT_TYPES()["required"]["weights"][0]
        first, vgg = cls.IS_CHANGED("mine.pth"), call(pack, "LoadVGGFeatures", weights="mine.pth")[0]
        assert cls.IS_CHANGED("mine.pth") == first
        torch.save({**state, "0.bias": torch.rand(64) + 1}, tmp_path / "mine.pth")
        assert cls.IS_CHANGED("mine.pth") != first
        assert call(pack, "LoadVGGFeatures", weights="mine.pth")[0].key != vgg.key
        assert cls.IS_CHANGED("gone.pth") == "absent"
    finally:
        host.stand_alone_folders.reset(token)


@pytest.mark.parametrize(("height", "width"), [(1, 1200), (16896, 16), (300, 200), (512, 700)])
def test_previews_of_any_shape_hold_something(pack, height, width):
    preview = pack.nodes.host.as_pil(torch.rand(1, 3, height, width))
    assert min(preview.size) >= 1
    assert max(preview.size) == min(512, max(height, width))


@pytest.mark.parametrize("shape", [(1, 0, 0, 3), (0, 8, 8, 3), (1, 0, 7, 3)])
def test_pictures_of_nothing_are_refused_in_words(pack, vgg, grams, shape):
    nothing = torch.zeros(shape)
    with pytest.raises(ValueError, match=r"holds nothing|batch is empty"):
        transfer(pack, vgg, nothing, grams, recipe="udacity", size=-1)
    with pytest.raises(ValueError, match=r"holds nothing|batch is empty"):
        call(pack, "ComputeStyleGrams", vgg=vgg, style_image=nothing)


def test_a_downloaded_file_does_not_look_changed_after_the_first_run(pack):
    changed = pack.NODE_CLASS_MAPPINGS["LoadVGGFeatures"].IS_CHANGED
    assert changed(weights="vgg19-torchvision") == "vgg19-torchvision"
    assert isinstance(changed(), str)


def test_wire_objects_print_short(vgg, grams):
    for thing in (vgg, grams):
        assert len(repr(thing)) < 300
        assert "tensor" not in repr(thing)


def test_copies_of_a_style_are_measured_with_it(pack, vgg, content, style):
    for copies in ("none", "rotated"):
        (grams,) = call(pack, "ComputeStyleGrams", vgg=vgg, style_image=style, size=48, copies=copies)
        assert grams.styles[0].copies == copies
        _, history = transfer(pack, vgg, content, grams, steps=1)
        assert history.settings["styles"][0]["copies"] == copies


def test_a_method_is_what_was_chosen_and_nothing_else(pack, vgg, content, grams):
    (nothing,) = call(pack, "NSTMethod")
    assert set(vars(nothing).values()) == {None}
    plain, _ = transfer(pack, vgg, content, grams)
    assert torch.equal(transfer(pack, vgg, content, grams, method=nothing)[0], plain)
    (method,) = call(
        pack,
        "NSTMethod",
        statistic="covariance",
        shift=-1.0,
        normalise_gradients="on",
        averaging=0.9,
        tv_kind="l1-nine",
        content_measure="laplacian",
        octaves=2,
    )
    assert repr(method) == (
        "<NST_METHOD statistic=covariance, shift=-1.0, normalise_gradients=True, averaging=0.9, tv_kind=l1-nine, "
        "content_measure=laplacian, octaves=2>"
    )
    image, history = transfer(pack, vgg, content, grams, method=method, tv_weight=1.0)
    assert vars(method).items() <= history.settings.items()
    assert not torch.allclose(image, plain, atol=1e-3)


def test_strength_start_mix_seamless_and_protection_reach_the_engine(pack, vgg, content, grams):
    assert torch.allclose(transfer(pack, vgg, content, grams, strength=0.0)[0], content)
    mask = torch.zeros(1, 40, 56)
    mask[:, :, :20] = 1
    options = {"start": "noise", "start_mix": 0.5, "protect_mask": mask, "protect_mode": "content", "seamless": True}
    image, history = transfer(pack, vgg, content, grams, **options)
    assert image.shape == content.shape
    said = {name: history.settings[name] for name in ("start", "start_mix", "protect_mode", "seamless")}
    assert said == {"start": "noise", "start_mix": 0.5, "protect_mode": "content", "seamless": True}


def test_a_texture_has_the_size_that_was_asked_for(pack, vgg, grams):
    image, history = call(
        pack, "NSTSynthesizeTexture", vgg=vgg, style_grams=grams, width=56, height=40, steps=3, seed=4
    )
    assert image.shape == (1, 40, 56, 3)
    assert torch.isfinite(image).all()
    assert len(history.histories[0]) == 3
    assert history.settings["seamless"] and history.settings["start"] == "style-noise"
    other, _ = call(pack, "NSTSynthesizeTexture", vgg=vgg, style_grams=grams, width=56, height=40, steps=3, seed=5)
    assert not torch.equal(image, other)
