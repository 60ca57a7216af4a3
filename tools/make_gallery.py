"""Run the workflows and show what they make: thumbnails beside them, and docs/gallery.md with its pictures.

python tools/make_gallery.py            runs every workflow
python tools/make_gallery.py NAME ...   runs these; a template may be called by its title
python tools/make_gallery.py --page     runs none; writes the page anew from the pictures that are there
"""

from __future__ import annotations

import argparse
import importlib
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from graphs import FOR_INPUT, TITLES, Node, Workflow
from make_workflows import ROOT, api_form, canvas_path, default_of, load_pack
from PIL import Image, ImageDraw, ImageOps
from sheets import contact_sheet, image_of
from templates import TEMPLATES

DOCS = ROOT / "docs"
GALLERY = DOCS / "gallery"
EXAMPLES = ROOT / "nodes" / "examples"
LONGEST_SIDE = 512
THUMBNAIL_WIDTH = 480
# What is shown anyway, and what does not change the pictures.
NOT_SAID = {"NSTExampleImage", "NSTExampleClip", "NSTPlotLossHistory", "SaveImage", "PreviewImage"}
NOT_SAID |= {"CreateVideo", "SaveVideo", "LoadImageDataSetFromFolder"}
NOT_SAID_INPUTS = {"preview_every", "filename_prefix"}
# Whose settings a comparison compares.
COMPARED = {"NeuralStyleTransfer", "NSTSynthesizeTexture", "LoadVGGFeatures", *(kind for kind, _ in FOR_INPUT.values())}


# --- running ------------------------------------------------------------------------------------------------------


def run(workflow: Workflow, pack: Any) -> None:
    """Run a workflow and keep its pictures, in the gallery and as a thumbnail."""
    nodes = {name: node for name, node in workflow.nodes.items() if node.type != "ImageCompare"}
    headless = importlib.import_module(f"{pack.__name__}.nodes.headless")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as given:
        photos = Path(given, "photos")  # of the workflow that loads a folder
        photos.mkdir()
        for file in EXAMPLES.glob("content-*.jpg"):
            shutil.copy(file, photos)
        files = headless.run_embedded(
            api_form(replace(workflow, nodes=nodes), pack.NODE_CLASS_MAPPINGS),
            pack.NODE_CLASS_MAPPINGS,
            headless.Folders(Path(given), Path(folder)),
            lambda title, value, total, _: print(
                f"\r{called(workflow)}: {title} {value}/{total}     ", end="", flush=True
            ),
        )
        print()
        made = {
            stem: [Image.open(file).convert("RGB") for file in files if file.name.rsplit("_", 2)[0] == stem]
            for stem in map(stem_of, saves(workflow).values())
        }
        film = [frame for file in files if file.suffix == ".mp4" for frame in some_frames(pack, file)]
    if workflow.name:
        keep(made)
    pictures = [picture for pictures in made.values() for picture in pictures] or film
    titles = list(workflow.variants) or [""] * len(pictures)
    sheet = thumbnail(workflow, list(zip(titles, pictures, strict=True)))
    sheet.save(canvas_path(workflow).with_suffix(".jpg"), quality=88)


def called(workflow: Workflow) -> str:
    return workflow.name or workflow.title


def some_frames(pack: Any, file: Path, count: int = 4) -> list[Image.Image]:
    """From the first to the last of a film."""
    source = importlib.import_module(f"{pack.__name__}.nst_engine.video.source")
    frames = list(source.open_clip(file).frames(source.Part(), print))
    chosen = (frames[round(i * (len(frames) - 1) / (count - 1))].pixels[0] for i in range(count))
    return [image_of(pixels) for pixels in chosen]


def saves(workflow: Workflow) -> dict[str, Node]:
    return {name: node for name, node in workflow.nodes.items() if node.type == "SaveImage" and not node.muted}


def stem_of(save: Node) -> str:
    return save.inputs["filename_prefix"].rpartition("/")[2]


def keep(made: Mapping[str, list[Image.Image]]) -> None:
    GALLERY.mkdir(parents=True, exist_ok=True)
    for stem, pictures in made.items():
        for old in kept(stem):
            old.unlink()
        for i, picture in enumerate(pictures, 1):
            small = picture.copy()
            small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
            name = stem if len(pictures) == 1 else f"{stem}_{i}"
            small.save(GALLERY / f"{name}.jpg", quality=85, optimize=True)


def kept(stem: str) -> list[Path]:
    """What one SaveImage has put into the gallery: one picture, or a numbered row (with _, which no title leads to)."""
    return sorted([*GALLERY.glob(f"{stem}.jpg"), *GALLERY.glob(f"{stem}_[0-9].jpg")])


