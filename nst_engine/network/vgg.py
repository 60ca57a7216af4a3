"""A VGG as the user chose it, and as a run uses it: the features of a picture at named taps, and the way back."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch

from ..errors import NSTError
from ..system.devices import kind_of
from . import operations, plain, pooling
from . import precision as precisions
from .architecture import LayerStep, check_taps, layer_steps, layers_to
from .conventions import IMAGENET_STD, MEANS, PADDINGS, POOLING_GAIN, POOLINGS, USUAL, Conventions, column, normalise
from .fast import Arena, launch, new_convolutions, rows_of, share_of, synchronize, thread_pool
from .kernels import Form, Kernel, Kernels
from .mean_activations import unit_scales


@dataclass(frozen=True, eq=False, repr=False)
class VGGFeatures:
    """A network as the user chose it: fp32 weights on the CPU, never changed, and the choices that go with them. Only
    the cache `kernels` grows.

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
    # The kernels of runs on a CPU, so that the next run begins sooner. On other devices memory is dear.
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
        layers = layers_to(taps, self.architecture)
        if any(layer.startswith("conv") and layer not in self.convolutions for layer in layers):
            last = list(self.convolutions)[-1]
            raise NSTError(f"{where}: {layers[-1]} lies deeper than the weights of {self.source} go (up to {last}).")


