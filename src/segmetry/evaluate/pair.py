"""Truth and prediction, laid on each other: the one door that every score goes through."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from segmetry.errors import LabelError, OptionError, ShapeMismatchError
from segmetry.measure.labelling import relabel


class Pair(NamedTuple):
    """Two label images of one shape, and what is not to be judged.

    ``truth`` and ``prediction`` are contiguous int32; ``ignored`` is a bool array of their shape, or None.
    """

    truth: np.ndarray
    prediction: np.ndarray
    ignored: np.ndarray | None


def check_pair(truth: Any, prediction: Any, *, ignore: int | np.ndarray | None = None) -> Pair:
    """Return two label images ready to be compared.

    Parameters
    ----------
    truth, prediction : arrays of int or bool, one shape, 2D or 3D
        Label images (classes or objects); a mask counts as label 1. Gaps in the numbers do not matter.
    ignore : int or bool array, optional
        What is not to be judged: a value of the truth (255 and -1 are usual), or a mask that is True there.

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.
    LabelError
        If a value is negative (but for the ignored one) or not a whole number, or there are no pixels.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ShapeMismatchError(
            f"truth is {truth.shape} but prediction is {prediction.shape}; "
            "undo the resizing of the prediction, or crop both to the same window."
        )
    if truth.ndim not in (2, 3):
        raise LabelError(f"truth and prediction have 2 or 3 axes, got arrays of shape {truth.shape}.")
    if not truth.size:
        raise LabelError(f"truth and prediction hold no pixels, their shape is {truth.shape}.")
    ignored = _ignored(truth, ignore)
    if ignored is not None and not isinstance(ignore, np.ndarray):
        truth = np.where(ignored, truth.dtype.type(0), truth)
    return Pair(_as_int32(truth, "truth"), _as_int32(prediction, "prediction"), ignored)


def _ignored(truth: np.ndarray, ignore: int | np.ndarray | None) -> np.ndarray | None:
    if ignore is None:
        return None
    if not isinstance(ignore, np.ndarray):
        if isinstance(ignore, bool) or int(ignore) != ignore:
            raise OptionError(f"ignore is a label of the truth or a mask, got {ignore!r}.")
        mask = truth == ignore
    else:
        mask = ignore
        if mask.shape != truth.shape:
            raise ShapeMismatchError(f"the mask of ignored pixels is {mask.shape}, the truth {truth.shape}.")
        if mask.dtype != np.bool_:
            raise LabelError(f"the mask of ignored pixels must be bool, got {mask.dtype}.")
    return np.ascontiguousarray(mask) if mask.any() else None


def _as_int32(labels: np.ndarray, name: str) -> np.ndarray:
    if labels.dtype == np.bool_:
        return np.ascontiguousarray(labels).view(np.uint8).astype(np.int32)
    if labels.dtype.kind not in "iu":
        raise LabelError(f"{name} holds {labels.dtype}; labels are whole numbers, use labels.astype('int32').")
    if labels.dtype.kind == "i" and labels.min() < 0:
        raise LabelError(
            f"{name} holds the label {labels.min()}; labels must be >= 0, and 0 is background. "
            "Name a value that means 'not judged' with ignore."
        )
    if labels.dtype.itemsize >= 4 and labels.dtype != np.int32 and labels.max() > np.iinfo(np.int32).max:
        labels = relabel(labels)
    return np.ascontiguousarray(labels, dtype=np.int32)
