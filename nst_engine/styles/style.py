"""One picture as a style: its statistics at named taps, measured once and kept."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ..errors import NSTError, TooSmall
from ..network.architecture import position_count, smallest_side
from ..network.vgg import Network
from ..pictures.images import check_size, fit_long, resize, shape_of
from ..statistics.distances import BY_MOMENTS, WITHOUT_SUMS, Statistics
from ..statistics.hypercolumns import COLOURS, LEAST_SAMPLES, columns_at, random_positions
from ..statistics.masks import MODES, guide, stretch
from ..statistics.measure import whole_hypercolumns, whole_samples, whole_statistics
from ..statistics.nearest import MOST_HYPERCOLUMNS, grid_tap
from ..statistics.sorting import Samples, merged
from ..statistics.style_fit import STYLE_FITS
from .copies import AS_IT_IS, COPIES, Copy, averaged, in_four_rotations

log = logging.getLogger("nst_engine.styles.style")

# Less than this of a mask at a tap is nothing.
NO_POSITIONS = 1e-5


def mirrored(moment: torch.Tensor) -> torch.Tensor:
    """Make the matrix exactly symmetric: rounding can make the halves differ, and saved styles keep the upper one."""
    return moment.triu() + moment.triu(1).T


MemoKey = tuple[str, str, tuple[int, int]]  # network key, tap, (height, width)


class Memo(dict[MemoKey, Statistics]):
    """What has been measured of a style. Who adds to it holds the lock."""

    def __init__(self, measured: Mapping[MemoKey, Statistics] | None = None) -> None:
        super().__init__(measured or {})
        self.lock = threading.Lock()

    def entries(self) -> list[tuple[MemoKey, Statistics]]:
        """All there is, while nobody adds to it."""
        with self.lock:
            return list(self.items())


@dataclass(repr=False, eq=False)
class Style:
    """One picture (none when loaded from a file), its raw weight, the long side at which it is measured, its memo.

    `mask` says which part of the picture is the style, None the whole; `region` which part of the transfer takes it on,
    None whatever no other region covers.
    """

    picture: torch.Tensor | None
    weight: float = 1.0
    size: int = 0
    name: str = "style"
    aspect: tuple[int, int] = (1, 1)  # height, width of the picture, known also without it
    memo: Memo = field(default_factory=Memo)
    thumbnail: torch.Tensor | None = None  # from a file, in bytes
    mask: torch.Tensor | None = None  # 1x1xHxW, as large as the picture
    region: torch.Tensor | None = None  # 1x1xHxW, in the proportions of the transfer
    mask_mode: str = "simple"  # of the mask, and so of what the memo holds
    region_mode: str = "simple"
    copies: str = "none"  # measured with it as one style, and so in what the memo holds: `copies.COPIES`

    @property
    def keeps_clear(self) -> bool:
        """Of the edges of its masks."""
        masks = ((self.mask, self.mask_mode), (self.region, self.region_mode))
        return any(mask is not None and mode == "inside" for mask, mode in masks)

    def shape_at(self, level_shape: tuple[int, int], fraction: float, fit: str) -> tuple[int, int]:
        """Height and width at which the style is measured for a level of this shape, `fraction` of the final size."""
        if self.size:
            return fit_long(self.aspect, max(1, round(self.size * fraction)))
        return STYLE_FITS[fit](self.aspect, level_shape, fraction)

    def statistics(
        self, network: Network, taps: Iterable[str], shape: tuple[int, int], fraction: float = 1.0
    ) -> dict[str, Statistics]:
        """From the memo, or measured now and kept; `shape` is `fraction` of the one at the final size."""
        taps = tuple(taps)
        with self.memo.lock:
            shape = self.measured_near(network, taps, shape)
            if missing := self.missing(network, taps, shape):
                self._measure(network, missing, shape, fraction)
            return {tap: self.memo[network.key, tap, shape] for tap in taps}

    def measured_near(self, network: Network, taps: Iterable[str], shape: tuple[int, int]) -> tuple[int, int]:
        """`shape`, or, for a style without its picture, the nearest one at which everything was measured."""
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
                    "pooling. Save it again for this recipe, choose the recipe it was saved for, or take the picture."
                )
            raise NSTError(
                f"grams: {self.name} was loaded from a file and lacks {', '.join(taps)} at {shape[1]}×{shape[0]}; it "
                f"has {', '.join(had)} at {', '.join(sizes)}. Choose layers and a size it has, or the style picture."
            )
        self._check_size(network, taps, shape, fraction)
        log.debug("measured %s at %d×%d: %s", self.name, shape[1], shape[0], " ".join(taps))
        with torch.inference_mode(False), torch.no_grad():
            guides = self._guides(taps, shape, network, fraction)
            if lost := [tap for tap, t in guides.items() if not _any_left(t)]:
                simple = "; mask mode simple would do" if self.mask_mode == "inside" else ""
                raise TooSmall(
                    f"mask of {self.name}: it is too small for {lost[0]} at {shape[1]}×{shape[0]}. Paint a larger "
                    f"part, or give the style a larger size{simple}."
                )
            # In fp32 always: measured once, so exactness costs little, and the memo serves every precision.
            measuring = network.measuring()  # once, for all of them
            copies = self.fitting_copies(network, taps, shape)
            measured = averaged(
                [whole_statistics(measuring, *self._copied(measuring, taps, shape, c, fraction)) for c in copies]
            )
            for tap, found in measured.items():
                if not torch.isfinite(found.moment).all():
                    raise NSTError(
                        f"style of {self.name}: the statistics at {tap} are not finite; a picture in 0..1 would do."
                    )
                self.memo[network.key, tap, shape] = Statistics(found.mean.cpu(), mirrored(found.moment.cpu()), found.n)

    def fitting_copies(
        self, network: Network, taps: Iterable[str], shape: tuple[int, int], copies: Sequence[Copy] | None = None
    ) -> list[Copy]:
        """Those in which every tap sees something, at this shape of the picture itself."""
        needed = smallest_side(taps, network.padding)
        copies = COPIES[self.copies] if copies is None else copies
        return [copy for copy in copies if copy.scale == 1 or min(copy.shape(shape)) >= needed]

    def _copied(
        self, network: Network, taps: Iterable[str], shape: tuple[int, int], copy: Copy, fraction: float = 1.0
    ) -> tuple[torch.Tensor, tuple[str, ...], dict[str, torch.Tensor]]:
        """A copy's pixels, what is to be measured, and its mask there."""
        taps = tuple(taps)
        pixels = copy.of(resize(self.needed_picture(), copy.shape(shape)))
        return pixels, taps, self._guides(taps, shape, network, fraction, copy)

    def _guides(
        self, taps: Iterable[str], shape: tuple[int, int], network: Network, fraction: float, copy: Copy = AS_IT_IS
    ) -> dict[str, torch.Tensor]:
        if self.mask is None:
            return {}
        mask, architecture = copy.of(stretch(self.mask, copy.shape(shape))), network.vgg.architecture
        modes = self._modes(taps, shape, architecture, fraction)
        return {tap: guide(mask, tap, mode, architecture) for tap, mode in modes.items()}

    def _modes(self, taps: Iterable[str], shape: tuple[int, int], architecture: str, fraction: float) -> dict[str, str]:
        """On a small level the part may be narrower than a deep layer sees: there the layer goes up to its edges."""
        modes = dict.fromkeys(taps, self.mask_mode)
        if self.mask is None or self.mask_mode == "simple" or fraction == 1:
            return modes
        mask = stretch(self.mask, shape)
        return {
            tap: mode if _any_left(guide(mask, tap, mode, architecture)) else "simple" for tap, mode in modes.items()
        }

    def _check_size(self, network: Network, taps: Iterable[str], shape: tuple[int, int], fraction: float) -> None:
        check_size(shape, taps, network.padding, f"style of {self.name}", self.aspect, fraction)

    def samples(
        self, network: Network, taps: Iterable[str], shape: tuple[int, int], fraction: float
    ) -> dict[str, Samples]:
        """The features themselves, computed each time: they are too many to keep."""
        self.needed_picture()
        taps = tuple(taps)
        self._check_size(network, taps, shape, fraction)
        measuring, copies = network.measuring(), self.fitting_copies(network, taps, shape)
        each = [whole_samples(measuring, *self._copied(network, taps, shape, copy, fraction)) for copy in copies]
        return {tap: merged([(1 / len(each), found[tap]) for found in each if tap in found]) for tap in taps}

    def hypercolumns(
        self, network: Network, taps: Iterable[str], shape: tuple[int, int], fraction: float
    ) -> dict[str, Samples]:
        """Of the picture and its copies, each turned by 0, 90, 180 and 270 degrees as well (Kolkin et al. 2022, section
        3.1), the same positions at every tap. A position counts whole, or not at all if less than half of what the mask
        has most is there."""
        self.needed_picture()
        taps = tuple(taps)
        self._check_size(network, taps, shape, fraction)
        grid, copies = grid_tap(taps), self.fitting_copies(network, taps, shape, in_four_rotations(self.copies))
        measuring, most = network.measuring(), MOST_HYPERCOLUMNS // len(copies)
        found = []
        for copy in copies:
            pixels, _, guides = self._copied(network, (grid,), shape, copy)
            if guides and float(guides[grid].max()) == 0:
                continue  # a smaller copy, of which the mask leaves nothing
            inside = guides[grid] * 2 >= guides[grid].max() if guides else None
            found.append(whole_hypercolumns(measuring, pixels, taps, inside, most))
        return {tap: Samples(torch.cat([columns[tap] for columns in found])) for tap in taps}

    def hypercolumn_count(self, taps: Iterable[str], shape: tuple[int, int]) -> int:
        """The most that `hypercolumns` gives."""
        copies = in_four_rotations(self.copies)
        return sum(
            min(position_count(copy.shape(shape), grid_tap(taps)), MOST_HYPERCOLUMNS // len(copies)) for copy in copies
        )

    def sampled(
        self, network: Network, taps: Iterable[str], shape: tuple[int, int], fraction: float, count: int
    ) -> dict[str, torch.Tensor]:
        """About so many hypercolumns, and the colours there: the same positions at every tap."""
        self.needed_picture()
        taps = tuple(taps)
        self._check_size(network, taps, shape, fraction)
        measuring, copies = network.measuring(), self.fitting_copies(network, taps, shape)
        generator = torch.Generator().manual_seed(0)
        found: dict[str, list[torch.Tensor]] = {}
        for copy in copies:
            pixels = self._copied(network, (), shape, copy)[0]
            mask = None if self.mask is None else copy.of(stretch(self.mask, copy.shape(shape)))
            if mask is not None and float(mask.sum()) < LEAST_SAMPLES:
                raise NSTError(
                    f"mask of {self.name}: fewer than {LEAST_SAMPLES} pixels are left of it at {shape[1]}×{shape[0]}. "
                    "Paint a larger part, or give the style a larger size."
                )
            samples = random_positions(shape_of(pixels), max(LEAST_SAMPLES, count // len(copies)), mask, generator)
            for tap, rows in columns_at(measuring, pixels, taps, samples).items():
                found.setdefault(tap, []).append(rows)
            found.setdefault(COLOURS, []).append(pixels[0, :, samples[:, 0], samples[:, 1]].T)
        return {name: torch.cat(rows) for name, rows in found.items()}

    def needed_picture(self) -> torch.Tensor:
        if self.picture is None:
            raise NSTError(
                f"grams: {self.name} was loaded from a file, which holds {', '.join(BY_MOMENTS)}; the statistics "
                f"{', '.join(WITHOUT_SUMS[:-1])} and {WITHOUT_SUMS[-1]} need the style picture."
            )
        return self.picture


def check_weight(weight: float) -> float:
    if not 0 <= weight < float("inf"):
        raise NSTError(f"weight: {weight} is not a weight; give 0 or more.")
    return weight


def check_mode(mode: str) -> None:
    if mode not in MODES:
        raise NSTError(f"mask_mode: {mode!r} is not one of {', '.join(MODES)}.")


def _any_left(guide: torch.Tensor) -> bool:
    return float(guide.square().sum()) >= NO_POSITIONS
