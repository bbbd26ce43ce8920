"""Matching and average precision against counts by hand and a search over all matchings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segmetry.errors import LabelError, OptionError, ShapeMismatchError
from segmetry.evaluate import average_precision, match


def _all_matchings(truth, prediction, threshold):
    """Return (number of pairs, total IoU) of the best matching by trying every one."""
    ts, ps = np.unique(truth[truth > 0]), np.unique(prediction[prediction > 0])
    iou = np.array([[((truth == t) & (prediction == p)).sum() / ((truth == t) | (prediction == p)).sum() for p in ps]
                    for t in ts]).reshape(len(ts), len(ps))  # fmt: skip
    if len(ts) > len(ps):
        iou = iou.T
    best = (0, 0.0)
    for order in itertools.permutations(range(iou.shape[1]), iou.shape[0]):
        hit = [iou[i, j] for i, j in enumerate(order) if iou[i, j] >= threshold]
        best = max(best, (len(hit), round(sum(hit), 9)))
    return best


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.75])
def test_matching_is_the_best_of_all(seed, threshold):
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 5, (4, 4)), np.ones((2, 2), int))
    prediction = np.where(rng.random(truth.shape) < 0.3, rng.integers(0, 5, truth.shape), truth * 3)
    found = match(truth, prediction, threshold=threshold)
    assert len(set(found.truth)) == len(found.truth)
    assert len(set(found.prediction)) == len(found.prediction)
    n, total = _all_matchings(truth, prediction, threshold)
    assert (len(found.iou), round(found.iou.sum(), 9)) == (n, pytest.approx(total))
    n_all = found.n_truth + found.n_prediction
    assert average_precision(truth, prediction, threshold) == pytest.approx(n / (n_all - n))


def test_average_precision_counted_on_paper():
    truth = np.array([[1, 1, 1, 0, 2, 2], [1, 1, 1, 0, 2, 2], [3, 0, 0, 0, 0, 0]])
    # 1 found with 5 of 6 pixels (IoU 5/6), 2 found with 2 of 4 (0.5), 3 missed, one invented.
    prediction = np.array([[4, 4, 4, 0, 0, 9], [4, 4, 0, 0, 0, 9], [0, 0, 7, 7, 0, 0]])
    ap = average_precision(truth, prediction, (0.5, 0.75, 0.9))
    assert ap == pytest.approx([2 / (3 + 3 - 2), 1 / 5, 0])


def test_average_precision_laws():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, (2, 30, 30))
    levels = np.arange(0.05, 1, 0.05)
    assert average_precision(a, b, levels) == pytest.approx(average_precision(b, a, levels))
    assert average_precision(a, a, levels) == pytest.approx(np.ones(len(levels)))
    renamed = np.array([0, 40, 3, 900, 7, 12])[b]
    assert average_precision(a, renamed, levels) == pytest.approx(average_precision(a, b, levels))
    assert (np.diff(average_precision(a, b, levels)) <= 0).all()


def test_empty_images():
    nothing, one = np.zeros((3, 3), np.int32), np.eye(3, dtype=np.int32)
    assert average_precision(nothing, nothing, 0.5) == [1.0]
    assert average_precision(one, nothing, 0.5) == [0.0]
    assert average_precision(nothing, one, 0.5) == [0.0]


def test_bad_input_has_one_clear_line():
    with pytest.raises(ShapeMismatchError, match="undo the resizing"):
        match(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(LabelError, match="whole numbers"):
        match(np.zeros((2, 2)), np.zeros((2, 2), int))
    with pytest.raises(LabelError, match=">= 0"):
        match(np.full((2, 2), -1), np.zeros((2, 2), int))
    with pytest.raises(OptionError, match="threshold"):
        match(np.zeros((2, 2), int), np.zeros((2, 2), int), threshold=0)
