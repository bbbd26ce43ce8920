"""Prediction and truth in, scores out."""

from segmetry.evaluate.instances import Matches, average_precision, match

__all__ = ["Matches", "average_precision", "match"]
