"""The network against torchvision's modules, and the choices of pooling, padding and units."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
import torchvision
from pictures import clouds

import nst_engine as nst
from nst_engine.network import pooling
from nst_engine.network.architecture import check_taps, layer_names, smallest_side, stride
from nst_engine.network.conventions import Conventions
from nst_engine.network.cpu.convolutions import flipped_for_four, four_at_once
from nst_engine.network.kernels import Kernels
from nst_engine.network.plain import flipped
from nst_engine.network.vgg import Network


@pytest.fixture(scope="module")
def features(vgg) -> torch.nn.Sequential:
    """torchvision's own VGG-19 with our weights in it."""
    sequential = torchvision.models.vgg19(weights=None).features.eval()
    convolutions = [m for m in sequential if isinstance(m, torch.nn.Conv2d)]
    for module, (weight, bias) in zip(convolutions, vgg.convolutions.values(), strict=True):
        module.weight.data, module.bias.data = weight, bias
    return sequential


def test_every_layer_is_torchvisions(vgg, features):
    picture = clouds(3, 70, 101)
    found = Network(vgg, Conventions(units="caffe", space="raw")).features(picture, layer_names("vgg19"))
    x = picture
    with torch.no_grad():
        for name, module in zip(layer_names("vgg19"), features, strict=True):
            x = F.relu(x) if name.startswith("relu") else module(x)  # not in place: `found` holds conv and relu both
            assert (found[name] - x).norm() <= 1e-5 * x.norm(), name


def test_no_layer_is_run_beyond_the_deepest_tap(vgg, monkeypatch):
    run = []
    original = Network._convolve
    monkeypatch.setattr(
        Network, "_convolve", lambda self, x, step, *a: run.append(step.layer) or original(self, x, step, *a)
    )
    Network(vgg).features(clouds(3, 32, 32), ["relu2_1", "conv1_2"])
    assert run == ["conv1_1", "conv1_2", "conv2_1"]


@pytest.mark.parametrize("padding", ["zeros", "replicate", "reflect"])
@pytest.mark.parametrize(("pooling", "gain"), [("max", 1.0), ("average", 2.0), ("l2", 0.78)])
@pytest.mark.parametrize("rescale", [True, False])
def test_pooling_and_padding(vgg, pooling, gain, padding, rescale):
    picture = clouds(4, 21, 34)
    network = Network(
        vgg, Conventions(pooling=pooling, padding=padding, rescale_pooling=rescale, space="raw", units="caffe")
    )
    x = picture
    mode = {"zeros": "constant"}.get(padding, padding)
    for conv in ("conv1_1", "conv1_2"):
        x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), *vgg.convolutions[conv]))
    pool = {"max": F.max_pool2d, "average": F.avg_pool2d, "l2": lambda t, k: F.lp_pool2d(t, 2, k)}[pooling]
    expected = pool(x, 2) * (gain if rescale else 1)
    found = network.features(picture, ["pool1"])["pool1"]
    assert (found - expected).norm() < 1e-5 * expected.norm()


def test_the_user_choice_stands_over_the_recipes(vgg):
    chosen = nst.load_vgg("vgg19-caffe", pooling="l2", padding="reflect", device="cpu")
    network = Network(chosen, Conventions(pooling="average", padding="zeros"))
    assert (network.pooling, network.padding) == ("l2", "reflect")
    assert Network(vgg, Conventions(pooling="average", padding="zeros")).pooling == "average"


def test_a_dead_neighbourhood_gives_l2_pooling_no_infinite_gradient():
    features = torch.zeros(1, 1, 4, 4)
    pooled = pooling.l2_pool(features)
    assert torch.equal(pooling.l2_pool_backward(torch.ones_like(pooled), features, pooled), features)


