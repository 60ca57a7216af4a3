"""Runs of recipes beside those of programs: on the same weights and pictures, and by how much they differ."""

import seed_programs
import torch

import nst_engine as nst

TERMS = ("total", "content", "style")
HEIGHT, WIDTH = 128, 96


class Weights:
    """One weights file, as torchvision's module for the programs and as a path for the engine."""

    def __init__(self, path, state):
        torch.save(state, path)
        self.features = seed_programs.vgg19_features(state)
        self.vgg = nst.load_vgg(str(path), precision="fp32", device="cpu")


def pictures(height=HEIGHT, width=WIDTH):
    return seed_programs.content_picture(height, width), seed_programs.style_picture(height, width)


def mid_tones():
    """L-BFGS is chaotic, the more so the more often the clamp cuts in: on pictures that touch neither 0 nor 1, rounding
    alone moves evaluation 60 by less than 3 % (up to 6000 % on the others), and the clamp still acts on some."""
    return tuple(0.2 + 0.6 * picture for picture in pictures())


def differences(ours, theirs):
    """Per term, each evaluation's relative difference.

    Near a term's zero (content, at the start) it is relative to a thousandth of the most that the term ever reaches.
    """
    result = {}
    for term in TERMS:
        reached = max(abs(entry[term]) for entry in theirs)
        result[term] = [
            abs(float(getattr(mine, term)) - entry[term]) / max(abs(entry[term]), 1e-3 * reached, 1e-30)
            for mine, entry in zip(ours, theirs, strict=True)
        ]
    return result


def report(record_property, label, found):
    worst = {term: max(values) for term, values in found.items()}
    print(f"\n{label}: worst relative difference " + ", ".join(f"{term} {value:.1e}" for term, value in worst.items()))
    for term, value in worst.items():
        record_property(f"{label} {term}", value)
    return worst
