"""Make the pictures that the help pages begin with, from the gallery, the example pictures and the engine.

python tools/make_help_pictures.py
"""

from __future__ import annotations

from typing import Any

import torch
from make_workflows import ROOT, load_pack
from PIL import Image, ImageOps

PICTURES = ROOT / "nodes" / "web" / "docs" / "pictures"
GALLERY = ROOT / "docs" / "gallery"
EXAMPLES = ROOT / "nodes" / "examples"
WIDTH, HEIGHT, GAP = 720, 200, 6
MOST_BYTES = 60_000

# By node: what stands side by side. Names of the gallery, or of examples.
ROWS = {
    "NeuralStyleTransfer": ("content-landscape", "style-strokes", "quickstart"),
    "ComputeStyleGrams": ("stroke-size-128", "stroke-size-256", "stroke-size-448"),
    "LoadVGGFeatures": ("pooling-max", "pooling-average", "pooling-l2"),
    "LayerWeights": ("layers-shallow", "layers-all", "layers-deep"),
    "NSTMethod": ("statistics-gram", "statistics-covariance", "statistics-histogram", "statistics-sliced"),
    "NSTSynthesizeTexture": ("style-mosaic", "textures-seamless", "textures-wide"),
    "NSTMatchColours": ("content-landscape", "style-mosaic", "match-style-colours"),
    "NSTExampleImage": ("content-landscape", "content-still-life", "style-strokes", "style-watercolour"),
    "LoadStyleGrams": ("content-landscape", "save-style"),
    "SaveStyleGrams": ("style-strokes", "save-style"),
    "NSTInterpolateStyles": ("style-row_1", "style-row_2", "style-row_3", "style-row_4"),
}


def find(name: str) -> Image.Image:
    file = next(folder / f"{name}.jpg" for folder in (GALLERY, EXAMPLES) if (folder / f"{name}.jpg").is_file())
    return Image.open(file).convert("RGB")


def row(pictures: list[Image.Image]) -> Image.Image:
    """Side by side at one height, as wide as a help panel needs."""
    widths = [p.width / p.height for p in pictures]
    height = min(HEIGHT, int((WIDTH - GAP * (len(pictures) - 1)) / sum(widths)))
    fitted = [
        p.resize((round(w * height), height), Image.Resampling.LANCZOS) for p, w in zip(pictures, widths, strict=True)
    ]
    sheet = Image.new("RGB", (sum(p.width for p in fitted) + GAP * (len(fitted) - 1), height), "white")
    x = 0
    for picture in fitted:
        sheet.paste(picture, (x, 0))
        x += picture.width + GAP
    return sheet


def save(name: str, picture: Image.Image) -> None:
    file = PICTURES / f"{name}.jpg"
    for quality in (88, 80, 70):
        picture.save(file, quality=quality, optimize=True)
        if file.stat().st_size < MOST_BYTES:
            return
    raise SystemExit(f"{file.name} has {file.stat().st_size} bytes, more than {MOST_BYTES}")


def as_picture(tensor: torch.Tensor) -> Image.Image:
    return Image.fromarray((tensor[0].clamp(0, 1) * 255).round().byte().numpy()).convert("RGB")


def looks_inside(pack: Any) -> None:
    """What the nodes that explain show, made small."""

    def call(node: str, **inputs: Any) -> Any:
        kind = pack.NODE_CLASS_MAPPINGS[node]
        return getattr(kind(), kind.FUNCTION)(**inputs)

    [vgg] = call("LoadVGGFeatures", weights="vgg19-caffe", pooling="recipe", padding="recipe", precision="auto")
    content, _ = call("NSTExampleImage", name="content-landscape")
    style, _ = call("NSTExampleImage", name="style-strokes")
    [grams] = call("ComputeStyleGrams", vgg=vgg, style_image=style, weight=1.0, size=256)
    looks = {"vgg": vgg, "layer": "relu3_1", "order": "strongest", "recipe": "balanced"}
    [features] = call("NSTShowFeatures", image=content, maps=8, size=256, **looks)
    [gram] = call("NSTShowGram", style_grams=grams, scale="log", **looks)
    save("NSTShowFeatures", row([as_picture(content), as_picture(features)]))
    save("NSTShowGram", row([as_picture(style), as_picture(gram)]))
    remembered = [
        call("NSTReconstructLayer", vgg=vgg, image=content, layer=layer, what=what, steps=100, size=192, seed=0)[0]
        for layer, what in (("relu4_1", "content"), ("relu3_1", "style"))
    ]
    save("NSTReconstructLayer", row([as_picture(content), *map(as_picture, remembered)]))
    _, history = call(
        "NeuralStyleTransfer", vgg=vgg, content_image=content, style_grams=grams, recipe="classic", steps=60, size=128
    )
    [plot] = call("NSTPlotLossHistory", loss_history=history, width=480, height=320)
    save("NSTPlotLossHistory", as_picture(plot))


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for node, names in ROWS.items():
        save(node, row([find(name) for name in names]))
    clip = Image.open(EXAMPLES / "clip-balloon.webp")
    frames = []
    for number in (0, 10, 20):
        clip.seek(number)
        frames.append(clip.convert("RGB"))
    save("NSTExampleClip", row(frames))
    film = ImageOps.contain(Image.open(ROOT / "workflows" / "A film without flicker.jpg").convert("RGB"), (480, 320))
    for node in ("NSTVideoTransfer", "NSTStyliseVideo"):
        save(node, film)
    looks_inside(load_pack())


if __name__ == "__main__":
    main()
