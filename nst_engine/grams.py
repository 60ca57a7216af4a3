"""Styles: pictures whose statistics at named taps the transfer is to match; measured once, kept, blended, saved."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from .errors import NSTError
from .images import LARGEST_SIDE, check_picture, check_size, fit_long, resize, shape_of
from .layers import check_layers
from .recipes import Recipe, get_recipe
from .tiles import cut, fit_tile
from .vgg import Network, VGGFeatures, channels, smallest_side

log = logging.getLogger("nst_engine.grams")

FILE_VERSION = 1
# Styles are measured in advance on these rungs below their size: those that coarse-to-fine levels ask for.
RUNGS = 4
# Pixels that the network sees of a style at a time.
STYLE_TILE = 512


@dataclass(frozen=True)
class Statistics:
    """Of one tap: the mean of its features (C) and their second moment F Fᵀ/N (C×C), over N positions."""

    mean: torch.Tensor
    moment: torch.Tensor
    n: int


def positions(features: torch.Tensor) -> torch.Tensor:
    """A 1xCxHxW tensor as N rows of C; no copy, since features lie in memory channel by channel last."""
    return features.movedim(1, -1).flatten(1, 2)[0]


def second_moment(f: torch.Tensor) -> torch.Tensor:
    """F Fᵀ/N in fp32 from N rows of C. Half-precision products are rounded to half precision, so they are made in
    parts and summed in fp32."""
    n, c = f.shape
    if f.dtype == torch.float32:
        return f.T @ f / n
    if f.dtype == torch.float16:  # sums of squares leave its range
        f = f.float()
        return f.T @ f / n
    parts = 16
    whole = n // parts * parts
    stacked = f[:whole].view(parts, -1, c)
    total = torch.bmm(stacked.mT, stacked).sum(0, dtype=torch.float32)
    return (total + (f[whole:].T @ f[whole:]).float()) / n


def statistics(features: torch.Tensor) -> Statistics:
    """Statistics of a 1xCxHxW tensor, in fp32 whatever the features' precision."""
    f = positions(features)
    return Statistics(f.float().mean(0), second_moment(f), f.shape[0])


def whole_statistics(network: Network, pixels: torch.Tensor, taps: Iterable[str]) -> dict[str, Statistics]:
    """Of a picture of any size, tile by tile: all of them are sums over positions."""
    taps = tuple(taps)
    sums: dict[str, Statistics] = {}
    for tile in cut(shape_of(pixels), fit_tile(STYLE_TILE, taps), taps, network.vgg.architecture):
        for tap, features in network.activations(tile.pixels(pixels).to(network.device), taps):
            s = statistics(tile.own(features, tap))
            before = sums.get(tap, Statistics(torch.zeros_like(s.mean), torch.zeros_like(s.moment), 0))
            sums[tap] = Statistics(before.mean + s.n * s.mean, before.moment + s.n * s.moment, before.n + s.n)
    return {tap: Statistics(s.mean / s.n, s.moment / s.n, s.n) for tap, s in sums.items()}


MemoKey = tuple[str, str, tuple[int, int]]  # network key, tap, (height, width)


@dataclass(repr=False, eq=False)
class Style:
    """One picture (none when loaded from a file), its raw weight, the long side at which it is measured, its memo."""

    picture: torch.Tensor | None
    weight: float = 1.0
    size: int = 0
    name: str = "style"
    aspect: tuple[int, int] = (1, 1)  # height, width of the picture, known also without it
    memo: dict[MemoKey, Statistics] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def shape_at(self, transfer: tuple[int, int], fraction: float, squash: bool) -> tuple[int, int]:
        """Height and width at which the style is measured for a level of this shape, `fraction` of the final size."""
        if self.size:
            return fit_long(self.aspect, max(1, round(self.size * fraction)))
        return transfer if squash else fit_long(self.aspect, max(transfer))

    def statistics(self, network: Network, taps: Iterable[str], shape: tuple[int, int]) -> dict[str, Statistics]:
        """From the memo, or measured now and kept."""
        taps = tuple(taps)
        with self.lock:
            missing = [tap for tap in taps if (network.key, tap, shape) not in self.memo]
            if missing:
                self._measure(network, missing, shape)
            return {tap: self.memo[network.key, tap, shape] for tap in taps}

    def _measure(self, network: Network, taps: list[str], shape: tuple[int, int]) -> None:
        if self.picture is None:
            had = sorted({tap for key, tap, _ in self.memo if key == network.key})
            sizes = sorted({f"{w}×{h}" for key, _, (h, w) in self.memo if key == network.key})
            raise NSTError(
                f"style grams: {self.name} was loaded from a file and lacks {', '.join(taps)} at "
                f"{shape[1]}×{shape[0]}; it has {', '.join(had) or 'nothing for this network and recipe'}"
                f"{' at ' + ', '.join(sizes) if sizes else ''}. Choose layers and a size it has, or the style picture."
            )
        check_size(shape, taps, network.padding, self.name)
        log.debug("measured %s at %d×%d: %s", self.name, shape[1], shape[0], " ".join(taps))
        with torch.inference_mode(False), torch.no_grad():
            # In fp32 always: measured once, so exactness costs little, and the memo serves every precision.
            pixels = resize(self.picture, shape)
            for tap, found in whole_statistics(network.in_fp32(), pixels, taps).items():
                if not torch.isfinite(found.moment).all():
                    raise NSTError(
                        f"{self.name}: the statistics at {tap} are not finite in {network.dtype}; precision fp32 helps."
                    )
                self.memo[network.key, tap, shape] = Statistics(found.mean.cpu(), found.moment.cpu(), found.n)


