"""VGG-16 and VGG-19 as a table of layers, and the features of a picture at named taps."""

from __future__ import annotations

import copy
import difflib
import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import torch
import torch.nn.functional as F

from ..errors import NSTError
from . import pooling
from . import precision as precisions
from .cpu import strips, winograd
from .cpu.arena import Arena
from .cpu.threads import team
from .kernels import Kernels

# Convolutions per block; a block ends in a pooling layer (Simonyan & Zisserman 2015, configurations D and E).
CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)

POOLINGS = ("recipe", "max", "average", "l2")
PADDINGS = ("recipe", "zeros", "replicate", "reflect")

# Keeps activations at the size that the weights were trained with when another pooling takes max-pooling's place.
POOLING_GAIN = {"max": 1.0, "average": 2.0, "l2": 0.78}

# What ImageNet pictures (RGB, 0..1) have in common: removed before the first convolution.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Nearly the same, of bytes, in programs for Caffe's network.
CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)
MEANS = {"imagenet": IMAGENET_MEAN, "caffe": tuple(mean / 255 for mean in CAFFE_MEAN_RGB)}


def convolution_names(architecture: str) -> tuple[str, ...]:
    blocks = CONVOLUTIONS[architecture]
    return tuple(f"conv{b}_{i}" for b, count in enumerate(blocks, 1) for i in range(1, count + 1))


def layer_names(architecture: str) -> tuple[str, ...]:
    """conv1_1 relu1_1 conv1_2 relu1_2 pool1 conv2_1 … pool5, in the order in which they run."""
    names: list[str] = []
    for block, count in enumerate(CONVOLUTIONS[architecture], 1):
        for i in range(1, count + 1):
            names += [f"conv{block}_{i}", f"relu{block}_{i}"]
        names.append(f"pool{block}")
    return tuple(names)


def check_taps(taps: Iterable[str], architecture: str, where: str) -> None:
    known = layer_names(architecture)
    for tap in taps:
        if tap not in known:
            near = difflib.get_close_matches(tap, known, n=3, cutoff=0.5) or known[:3]
            raise NSTError(
                f"{where}: {architecture} has no layer {tap!r}; nearest: {', '.join(near)}. "
                "Layers are conv1_1 relu1_1 … pool5."
            )


def stride(tap: str) -> int:
    """How many pixels one position of the tap stands for: each pooling layer before it halves the picture."""
    block = int(tap[len("pool") :]) if tap.startswith("pool") else int(tap[4:].split("_")[0]) - 1
    return 2**block


def channels(tap: str) -> int:
    return CHANNELS[int(tap[4]) - 1]


def normalise(pixels: torch.Tensor, mean: tuple[float, ...] = IMAGENET_MEAN) -> torch.Tensor:
    return (pixels - _column(mean, pixels.device)) / _column(IMAGENET_STD, pixels.device)


