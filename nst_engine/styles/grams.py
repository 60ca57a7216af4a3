"""Styles: pictures whose statistics at named taps the transfer is to match; measured once, kept, blended, saved."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ..errors import NSTError, counted, one_or
from ..layers import check_layers
from ..network.architecture import smallest_side
from ..network.vgg import UNWATCHED, Network, VGGFeatures, Watch
from ..pictures.images import LARGEST_SIDE, check_picture, check_size, fit_long, resize, shape_of
from ..recipes import Recipe, get_recipe
from ..statistics.distances import BY_MOMENTS, BY_SORTING, Samples, Statistics, mixed, pooled
from ..statistics.fits import FITS
from ..statistics.measure import pieces, whole_samples, whole_statistics
from ..statistics.regions import MODES, Region, check_mask, complement, fit_mask, guide, guides_of, stretch

log = logging.getLogger("nst_engine.styles.grams")

# Styles are measured in advance from their size down to this, in steps of √2, or on so many rungs at least: as
# coarse-to-fine levels ask for them.
SMALLEST, RUNGS = 64, 4

# Less than this of a mask at a tap is nothing.
NO_POSITIONS = 1e-5

NO_WEIGHT = "grams: the weights of the styles sum to zero; raise at least one."


def mirrored(moment: torch.Tensor) -> torch.Tensor:
    """The upper triangle, twice: rounding may tell the two halves apart, and a saved style has but one of them."""
    return moment.triu() + moment.triu(1).T


MemoKey = tuple[str, str, tuple[int, int]]  # network key, tap, (height, width)


@dataclass(repr=False, eq=False)
class Style:
    """One picture (none when loaded from a file), its raw weight, the long side at which it is measured, its memo.

    `mask` says which part of the picture is the style, `region` which part of the transfer is to take it on; None is
    all of the one, and of the other whatever no style's region covers.
    """

    picture: torch.Tensor | None
    weight: float = 1.0
    size: int = 0
    name: str = "style"
    aspect: tuple[int, int] = (1, 1)  # height, width of the picture, known also without it
    memo: dict[MemoKey, Statistics] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    thumbnail: torch.Tensor | None = None  # from a file, in bytes
    mask: torch.Tensor | None = None  # 1x1xHxW, as large as the picture
    region: torch.Tensor | None = None  # 1x1xHxW, in the proportions of the transfer
    mask_mode: str = "simple"  # of the mask, and so of what the memo holds
    region_mode: str = "simple"

    def shape_at(self, transfer: tuple[int, int], fraction: float, fit: str) -> tuple[int, int]:
        """Height and width at which the style is measured for a level of this shape, `fraction` of the final size."""
        if self.size:
            return fit_long(self.aspect, max(1, round(self.size * fraction)))
        return FITS[fit](self.aspect, transfer, fraction)

    def statistics(
        self, network: Network, taps: Iterable[str], shape: tuple[int, int], fraction: float = 1.0
    ) -> dict[str, Statistics]:
        """From the memo, or measured now and kept; `shape` is `fraction` of the one at the final size."""
        taps = tuple(taps)
        with self.lock:
            shape = self.measured_near(network, taps, shape)
            if missing := self.missing(network, taps, shape):
                self._measure(network, missing, shape, fraction)
            return {tap: self.memo[network.key, tap, shape] for tap in taps}

    def measured_near(self, network: Network, taps: Iterable[str], shape: tuple[int, int]) -> tuple[int, int]:
        """This shape; without the picture, the nearest one at which everything was measured, if there is one."""
        taps = tuple(taps)
        if self.picture is not None or not self.missing(network, taps, shape):
            return shape
        had = {size for key, _, size in self.memo if key == network.key}
        whole = [size for size in sorted(had) if not self.missing(network, taps, size)]
        return min(whole, key=lambda size: abs(math.log(max(size) / max(shape))), default=shape)

    def missing(self, network: Network, taps: Iterable[str], shape: tuple[int, int]) -> list[str]:
        """What has to be measured still."""
        return [tap for tap in taps if (network.key, tap, shape) not in self.memo]

    def _measure(self, network: Network, taps: list[str], shape: tuple[int, int], fraction: float) -> None:
        if self.picture is None:
            had = sorted({tap for key, tap, _ in self.memo if key == network.key})
            sizes = sorted({f"{w}×{h}" for key, _, (h, w) in self.memo if key == network.key})
            if not had:
                raise NSTError(
                    f"grams: {self.name} was loaded from a file, which has nothing for this recipe's padding and "
                    "pooling. Save it anew for this recipe, choose the recipe it was saved for, or take the picture."
                )
            raise NSTError(
                f"grams: {self.name} was loaded from a file and lacks {', '.join(taps)} at {shape[1]}×{shape[0]}; it "
                f"has {', '.join(had)} at {', '.join(sizes)}. Choose layers and a size it has, or the style picture."
            )
        self._check_size(network, taps, shape, fraction)
        log.debug("measured %s at %d×%d: %s", self.name, shape[1], shape[0], " ".join(taps))
        with torch.inference_mode(False), torch.no_grad():
            guides = self._guides(taps, shape, network)
            if lost := [tap for tap, t in guides.items() if float(t.square().sum()) < NO_POSITIONS]:
                simple = "; mask mode simple would do" if self.mask_mode == "inside" else ""
                raise NSTError(
                    f"mask of {self.name}: it is too small for {lost[0]} at {shape[1]}×{shape[0]}. Paint a larger "
                    f"part, or give the style a larger size{simple}."
                )
            # In fp32 always: measured once, so exactness costs little, and the memo serves every precision.
            measured = whole_statistics(network.measuring(), resize(self.picture, shape), taps, guides)
            for tap in taps:
                found = measured[tap]
                if not torch.isfinite(found.moment).all():
                    raise NSTError(
                        f"style of {self.name}: the statistics at {tap} are not finite; a picture in 0..1 would do."
                    )
                self.memo[network.key, tap, shape] = Statistics(found.mean.cpu(), mirrored(found.moment.cpu()), found.n)

    def _guides(self, taps: Iterable[str], shape: tuple[int, int], network: Network) -> dict[str, torch.Tensor]:
        if self.mask is None:
            return {}
        mask = stretch(self.mask, shape)
        return {tap: guide(mask, tap, self.mask_mode, network.vgg.architecture) for tap in taps}

    def _check_size(self, network: Network, taps: Iterable[str], shape: tuple[int, int], fraction: float) -> None:
        check_size(shape, taps, network.padding, f"style of {self.name}", self.aspect, fraction)

    def samples(
        self, network: Network, taps: Iterable[str], shape: tuple[int, int], fraction: float
    ) -> dict[str, Samples]:
        """The features themselves, made anew each time: they are too many to keep."""
        if self.picture is None:
            raise NSTError(
                f"grams: {self.name} was loaded from a file, which holds {', '.join(BY_MOMENTS)}; the statistics "
                f"{' and '.join(BY_SORTING)} need the style picture."
            )
        taps = tuple(taps)
        self._check_size(network, taps, shape, fraction)
        return whole_samples(network.measuring(), resize(self.picture, shape), taps, self._guides(taps, shape, network))


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
                "grams: the two to be blended come from different networks: "
                f"{self.vgg_description} and {other.vgg_description}. Use one Load VGG Features for both."
            )
        return StyleGrams(self.styles + other.styles, self.vgg_key, self.vgg_description)

    def check_network(self, vgg: VGGFeatures) -> None:
        if self.vgg_key != vgg.key:
            raise NSTError(
                f"grams: computed with {self.vgg_description}, but the transfer uses {vgg.description}. "
                "Weights, pooling and padding must be the same: use one Load VGG Features for both."
            )

    def check_weights(self) -> None:
        if not any(style.weight > 0 for style in self.styles):
            raise NSTError(NO_WEIGHT)

    def check(self, shape: tuple[int, int], pictures: int = 1) -> None:
        """That one of them counts, and that their regions have the proportions of the content pictures, of which this
        is the shape, and go with so many of them."""
        self.check_weights()
        for style in self.styles:
            if style.region is not None and style.weight > 0:
                if len(style.region) not in (1, pictures):
                    raise NSTError(
                        f"region of {style.name}: a batch of {len(style.region)} masks for "
                        f"{counted(pictures, 'picture')}; give {one_or(pictures)}."
                    )
                fit_mask(style.region, shape, f"region of {style.name}")

    def of_picture(self, number: int) -> StyleGrams:
        """The same styles with the regions that they have in this picture of a batch."""
        if all(style.region is None or len(style.region) == 1 for style in self.styles):
            return self
        # Styles that share a region share this picture's, too.
        own = {id(s.region): s.region.split(1)[number % len(s.region)] for s in self.styles if s.region is not None}
        styles = (s if s.region is None else replace(s, region=own[id(s.region)]) for s in self.styles)
        return StyleGrams(styles, self.vgg_key, self.vgg_description)

    def of_size(self, size: int) -> StyleGrams:
        """The same styles, all measured at this long side instead of their own."""
        return StyleGrams((replace(style, size=size) for style in self.styles), self.vgg_key, self.vgg_description)

    def stand_ins(
        self, network: Network, taps: Iterable[str], levels: list[tuple[tuple[int, int], float]], fit: str
    ) -> list[str]:
        """What is to be said of styles without a picture that levels (their shape, and which fraction of the final size
        it is) meet at another size."""
        taps = tuple(taps)
        notes = []
        for style in self.styles:
            instead = {}
            for shape, fraction in levels if style.weight > 0 else ():
                asked = style.shape_at(shape, fraction, fit)
                if (near := style.measured_near(network, taps, asked)) != asked:
                    instead[asked] = near
            if instead:
                listed = ", ".join(f"{h[1]}×{h[0]} for {w[1]}×{w[0]}" for w, h in instead.items())
                notes.append(
                    f"{style.name}: the file lacks some sizes, and the nearest stand in for them ({listed}); save the "
                    "style anew for exact ones"
                )
        return notes

    @property
    def region_count(self) -> int:
        """In how many parts of a picture styles pull at it; what has no region of its own is one of them."""
        return len({id(style.region) for style in self.styles if style.weight > 0})

    @property
    def guided(self) -> bool:
        return any(style.region is not None for style in self.styles)

    @property
    def may_leave_some(self) -> bool:
        """Whether there may be parts of the picture to which no style goes."""
        return self.guided and all(style.region is not None for style in self.styles if style.weight > 0)

    def uncovered(self, shape: tuple[int, int]) -> torch.Tensor | None:
        """Where no style goes, 1x1xHxW; None where that is nowhere."""
        counted = [style for style in self.styles if style.weight > 0]
        if not self.may_leave_some:
            return None
        masks: list[torch.Tensor] = []
        for style in counted:
            mask = stretch(style.region, shape)  # type: ignore[arg-type]
            if not any(torch.equal(mask, other) for other in masks):
                masks.append(mask)
        rest = complement(masks, (style.name for style in counted))
        return rest if float(rest.max()) > 0 else None

    def regions(
        self,
        network: Network,
        taps: Iterable[str],
        transfer: tuple[int, int],
        fraction: float,
        fit: str,
        sorts: bool = False,
    ) -> list[Region]:
        """Where which statistics are to be met, in a level of this shape. Styles with the same region are blended."""
        taps = tuple(taps)
        counted = [style for style in self.styles if style.weight > 0]
        if not counted:
            raise NSTError(NO_WEIGHT)
        groups: list[list[Style]] = []
        for style in counted:
            same = next((group for group in groups if _same(group[0].region, style.region)), None)
            if same is None:
                groups.append([style])
            else:
                same.append(style)
        masks = {id(group): stretch(group[0].region, transfer) for group in groups if group[0].region is not None}
        rest: torch.Tensor | None = None
        if masks:
            rest = complement(masks.values(), (group[0].name for group in groups if id(group) in masks))
        found = []
        device = network.device
        for group in groups:
            mask = masks.get(id(group), rest)
            # The style for the rest of the picture, where there is none.
            if mask is not None and float(mask.max()) < 0.01:
                continue
            guides, counts = guides_of(
                mask,
                taps,
                group[0].region_mode,
                transfer,
                network.vgg.architecture,
                device,
                f"region of {group[0].name}",
            )
            blended = self._blend(group, network, taps, transfer, fraction, fit)
            samples = self._samples(group, network, taps, transfer, fraction, fit) if sorts else {}
            targets = {tap: blended[tap].to(device) for tap in counts}
            found.append(
                Region(targets, counts, guides, {tap: samples[tap].to(device) for tap in counts} if sorts else {})
            )
        return found

    def blend(
        self, network: Network, taps: Iterable[str], transfer: tuple[int, int], fraction: float, fit: str
    ) -> dict[str, Statistics]:
        """The weighted mean of all styles' statistics, wherever they go."""
        counted = [style for style in self.styles if style.weight > 0]
        if not counted:
            raise NSTError(NO_WEIGHT)
        return self._blend(counted, network, tuple(taps), transfer, fraction, fit)

    @staticmethod
    def _blend(
        styles: list[Style],
        network: Network,
        taps: tuple[str, ...],
        transfer: tuple[int, int],
        fraction: float,
        fit: str,
    ) -> dict[str, Statistics]:
        """The weighted mean of these styles' statistics."""
        total = sum(style.weight for style in styles)
        each = [s.statistics(network, taps, s.shape_at(transfer, fraction, fit), fraction) for s in styles]
        return {tap: mixed([(s.weight / total, e[tap]) for s, e in zip(styles, each, strict=True)]) for tap in taps}

    @staticmethod
    def _samples(
        styles: list[Style],
        network: Network,
        taps: tuple[str, ...],
        transfer: tuple[int, int],
        fraction: float,
        fit: str,
    ) -> dict[str, Samples]:
        """All these styles' features, each style having its share."""
        total = sum(style.weight for style in styles)
        each = [s.samples(network, taps, s.shape_at(transfer, fraction, fit), fraction) for s in styles]
        return {tap: pooled([(s.weight / total, e[tap]) for s, e in zip(styles, each, strict=True)]) for tap in taps}

    def weighted(self, weight: float) -> StyleGrams:
        """The same styles, sharing out this weight in the proportions they have. What either measures, both know."""
        check_weight(weight)
        total = sum(style.weight for style in self.styles)
        if total <= 0:
            raise NSTError(NO_WEIGHT)
        shared = (replace(style, weight=style.weight / total * weight) for style in self.styles)
        return StyleGrams(shared, self.vgg_key, self.vgg_description)

    def within(self, region: torch.Tensor | None, mask_mode: str = "simple") -> StyleGrams:
        """The same styles, all going to this part of the transfer (HxW, 1xHxW, or one for each picture of a batch;
        0..1) wherever they went before; None is whatever no other style's region covers. What was measured within a
        style mask stays as it is, in its mode.
        """
        _check_mode(mask_mode)
        with torch.inference_mode(False):
            mask = None if region is None else check_mask(region, "region", None)
        moved = (replace(style, region=mask, region_mode=mask_mode) for style in self.styles)
        return StyleGrams(moved, self.vgg_key, self.vgg_description)

    def save(self, path: str | Path, *, thumbnails: bool = False) -> None:
        """The statistics without the pictures, as .safetensors; `thumbnails` adds a small copy of each picture."""
        from .saved import save

        save(self, Path(path), thumbnails)

    @staticmethod
    def load(path: str | Path) -> StyleGrams:
        from .saved import load

        return load(Path(path))