class StyleGrams:
    """What to match: one or several styles, blended by weight. Unchanging, but for the styles' memos."""

    def __init__(self, styles: Iterable[Style], vgg_key: str, vgg_description: str) -> None:
        self.styles = tuple(styles)
        self.vgg_key = vgg_key
        self.vgg_description = vgg_description

    def __repr__(self) -> str:
        listed = ", ".join(f"{s.name}×{s.weight:g}" for s in self.styles)
        return f"<STYLE_GRAMS {listed}; {self.vgg_description}>"

    def __add__(self, other: StyleGrams) -> StyleGrams:
        """Both, to be blended by their weights."""
        if self.vgg_key != other.vgg_key:
            raise NSTError(
                "style grams: the two to be blended come from different networks: "
                f"{self.vgg_description} and {other.vgg_description}. Use one Load VGG Features for both."
            )
        return StyleGrams(self.styles + other.styles, self.vgg_key, self.vgg_description)

    def check_network(self, vgg: VGGFeatures) -> None:
        if self.vgg_key != vgg.key:
            raise NSTError(
                f"style grams: computed with {self.vgg_description}, but the transfer uses {vgg.description}. "
                "Weights, pooling and padding must be the same: use one Load VGG Features for both."
            )

    def blend(
        self, network: Network, taps: Iterable[str], transfer: tuple[int, int], fraction: float, squash: bool
    ) -> dict[str, Statistics]:
        """The weighted mean of the styles' statistics, for a level of this shape. A weight of 0 leaves a style out."""
        taps = tuple(taps)
        total = sum(style.weight for style in self.styles)
        if total <= 0:
            raise NSTError("style grams: the weights of the styles sum to zero; raise at least one.")
        blended: dict[str, Statistics] = {}
        for style in self.styles:
            if style.weight == 0:
                continue
            share = style.weight / total
            found = style.statistics(network, taps, style.shape_at(transfer, fraction, squash))
            for tap, s in found.items():
                if share == 1:
                    blended[tap] = s
                elif tap in blended:
                    b = blended[tap]
                    blended[tap] = Statistics(b.mean + share * s.mean, b.moment + share * s.moment, b.n)
                else:
                    blended[tap] = Statistics(share * s.mean, share * s.moment, s.n)
        return blended

    def save(self, path: str | Path) -> None:
        """The statistics without the pictures, as .safetensors."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors: dict[str, torch.Tensor] = {}
        styles = []
        for i, style in enumerate(self.styles):
            memo = []
            for j, (key, s) in enumerate(style.memo.items()):
                # Clones: two styles of a blend may share their statistics, and the format wants each once.
                tensors[f"{i}.{j}.mean"], tensors[f"{i}.{j}.moment"] = s.mean.clone(), s.moment.clone()
                memo.append([*key, s.n])
            if not memo:
                raise NSTError(f"style grams: {style.name} has not been measured yet, so there is nothing to save.")
            described = {"weight": style.weight, "size": style.size, "name": style.name, "aspect": style.aspect}
            styles.append({**described, "memo": memo})
        header = {"version": FILE_VERSION, "vgg_key": self.vgg_key, "vgg": self.vgg_description, "styles": styles}
        try:
            save_file(tensors, str(path), metadata={"nst": json.dumps(header)})
        except (OSError, SafetensorError) as error:
            raise NSTError(f"style grams: {path} cannot be written ({error}).") from error

    @staticmethod
    def load(path: str | Path) -> StyleGrams:
        from safetensors import safe_open

        try:
            with safe_open(str(path), "pt") as file:
                header = json.loads((file.metadata() or {})["nst"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
            if header["version"] > FILE_VERSION:
                raise NSTError(
                    f"style grams: {path} was saved by a newer version (format {header['version']}; "
                    f"this one reads up to {FILE_VERSION}). Update the pack."
                )
            styles = [_style_from(entry, i, tensors) for i, entry in enumerate(header["styles"])]
            return StyleGrams(styles, str(header["vgg_key"]), str(header["vgg"]))
        except (NSTError, MemoryError):
            raise
        except Exception as error:  # a damaged file can break its reader anywhere, with any exception
            raise NSTError(f"style grams: {path} is not a saved style, or it is damaged ({error}).") from error


def _style_from(entry: Mapping, i: int, tensors: Mapping[str, torch.Tensor]) -> Style:
    memo: dict[MemoKey, Statistics] = {}
    for j, (key, tap, (h, w), n) in enumerate(entry["memo"]):
        found = Statistics(tensors[f"{i}.{j}.mean"], tensors[f"{i}.{j}.moment"], int(n))
        c = channels(tap)
        if found.mean.shape != (c,) or found.moment.shape != (c, c) or not torch.isfinite(found.moment).all():
            raise ValueError(f"the statistics of {tap} are not those of {c} channels")
        memo[str(key), str(tap), (int(h), int(w))] = found
    height, width = entry["aspect"]
    weight = check_weight(float(entry["weight"]))
    return Style(None, weight, int(entry["size"]), str(entry["name"]), (int(height), int(width)), memo)


def check_weight(weight: float) -> float:
    if not 0 <= weight < float("inf"):
        raise NSTError(f"weight: {weight} is not a weight; give 0 or more.")
    return weight


def network_for(vgg: VGGFeatures, recipe: Recipe) -> Network:
    return Network(
        vgg,
        units=recipe.units,
        space=recipe.space,
        pooling=recipe.pooling,
        padding=recipe.padding,
        rescale_pooling=recipe.rescale_pooling,
    )


def compute_style_grams(
    vgg: VGGFeatures,
    style: torch.Tensor,
    *,
    recipe: str | Recipe = "balanced",
    weight: float = 1.0,
    size: int = 0,
    layers: Mapping[str, float] | None = None,
    blend_with: StyleGrams | None = None,
    name: str = "style image",
) -> StyleGrams:
    """Styles from a batch of pictures (Nx3xHxW, 0..1), measured at once where their size is known.

    `size` is the long side at which strokes are measured; 0 means as large as the transfer, whose size is not known
    yet, so those statistics are made when the first transfer asks. `weight` is shared out over the batch.
    """
    recipe = get_recipe(recipe)
    check_weight(weight)
    if not 0 <= size <= LARGEST_SIDE:
        raise NSTError(
            f"size: {size} is not a size; give the long side in pixels, up to {LARGEST_SIDE}, "
            "or 0 for as large as the transfer."
        )
    taps = tuple(recipe.style_layers if layers is None else check_layers(layers, "style layers"))
    vgg.check_taps(taps, "style layers")
    with torch.inference_mode(False):
        pictures = check_picture(style, name)
        styles = [
            Style(
                picture=picture[None],
                weight=weight / len(pictures),
                size=size,
                name=name if len(pictures) == 1 else f"{name} {i}",
                aspect=(picture.shape[1], picture.shape[2]),
            )
            for i, picture in enumerate(pictures, 1)
        ]
        grams = StyleGrams(styles, vgg.key, vgg.description)
        if blend_with is not None:
            grams = blend_with + grams
        if size:
            _measure_ladder(styles, vgg, recipe, taps)
    return grams


def _measure_ladder(styles: list[Style], vgg: VGGFeatures, recipe: Recipe, taps: tuple[str, ...]) -> None:
    network = network_for(vgg, recipe)
    needed = smallest_side(taps, network.padding)
    for style in styles:
        for rung in range(RUNGS):
            shape = style.shape_at((0, 0), 2 ** (-rung / 2), squash=False)
            if rung == 0 or min(shape) >= needed:
                style.statistics(network, taps, shape)
