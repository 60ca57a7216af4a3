"""docs/recipes.jpg: one pair through every recipe, with all the steps that were published.

python tools/make_recipes.py           makes all of them, which takes most of an hour on two cores
python tools/make_recipes.py NAME ...  makes these, and keeps the rest of the sheet
"""

from __future__ import annotations

import argparse

from make_methods import DOCS, sheet
from PIL import Image

import nst_engine as nst

PAIR = ("landscape", "strokes")
METHODS = tuple((name, {"recipe": name}) for name in nst.RECIPES)
SHEET = DOCS / "recipes.jpg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args()
    if unknown := set(given.names) - set(nst.RECIPES):
        parser.error(f"no recipe is called {', '.join(sorted(unknown))}")
    old = Image.open(SHEET) if given.names and SHEET.exists() else None
    sheet(*PAIR, METHODS, old, given.names).save(SHEET, quality=85, optimize=True)


if __name__ == "__main__":
    main()