def thumbnail(workflow: Workflow, results: list[tuple[str, Image.Image]]) -> Image.Image:
    """What the template browser shows: the result with the style in a corner, or all results on one sheet."""
    names = [node.inputs["name"] for name, node in workflow.nodes.items() if name.startswith("style")]
    styles = [Image.open(EXAMPLES / f"{name}.jpg").convert("RGB") for name in names]
    if len(results) > 1:
        return all_results(workflow, results, styles[0])
    ((_, picture),) = results
    if any(node.type == "ImageCompare" for node in workflow.nodes.values()):
        picture = halves(Image.open(EXAMPLES / f"{workflow.nodes['content'].inputs['name']}.jpg"), picture)
    picture = picture.resize(
        (THUMBNAIL_WIDTH, round(THUMBNAIL_WIDTH * picture.height / picture.width)), Image.Resampling.LANCZOS
    )
    right = picture.width - 10
    for style in reversed(styles):
        style.thumbnail((120 if len(styles) == 1 else 90,) * 2, Image.Resampling.LANCZOS)
        framed = ImageOps.expand(style, 3, "white")
        picture.paste(framed, (right - framed.width, picture.height - framed.height - 10))
        right -= framed.width + 6
    return picture


def halves(before: Image.Image, after: Image.Image) -> Image.Image:
    """The left half of the one, the right half of the other, and a line between them."""
    middle = after.width // 2
    both = after.copy()
    both.paste(before.convert("RGB").resize(after.size, Image.Resampling.LANCZOS).crop((0, 0, middle, after.height)))
    ImageDraw.Draw(both).line([(middle, 0), (middle, after.height)], "white", 4)
    return both


def all_results(workflow: Workflow, results: list[tuple[str, Image.Image]], style: Image.Image) -> Image.Image:
    """The results, labelled if they are a comparison; the style where a place is left over."""
    columns = math.ceil(math.sqrt(len(results)))
    rows = math.ceil(len(results) / columns)
    first = results[0][1]
    width = THUMBNAIL_WIDTH // columns
    height = round(width * first.height / first.width) if workflow.variants else width * 2 // 3
    if len(results) < columns * rows:
        results = [*results, ("style", style)]
    return contact_sheet(results, columns, (width, height))


# --- the page -----------------------------------------------------------------------------------------------------


def page(classes: Mapping[str, Any]) -> str:
    """docs/gallery.md, from the descriptions of the workflows and the pictures that are there."""
    named = [workflow for workflow in TEMPLATES if workflow.name]
    parts = [
        "# Gallery",
        "What the workflows of the pack make, from the pack's own pictures. Each can be run with "
        "`nst run workflows/api/NAME.json`, and opened in ComfyUI: from **Browse Templates** where it has a title "
        "here, else by dropping its file from `workflows/more` onto the canvas. Settings that are not named are at "
        "their defaults.",
        "This page and its pictures are written by `tools/make_gallery.py`.",
        " · ".join(f"[{name}](#{name})" for name in ("every-recipe", *(w.name for w in named))),
        "## every-recipe",
        "One pair through every recipe ([what they are](recipes.md)): 256 pixels, all the steps that were published, "
        "`vgg19-caffe`, the style as each program measures it. The tutorial's L-BFGS, which has no line search, runs "
        "away at this size, as the tutorial's own does; `gatys2016` keeps nearly all of the content. "
        "`tools/make_recipes.py` makes the sheet.",
        "![Both pictures, and what every recipe makes of them](recipes.jpg)",
    ]
    for workflow in named:
        parts += [f"## {workflow.name}", *([f"Template *{workflow.title}*."] if workflow.title else [])]
        parts += [workflow.caption or workflow.note.partition("\n\n")[0]]
        given = [(title, f'<img src="{file}" width="160" alt="{alt}">') for title, alt, file in inputs(workflow)]
        parts += table(given, len(given))
        if said := settings(workflow, classes):
            parts.append("; ".join(said) + ".")
        parts += table(list(results(workflow, classes)), 3)
    return "\n\n".join(parts) + "\n"


def table(cells: Sequence[tuple[str, ...]], columns: int) -> list[str]:
    """Titles with what belongs below each, in tables of so many columns at most."""
    tables = []
    for i in range(0, len(cells), columns):
        titles, *lines = zip(*cells[i : i + columns], strict=True)
        rows = [titles, ["---"] * len(titles), *lines]
        tables.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return tables


def inputs(workflow: Workflow) -> Iterator[tuple[str, str, str]]:
    """Title, name and file of every picture that goes in, and of the masks that are used."""
    shown = {n: node for n, node in workflow.nodes.items() if node.type == "NSTExampleImage" and not node.muted}
    links = [link for node in workflow.nodes.values() for link in node.inputs.values() if isinstance(link, tuple)]
    several = sum(name.startswith("style") for name in shown) > 1
    for name, node in shown.items():
        example = node.inputs["name"]
        title = title_of(name) + (number_of(name) if several else "")
        yield title, example, f"../nodes/examples/{example}.jpg"
        if (name, 1) in links:
            yield f"{title}: mask", f"mask of {example}", f"../nodes/examples/{example}-mask.png"


def title_of(name: str) -> str:
    return TITLES.get(plain := name.rstrip("0123456789"), plain.capitalize())


