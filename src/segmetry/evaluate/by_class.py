"""What scores of boundaries, surfaces and topology are asked for: lengths, and one class after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from segmetry.errors import CalibrationError, OptionError
from segmetry.evaluate.pair import Pair
from segmetry.evaluate.ratios import mean_over

# Two lengths that differ by less than this share are one: a tolerance of 0.3 nm reaches three pixels of 0.1 nm.
SLACK = 1e-9


def check_tolerance(tolerance: float) -> float:
    """Return a tolerance that is a length, or raise OptionError."""
    if not 0 <= tolerance < math.inf:
        raise OptionError(f"tolerance must be a length >= 0, got {tolerance}.")
    return float(tolerance)


def check_spacing(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """Return the lengths of a pixel along each axis, 1 by default, or raise CalibrationError."""
    if spacing is None:
        return (1.0,) * ndim
    lengths = tuple(float(length) for length in spacing)
    if len(lengths) != ndim or not all(0 < length < math.inf for length in lengths):
        raise CalibrationError(
            f"spacing needs one positive, finite length for each of the {ndim} axes, got {lengths}; "
            "leave it out to measure in pixels."
        )
    return lengths


def chosen_classes(pair: Pair, classes: Sequence[int] | None) -> tuple[int, ...]:
    """Return the classes to judge: those named, else all of the truth except 0, else of the prediction, else 1."""
    if classes is not None:
        named = tuple(int(value) for value in classes)
        if not named or min(named) < 0 or len(set(named)) < len(named):
            raise OptionError(f"classes are different labels >= 0, at least one, got {list(classes)}.")
        return named
    for labels in (pair.truth, pair.prediction):
        seen = (labels if pair.ignored is None else labels[~pair.ignored]).ravel()
        high = int(seen.max(initial=0))
        if high > 1:
            found = np.flatnonzero(_present(seen, high)) if high < 2**24 else np.unique(seen)
            return tuple(int(value) for value in found if value > 0)
        if high:
            return (1,)
    return (1,)


def class_means(
    scores: dict[str, np.ndarray], in_truth: np.ndarray, in_prediction: np.ndarray
) -> dict[str, np.ndarray]:
    """Return means over the last axis: over classes of the truth, or of the prediction where the truth has none."""
    counted = np.where(in_truth.any(-1, keepdims=True), in_truth, in_prediction)
    return {name: mean_over(np.where(counted, value, np.nan)) for name, value in scores.items()}


@njit(cache=True, nogil=True)
def _present(values, high):
    present = np.zeros(high + 1, np.bool_)
    for value in values:
        present[value] = True
    return present
