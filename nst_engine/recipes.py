"""Every recipe as data: what the published programs and papers do, and ours.

A recipe never changes once a version with it has been released; better settings get a new name.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from .errors import NSTError
from .network.conventions import PADDINGS, POOLINGS, Conventions
from .network.vgg import UNWATCHED, Network, VGGFeatures, Watch
from .pictures.images import LARGEST_SIDE
from .statistics.distances import STATISTICS, DistanceSettings
from .statistics.style_fit import STYLE_FITS
from .system.devices import kind_of


@dataclass(frozen=True)
class Adam:
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    final_lr: float = 1.0  # on every level a cosine from lr to lr × final_lr; 1 keeps the rate constant
    # In a picture of more pixels than this ε is smaller in proportion, because the gradients of a mean over the picture
    # are; with 1e-8, steps at 50 megapixels would be a sixth as long. 0: always 1e-8.
    usual_pixels: int = 0
    # On a new level m and v are enlarged with the picture. "scaled": and made smaller by as much as a mean over more
    # pixels makes the gradient smaller; "kept": not made smaller; "anew": they begin at nothing.
    moments: str = "scaled"
    last_lr: float = 1.0  # of the rate, on levels of the final size
    # Without the correction for m and v that begin with nothing, and with β₁ = 0, it is RMSprop (Tieleman & Hinton
    # 2012), whose first steps are long.
    corrected: bool = True


@dataclass(frozen=True)
class LBFGS:
    lr: float = 1.0
    inner: int = 20  # evaluations per call; the program's own calls end there
    history: int = 100
    later_history: int = 100  # on all levels but the first
    # 0: never stop because little moves. The documents' programs keep torch's own defaults.
    tolerance_grad: float = 0.0
    tolerance_change: float = 0.0


@dataclass(frozen=True)
class Size:
    """How large the picture is made when the user leaves that to the recipe."""

    # long: that side, never enlarged | long-exact, short: that side | area: as many pixels as its square has |
    # squash: exactly height × width, proportions lost
    rule: str
    pixels: tuple[int, ...]
    pixels_without_gpu: tuple[int, ...] | None = None

    def pixels_on(self, device: torch.device) -> tuple[int, ...]:
        return self.pixels_without_gpu if self.pixels_without_gpu and kind_of(device).is_cpu else self.pixels


@dataclass(frozen=True)
class Ladder:
    """Levels, `per_doubling` from one size to its double, down to `least` pixels on `side`."""

    per_doubling: int
    side: str  # long | short
    least: float
    steps: tuple[int, ...]  # of the first level, the second …; every further level has as many as the last named


@dataclass(frozen=True)
class Pass:
    """A run of the optimiser at a fraction of the final size."""

    fraction: float
    share: float  # of all steps


@dataclass(frozen=True)
class Refinement:
    """One more pass at the final size, in which the statistic `nearest` matches every layer by itself, and again after
    so many steps."""

    steps: int
    rematch: int


STARTS = ("content", "noise", "image", "grey", "style", "style-noise")
# The words that a recipe is made of; the module of the loss, start, fit or network they name says what they mean.
VOCABULARY = {
    "gram": ("sum", "mean", "mean/C"),
    "style_term": ("mean", "mean/CHW", "gatys", "per channel", "relative"),
    "content_term": ("mean", "mean of means", "half-sum", "relative"),
    "tv_term": ("sum", "mean"),
    "tv_kind": ("l2", "l1", "l2-nine", "l1-nine", "l2-nine-border"),
    "statistic": STATISTICS,
    "space": ("imagenet", "caffe", "raw"),
    "units": ("unit", "caffe"),
    "pooling": tuple(word for word in POOLINGS if word != "recipe"),
    "padding": (*(word for word in PADDINGS if word != "recipe"), "replicate-first"),
    "variable": ("pixels", "imagenet", "bytes", "laplacian"),
    "start": (*STARTS, "detail"),
    "average": ("flat", "exponential"),
    "enlarging": ("smooth", "sharp"),
    "style_fit": tuple(STYLE_FITS),
    "content_measure": ("features", "self-similarity", "laplacian"),
}

FIVE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
FIVE_CHANNELS = (64, 128, 256, 512, 512)
# The convolutions of VGG-16's first three blocks.
SEVEN = ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3")
# And of the last two blocks the first (Kolkin et al. 2019, section 2.1). There, features are as the network gives them,
# and those of deep layers are small. Here all have a mean of 1: with weights of 1 these two layers would be half of
# every distance, and the picture a copy of the style's own things; with 0.3 they are a tenth of it.
NINE = {**dict.fromkeys(SEVEN, 1.0), "relu4_1": 0.3, "relu5_1": 0.3}


@dataclass(frozen=True)
class Recipe:
    """All numbers of one way to transfer a style.

    Its levels, coarse to fine, are said in one of three ways. Of those that are set, the first in this table counts:

    | field      | levels                                               | steps of each                           |
    |------------|------------------------------------------------------|-----------------------------------------|
    | `ladder`   | evenly spaced, as many as the picture's size gives   | a number for each; `steps` is their sum |
    | `coarsest` | √2 apart, the first with about this long side        | shares of `steps`, more on smaller ones |
    | `passes`   | these fractions of the final size, at every size     | these shares of `steps`                 |

    So `ladder` is for what has its own number of steps for each level and takes more in all for a larger picture,
    `passes` for a program that names its sizes, and `coarsest` where the steps in all are to be the same at every size.
    Beside any of them may stand `refinement`, `small_level` and `content_side`. A user's own number of levels
    (`scales`) takes the place of all three: so many, as `coarsest` would have them.
    """

    name: str
    title: str
    source: str
    # What is compared, and how. objective/factors.py holds the formulas that these names stand for.
    style_layers: Mapping[str, float]
    content_layers: Mapping[str, float]
    gram: str
    style_term: str
    content_term: str
    style_weight: float
    content_weight: float
    # Total variation: what 1 on the user's control means (about 3 ‰ of the style term at the content picture, a light
    # smoothing), what the recipe itself uses, and whether it is a sum over the picture or a mean over its pixels.
    tv_unit: float
    tv_weight: float = 0.0
    tv_term: str = "mean"
    tv_kind: str = "l2"
    # What is compared of style: distances.py holds the formulas, and in `DistanceSettings` what the numbers mean.
    statistic: str = "gram"
    shift: float = 0.0
    mean_std: float = 0.0
    least_variance: float | None = None
    root_iterations: int = 0
    least_direction: float = 0.0
    # Every tap's gradient is divided by the sum of its absolute values, so that weights alone say what it counts
    # (Johnson's program has that as an option).
    normalise_gradients: bool = False
    # The network: what it is fed (imagenet, caffe: pixels normalised by either's mean; raw: as they are) and what it is
    # made of.
    space: str = "imagenet"
    units: str = "unit"
    pooling: str = "max"
    padding: str = "zeros"
    rescale_pooling: bool = True
    # The optimiser, and the space of the numbers that it moves (pixels: 0..1; imagenet: normalised; bytes: 0..255;
    # laplacian: a pyramid of the pixels).
    optimizer: Adam | LBFGS = Adam(0.03)
    variable: str = "pixels"
    steps: int = 100
    start: str = "content"
    noise: float = 0.225  # standard deviation of the noise start around the mean colour, in 0..1
    clamp: bool = False  # to 0..1 before every evaluation; the result is always clamped
    size: Size = Size("long", (512,))
    # The levels, as the table above has them.
    passes: tuple[Pass, ...] = (Pass(1.0, 1.0),)
    coarsest: int = 0
    ladder: Ladder | None = None  # `steps` is what it comes to at the recipe's own size
    refinement: Refinement | None = None
    # On a level whose long side L is less than this S, the content counts S/L times as much, at most 4. 0: never.
    small_level: int = 0
    # Of such a long side, whatever the final one is: with side L, the content counts this over L times as much.
    content_side: int = 0
    # Where the style is further from the content picture than this, as objective/apart.py measures it, the content
    # counts more, by the square of their ratio, as far as objective/build.py lets it. 0: never.
    far: float = 0.0
    afar: int = 0  # the long side at which that is measured; 0: the level's
    averaging: float = 0.0  # the result is a running mean over the last 1 / (1 − averaging) pictures; 0: the last one
    # flat: of fewer pictures the plain mean. exponential: every picture counts `averaging` times as much as the next,
    # and a level's start is the first (Kingma & Ba 2015, section 3).
    average: str = "flat"
    # From level to level, bicubically: smooth, with a = −0.5, as pictures are resized everywhere; sharp, with −0.75.
    enlarging: str = "smooth"
    style_fit: str = "long"  # what "as large as the transfer" means for a style: style_fit.py has the choices
    # How the content is compared: by its features; by how alike they are among themselves; or by features and, beside
    # them, the picture's edges.
    content_measure: str = "features"
    octaves: int = 1  # in how many sizes of every level's picture, each half of the one before, style is compared

    @property
    def details(self) -> DistanceSettings:
        return DistanceSettings(
            self.shift, self.mean_std, self.least_variance, self.root_iterations, self.least_direction
        )

    @property
    def looks_at_means(self) -> bool:
        return self.statistic != "gram" or self.shift != 0 or self.mean_std != 0

    @property
    def draws_once(self) -> bool:
        """Whether random directions and positions stay the same from step to step: L-BFGS compares steps."""
        return isinstance(self.optimizer, LBFGS)


def equal(taps: tuple[str, ...], weight: float = 1.0) -> dict[str, float]:
    return dict.fromkeys(taps, weight)


# Adam with a short memory: in half the steps the loss is where betas of (0.9, 0.99) bring it (bench/RESULTS.md).
FAST_ADAM = Adam(0.06, (0.8, 0.9), final_lr=0.05, usual_pixels=128 * 96)

TUTORIAL_DEFAULTS = LBFGS(tolerance_grad=1e-7, tolerance_change=1e-9)

_RECIPES = (
    Recipe(
        name="balanced",
        title="Balanced (the default)",
        source="this project: Crowson's objective with relu4_2 for its two deepest layers, in a tenth of its steps",
        # Shallow layers paint strokes; the last one, whose features are there for the content anyhow, swirls and stars.
        style_layers={"relu1_1": 16.0, "relu2_1": 4.0, "relu3_1": 1.0, "relu4_2": 0.5},
        # The shallower one keeps what is small: a face, thin lines, windows.
        content_layers=equal(("relu2_2", "relu4_2")),
        gram="mean",
        style_term="per channel",
        content_term="mean of means",
        style_weight=0.525,
        content_weight=0.005,
        tv_unit=0.35,
        tv_weight=0.35,
        tv_kind="l2-nine-border",
        statistic="covariance",
        least_variance=1e-4,
        root_iterations=12,
        least_direction=0.001,
        padding="replicate-first",
        optimizer=FAST_ADAM,
        averaging=0.9,
        steps=280,
        clamp=True,
        # √2 times as many on each smaller level, and 15 more on every one; on large levels what fine strokes need.
        ladder=Ladder(2, "long", 108, (88, 67, 51, 41, 33, 40)),
        small_level=512,
        far=0.65,
        afar=128,
    ),
    Recipe(
        name="classic",
        title="Classic",
        source="this project: Gram matrices, every term relative to its own target",
        style_layers=equal(FIVE),
        content_layers={"relu4_2": 1.0},
        gram="mean",
        style_term="relative",
        content_term="relative",
        style_weight=1.0,
        content_weight=0.02,
        tv_unit=0.1,
        optimizer=FAST_ADAM,
        clamp=True,
        coarsest=512,
    ),
    Recipe(
        name="persson",
        title="Persson",
        source="Aladdin Persson: nst.py of the Machine-Learning-Collection, 2020",
        style_layers=equal(("relu1_1", "relu2_1", "relu3_1", "relu4_1", "conv5_1")),
        content_layers=equal(("relu1_1", "relu2_1", "relu3_1", "relu4_1", "conv5_1")),
        gram="sum",
        style_term="mean",
        content_term="mean",
        style_weight=0.01,
        content_weight=1.0,
        tv_unit=5e4,
        space="raw",
        optimizer=Adam(1e-3),
        steps=6000,
        size=Size("squash", (356, 356)),
        style_fit="shape",
    ),
    Recipe(
        name="udacity",
        title="Udacity course",
        source="the style-transfer notebook of Udacity's deep-learning course with PyTorch, 2018",
        style_layers={"relu1_1": 1.0, "relu2_1": 0.75, "relu3_1": 0.2, "relu4_1": 0.2, "relu5_1": 0.2},
        content_layers={"relu4_2": 1.0},
        gram="sum",
        style_term="mean/CHW",
        content_term="mean",
        style_weight=1e6,
        content_weight=1.0,
        tv_unit=1e9,
        optimizer=Adam(3e-3),
        variable="imagenet",
        steps=2000,
        size=Size("short", (400,)),
        style_fit="shape",
    ),
    Recipe(
        name="pytorch-tutorial",
        title="PyTorch tutorial",
        source="Alexis Jacq: Neural Transfer Using PyTorch, the official tutorial",
        style_layers=equal(("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")),
        content_layers={"conv2_2": 1.0},
        gram="mean/C",
        style_term="mean",
        content_term="mean",
        style_weight=1e6,
        content_weight=1.0,
        tv_unit=2.5e3,
        optimizer=TUTORIAL_DEFAULTS,
        steps=320,  # "more than 300", and the last call of 20 is finished
        clamp=True,
        size=Size("short", (768,), pixels_without_gpu=(128,)),
        style_fit="shape",
    ),
    Recipe(
        name="convnet",
        title="Convnet notes",
        source="the StyleTransfer notes of convnet_test, a PyTorch notebook for fixed style and content",
        style_layers=equal(FIVE),
        content_layers={"relu3_1": 1.0},
        gram="sum",
        style_term="mean/CHW",
        content_term="mean",
        style_weight=200.0,
        content_weight=1.0,
        tv_unit=6e2,
        space="raw",
        optimizer=Adam(3e-3, (0.5, 0.999)),
        steps=2000,
        size=Size("long", (400,)),
        style_fit="shape",
    ),
    Recipe(
        name="gatys2016",
        title="Gatys et al. 2016",
        source="Gatys, Ecker & Bethge: Image Style Transfer Using Convolutional Neural Networks, CVPR 2016",
        style_layers=equal(FIVE, 0.2),
        content_layers={"relu4_2": 1.0},
        gram="sum",
        style_term="gatys",
        content_term="half-sum",
        style_weight=1.0,
        content_weight=1e-3,
        tv_unit=0.1,
        pooling="average",
        rescale_pooling=False,
        optimizer=LBFGS(),
        variable="bytes",
        steps=500,
        start="noise",
    ),
    Recipe(
        name="gatys2017",
        title="Gatys et al. 2017",
        source="Gatys et al.: Controlling Perceptual Factors in Neural Style Transfer, CVPR 2017, and its program",
        style_layers={tap: 1e3 / c**2 for tap, c in zip(FIVE, FIVE_CHANNELS, strict=True)},
        content_layers={"relu4_2": 1.0},
        gram="mean",
        style_term="mean",
        content_term="mean",
        style_weight=1.0,
        content_weight=1.0,
        tv_unit=6e8,
        units="caffe",
        optimizer=LBFGS(),
        variable="bytes",
        steps=700,
        size=Size("long", (800,)),
        passes=(Pass(512 / 800, 500 / 700), Pass(1.0, 200 / 700)),
    ),
    Recipe(
        name="johnson",
        title="Johnson's neural-style",
        source="J. Johnson's neural-style for Torch, 2015",
        style_layers=equal(FIVE),
        content_layers={"relu4_2": 1.0},
        gram="mean/C",
        style_term="mean",
        content_term="mean",
        style_weight=100.0,
        content_weight=5.0,
        # 1e-3 on 0..255 pixels; the program adds the plain differences to the gradient: half the sum of squares.
        tv_unit=0.5 * 1e-3 * 255**2,
        tv_weight=0.5 * 1e-3 * 255**2,
        tv_term="sum",
        units="caffe",
        optimizer=LBFGS(),
        variable="bytes",
        steps=1000,
        start="noise",
        noise=0.001 / 255,
    ),
    Recipe(
        name="crowsonkb",
        title="Crowson's style-transfer-pytorch",
        source="K. Crowson's style-transfer-pytorch, 2021",
        style_layers={tap: weight / 341 for tap, weight in zip(FIVE, (256, 64, 16, 4, 1), strict=True)},
        content_layers={"relu4_2": 1.0},
        gram="mean",
        style_term="per channel",
        content_term="mean of means",
        style_weight=1.0,
        content_weight=0.015,
        # 2, and the program's nine points count a third of ours.
        tv_unit=2 / 3,
        tv_weight=2 / 3,
        tv_kind="l2-nine-border",
        statistic="covariance",
        least_variance=1e-4,
        root_iterations=12,
        padding="replicate-first",
        optimizer=Adam(0.02, (0.9, 0.99), moments="kept"),
        steps=3000,
        clamp=True,
        size=Size("long-exact", (512,)),
        style_fit="long-no-larger",
        # Levels of 128 pixels and more, after rounding.
        ladder=Ladder(2, "long", 127.5, (1000, 500)),
        averaging=0.99,
        average="exponential",
        enlarging="sharp",
    ),
    Recipe(
        name="pastiche",
        title="pastiche",
        source="the package pastiche 1.6, its defaults",
        style_layers={tap: 10 / c**2 for tap, c in zip(FIVE, FIVE_CHANNELS, strict=True)},
        content_layers={"relu4_2": 1.0},
        gram="mean",
        style_term="mean",
        content_term="mean",
        style_weight=1.0,
        content_weight=0.01,
        tv_unit=1.0,
        tv_kind="l1",
        units="caffe",
        space="caffe",
        optimizer=LBFGS(inner=1, tolerance_grad=1e-7, tolerance_change=1e-9),
        variable="bytes",
        steps=1000,
        size=Size("area", (500,)),
        style_fit="area",
    ),
    Recipe(
        name="spst",
        title="Scaling Painting Style Transfer",
        source="Galerne, Raad, Lezama & Morel: Scaling Painting Style Transfer, EGSR 2024, and its program (SPST-fast)",
        style_layers={tap: 1e3 / c**2 for tap, c in zip(FIVE, FIVE_CHANNELS, strict=True)},
        content_layers={"relu4_2": 1.0},
        gram="mean",
        style_term="mean",
        content_term="mean",
        style_weight=1.0,
        content_weight=1.0,
        tv_unit=1.0,
        mean_std=10.0,
        units="caffe",
        space="caffe",
        optimizer=LBFGS(tolerance_grad=1e-7, tolerance_change=1e-9, later_history=10),
        variable="bytes",
        steps=620,
        size=Size("long", (LARGEST_SIDE,)),
        # "More than" 600, 200, 66 and 30 evaluations, and the last call of 20 is finished.
        ladder=Ladder(1, "short", 512, (620, 220, 80, 40)),
        style_fit="short-no-larger",
    ),
    Recipe(
        name="nnst",
        title="Neural Neighbor Style Transfer",
        source="Kolkin et al.: Neural Neighbor Style Transfer, arXiv 2203.13215, 2022",
        # All convolutions of the first four blocks of VGG-16.
        style_layers=equal((*SEVEN, "relu4_1", "relu4_2", "relu4_3")),
        content_layers={},
        gram="mean",
        style_term="relative",
        content_term="relative",
        style_weight=1.0,
        content_weight=1.0,
        tv_unit=0.1,
        statistic="nearest",
        optimizer=Adam(2e-3, moments="anew"),
        variable="laplacian",
        steps=1000,
        ladder=Ladder(1, "long", 63.5, (200,)),
        refinement=Refinement(200, 10),
    ),
    Recipe(
        name="strotss",
        title="STROTSS",
        source="Kolkin, Salavon & Shakhnarovich: Style Transfer by Relaxed Optimal Transport and Self-Similarity, 2019",
        style_layers=NINE,
        content_layers=NINE,
        gram="mean",
        style_term="relative",
        content_term="relative",
        style_weight=1.0,
        content_weight=2.0,
        tv_unit=0.1,
        statistic="remd",
        content_measure="self-similarity",
        # Section 2.5: RMSprop on a pyramid of the picture, 200 steps of 0.002 on every level, 0.001 on the last, from
        # the content's finest band on the style's mean colour.
        optimizer=Adam(2e-3, (0.0, 0.99), moments="anew", last_lr=0.5, corrected=False),
        variable="laplacian",
        start="detail",
        steps=800,
        # 64, 128, 256 and 512 pixels; on each the content's weight α is half of what it was on the one before: 16 on
        # the first, as in the authors' program, so 2 on the last. Smaller pictures end with more, larger with less.
        ladder=Ladder(1, "long", 63.5, (200,)),
        content_side=512,
    ),
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _RECIPES}


def get_recipe(recipe: str | Recipe) -> Recipe:
    if isinstance(recipe, Recipe):
        for name, known in VOCABULARY.items():
            if (word := getattr(recipe, name)) not in known:
                raise NSTError(f"recipe: {name} {word!r} is not one of {', '.join(known)}.")
        return recipe
    if recipe not in RECIPES:
        near = difflib.get_close_matches(recipe, RECIPES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise NSTError(f"recipe: there is no {recipe!r}; known are {', '.join(RECIPES)}.{hint}")
    return RECIPES[recipe]


def network_for(vgg: VGGFeatures, recipe: Recipe, seamless: bool = False, watch: Watch = UNWATCHED) -> Network:
    """As the recipe uses it: its units, pooling and padding, where the user has not chosen them."""
    conventions = Conventions(recipe.units, recipe.space, recipe.pooling, recipe.padding, recipe.rescale_pooling)
    return Network(vgg, conventions, seamless=seamless, watch=watch)