@pytest.mark.parametrize("shape", [(2, 2), (7, 5), (70, 41)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_max_pooling_and_its_way_back_are_torchs(shape, dtype):
    # Few different values, so that there are ties and dead windows.
    picture = torch.randint(-3, 4, (1, 8, *shape), generator=torch.Generator().manual_seed(1)).relu()
    features = picture.to(dtype).contiguous(memory_format=torch.channels_last)
    pooled, argmax = pooling.max_pool_with_argmax(features)
    gradient = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(2)).to(pooled)
    leaf = features.clone().requires_grad_()
    expected = F.max_pool2d(leaf, 2)
    # Torch's pooling lets the gradient of a dead window through, and the ReLU before it stops it there.
    expected_gradient = torch.where(features > 0, torch.autograd.grad(expected, leaf, gradient)[0], 0)
    assert torch.equal(pooled, expected)
    assert torch.equal(pooling.max_pool_backward(gradient, argmax, features.shape), expected_gradient)
    assert argmax.dtype == torch.uint8


@pytest.mark.parametrize("shape", [(12, 16), (13, 16), (12, 17), (15, 9)])
@pytest.mark.parametrize("padding", [1, 2])
def test_four_pixels_at_once_are_the_convolution(shape, padding):
    kernel = torch.randn(64, 3, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradient = torch.randn(2, 64, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = F.conv2d(gradient, flipped(kernel), padding=padding)
    assert torch.allclose(four_at_once(gradient, flipped_for_four(kernel), padding), expected, atol=1e-12)


def test_units_scale_every_layer_and_change_nothing_else(vgg):
    picture = clouds(5, 48, 48)
    taps = ["relu1_1", "conv2_1", "relu3_1", "relu4_2"]
    unit = Network(vgg).features(picture, taps)
    raw = Network(vgg, Conventions(units="caffe")).features(picture, taps)
    for tap in taps:
        mean = vgg.mean_activations["conv" + tap[4:]]
        assert (unit[tap] * mean - raw[tap]).norm() < 1e-4 * raw[tap].norm()


def test_networks_whose_statistics_differ_have_different_keys(vgg):
    keys = {
        Network(vgg, Conventions(**options)).key
        for options in (
            {},
            {"units": "caffe"},
            {"space": "raw"},
            {"pooling": "average"},
            {"pooling": "average", "rescale_pooling": False},
            {"padding": "reflect"},
        )
    }
    assert len(keys) == 6
    assert Network(vgg).key == Network(vgg, dtype=torch.bfloat16).key


@pytest.mark.parametrize("size", [64, 224])  # the larger is wide enough for every layer to go by fewer products
def test_precisions_agree(vgg, size):
    picture = clouds(6, size, size)
    exact = Network(vgg).features(picture, ["relu3_1", "relu5_1"])
    for dtype, bound in ((torch.bfloat16, 0.03), (torch.float16, 0.01)):
        rough = Network(vgg, dtype=dtype).features(picture, ["relu3_1", "relu5_1"])
        for tap, value in rough.items():
            assert value.dtype == dtype
            assert (value.float() - exact[tap]).norm() < bound * exact[tap].norm()
            # Rounding is noise. A network that makes everything fainter would pull every picture the other way.
            assert float(value.float().square().sum() / exact[tap].square().sum()) == pytest.approx(1, abs=0.01)


def test_a_second_run_makes_no_kernel_anew_and_measuring_leaves_none():
    vgg = nst.load_vgg("vgg19-caffe", precision="bf16", device="cpu")
    grams = nst.compute_style_grams(vgg, clouds(1, 64, 64))
    assert not vgg.kernels.all()
    nst.stylize(vgg, clouds(2, 64, 64), grams, steps=1)
    first = vgg.kernels.all()
    assert {dtype for _, _, dtype, _ in first} == {torch.bfloat16}
    nst.stylize(vgg, clouds(3, 64, 64), grams, steps=1)
    second = vgg.kernels.all()
    assert second.keys() == first.keys()
    assert all(second[key] is first[key] for key in first)


def test_what_one_thread_makes_of_a_kernel_others_wait_for():
    kernels, made = Kernels(), []

    def make() -> torch.Tensor:
        made.append(torch.zeros(1))
        time.sleep(0.05)  # long enough for the others to come
        return made[-1]

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(kernels.get, ("conv1_1", "unchanged", torch.float32, False), make) for _ in range(4)]
    assert len(made) == 1
    assert all(one.result() is made[0] for one in asked)


def test_two_transfers_at_once_give_what_each_gives_alone():
    pictures = [clouds(seed, 64, 80) for seed in (2, 3)]

    def transfer(vgg: nst.VGGFeatures, grams: nst.StyleGrams, picture: torch.Tensor) -> torch.Tensor:
        return nst.stylize(vgg, picture, grams, steps=2).image

    def fresh() -> tuple[nst.VGGFeatures, nst.StyleGrams]:
        vgg = nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
        return vgg, nst.compute_style_grams(vgg, clouds(1, 64, 64))

    vgg, grams = fresh()  # nothing is measured and no kernel made: the two begin with the same work
    alone = [transfer(*fresh(), picture) for picture in pictures]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda picture: transfer(vgg, grams, picture), pictures))
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one, other)


def test_unknown_taps_name_the_nearest():
    with pytest.raises(nst.NSTError, match="relu4_1"):
        check_taps(["relu41"], "vgg19", "style layers")
    with pytest.raises(nst.NSTError, match="vgg16 has no layer 'conv3_4'"):
        check_taps(["conv3_4"], "vgg16", "style layers")


def test_strides_and_smallest_sides(vgg):
    assert [stride(t) for t in ("conv1_1", "pool1", "relu2_1", "relu5_1", "pool5")] == [1, 2, 2, 16, 32]
    for padding in ("zeros", "replicate", "reflect"):
        side = smallest_side(["relu1_1", "relu4_1"], padding)
        network = Network(vgg, Conventions(padding=padding))
        assert network.features(clouds(1, side, side), ["relu4_1"])["relu4_1"].numel() > 0


@pytest.mark.parametrize(("name", "value"), [("pooling", "median"), ("padding", "wrap"), ("precision", "fp8")])
def test_unknown_choices_are_refused(name, value):
    with pytest.raises(nst.NSTError, match=f"{name}: '{value}' is not one of"):
        nst.load_vgg("vgg19-caffe", **{name: value})
