"""Write the last part of every help page, its inputs and outputs, from what the nodes and the locales say of them.

python tools/make_help_inputs.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from make_workflows import ROOT, load_pack

DOCS = ROOT / "nodes" / "web" / "docs"
LOCALES = ROOT / "locales"
HEADINGS = {
    "en": ("## Inputs", "## Outputs"),
    "zh": ("## 输入", "## 输出"),
    "ja": ("## 入力", "## 出力"),
    "fr": ("## Entrées", "## Sorties"),
}
COLON = {"en": ": ", "zh": "：", "ja": "：", "fr": " : "}


def words(language: str) -> dict[str, Any]:
    return json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))


def inputs_of(kind: Any) -> dict[str, tuple]:
    table = kind.INPUT_TYPES()
    return {**table["required"], **table.get("optional", {})}


def tail(kind: Any, language: str) -> str:
    """Inputs and outputs as a page lists them."""
    told = words(language)[kind.__name__]
    inputs, outputs = HEADINGS[language]
    lines = [inputs, ""]
    for name, (_, options) in inputs_of(kind).items():
        own = told["inputs"][name]
        lines.append(f"- **{own['name']}** (`{name}`){COLON[language]}{own.get('tooltip', options['tooltip'])}")
    lines += ["", outputs, ""]
    for number, (name, tooltip) in enumerate(zip(kind.RETURN_NAMES, kind.OUTPUT_TOOLTIPS, strict=True)):
        own = told["outputs"][str(number)]
        lines.append(f"- **{own['name']}** (`{name}`){COLON[language]}{own.get('tooltip', tooltip)}")
    return "\n".join(lines) + "\n"


def pages() -> list[tuple[Path, str, str]]:
    """Every page with its node and language."""
    plain = [(file, file.stem, "en") for file in sorted(DOCS.glob("*.md"))]
    return plain + [(file, file.parent.name, file.stem) for file in sorted(DOCS.glob("*/*.md"))]


def written(text: str, kind: Any, language: str) -> str:
    return text[: text.index(f"\n{HEADINGS[language][0]}\n") + 1] + tail(kind, language)


def main() -> None:
    kinds = load_pack().NODE_CLASS_MAPPINGS
    for file, node, language in pages():
        file.write_text(written(file.read_text(encoding="utf-8"), kinds[node], language), encoding="utf-8")


if __name__ == "__main__":
    main()
