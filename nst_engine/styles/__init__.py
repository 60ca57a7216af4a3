"""Styles: the statistics of one picture or several, blended, given a part of the picture, saved and loaded."""
