"""What became of every object: found, split, merged, missed or invented, and how far its contour is off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.evaluate.by_class import check_spacing
from segmetry.evaluate.instances import Overlaps, object_overlaps
from segmetry.evaluate.overlap import contingency
from segmetry.evaluate.pair import Pair, check_pair
from segmetry.evaluate.surface import surface_distances
from segmetry.measure.labelling import relabel

if TYPE_CHECKING:
    import pandas as pd

OUTCOMES = ("found", "split", "merged", "missed", "invented")
"""What can become of an object; the last is said of predicted objects, the others of true ones."""

_FOUND, _SPLIT, _MERGED, _MISSED, _INVENTED = range(len(OUTCOMES))


def object_outcomes(
    truth: Any,
    prediction: Any,
    *,
    ignore: int | np.ndarray | None = None,
    spacing: Sequence[float] | None = None,
) -> pd.DataFrame:
    """Return one row for every true object, and after them one for every invented object.

    Parameters
    ----------
    truth, prediction : arrays of int, one shape, 2D or 3D
        Label images; 0 is background.
    ignore : int or bool array, optional
        What is not to be judged: a value of the truth, or a mask that is True there.
    spacing : sequence of float, optional
        Length of a pixel along each axis; 1 by default.

    Returns
    -------
    table : DataFrame
        ``truth`` and ``prediction`` are labels: beside an object that was found its partner, else the object that
        overlaps it most, 0 where there is none (``truth`` is 0 in every row of an invented object). ``iou`` is the
        overlap of the two, 0 where one is missing. ``outcome`` is one of `OUTCOMES`. ``boundary_distance`` is the mean
        distance of the two contours to each other, in the unit of `spacing`, of objects that were found; else nan.
        ``truth_area`` and ``prediction_area`` are the judged pixels of the two times the area (volume) of a pixel.

    Raises
    ------
    ShapeMismatchError, LabelError
        As `check_pair` says.
    CalibrationError
        If a spacing is not positive and finite.

    Notes
    -----
    The first of these that holds is the outcome of a true object:

    - found: it has a partner with IoU >= .5, each object in one pair at most (as in `score_instances`);
    - split: two or more predicted objects lie in it with more than half of their pixels;
    - merged: more than half of it lies in a predicted object that holds more than half of another true one too;
    - missed: none of these.

    A predicted object without a partner is invented, unless a row that says split or merged accounts for it. So there
    may be fewer invented objects than false positives, and fewer split ones than `score_instances` counts: there an
    object that was found can have been split, too. Objects more than half of which is ignored have a row only where
    they were found.

    The distance of contours is the mean surface distance of `surface_scores` for the two objects alone.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 2, 2, 2, 2, 0]])
    >>> table = object_outcomes(truth, np.array([[8, 8, 0, 5, 5, 6, 0, 7]]))
    >>> table[["truth", "prediction", "iou", "outcome"]]
       truth  prediction  iou   outcome
    0      1           8  1.0     found
    1      2           5  0.5     found
    2      0           6  0.0  invented
    3      0           7  0.0  invented
    """
    import pandas as pd

    pair = check_pair(truth, prediction, ignore=ignore)
    lengths = check_spacing(spacing, pair.truth.ndim)
    pairs = object_overlaps(contingency(pair.truth, pair.prediction, ignore=pair.ignored))
    rows, columns, iou, outcome = _fates(pairs)
    distance = np.full(rows.size, math.nan)
    found = np.flatnonzero(outcome == _FOUND)
    distance[found] = _contour_distances(pair, pairs, rows[found], columns[found], lengths)
    area = math.prod(lengths)
    invented = outcome == _INVENTED
    nobody = np.where(invented, -1, rows)
    return pd.DataFrame(
        {
            "truth": _looked_up(pairs.truth.labels, nobody),
            "prediction": _looked_up(pairs.prediction.labels, columns),
            "iou": np.where(invented, 0.0, iou),
            "outcome": np.array(OUTCOMES, dtype=object)[outcome],
            "boundary_distance": distance,
            "truth_area": _looked_up(pairs.truth.size, nobody) * area,
            "prediction_area": _looked_up(pairs.prediction.size, columns) * area,
        }
    )


def _looked_up(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return values[at], and 0 where at is -1."""
    return np.append(values, 0)[at].astype(np.int64)


def _fates(pairs: Overlaps) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the row, the column (-1: none), the overlap and the place in `OUTCOMES` of every line of the table."""
    n_truth, n_prediction = pairs.truth.labels.size, pairs.prediction.labels.size
    partner, best = np.full(n_truth, -1), np.zeros(n_truth)
    rising = np.argsort(pairs.iou, kind="stable")
    partner[pairs.row[rising]], best[pairs.row[rising]] = pairs.column[rising], pairs.iou[rising]
    hit = pairs.matched(0.5)
    partner[pairs.row[hit]], best[pairs.row[hit]] = pairs.column[hit], pairs.iou[hit]

    inside, held = pairs.parts()
    mostly_in_truth = 2 * pairs.shared > pairs.prediction.size[pairs.column]
    mostly_in_prediction = 2 * pairs.shared > pairs.truth.size[pairs.row]
    joined = mostly_in_prediction & (held[pairs.column] >= 2)
    outcome = np.full(n_truth, _MISSED)
    outcome[pairs.row[joined]] = _MERGED
    outcome[inside >= 2] = _SPLIT
    outcome[pairs.row[hit]] = _FOUND

    told = np.zeros(n_prediction, np.bool_)
    told[pairs.column[hit]] = True
    told[pairs.column[mostly_in_truth & (outcome[pairs.row] == _SPLIT)]] = True
    told[pairs.column[joined]] = True
    judged = np.flatnonzero(~pairs.truth.excused | (outcome == _FOUND))
    invented = np.flatnonzero(~told & ~pairs.prediction.excused)
    return (
        np.append(judged, np.full(invented.size, -1)),
        np.append(partner[judged], invented),
        np.append(best[judged], np.zeros(invented.size)),
        np.append(outcome[judged], np.full(invented.size, _INVENTED)),
    )


def _contour_distances(
    pair: Pair, pairs: Overlaps, rows: np.ndarray, columns: np.ndarray, lengths: tuple[float, ...]
) -> np.ndarray:
    """Return the mean surface distance of some pairs of objects, each looked at in its own box."""
    from scipy.ndimage import find_objects

    if not rows.size:
        return np.zeros(0)
    numbered = []
    for labels, objects in ((pair.truth, pairs.truth), (pair.prediction, pairs.prediction)):
        judged = labels if pair.ignored is None else np.where(pair.ignored, 0, labels)
        dense = objects.labels.size and objects.labels[-1] == objects.labels.size
        numbered.append(judged if dense else relabel(judged))
    boxes = [find_objects(labels) for labels in numbered]
    found = np.empty(rows.size)
    for i, (row, column) in enumerate(zip(rows, columns)):
        both = zip(boxes[0][row], boxes[1][column])
        # A margin of one pixel where the image has one: there the contour lies, but not at the frame.
        box = tuple(slice(max(min(a.start, b.start) - 1, 0), max(a.stop, b.stop) + 1) for a, b in both)
        masks = (numbered[0][box] == row + 1, numbered[1][box] == column + 1)
        ignored = None if pair.ignored is None else pair.ignored[box]
        found[i] = surface_distances(*masks, spacing=lengths, ignore=ignored).mean
    return found
