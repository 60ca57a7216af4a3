"""What to match: one or several styles, blended by weight within the regions where they go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from ..errors import NSTError, counted, one_or
from ..network.vgg import Network, VGGFeatures
from ..statistics.distances import (
    BY_FEATURES,
    BY_MOMENTS,
    BY_POSITION,
    BY_SAMPLING,
    WITHOUT_SUMS,
    Statistics,
    weighted_mean,
)
from ..statistics.hypercolumns import STYLE_SAMPLES
from ..statistics.masks import check_mask, complement, fit_mask, stretch
from ..statistics.regions import Region, guides_of
from ..statistics.sorting import Samples, merged
from . import saved
from .style import Style, check_mode, check_weight

NO_WEIGHT = "grams: the weights of the styles sum to zero; raise at least one."


class StyleGrams:
    """What to match: one or several styles, blended by weight. Unchanging, but for the styles' memos."""

    def __init__(self, styles: Iterable[Style], vgg_key: str, vgg_description: str) -> None:
        self.styles = tuple(styles)
        self.vgg_key = vgg_key
        self.vgg_description = vgg_description

    def __repr__(self) -> str:
        copied = ("" if s.copies == "none" else f" ({s.copies})" for s in self.styles)
        listed = ", ".join(f"{s.name}×{s.weight:g}{copies}" for s, copies in zip(self.styles, copied, strict=True))
        return f"<STYLE_GRAMS {listed}; {self.vgg_description}>"

    def _of(self, styles: Iterable[Style]) -> StyleGrams:
        """Other styles of the same network."""
        return StyleGrams(styles, self.vgg_key, self.vgg_description)

    @property
    def counted(self) -> list[Style]:
        """The styles that weigh something."""
        return [style for style in self.styles if style.weight > 0]

    def check_weights(self) -> None:
        if not self.counted:
            raise NSTError(NO_WEIGHT)

    def __add__(self, other: StyleGrams) -> StyleGrams:
        """Both, to be blended by their weights."""
        if self.vgg_key != other.vgg_key:
            raise NSTError(
                "grams: the two to be blended come from different networks: "
                f"{self.vgg_description} and {other.vgg_description}. Use one Load VGG Features for both."
            )
        return self._of(self.styles + other.styles)

    def check_network(self, vgg: VGGFeatures) -> None:
        if self.vgg_key != vgg.key:
            raise NSTError(
                f"grams: computed with {self.vgg_description}, but the transfer uses {vgg.description}. "
                "Weights, pooling and padding must be the same: use one Load VGG Features for both."
            )

    def check(self, shape: tuple[int, int], pictures: int = 1) -> None:
        """Refuse if no style has weight, or if a region does not match the content pictures' `shape` or number."""
        self.check_weights()
        for style in self.counted:
            if style.region is not None:
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
        regions = {id(s.region): s.region.split(1)[number % len(s.region)] for s in self.styles if s.region is not None}
        styles = (s if s.region is None else replace(s, region=regions[id(s.region)]) for s in self.styles)
        return self._of(styles)

    def of_size(self, size: int) -> StyleGrams:
        """The same styles, all measured at this long side."""
        return self._of(replace(style, size=size) for style in self.styles)

    def stand_ins(
        self, network: Network, taps: Iterable[str], levels: list[tuple[tuple[int, int], float]], fit: str
    ) -> list[str]:
        """Notes about styles without a picture that have to use another size than a level asks for. `levels` are
        (shape, fraction of the final size)."""
        taps = tuple(taps)
        notes = []
        for style in self.styles:
            instead = {}
            for shape, fraction in levels if style.weight > 0 else ():
                wanted = style.shape_at(shape, fraction, fit)
                if (near := style.measured_near(network, taps, wanted)) != wanted:
                    instead[wanted] = near
            if instead:
                listed = ", ".join(f"{h[1]}×{h[0]} for {w[1]}×{w[0]}" for w, h in instead.items())
                notes.append(
                    f"{style.name}: the file lacks some sizes, and the nearest stand in for them ({listed}); save the "
                    "style again for exact ones"
                )
        return notes

    def mask_edge_notes(self, statistic: str) -> list[str]:
        """What is to be said of masks that keep clear of their edges, where a feature is of several layers."""
        means = {
            BY_POSITION: "as far from the edges as a layer in the middle sees",
            BY_SAMPLING: "up to the edges, as simple does",
        }
        for kind, how in means.items():
            inside = [style.name for style in self.counted if style.keeps_clear]
            if inside and statistic in kind:
                return [f"mask_mode: with the statistic {statistic!r}, inside goes {how} ({', '.join(inside)})"]
        return []

    @property
    def region_count(self) -> int:
        """In how many parts of a picture statistics are matched; what has no region is one of them."""
        return len({id(style.region) for style in self.counted})

    def hypercolumn_counts(
        self, taps: Iterable[str], shape: tuple[int, int], fit: str, statistic: str
    ) -> tuple[int, ...]:
        """By region, how many there are at the most to match a picture of this shape with; none for a statistic that
        matches no positions."""
        taps, counts = tuple(taps), Counter[int]()
        for style in self.counted if taps and statistic in BY_POSITION else ():
            counts[id(style.region)] += style.hypercolumn_count(taps, style.shape_at(shape, 1.0, fit))
        return tuple(counts.values())

    @property
    def guided(self) -> bool:
        return any(style.region is not None for style in self.styles)

    @property
    def may_leave_some(self) -> bool:
        """Whether there may be parts of the picture to which no style goes."""
        return self.guided and all(style.region is not None for style in self.counted)

    def uncovered(self, shape: tuple[int, int]) -> torch.Tensor | None:
        """Where no style goes, 1x1xHxW; None if every part is covered."""
        if not self.may_leave_some:
            return None
        masks: list[torch.Tensor] = []
        for style in self.counted:
            mask = stretch(style.region, shape)  # type: ignore[arg-type]
            if not any(torch.equal(mask, other) for other in masks):
                masks.append(mask)
        rest = complement(masks, (style.name for style in self.counted))
        return rest if float(rest.max()) > 0 else None

    def regions(
        self,
        network: Network,
        taps: Iterable[str],
        level_shape: tuple[int, int],
        fraction: float,
        fit: str,
        statistic: str = "gram",
    ) -> list[Region]:
        """Where which statistics are to be met, in a level of this shape. Styles with the same region are blended."""
        taps, device = tuple(taps), network.device
        found = []
        for group, mask in self._groups(level_shape):
            first = group[0]
            for style in group if statistic in WITHOUT_SUMS else ():
                style.needed_picture()
            if statistic in BY_POSITION:
                _check_alike(group)
            where = f"region of {first.name}"
            architecture = network.vgg.architecture
            guides, counts = guides_of(mask, taps, first.region_mode, level_shape, architecture, device, where)
            shapes = [style.shape_at(level_shape, fraction, fit) for style in group]
            blended = _blended(group, network, taps, shapes, fraction)
            region = Region({tap: blended[tap].to(device) for tap in counts}, counts, guides, mask=mask, name=where)
            if statistic in BY_SAMPLING:
                region = replace(region, samples=_sampled(group, network, taps, shapes, fraction))
            if statistic in BY_FEATURES:
                measure = Style.hypercolumns if statistic in BY_POSITION else Style.samples
                each = [measure(s, network, taps, shape, fraction) for s, shape in zip(group, shapes, strict=True)]
                seen = taps if statistic in BY_POSITION else counts
                region = replace(region, samples={tap: merged(_shared(group, each, tap)).to(device) for tap in seen})
            found.append(region)
        return found

    def _groups(self, level_shape: tuple[int, int]) -> list[tuple[list[Style], torch.Tensor | None]]:
        """The styles that share a region, and the mask of each, None where that is everything."""
        self.check_weights()
        groups: list[list[Style]] = []
        for style in self.counted:
            same = next((group for group in groups if _same(group[0].region, style.region)), None)
            if same is None:
                groups.append([style])
            else:
                same.append(style)
        masks = {id(group): stretch(group[0].region, level_shape) for group in groups if group[0].region is not None}
        rest: torch.Tensor | None = None
        if masks:
            rest = complement(masks.values(), (group[0].name for group in groups if id(group) in masks))
        masked = [(group, masks.get(id(group), rest)) for group in groups]
        # A style for the rest of the picture is left out where there is none.
        return [(group, mask) for group, mask in masked if mask is None or float(mask.max()) >= 0.01]

    def blend(self, network: Network, taps: Iterable[str], shape: tuple[int, int]) -> dict[str, Statistics]:
        """The weighted mean of all styles' statistics, wherever they go, each measured with this long side."""
        self.check_weights()
        shapes = [style.shape_at(shape, 1.0, "long") for style in self.counted]
        return _blended(self.counted, network, tuple(taps), shapes, 1.0)

    def weighted(self, weight: float) -> StyleGrams:
        """The same styles, sharing out this weight in the proportions they have. What either measures, both know."""
        check_weight(weight)
        total = sum(style.weight for style in self.styles)
        if total <= 0:
            raise NSTError(NO_WEIGHT)
        shared = (replace(style, weight=style.weight / total * weight) for style in self.styles)
        return self._of(shared)

    def within(self, region: torch.Tensor | None, mask_mode: str = "simple") -> StyleGrams:
        """The same styles, all going to this part of the transfer (HxW, 1xHxW, or one for each picture of a batch;
        0..1) wherever they went before; None is whatever no other style's region covers. What was measured within a
        style mask stays as it is, in its mode.
        """
        check_mode(mask_mode)
        with torch.inference_mode(False):
            mask = None if region is None else check_mask(region, "region", None)
        moved = (replace(style, region=mask, region_mode=mask_mode) for style in self.styles)
        return self._of(moved)

    def save(self, path: str | Path, *, thumbnails: bool = False) -> None:
        """The statistics without the pictures, as .safetensors; `thumbnails` adds a small copy of each picture."""
        saved.save(self._contents(), Path(path), thumbnails)

    def to_bytes(self, *, thumbnails: bool = False) -> bytes:
        """What such a file holds."""
        return saved.to_bytes(self._contents(), thumbnails)

    def _contents(self) -> saved.Contents:
        self.check_weights()  # by their proportions a loaded style's weight is shared out
        return saved.Contents(self.styles, self.vgg_key, self.vgg_description)

    @staticmethod
    def load(path: str | Path) -> StyleGrams:
        return StyleGrams(*saved.load(Path(path)))


