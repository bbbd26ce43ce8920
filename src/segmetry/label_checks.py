"""What people hand over as labels by mistake: other shapes, masks for objects, scores for classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segmetry.errors import ReadError, ShapeMismatchError
from segmetry.evaluate.judgement import Rules

MANY_CLASSES = 50
"""More values than this are no classes, unless they are named."""


def check_shapes(prediction: np.ndarray, truth: np.ndarray, path: Path, truth_path: Path) -> None:
    """Refuse two label images that do not cover one another.

    Raises
    ------
    ShapeMismatchError
        With the mend that the shapes suggest.
    """
    a, b = prediction.shape, truth.shape
    if a == b:
        return
    if len(a) != len(b):
        mend = "one has an axis more; save one number for each pixel (of a layer for each class, the largest: argmax)"
    elif a == b[::-1]:
        mend = "rows and columns seem swapped; transpose one of them"
    else:
        mend = "undo the resizing of the prediction, or crop both to the same window"
    raise ShapeMismatchError(f"{path} is {a} but its truth {truth_path} is {b}; {mend}.")


def check_classes(values: np.ndarray, path: Path, rules: Rules) -> None:
    """Refuse an image with more values than there are ever classes: every class costs time, and says nothing.

    Raises
    ------
    ReadError
        If labels are classes without names and hold more than `MANY_CLASSES` values.
    """
    if rules.kind != "semantic" or rules.classes:
        return
    if (n := len(np.unique(values))) > MANY_CLASSES:
        raise ReadError(
            f"{path}: holds {n} different values, too many for classes; are they scores (--threshold 128), "
            "or objects (--kind instance)? If classes, name them with --classes."
        )


def check_two_classes(truth: np.ndarray, path: Path, truth_path: Path, ignore: int | None) -> None:
    """Refuse a probability beside a truth of more than background and one class.

    Raises
    ------
    ReadError
        If the truth has more.
    """
    classes = np.setdiff1d(np.unique(truth), [0] if ignore is None else [0, ignore])
    if len(classes) > 1:
        raise ReadError(
            f"{path}: holds a score, which is of one class, but its truth {truth_path} has {len(classes)} besides "
            "background; save the most likely class of each pixel instead, or make the truth a mask."
        )


def mask_note(labels: np.ndarray, what: str) -> str | None:
    """Return a warning where objects are expected and all share one number, or are far more pieces than numbers.

    Parameters
    ----------
    labels : (M, N) or (P, M, N) array of int
    what : str
        ``"prediction"`` or ``"truth"``.
    """
    import cc3d

    from segmetry.measure import relabel

    dense = relabel(labels)
    n = int(dense.max(initial=0))
    if not 0 < n <= 255:  # a mask, or a picture of 8 bits
        return None
    pieces = int(cc3d.connected_components(dense, connectivity=26 if labels.ndim == 3 else 8).max())
    if pieces < (4 if n == 1 else 20 * n):  # an object may lie in several pieces
        return None
    have = "a mask, not objects: all pieces have" if n == 1 else "a picture, not objects: scattered pixels have"
    return (
        f"WARNING: the {what} seems to be {have} one number; give each object a number of its own, or judge pixels "
        "with --kind semantic."
    )
