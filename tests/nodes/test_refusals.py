"""What nodes refuse before anything runs or is measured, and what they forgive: empty masks."""

from __future__ import annotations

import pytest
import torch
from node_calls import call, transfer


@pytest.fixture(scope="module")
def vgg(pack):
    return call(pack, "LoadVGGFeatures", precision="fp32")[0]


@pytest.fixture(scope="module")
def content():
    return torch.rand(1, 40, 56, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def style():
    return torch.rand(1, 48, 48, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def grams(pack, vgg, style):
    return call(pack, "ComputeStyleGrams", vgg=vgg, style_image=style, size=48)[0]


def said(pack, node, **values):
    answer = pack.NODE_CLASS_MAPPINGS[node].VALIDATE_INPUTS(**values)
    return "" if answer is True else answer


@pytest.mark.parametrize(
    ("node", "values", "says"),
    [
        (
            "NeuralStyleTransfer",
            {"recipe": "classic", "size": 8},
            "size: 8 pixels are too few for classic, which needs 16",
        ),
        ("NSTVideoTransfer", {"recipe": "classic", "size": 8}, "size: 8 pixels are too few"),
        ("NSTStyliseVideo", {"recipe": "classic", "size": 8}, "size: 8 pixels are too few"),
        ("ComputeStyleGrams", {"size": 3}, "size: 3 pixels are too few to measure a style"),
        ("NSTShowFeatures", {"layer": "relu5_1", "size": 9}, "size: 9 pixels are too few for relu5_1, which needs 16"),
        ("NSTReconstructLayer", {"layer": "relu5_1", "size": 9}, "size: 9 pixels are too few"),
    ],
)
def test_a_size_too_small_for_the_layers_is_refused_by_what_the_widgets_say(pack, node, values, says):
    assert says in said(pack, node, **values)
    if "recipe" in values or node == "ComputeStyleGrams":  # with other layers only the run can tell
        assert not said(pack, node, **values, layer_weights=None)


@pytest.mark.parametrize(
    ("node", "values"),
    [
        ("NeuralStyleTransfer", {"recipe": "classic", "size": 16}),
        ("NeuralStyleTransfer", {"recipe": "classic", "size": 0}),  # the picture's own size, unknown yet
        ("NeuralStyleTransfer", {"recipe": "pytorch-tutorial", "size": 8}),  # looks less deep
        ("NeuralStyleTransfer", {"recipe": None, "size": 8}),  # linked
        ("NeuralStyleTransfer", {"recipe": "classic", "size": "large"}),  # the host says so itself
        ("ComputeStyleGrams", {"size": 0}),
        ("NSTShowFeatures", {"layer": "relu5_1", "size": 0}),
    ],
)
def test_what_may_go_well_is_not_refused(pack, node, values):
    assert not said(pack, node, **values)


@pytest.mark.parametrize("recipe", ["balanced", "classic", "spst", "crowsonkb", "gatys2017", "pytorch-tutorial"])
@pytest.mark.parametrize("size", [3, 4, 7, 8, 15, 16, 23])
def test_the_refusal_is_the_engines_own(pack, vgg, grams, recipe, size):
    """A square picture of that size is refused by the run if and only if the widgets were."""
    early = bool(said(pack, "NeuralStyleTransfer", recipe=recipe, size=size))
    picture = torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    try:
        transfer(pack, vgg, picture, grams, recipe=recipe, size=size, steps=0)
    except pack.nst_engine.NSTError as error:
        assert early == ("pixels are too few" in str(error) and str(error).startswith("size")), str(error)
    else:
        assert not early


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"recipe": "van-gogh"}, "recipe: 'van-gogh' is not one of balanced, classic"),
        ({"size": -2}, "size: -2 will not do; give 0 to 16384, or -1 for auto."),
        ({"size": 20000}, "size: 20000 will not do"),
    ],
)
def test_checks_that_the_host_leaves_to_the_node_are_made(pack, values, says):
    assert says in said(pack, "NeuralStyleTransfer", **values)


def test_a_wrong_network_or_region_is_refused_before_anything_is_measured(
    pack, vgg, content, grams, style, monkeypatch
):
    error = pack.nst_engine.NSTError
    other = call(pack, "LoadVGGFeatures", pooling="average", precision="fp32")[0]
    monkeypatch.setattr(pack.nst_engine, "stylize", lambda *_, **__: pytest.fail("the run has begun"))
    with pytest.raises(error, match="computed with"):
        transfer(pack, other, content, grams)
    for region, says in ((torch.ones(8, 30), "^region of .*proportions"), (torch.ones(3, 40, 56), "batch of 3 masks")):
        [regional] = call(pack, "ComputeStyleGrams", vgg=vgg, style_image=style, size=48, region_mask=region)
        with pytest.raises(error, match=says):
            transfer(pack, vgg, content, regional)
    both = None
    for columns in (slice(0, 40), slice(20, 56)):
        mask = torch.zeros(40, 56)
        mask[:, columns] = 1
        [both] = call(
            pack, "ComputeStyleGrams", vgg=vgg, style_image=style, size=48, region_mask=mask, style_grams=both
        )
    with pytest.raises(error, match="overlap"):
        transfer(pack, vgg, content, both)


def test_an_empty_mask_is_no_mask_and_a_note_says_so(pack, vgg, content, grams, style, caplog):
    empty = torch.zeros(1, 64, 64)  # what Load Image gives of a picture that nobody has painted on
    with caplog.at_level("INFO"):
        plain, _ = transfer(pack, vgg, content, grams)
        assert "mask is empty" not in caplog.text
        masked, _ = transfer(pack, vgg, content, grams, protect_mask=empty)
    assert torch.equal(plain, masked)
    assert "protect_mask: the mask is empty" in caplog.text
    masks = {"style_mask": empty, "region_mask": empty}
    [again] = call(pack, "ComputeStyleGrams", vgg=vgg, style_image=style, size=48, **masks)
    assert torch.equal(plain, transfer(pack, vgg, content, again)[0])
    assert not again.guided


def test_an_empty_mask_among_those_of_a_batch_leaves_its_picture_whole(pack, vgg, content, grams, style):
    two = torch.cat([style, style.flip(2)])
    masks = torch.zeros(2, 48, 48)
    masks[0, :24] = 1
    [some] = call(pack, "ComputeStyleGrams", vgg=vgg, style_image=two, size=48, style_mask=masks)
    assert [bool(one.mask.all()) for one in some.styles] == [False, True]
    both = torch.cat([content, content])
    protect = torch.zeros(2, 40, 56)
    protect[0] = 1
    kept, painted = transfer(pack, vgg, both, grams, protect_mask=protect)[0]
    assert torch.allclose(kept, content[0], atol=1e-5)
    assert torch.equal(painted[None], transfer(pack, vgg, content, grams)[0])


def test_a_mask_of_other_proportions_is_refused_with_a_way_out(pack, vgg, content, grams):
    with pytest.raises(pack.nst_engine.NSTError, match=r"^protect_mask: .*proportions of 56×40.*Paint it on that"):
        transfer(pack, vgg, content, grams, protect_mask=torch.ones(30, 30))