def number_of(name: str) -> str:
    """As text: of style2, and with a space before it."""
    number = name[len(name.rstrip("0123456789")) :]
    return f" {number}" if number else ""


def settings(workflow: Workflow, classes: Mapping[str, Any]) -> list[str]:
    """Every node's settings that differ from their defaults, but for those that a comparison compares."""
    said: dict[str, dict[str, str]] = {}  # by the nodes' class and, within it, by their names
    for name, node in workflow.nodes.items():
        if node.type not in NOT_SAID and not node.muted:
            hidden = compared(workflow) if node.type in COMPARED else []
            if node.type == "ComputeStyleGrams" and "style_size" in compared(workflow):
                hidden = ["size"]
            differing = [f"`{key}` {v}" for key, v in changed(node, classes).items() if key not in hidden]
            said.setdefault(classes[node.type].TITLE, {})[name] = ", ".join(differing)
    lines = []
    for title, texts in said.items():
        if len(set(texts.values())) == 1:
            texts = {"": next(iter(texts.values()))}
        lines += [f"*{title}*{number_of(name)}: {text}" for name, text in texts.items() if text]
    return lines


def changed(node: Node, classes: Mapping[str, Any]) -> dict[str, str]:
    types = classes[node.type].INPUT_TYPES()
    found = {}
    for name, kind in {**types["required"], **types.get("optional", {})}.items():
        if name not in node.inputs or name in NOT_SAID_INPUTS:
            continue
        value = node.inputs[name]
        if not isinstance(value, tuple):
            if value != default_of(kind):
                found[name] = shown(value)
        elif kind[0] == "MASK":
            found[name] = f"of the {title_of(value[0]).lower()}"
    return found


def shown(value: Any) -> str:
    if value is None or value == "":
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)


def results(workflow: Workflow, classes: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Title and picture, and below them, in a comparison, the settings that are compared."""
    found = {name: kept(stem_of(node)) for name, node in saves(workflow).items()}
    if not any(found.values()):  # not run since there is a gallery
        thumbnail = canvas_path(workflow).with_suffix(".jpg").relative_to(ROOT).as_posix()
        yield "Result", f"![{workflow.name}](../{quote(thumbnail)})"
        return
    for name, files in found.items():
        title = workflow.nodes[name].title or TITLES.get(name.removeprefix("save "), "Result")
        for i, file in enumerate(files, 1):
            row = title if len(files) == 1 else f"{i} of {len(files)}"
            picture = f"![{workflow.name}: {row}]({file.relative_to(DOCS).as_posix()})"
            yield (row, picture, compared_values(workflow, title, classes)) if workflow.variants else (row, picture)


def compared_values(workflow: Workflow, title: str, classes: Mapping[str, Any]) -> str:
    """What one variant has in every setting that any variant changes."""
    transfer = workflow.nodes[f"transfer {title}"]
    own = {kind: workflow.nodes.get(f"{key} {title}") for key, (kind, _) in FOR_INPUT.items() if kind in classes}
    said = {}
    nodes = {"LoadVGGFeatures": workflow.nodes[transfer.inputs["vgg"][0]], transfer.type: transfer, **own}
    for kind, node in nodes.items():
        types = classes[kind].INPUT_TYPES()
        for key, entry in {**types["required"], **types.get("optional", {})}.items():
            if key in compared(workflow):
                value = node.inputs.get(key, default_of(entry)) if node else default_of(entry)
                said[key] = f"of the {title_of(value[0]).lower()}" if isinstance(value, tuple) else shown(value)
    # What `compare` calls the size in Compute Style Grams.
    said["style_size"] = shown(workflow.nodes[transfer.inputs["style_grams"][0]].inputs["size"])
    return ", ".join(f"`{key}` {said[key]}" for key in compared(workflow))


def compared(workflow: Workflow) -> list[str]:
    """The settings that variants change, in their own nodes as well."""
    keys = [
        key
        for differing in workflow.variants.values()
        for name, value in differing.items()
        for key in (value if isinstance(value, dict) else [name])
    ]
    return list(dict.fromkeys(keys))


def write_page(classes: Mapping[str, Any]) -> None:
    text = page(classes)
    GALLERY.mkdir(parents=True, exist_ok=True)
    (DOCS / "gallery.md").write_text(text, encoding="utf-8")
    for file in GALLERY.iterdir():  # of workflows or variants that are gone
        if f"({file.relative_to(DOCS).as_posix()})" not in text:
            file.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--page", action="store_true", help="run nothing")
    given = parser.parse_args()
    if unknown := set(given.names) - {called(workflow) for workflow in TEMPLATES}:
        parser.error(f"no workflow is called {', '.join(sorted(unknown))}")
    pack = load_pack()
    for workflow in TEMPLATES:
        if not given.page and called(workflow) in (given.names or [called(workflow)]):
            run(workflow, pack)
    write_page(pack.NODE_CLASS_MAPPINGS)


if __name__ == "__main__":
    main()