def _fingerprint(convolutions: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> str:
    digest = hashlib.blake2b(digest_size=5)
    for name, (weight, bias) in convolutions.items():
        digest.update(name.encode())
        digest.update(weight.contiguous().numpy().data)
        digest.update(bias.contiguous().numpy().data)
    return digest.hexdigest()


Kept = tuple[torch.Tensor, ...]
# For each step of a pass: the shape of its input, and what it keeps.
Tape = list[tuple[LayerStep, torch.Size, Kept]]
# From a tap, the gradient that deeper layers gave to ∂L/∂F, and F where it came out of a ReLU: the sum of all gradients
# there, taken back through that ReLU.
AddGradient = Callable[[str, torch.Tensor | None, torch.Tensor | None], torch.Tensor]


@dataclass(frozen=True)
class Watch:
    """Callbacks that follow what the network does. An exception from one ends the run, so that it can be cancelled at
    any layer."""

    on_layer: Callable[[], object] | None = None  # before every layer, forwards and backwards
    on_measure: Callable[[int, int], object] | None = None  # after every piece of a measured picture: done, of how many

    def layer(self) -> None:
        if self.on_layer is not None:
            self.on_layer()

    def measured(self, done: int, of: int) -> None:
        if self.on_measure is not None:
            self.on_measure(done, of)


UNWATCHED = Watch()


class Network:
    """The network as one run uses it: on its device, in its precision, with the recipe's conventions where the user has
    not chosen otherwise."""

    def __init__(
        self,
        vgg: VGGFeatures,
        conventions: Conventions = USUAL,
        *,
        seamless: bool = False,
        dtype: torch.dtype | None = None,
        watch: Watch = UNWATCHED,
    ) -> None:
        self.vgg = vgg
        self.watch = watch
        self.device = vgg.device
        self.dtype = dtype or precisions.resolve(vgg.precision, vgg.device)
        self.space = conventions.space
        self.pooling = conventions.pooling if vgg.pooling == "recipe" else vgg.pooling
        self.padding = conventions.padding if vgg.padding == "recipe" else vgg.padding
        # A seamless picture has no border. Styles have, so `key` ignores this.
        self.seamless = seamless
        self.gain = POOLING_GAIN[self.pooling] if conventions.rescale_pooling else 1.0
        # Files in torchvision's layout are used as they are, whatever units the recipe was written for.
        self.scaled = bool(vgg.mean_activations) and conventions.units == "unit"
        units_in_use = "unit" if self.scaled else "own"  # the key is written into saved styles
        # Statistics are comparable between two networks exactly when this is equal.
        self.key = "/".join((vgg.weights_key, f"{self.pooling}*{self.gain:g}", self.padding, self.space, units_in_use))

        self._kernels = vgg.kernels if kind_of(self.device).is_cpu else Kernels()
        self._convolutions = new_convolutions(self.device)

    def weights(self, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
        """A convolution's kernel and bias in the units of this run, in fp32 on the CPU."""
        weight, bias = self.vgg.convolutions[layer]
        if layer == "conv1_1" and self.space == "caffe":
            # Normalised with the other mean, a pixel is so much less.
            less = normalise(torch.tensor(MEANS["caffe"]).view(1, 3, 1, 1))
            bias = bias + (weight * less).sum((1, 2, 3))
        if not self.scaled:
            return weight, bias
        weight_scale, bias_scale = unit_scales(self.vgg.convolutions, self.vgg.mean_activations)[layer]
        return weight * weight_scale, bias * bias_scale

    def _kernel(self, layer: str) -> Kernel:
        """Its forms are made when first needed: no layer needs all of them, and a run whose statistics are all
        remembered never asks for the fp32 copies."""
        weight = self.vgg.convolutions[layer][0]

        def in_form(form: Form) -> torch.Tensor:
            def make() -> torch.Tensor:
                changed = form(self.weights(layer)[0]).to(self.device, self.dtype)
                if changed.ndim != 4 or changed.is_mkldnn:  # has a layout of its own
                    return changed
                return changed.contiguous(memory_format=torch.channels_last)

            return self._kernels.get((layer, form.__name__, self.dtype, self.scaled), make)

        return Kernel(weight.shape, in_form)

    def _bias(self, layer: str) -> torch.Tensor:
        name = "bias, caffe" if (layer, self.space) == ("conv1_1", "caffe") else "bias"
        key = layer, name, self.dtype, self.scaled
        return self._kernels.get(key, lambda: self.weights(layer)[1].to(self.device, self.dtype))

    def measuring(self, seamless: bool = False) -> Network:
        """The same as pictures are measured with: in fp32, and, but for the content of a seamless result, with their
        borders. A new copy at every call: it is seldom needed, and its weights are not small."""
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

    def _edges_at(self, layer: str) -> str:
        """How this convolution continues a picture: "replicate-first" is the first one's, and zeros beyond."""
        if self.edges == "replicate-first":
            return "replicate" if layer == "conv1_1" else "zeros"
        return self.edges

    def layer_steps(self, taps: Iterable[str]) -> tuple[LayerStep, ...]:
        return layer_steps(taps, self.vgg.architecture, self.pooling, self._edges_at)

    def features(self, pixels: torch.Tensor, taps: Iterable[str]) -> dict[str, torch.Tensor]:
        """The activations at `taps` for pixels (Nx3xHxW, RGB 0..1), no layer run that they do not need."""
        with thread_pool(self.device):
            return dict(self.activations(pixels, taps))

    @torch.no_grad()
    def activations(
        self, pixels: torch.Tensor, taps: Iterable[str], tape: Tape | None = None, arena: Arena | None = None
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Tap by tap, as they come: a caller who needs one at a time need not keep them all."""
        for tap, x in self.launch(pixels, taps, tape, arena):
            synchronize()
            yield tap, x

    @torch.no_grad()
    def launch(
        self, pixels: torch.Tensor, taps: Iterable[str], tape: Tape | None = None, arena: Arena | None = None
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """The same activations, there after `synchronize`.

        The tape is filled with what `backward` needs. The network is a chain and its weights never learn, so its
        gradient is written out below instead of being left to autograd: less is kept, and it works under the host's
        inference mode.
        """
        x = self._from_pixels(pixels)
        for step in self.layer_steps(taps):
            self.watch.layer()
            shape = x.shape
            x, kept = self._forward(step, x, tape is not None, arena)
            if tape is not None:
                tape.append((step, shape, kept))
            del kept
            if step.tap:
                yield step.layer, x

    @torch.no_grad()
    def backward(self, tape: Tape, add_gradient: AddGradient, arena: Arena | None = None) -> torch.Tensor:
        """∂L/∂pixels; uses the tape up.

        `add_gradient(tap, gradient, relu_output)` is asked for ∂L/∂F of each tap (in the network's precision) when the
        way back comes to it, added to the gradient that deeper layers gave, if any: so only one at a time is in memory.
        It takes the sum back through the ReLU itself, while a part of it is still in a core's cache. That gradient is
        launched; it is there after `synchronize`.
        """
        gradient: torch.Tensor | None = None
        while tape:
            self.watch.layer()
            step, shape, kept = tape.pop()
            if step.tap:
                gradient = add_gradient(step.layer, gradient, kept[0] if step.kind == "relu" and kept else None)
            assert gradient is not None  # the last step is a tap
            if step.kind == "conv":
                gradient = self._convolve_backward(gradient, step, self._relu_below(step, tape), arena)
            elif step.kind == "pool":
                gradient = self._pool_backward(gradient, shape, kept, arena)
            elif kept and not step.tap:
                gradient = operations.relu_backward(gradient, kept[0])
        assert gradient is not None
        return self._to_pixels(gradient)

    def _from_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the first layer is fed."""
        x = torch.empty(pixels.shape, dtype=self.dtype, device=pixels.device, memory_format=torch.channels_last)

        def work(rows: slice) -> None:
            part = pixels[:, :, rows]
            x[:, :, rows] = part if self.space == "raw" else normalise(part, MEANS[self.space])

        launch(work, rows_of(pixels), makes=share_of(pixels.shape[2]))
        return x

    def _to_pixels(self, gradient: torch.Tensor) -> torch.Tensor:
        """∂L/∂pixels from ∂L/∂(what the first layer is fed)."""
        if self.space == "raw":
            synchronize()
            return gradient.float()
        wide, std = torch.empty(gradient.shape, device=gradient.device), column(IMAGENET_STD, gradient.device)

        def work(rows: slice) -> None:
            torch.div(gradient[:, :, rows], std, out=wide[:, :, rows])

        launch(work, rows_of(gradient), share_of(gradient.shape[2]))
        synchronize()
        return wide

    def _forward(
        self, step: LayerStep, x: torch.Tensor, recorded: bool, arena: Arena | None
    ) -> tuple[torch.Tensor, Kept]:
        """The layer's output, and what the step says that it keeps."""
        if step.kind == "conv":
            return self._convolve(x, step, arena), ()
        if step.kind == "relu":
            y = x if step.fused else operations.relu(x, arena)
            return y, (y,) if step.keeps else ()
        if step.keeps == "argmax":
            if not recorded:
                return pooling.max_pool(x, arena), ()
            y, argmax = pooling.max_pool_with_argmax(x, arena)
            return y, (argmax,)
        if step.keeps:
            y = pooling.l2_pool(x, self.gain, arena)
            return y, (x, y)
        return pooling.average_pool(x, self.gain, arena), ()

    def _pool_backward(
        self, gradient: torch.Tensor, shape: torch.Size, kept: Kept, arena: Arena | None
    ) -> torch.Tensor:
        if self.pooling == "max":
            return pooling.max_pool_backward(gradient, kept[0], shape, arena)
        if self.pooling == "average":
            return pooling.average_pool_backward(gradient, shape, self.gain, arena)
        x, y = kept
        return pooling.l2_pool_backward(gradient, x, y, self.gain, arena)

    def _relu_below(self, step: LayerStep, tape: Tape) -> plain.Epilogue:
        """The way back through the ReLU below a convolution, at once where nothing comes between: then it is done."""
        if not tape or step.edges != "zeros":
            return plain.NO_EPILOGUE
        below, shape, kept = tape[-1]
        if below.tap or below.kind != "relu" or not kept:
            return plain.NO_EPILOGUE
        tape[-1] = below, shape, ()
        return plain.Epilogue(relu_output=kept[0])

    def _convolve(self, x: torch.Tensor, step: LayerStep, arena: Arena | None) -> torch.Tensor:
        padding = 1
        if step.edges != "zeros":
            x, padding = operations.pad(x, step.edges, arena), 0
        epilogue = plain.Epilogue(self._bias(step.layer), step.fused)
        return self._convolutions.forward(x, self._kernel(step.layer), padding, epilogue, arena)

    def _convolve_backward(
        self, gradient: torch.Tensor, step: LayerStep, epilogue: plain.Epilogue, arena: Arena | None
    ) -> torch.Tensor:
        padding = 1 if step.edges == "zeros" else 2
        gradient = self._convolutions.backward(gradient, self._kernel(step.layer), padding, epilogue, arena)
        if step.edges != "zeros":
            gradient = operations.fold_border(gradient, step.edges).contiguous(memory_format=torch.channels_last)
        return gradient

    def kernel_bytes(self, layer: str) -> int:
        """Of a convolution's kernel in the forms that a large picture needs."""
        return self._convolutions.kernel_bytes(self.vgg.convolutions[layer][0].shape, self.dtype)