@cache
def _column(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    # Kept: bringing numbers to a GPU waits for it, and this happens at every step.
    with torch.inference_mode(False):
        return torch.tensor(values, device=device).view(1, -1, 1, 1)


@dataclass(frozen=True, eq=False, repr=False)
class VGGFeatures:
    """A network as the user chose it: fp32 weights on the CPU, never changed, and the choices that go with them. Only
    `kernels` grows, by what can be made again from the weights.

    `convolutions` take ImageNet-normalised RGB. `mean_activations` holds, for weights in Caffe's units, each
    convolution's mean activation after its ReLU; it is empty where the weights are taken as they are.
    """

    architecture: str
    source: str
    convolutions: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    mean_activations: Mapping[str, float] = field(default_factory=dict)
    pooling: str = "recipe"
    padding: str = "recipe"
    precision: str = "auto"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    weights_key: str = ""
    # What runs on a CPU have made of the convolutions, so that the next begins sooner. Elsewhere memory is dear.
    kernels: Kernels = field(default_factory=Kernels, init=False)

    def __post_init__(self) -> None:
        for name, value, known in (("pooling", self.pooling, POOLINGS), ("padding", self.padding, PADDINGS)):
            if value not in known:
                raise NSTError(f"{name}: {value!r} is not one of {', '.join(known)}.")
        precisions.check_precision(self.precision)
        if not self.weights_key:
            object.__setattr__(self, "weights_key", _fingerprint(self.convolutions))

    @property
    def key(self) -> str:
        """Names the network whose statistics can be compared: weights, pooling and padding."""
        return f"{self.weights_key}/{self.pooling}/{self.padding}"

    @property
    def description(self) -> str:
        return f"{self.source} (pooling {self.pooling}, padding {self.padding}, weights {self.weights_key})"

    def __repr__(self) -> str:
        return f"<VGG_FEATURES {self.description}, precision {self.precision}>"

    def check_taps(self, taps: Iterable[str], where: str) -> None:
        check_taps(taps, self.architecture, where)
        deepest = deepest_tap(taps, self.architecture)
        for layer in layer_names(self.architecture):
            if layer.startswith("conv") and layer not in self.convolutions:
                last = list(self.convolutions)[-1]
                raise NSTError(f"{where}: {deepest} lies deeper than the weights of {self.source} go (up to {last}).")
            if layer == deepest:
                return


def _fingerprint(convolutions: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> str:
    digest = hashlib.blake2b(digest_size=5)
    for name, (weight, bias) in convolutions.items():
        digest.update(name.encode())
        digest.update(weight.contiguous().numpy().data)
        digest.update(bias.contiguous().numpy().data)
    return digest.hexdigest()


def deepest_tap(taps: Iterable[str], architecture: str) -> str:
    return max(taps, key=layer_names(architecture).index)


def smallest_side(taps: Iterable[str], padding: str) -> int:
    """The shortest side a picture may have for every tap to see at least one position."""
    # Reflection needs a second row to mirror.
    return max(stride(tap) for tap in taps) * (2 if padding == "reflect" else 1)


# Layer by layer: its name, the shape of what it took, what else the way back needs (None: the pooling after it knows).
Tape = list[tuple[str, torch.Size, tuple[torch.Tensor, ...] | None]]
AddSlope = Callable[[str, torch.Tensor | None], torch.Tensor]


@dataclass(frozen=True)
class Watch:
    """Who is told what the network is doing. What they raise ends it: so a run can be cancelled at any layer."""

    on_layer: Callable[[], object] | None = None  # before every layer, there and back
    on_measure: Callable[[int, int], object] | None = None  # after every piece of a measured picture: done, of so many

    def layer(self) -> None:
        if self.on_layer is not None:
            self.on_layer()

    def measured(self, done: int, of: int) -> None:
        if self.on_measure is not None:
            self.on_measure(done, of)


UNWATCHED = Watch()


class Network:
    """The network as one run uses it: on its device, in its precision, with the recipe's choices filled in.

    `space` is what the first convolution is fed: `imagenet`, normalised pixels; `caffe`, the same with Caffe's mean,
    which only the border, where zeros are that mean, tells apart; or `raw`, pixels as they are.
    """

    def __init__(
        self,
        vgg: VGGFeatures,
        *,
        units: str = "unit",
        space: str = "imagenet",
        pooling: str = "max",
        padding: str = "zeros",
        rescale_pooling: bool = True,
        seamless: bool = False,
        dtype: torch.dtype | None = None,
        watch: Watch = UNWATCHED,
    ) -> None:
        self.vgg = vgg
        self.watch = watch
        self.device = vgg.device
        self.dtype = dtype or precisions.resolve(vgg.precision, vgg.device)
        self.space = space
        self.pooling = pooling if vgg.pooling == "recipe" else vgg.pooling
        self.padding = padding if vgg.padding == "recipe" else vgg.padding
        # A picture that is to meet itself on all sides has no border. Styles have, so `key` does not know of this.
        self.seamless = seamless
        self.gain = POOLING_GAIN[self.pooling] if rescale_pooling else 1.0
        # Files in torchvision's layout are taken as they are, whatever units the recipe was written for.
        self.scaled = bool(vgg.mean_activations) and units == "unit"
        # Statistics are comparable between two networks exactly when this is equal.
        units_used = "unit" if self.scaled else "own"
        self.key = f"{vgg.weights_key}/{self.pooling}*{self.gain:g}/{self.padding}/{space}/{units_used}"

        self._kernels = vgg.kernels if self.device.type == "cpu" else Kernels()
        self._room = winograd.Room()

    def weights(self, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
        """A convolution's kernel and bias in the units of this run, in fp32 on the CPU."""
        weight, bias = self.vgg.convolutions[layer]
        if layer == "conv1_1" and self.space == "caffe":
            # Normalised with the other mean, a pixel is so much less.
            less = normalise(torch.tensor(MEANS["caffe"]).view(1, 3, 1, 1))
            bias = bias + (weight * less).sum((1, 2, 3))
        if not self.scaled:
            return weight, bias
        weight_scale, bias_scale = unit_scales(self.vgg)[layer]
        return weight * weight_scale, bias * bias_scale

    def _form(self, layer: str, form: str) -> torch.Tensor:
        """A convolution's kernel (or its bias) in one of the forms that it is used in, made when first needed: no layer
        needs all of them, and a run whose statistics are all remembered never asks for the fp32 copies."""

        def make() -> torch.Tensor:
            weight, bias = self.weights(layer)
            made = bias if form == "bias" else FORMS[form](weight)
            made = made.to(self.device, self.dtype)
            return made.contiguous(memory_format=torch.channels_last) if made.ndim == 4 else made

        named = "bias, caffe" if (layer, form, self.space) == ("conv1_1", "bias", "caffe") else form
        return self._kernels.get((layer, named, self.dtype, self.scaled), make)

    def measuring(self, seamless: bool = False) -> Network:
        """The same as pictures are measured with: in fp32, and, but for the content of a seamless result, with their
        borders. Made anew when asked for: it is needed now and then, and its weights are not small."""
        if self.dtype == torch.float32 and self.seamless == seamless:
            return self
        exact = copy.copy(self)
        exact.seamless = seamless
        if self.dtype != torch.float32:
            exact._kernels = Kernels()  # not kept beyond it
            exact.dtype = torch.float32
        return exact

    @property
    def edges(self) -> str:
        return "circular" if self.seamless else self.padding

    def edges_at(self, layer: str) -> str:
        """How this convolution continues a picture: "replicate-first" is the first one's, and zeros beyond."""
        if self.edges == "replicate-first":
            return "replicate" if layer == "conv1_1" else "zeros"
        return self.edges

    def features(self, pixels: torch.Tensor, taps: Iterable[str]) -> dict[str, torch.Tensor]:
        """The activations at `taps` for pixels (Nx3xHxW, RGB 0..1), no layer run that they do not need."""
        with team(self.device):
            return dict(self.activations(pixels, taps))

    @torch.no_grad()
    def activations(
        self, pixels: torch.Tensor, taps: Iterable[str], tape: Tape | None = None, arena: Arena | None = None
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Tap by tap, as they come: who needs one at a time need not keep them all.

        What `pull_back` needs to know is written down on the tape. The network is a chain and its weights never learn,
        so its gradient is written out below instead of being left to autograd: less is kept, and it works under the
        host's inference mode.
        """
        wanted = set(taps)
        deepest = deepest_tap(wanted, self.vgg.architecture)
        names = layer_names(self.vgg.architecture)
        x = pixels if self.space == "raw" else normalise(pixels, MEANS[self.space])
        x = x.to(self.dtype).contiguous(memory_format=torch.channels_last)
        for layer, following in zip(names, (*names[1:], ""), strict=True):
            self.watch.layer()
            before = x
            kept: tuple[torch.Tensor, ...] | None = ()
            if layer.startswith("conv"):
                # With its ReLU, unless somebody asked for the values before it.
                x = self._convolve(x, layer, arena, layer not in wanted)
            elif layer.startswith("relu"):
                if layer.replace("relu", "conv") in wanted:
                    x = strips.relu(x, arena)
                masked_later = self.pooling == "max" and following.startswith("pool") and layer not in wanted
                kept = None if masked_later else (x,)
            else:
                x, kept = self._pool(x, tape is not None, arena)
            if tape is not None:
                tape.append((layer, before.shape, kept))
            del before, kept
            if layer in wanted:
                yield layer, x
            if layer == deepest:
                return

    @torch.no_grad()
    def pull_back(
        self, tape: Tape, taps: Container[str], add_slope: AddSlope, arena: Arena | None = None
    ) -> torch.Tensor:
        """∂L/∂pixels; uses the tape up.

        `add_slope(tap, slope)` is asked for ∂L/∂F of each tap (in the network's precision) when the way back comes to
        it, added to the slope that deeper layers gave, if any: so that only one at a time is in memory.
        """
        slope: torch.Tensor | None = None
        while tape:
            self.watch.layer()
            layer, shape, kept = tape.pop()
            if layer in taps:
                slope = add_slope(layer, slope)
            if slope is None:
                continue
            if layer.startswith("conv"):
                slope = self._convolve_back(slope, layer, arena, self._finish_back(layer, tape, taps))
            elif layer.startswith("pool"):
                assert kept is not None
                slope = self._pool_back(slope, shape, kept, arena)
            elif kept is not None:
                slope = strips.finished(slope, strips.Finish(gave=kept[0]))
        assert slope is not None
        slope = slope.float()
        return slope if self.space == "raw" else slope / _column(IMAGENET_STD, slope.device)

    def _finish_back(self, layer: str, tape: Tape, taps: Container[str]) -> strips.Finish:
        """The way back through the ReLU below a convolution, at once where nothing comes between: then it is done."""
        if not tape or self.edges_at(layer) != "zeros":
            return strips.AS_IT_IS
        below, shape, kept = tape[-1]
        if below in taps or not below.startswith("relu") or kept is None:
            return strips.AS_IT_IS
        tape[-1] = below, shape, None
        return strips.Finish(gave=kept[0])

    def _convolve(self, x: torch.Tensor, layer: str, arena: Arena | None, relu: bool) -> torch.Tensor:
        padding = 1
        if (edges := self.edges_at(layer)) != "zeros":
            x, padding = strips.pad(x, edges, arena), 0
        finish = strips.Finish(self._form(layer, "bias"), relu)
        if self._in_fewer_products(x, layer, padding):
            return winograd.convolve(x, self._form(layer, "at points"), padding, False, self._room, arena, finish)
        return strips.convolve(x, self._form(layer, "plain"), padding, 1, arena, finish)

    def _convolve_back(
        self, slope: torch.Tensor, layer: str, arena: Arena | None, finish: strips.Finish
    ) -> torch.Tensor:
        edges = self.edges_at(layer)
        padding = 1 if edges == "zeros" else 2
        if self._in_fewer_products(slope, layer, padding):
            x = winograd.convolve(slope, self._form(layer, "at points"), padding, True, self._room, arena, finish)
        elif self.device.type == "cpu" and self.vgg.convolutions[layer][0].shape[1] <= 4:
            x = four_at_once(slope, self._form(layer, "turned, for four"), padding)
        else:
            x = strips.convolve(slope, self._form(layer, "turned"), padding, 1, arena, finish)
        if edges != "zeros":
            x = strips.fold_border(x, edges).contiguous(memory_format=torch.channels_last)
        return x

    def _in_fewer_products(self, x: torch.Tensor, layer: str, padding: int) -> bool:
        grown = 2 * padding - 2
        kernel = self.vgg.convolutions[layer][0].shape
        return winograd.pays(kernel, (x.shape[2] + grown, x.shape[3] + grown), self.dtype, self.device)

    def kernel_bytes(self, layer: str) -> int:
        """Of a convolution's kernels in the forms that a large picture needs; one with small levels has both for a
        time."""
        outgoing, incoming, *_ = kernel = self.vgg.convolutions[layer][0].shape
        one_for_both_ways = winograd.pays(kernel, (1000, 1000), self.dtype, self.device)
        return (36 if one_for_both_ways else 2 * 9) * outgoing * incoming * self.dtype.itemsize

    def _pool(
        self, x: torch.Tensor, recorded: bool, arena: Arena | None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """The pooled features, and what the way back needs."""
        if self.pooling == "max":
            gave, places = pooling.max_pool(x, arena) if recorded else (pooling.greatest(x, arena), x)
            return gave, (places,)
        if self.pooling == "average":
            return pooling.average_pool(x, self.gain, arena), ()
        gave = pooling.l2_pool(x, self.gain, arena)
        return gave, (x, gave)

    def _pool_back(
        self, slope: torch.Tensor, shape: torch.Size, kept: tuple[torch.Tensor, ...], arena: Arena | None
    ) -> torch.Tensor:
        if self.pooling == "max":
            return pooling.max_unpool(slope, kept[0], shape, arena)
        if self.pooling == "average":
            return pooling.average_unpool(slope, shape, self.gain, arena)
        took, gave = kept
        return pooling.l2_unpool(slope, took, gave, self.gain, arena)


def four_at_once(slope: torch.Tensor, kernel: torch.Tensor, padding: int) -> torch.Tensor:
    """The way back to the pixels. They have three channels, and a CPU works on sixteen at a time: so those of two by
    two pixels are made as one position's."""
    height, width = (side + 2 * padding - 2 for side in slope.shape[2:])
    slope = F.pad(slope, (0, width % 2, 0, height % 2)) if height % 2 or width % 2 else slope
    cells = strips.convolve(slope, kernel, padding, stride=2)
    return F.pixel_shuffle(cells, 2)[:, :, :height, :width]


def _turned(kernel: torch.Tensor) -> torch.Tensor:
    """By half a circle, channels in and out exchanged: carries slopes back through a layer."""
    return kernel.flip(2, 3).transpose(0, 1)


def _turned_for_four(kernel: torch.Tensor) -> torch.Tensor:
    """At the four places that it has in a window of 4×4."""
    turned = _turned(kernel)
    return torch.stack([F.pad(turned, (j, 1 - j, i, 1 - i)) for i in (0, 1) for j in (0, 1)], dim=1).flatten(0, 1)


FORMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "plain": lambda kernel: kernel,
    "turned": _turned,
    "turned, for four": _turned_for_four,
    "at points": winograd.transform,
}


def unit_scales(vgg: VGGFeatures) -> dict[str, tuple[float, float]]:
    """Factors for each convolution's kernel and bias that make the mean activation after every ReLU about 1 (Gatys et
    al. 2016, section 2).

    ReLU and pooling let a positive factor through, so dividing a layer by its mean activation and multiplying the
    next one by it changes the units and nothing else.
    """
    means = [vgg.mean_activations[name] for name in vgg.convolutions]
    return {
        name: (incoming / mean, 1 / mean)
        for name, incoming, mean in zip(vgg.convolutions, [1.0, *means], means, strict=False)
    }