def _blended(
    styles: list[Style], network: Network, taps: tuple[str, ...], shapes: list[tuple[int, int]], fraction: float
) -> dict[str, Statistics]:
    """The weighted mean of these styles' statistics, each measured at its shape."""
    each = [s.statistics(network, taps, shape, fraction) for s, shape in zip(styles, shapes, strict=True)]
    return {tap: weighted_mean(_shared(styles, each, tap)) for tap in taps}


def _sampled(
    styles: list[Style], network: Network, taps: tuple[str, ...], shapes: list[tuple[int, int]], fraction: float
) -> dict[str, Samples]:
    """One cloud of all these styles' samples, of which each has its share."""
    total = sum(style.weight for style in styles)
    each = [
        s.sampled(network, taps, shape, fraction, round(STYLE_SAMPLES * s.weight / total))
        for s, shape in zip(styles, shapes, strict=True)
    ]
    return {name: Samples(torch.cat([found[name] for found in each])).to(network.device) for name in each[0]}


def _check_alike(styles: list[Style]) -> None:
    """A feature is taken over from one style or from another: there is no nearest by weight."""
    if len({style.weight for style in styles}) > 1:
        listed = ", ".join(f"{style.name} {style.weight:g}" for style in styles)
        raise NSTError(
            f"weight: the statistic {BY_POSITION[0]!r} takes each feature from the style that has the nearest, "
            f"whatever the weights ({listed}). Give these styles the same weight or regions of their own, or choose a "
            f"statistic that blends: {', '.join(BY_MOMENTS)}."
        )


T = TypeVar("T")


def _shared(styles: list[Style], each: list[dict[str, T]], tap: str) -> list[tuple[float, T]]:
    """What each style has at the tap, with the style's share of all weights."""
    total = sum(style.weight for style in styles)
    return [(style.weight / total, found[tap]) for style, found in zip(styles, each, strict=True)]


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
