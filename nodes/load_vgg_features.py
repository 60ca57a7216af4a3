from __future__ import annotations

from ..nst_engine import NSTError
from ..nst_engine.network.conventions import PADDINGS, POOLINGS
from ..nst_engine.network.precision import PRECISIONS
from ..nst_engine.network.vgg import VGGFeatures
from ..nst_engine.network.weights import load_vgg
from ..nst_engine.network.weights_format import INPUTS
from ..nst_engine.network.weights_location import BUILT_IN, TORCHVISION, locate
from . import host


class LoadVGGFeatures:
    TITLE = "Load VGG Features"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Loads the network that looks at your pictures and tells content from style. The default needs no download. "
        "One is enough for a workflow."
    )
    RETURN_TYPES = ("VGG_FEATURES",)
    RETURN_NAMES = ("vgg",)
    OUTPUT_TOOLTIPS = ("The network. Connect the same one to Compute Style Grams and Neural Style Transfer.",)
    SEARCH_ALIASES = ("vgg", "vgg19", "vgg16", "style transfer network", "neural style transfer", "loader")
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "weights": (
                    [*BUILT_IN, *host.weights_files()],
                    {
                        "tooltip": "Which network. vgg19-caffe is the one that the first papers used; it works "
                        "offline. The torchvision ones are downloaded once (about 550 MB). Your own files in "
                        "models/vgg come after them."
                    },
                ),
                "pooling": (
                    list(POOLINGS),
                    {
                        "tooltip": "max gives crisper textures, average and l2 smoother ones. recipe: as the preset "
                        "says.",
                        "advanced": True,
                    },
                ),
                "padding": (
                    list(PADDINGS),
                    {
                        "tooltip": "What the network sees beyond the picture's edge. If borders look framed or faded, "
                        "choose replicate or reflect. recipe: as the preset says.",
                        "advanced": True,
                    },
                ),
                "precision": (
                    list(PRECISIONS),
                    {
                        "tooltip": "How exactly the network calculates. auto is as fast as your device allows. fp32 is "
                        "the most exact, for repeating a published program to the number.",
                        "advanced": True,
                    },
                ),
            },
            "optional": {
                "input": (
                    list(INPUTS),
                    {
                        "tooltip": "Only for a weights file of your own: what it was trained on, torchvision (RGB, "
                        "normalised) or caffe (BGR, 0 to 255). auto recognises all published files.",
                        "advanced": True,
                    },
                ),
            },
        }

    @classmethod
    def IS_CHANGED(cls, weights: str = "", **_) -> str:
        """A weights file that changes on disk is loaded anew."""
        if weights in TORCHVISION:  # published once, and not there yet before the first run
            return weights
        try:
            file = locate(host.weights_named(weights), host.weights_folders())
        except NSTError:
            return "absent"
        return f"{file} {file.stat().st_mtime_ns} {file.stat().st_size}"

    def load(self, weights: str, pooling: str, padding: str, precision: str, input: str = "auto") -> tuple[VGGFeatures]:
        bar: host.ProgressBar | None = None

        def on_download(done: int, total: int) -> None:
            nonlocal bar
            bar = bar or host.ProgressBar(max(1, total))
            bar.update(done)

        vgg = load_vgg(
            host.weights_named(weights),
            pooling=pooling,
            padding=padding,
            precision=precision,
            device=host.device(),
            input=input,
            folders=host.weights_folders(),
            on_download=on_download,
        )
        return (vgg,)
