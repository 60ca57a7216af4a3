from __future__ import annotations

from ..nst_engine import NSTError
from ..nst_engine.network.precision import PRECISIONS
from ..nst_engine.network.vgg import PADDINGS, POOLINGS, VGGFeatures
from ..nst_engine.network.weights import BUILT_IN, INPUTS, TORCHVISION, load_vgg, locate
from . import host


class LoadVGGFeatures:
    TITLE = "Load VGG Features"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Loads the VGG network through which pictures are compared. The default weights are the original ones "
        "and need no download; weights files in models/vgg are listed as well."
    )
    RETURN_TYPES = ("VGG_FEATURES",)
    RETURN_NAMES = ("vgg",)
    OUTPUT_TOOLTIPS = ("The network, for Compute Style Grams and Neural Style Transfer. Use the same one for both.",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "weights": (
                    [*BUILT_IN, *host.weights_files()],
                    {
                        "tooltip": "vgg19-caffe: the original network, works offline. The torchvision ones are "
                        "downloaded once (about 550 MB). Files from models/vgg follow."
                    },
                ),
                "pooling": (
                    list(POOLINGS),
                    {
                        "tooltip": "How the network halves its maps. recipe: what the recipe says. average gives "
                        "smoother, max crisper textures."
                    },
                ),
                "padding": (
                    list(PADDINGS),
                    {
                        "tooltip": "What the network sees beyond the picture's edge. recipe: what the recipe says "
                        "(zeros). replicate or reflect remove artefacts along the borders."
                    },
                ),
                "precision": (
                    list(PRECISIONS),
                    {
                        "tooltip": "Number format of the network. auto: bf16 where the device has units for it, fp32 "
                        "elsewhere. fp32 reproduces the published programs exactly."
                    },
                ),
            },
            "optional": {
                "input": (
                    list(INPUTS),
                    {
                        "tooltip": "What a weights file of your own was trained on, where its layout cannot tell: "
                        "torchvision (RGB, normalised) or caffe (BGR, 0..255). auto recognises published files."
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
