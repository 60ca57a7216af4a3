"""From a start to a picture. `levels` plans the sizes of coarse-to-fine, `starts` makes the first picture, `optim` has
the optimisers, `loop` goes through it all and `progress` tells of every step. `evaluator` computes the objective again
by smaller tiles where memory runs out. `stylize.py` is what calls it."""