def _same(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and torch.equal(a, b)


def interpolate(a: StyleGrams, b: StyleGrams, t: float) -> StyleGrams:
    """(1 − t)·a + t·b, whatever the weights within the two are; at 0 and 1 exactly the one and the other."""
    if not 0 <= t <= 1:
        raise NSTError(f"t: {t} does not lie between the two styles; give 0 to 1.")
    between = a.weighted(1 - t) + b.weighted(t)  # at the ends, too: two that do not go together are refused
    return a if t == 0 else b if t == 1 else between


def check_weight(weight: float) -> float:
    if not 0 <= weight < float("inf"):
        raise NSTError(f"weight: {weight} is not a weight; give 0 or more.")
    return weight


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise NSTError(f"mask_mode: {mode!r} is not one of {', '.join(MODES)}.")


def network_for(vgg: VGGFeatures, recipe: Recipe, seamless: bool = False, watch: Watch = UNWATCHED) -> Network:
    return Network(
        vgg,
        units=recipe.units,
        space=recipe.space,
        pooling=recipe.pooling,
        padding=recipe.padding,
        rescale_pooling=recipe.rescale_pooling,
        seamless=seamless,
        watch=watch,
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
    mask: torch.Tensor | None = None,
    region: torch.Tensor | None = None,
    mask_mode: str = "simple",
    on_measure: Callable[[int, int], object] | None = None,
    on_layer: Callable[[], object] | None = None,
) -> StyleGrams:
    """Styles from a batch of pictures (Nx3xHxW, 0..1), measured at once where their size is known.

    `size` is the long side at which strokes are measured; 0 means as large as the transfer, whose size is not known
    yet, so those statistics are made when the first transfer asks. `weight` is shared out over the batch.

    `mask` (HxW, 1xHxW, or one for each picture; 0..1) is the part of the pictures that is the style; `region` (the
    same, of the transfer's pictures) the part of the transfer that takes it on. A style without a region goes where no
    other style's region lies; where none is left, the content is kept. `mask_mode`: at the edge a neuron counts as much
    as lies within ("simple"), or not at all unless all that it sees does ("inside").
    """
    _check_mode(mask_mode)
    recipe = get_recipe(recipe)
    check_weight(weight)
    if not 0 <= size <= LARGEST_SIDE:
        raise NSTError(
            f"size: {size} is not a size; give the long side in pixels, up to {LARGEST_SIDE}, "
            "or 0 for as large as the transfer."
        )
    taps = tuple(recipe.style_layers if layers is None else check_layers(layers, "layers"))
    vgg.check_taps(taps, "layers")
    with torch.inference_mode(False):
        pictures = check_picture(style, "style")
        if mask is not None:
            mask = fit_mask(check_mask(mask, "mask", len(pictures)), shape_of(pictures), "mask")
        if region is not None:
            region = check_mask(region, "region", None)
        masks = [None] * len(pictures) if mask is None else list(mask.expand(len(pictures), -1, -1, -1).split(1))
        styles = [
            Style(
                picture=picture[None],
                weight=weight / len(pictures),
                size=size,
                name=name if len(pictures) == 1 else f"{name} {i}",
                aspect=(picture.shape[1], picture.shape[2]),
                mask=masks[i - 1],
                region=region,
                mask_mode=mask_mode,
                region_mode=mask_mode,
            )
            for i, picture in enumerate(pictures, 1)
        ]
        grams = StyleGrams(styles, vgg.key, vgg.description)
        if blend_with is not None:
            grams = blend_with + grams
        if size:
            _measure_ladder(styles, vgg, recipe, taps, Watch(on_layer, on_measure))
    return grams


def measure(
    grams: StyleGrams,
    vgg: VGGFeatures,
    recipe: str | Recipe = "balanced",
    on_measure: Callable[[int, int], object] | None = None,
    on_layer: Callable[[], object] | None = None,
) -> None:
    """Fill the memos with what a recipe asks for, of styles that have a size of their own; those without a picture must
    have it already."""
    grams.check_network(vgg)
    grams.check_weights()
    recipe = get_recipe(recipe)
    vgg.check_taps(recipe.style_layers, "layers")
    styles = [style for style in grams.styles if style.size]
    _measure_ladder(styles, vgg, recipe, tuple(recipe.style_layers), Watch(on_layer, on_measure))


def _measure_ladder(styles: list[Style], vgg: VGGFeatures, recipe: Recipe, taps: tuple[str, ...], watch: Watch) -> None:
    network = network_for(vgg, recipe).measuring()  # once, for all of them
    needed = smallest_side(taps, network.padding)
    rungs = []
    for style in styles:
        count = max(RUNGS, 1 + math.ceil(2 * math.log2(style.size / SMALLEST)))
        fractions = (*(2 ** (-rung / 2) for rung in range(count)), *(p.scale for p in recipe.passes))
        for fraction in dict.fromkeys(fractions):
            shape = style.shape_at((0, 0), fraction, fit="long")
            if (fraction == 1 or min(shape) >= needed) and style.missing(network, taps, shape):
                rungs.append((style, shape, fraction))
    of = sum(len(pieces(shape, taps, vgg.architecture)) for _, shape, _ in rungs)
    done = 0

    def on_measure(*_: int) -> None:
        """Of all of them as of one picture."""
        nonlocal done
        done = min(done + 1, of)
        watch.measured(done, of)

    network.watch = replace(watch, on_measure=on_measure)
    for style, shape, fraction in rungs:
        try:
            style.statistics(network, taps, shape)
        except NSTError:
            # Nobody has asked for the smaller sizes: one of which a mask leaves nothing is left out.
            if fraction == 1:
                raise
