"""Draws a soak's table: python tests/attack/plot_soak.py soak.csv soak.png"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

COLUMNS = ("prompt", "seconds", "memory in MB", "threads", "open files")
WIDTH, PANEL, MARGIN = 900, 190, 60
PAPER, GRID, TEXT, LINES = "#ffffff", "#dddddd", "#333333", ("#d1495b", "#2e86ab", "#3f7d20")


def draw(table: Path, picture: Path) -> None:
    """Memory, threads and open files over the prompts: a panel each, from zero, so that growth has its proportion."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = [[float(value) for value in row] for row in list(csv.reader(file))[1:]]
    image = Image.new("RGB", (WIDTH, 3 * PANEL + MARGIN), PAPER)
    paint, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    most = max(row[0] for row in rows) or 1

    for panel, color in enumerate(LINES):
        values = [row[2 + panel] for row in rows]
        top, bottom = panel * PANEL + 40, (panel + 1) * PANEL - 10
        high = max(values) * 1.1 or 1

        def at(prompt: float, value: float, bottom: int = bottom, top: int = top, high: float = high):
            return MARGIN + prompt / most * (WIDTH - 2 * MARGIN), bottom - value / high * (bottom - top)

        for share in (0, 0.5, 1):
            y = at(0, share * high)[1]
            paint.line((MARGIN, y, WIDTH - MARGIN, y), GRID)
            paint.text((MARGIN - 8, y), f"{share * high:.0f}", TEXT, font, anchor="rm")
        paint.line([at(row[0], value) for row, value in zip(rows, values, strict=True)], color, 2)
        spread = f"{COLUMNS[2 + panel]}: {values[0]:.0f} at first, {min(values):.0f} to {max(values):.0f}"
        paint.text((MARGIN, top - 22), f"{spread}, {values[-1]:.0f} at the end", color, font)
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = MARGIN + share * (WIDTH - 2 * MARGIN)
        paint.text((x, 3 * PANEL + 8), f"{share * most:.0f}", TEXT, font, anchor="mt")
    paint.text((WIDTH / 2, 3 * PANEL + 32), f"prompts, in {rows[-1][1]:.0f} s", TEXT, font, anchor="mt")
    image.save(picture)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
