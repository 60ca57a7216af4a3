"""The gallery: a page that is up to date, and pictures that are there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image
from tool_modules import load_tool

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def gallery():
    return load_tool("make_gallery")


@pytest.fixture
def text():
    return (DOCS / "gallery.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_script_writes(pack, gallery, text):
    assert gallery.page(pack.NODE_CLASS_MAPPINGS) == text, "python tools/make_gallery.py --page"


def test_every_template_is_shown(gallery, text):
    for workflow in (w for w in gallery.TEMPLATES if w.name):
        section = text.partition(f"\n## {workflow.name}\n")[2].partition("\n## ")[0]
        assert "![" in section and "<img" in section, workflow.name


def test_what_the_page_links_to_is_there(text):
    links = re.findall(r'\]\(([^)#][^)]*)\)|src="([^"]+)"', text)
    files = {DOCS / unquote(link or source) for link, source in links if "://" not in link}
    assert len(files) > 10
    for file in files:
        assert file.is_file(), file
    assert set((DOCS / "gallery").iterdir()) <= files, "pictures that nothing shows"


def test_headings_are_those_that_are_linked_to(text):
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) == set(re.findall(r"^## (.*)$", text, re.MULTILINE))


def test_a_comparison_says_what_is_different(text):
    section = text.partition("\n## padding\n")[2].partition("\n## ")[0]
    assert "| zeros | replicate | reflect |" in section
    assert "| `padding` zeros | `padding` replicate | `padding` reflect |" in section
    assert "`steps` 45" in section and section.count("`padding`") == 3


def test_every_variant_says_what_it_has_of_what_is_compared(pack, gallery):
    variants = [("a", {"style_weight": 3.0}), ("b", {"layer_weights": {"content_layers": "relu3_1"}})]
    workflow = load_tool("graphs").compare("try", "", "content-landscape", "style-strokes", variants)
    said = [gallery.compared_values(workflow, title, pack.NODE_CLASS_MAPPINGS) for title, _ in variants]
    assert said == ["`style_weight` 3, `content_layers` –", "`style_weight` 1, `content_layers` relu3_1"]


def test_pictures_are_modest():
    for file in (DOCS / "gallery").iterdir():
        with Image.open(file) as picture:
            assert picture.format == "JPEG" and max(picture.size) <= 512, file.name
    assert sum(file.stat().st_size for file in (DOCS / "gallery").iterdir()) < 6e6


def test_a_run_keeps_its_pictures_and_makes_the_thumbnail(pack, gallery, monkeypatch, tmp_path):
    monkeypatch.setattr(gallery, "GALLERY", tmp_path / "docs")
    monkeypatch.setattr(gallery, "canvas_path", lambda workflow: tmp_path / f"{workflow.name}.json")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "padding-zeros_2.jpg").write_bytes(b"of an earlier run that made two")
    workflow = next(w for w in gallery.TEMPLATES if w.name == "padding")
    for node in workflow.nodes.values():
        small = {"NeuralStyleTransfer": {"size": 48, "steps": 1}, "ComputeStyleGrams": {"size": 48}}.get(node.type, {})
        for key, value in small.items():
            monkeypatch.setitem(node.inputs, key, value)
    gallery.run(workflow, pack)
    kept = {file.name for file in (tmp_path / "docs").iterdir()}
    assert kept == {"padding-zeros.jpg", "padding-replicate.jpg", "padding-reflect.jpg"}
    with Image.open(tmp_path / "padding.jpg") as sheet:
        assert sheet.size == (480, 320)


def test_which_method_when_shows_the_pictures_that_are_there():
    methods, text = load_tool("make_methods"), (DOCS / "methods.md").read_text(encoding="utf-8")
    assert methods.page(text) == text, "python tools/make_methods.py --page"
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (DOCS / unquote(link)).is_file(), link


def test_the_sheet_of_recipes_has_a_cell_for_each():
    methods, recipes = load_tool("make_methods"), load_tool("make_recipes")
    rows = -(-(2 + len(recipes.METHODS)) // methods.COLUMNS)
    with Image.open(methods.EXAMPLES / f"content-{recipes.PAIR[0]}.jpg") as content, Image.open(recipes.SHEET) as sheet:
        height = round(methods.SIZE * content.height / content.width)
        assert sheet.size == (methods.COLUMNS * methods.SIZE, rows * height)
