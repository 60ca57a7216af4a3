"""Draw the example pictures of the pack, and masks of two of them: python tools/draw_examples.py [folder] [name ...]"""

import sys
from pathlib import Path

import numpy as np
from example_pictures import PICTURES
from example_pictures.canvas import save


def main(folder=Path(__file__).parents[1] / "nodes" / "examples", *names):
    Path(folder).mkdir(parents=True, exist_ok=True)
    for seed, (name, draw) in enumerate(PICTURES.items(), 11):
        if not names or name in names:
            drawn = draw(np.random.default_rng(seed))
            save(folder, name, *(drawn if isinstance(drawn, tuple) else (drawn,)))


if __name__ == "__main__":
    main(*sys.argv[1:])
