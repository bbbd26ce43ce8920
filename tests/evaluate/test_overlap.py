"""Counts of label pairs: by hand, against a dictionary filled pixel by pixel, and for every kind of label image."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from segmetry.errors import LabelError, ShapeMismatchError
from segmetry.evaluate.overlap import contingency


def pairs_of(table):
    return dict(zip(zip(table.truth.tolist(), table.prediction.tolist()), table.count.tolist()))


def pixel_by_pixel(truth, prediction, ignored=None):
    keep = np.ones(truth.shape, bool) if ignored is None else ~ignored
    return dict(Counter(zip(truth[keep].tolist(), prediction[keep].tolist())))


def test_counted_on_paper():
    truth = np.array([[1, 1, 1, 0], [1, 2, 2, 0], [0, 2, 2, 0]])
    prediction = np.array([[7, 7, 0, 0], [7, 7, 9, 9], [0, 9, 9, 0]])
    table = contingency(truth, prediction)
    assert pairs_of(table) == {(0, 0): 3, (0, 9): 1, (1, 0): 1, (1, 7): 3, (2, 7): 1, (2, 9): 3}
    assert table.truth_labels.tolist() == [0, 1, 2]
    assert table.truth_sizes.tolist() == [4, 4, 4]
    assert table.prediction_labels.tolist() == [0, 7, 9]
    assert table.prediction_sizes.tolist() == [4, 4, 4]
    assert table.n_pixels == 12
    assert table.ignored is None


def random_blocks(rng, shape, high):
    """Labels in runs of all lengths, so that words of 64 pixels begin and end everywhere within them."""
    flat = np.repeat(rng.integers(0, high, 4000), rng.integers(1, 90, 4000))
    return flat[: int(np.prod(shape))].reshape(shape)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 64), (1, 65), (5, 13), (63, 64), (129, 257), (3, 40, 41)])
@pytest.mark.parametrize("high", [2, 40, 100_000, 2**31])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_counting_pixel_by_pixel(shape, high, masked):
    rng = np.random.default_rng(len(shape) * high + shape[-1])
    truth, prediction = random_blocks(rng, shape, high), random_blocks(rng, shape, high)
    ignored = random_blocks(rng, shape, 2) > 0 if masked else None
    for kind in (np.int64, np.int32):
        table = contingency(truth.astype(kind), prediction.astype(kind), ignore=ignored)
        assert pairs_of(table) == pixel_by_pixel(truth, prediction, ignored)
        if masked and ignored.any():
            assert pairs_of(table.ignored) == pixel_by_pixel(truth, prediction, ~ignored)
        key = table.truth.astype(np.int64) * 2**32 + table.prediction
        assert (np.diff(key) > 0).all()


def test_every_pixel_its_own_pair():
    """The table grows: a million pairs, no run longer than one pixel."""
    truth = np.arange(1_000_000, dtype=np.int32).reshape(1000, 1000)
    prediction = truth[::-1, ::-1].copy()
    table = contingency(truth, prediction)
    assert np.array_equal(table.truth, np.arange(1_000_000))
    assert np.array_equal(table.prediction, np.arange(1_000_000)[::-1])
    assert (table.count == 1).all()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "uint32", "int64", "uint64", ">i4"])
def test_any_dtype(dtype):
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 2, (2, 9, 70)).astype(dtype)
    assert pairs_of(contingency(truth, prediction)) == pixel_by_pixel(truth.astype(int), prediction.astype(int))


def test_any_layout():
    rng = np.random.default_rng(1)
    truth, prediction = rng.integers(0, 5, (2, 60, 80)).astype(np.int32)
    for view in (np.s_[::2, ::3], np.s_[::-1], np.s_[:, 7:]):
        assert pairs_of(contingency(truth[view], prediction[view])) == pixel_by_pixel(truth[view], prediction[view])
    assert pairs_of(contingency(truth.T, prediction.T)) == pixel_by_pixel(truth, prediction)


def test_ignored_value_of_the_truth():
    truth = np.array([[1, 255, 255], [0, 1, 2]])
    prediction = np.array([[1, 1, 3], [0, 1, 1]])
    table = contingency(truth, prediction, ignore=255)
    assert pairs_of(table) == {(0, 0): 1, (1, 1): 2, (2, 1): 1}
    assert pairs_of(table.ignored) == {(0, 1): 1, (0, 3): 1}
    assert contingency(truth, prediction, ignore=77).ignored is None


def test_everything_ignored():
    table = contingency(np.ones((2, 2), int), np.ones((2, 2), int), ignore=np.ones((2, 2), bool))
    assert (table.n_pixels, table.truth_labels.size, table.dense(2).sum()) == (0, 0, 0)


def test_dense_table_of_classes():
    truth, prediction = np.array([[0, 1, 1, 3]]), np.array([[0, 1, 0, 1]])
    assert contingency(truth, prediction).dense(4).tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    with pytest.raises(LabelError, match="class 3; with 3 classes"):
        contingency(truth, prediction).dense(3)


def test_does_not_write_to_its_input():
    truth = np.array([[1, 255, 0]], np.int32)
    truth.flags.writeable = False
    contingency(truth, truth)
    contingency(truth, truth, ignore=255)


@pytest.mark.parametrize("bad", [-1, -(2**31)])
@pytest.mark.parametrize("first", [True, False])
def test_negative_labels_are_refused(bad, first):
    low, fine = np.zeros((4, 100), np.int32), np.zeros((4, 100), np.int32)
    low[2, 50] = bad
    with pytest.raises(LabelError, match=">= 0"):
        contingency(*((low, fine) if first else (fine, low)))
    with pytest.raises(LabelError, match=">= 0"):
        contingency(low, low)


def test_bad_input_has_one_clear_line():
    with pytest.raises(ShapeMismatchError, match="undo the resizing"):
        contingency(np.zeros((2, 2), np.int32), np.zeros((2, 3), np.int32))
    with pytest.raises(LabelError, match="whole numbers"):
        contingency(np.zeros((2, 2)), np.zeros((2, 2), int))
    with pytest.raises(LabelError, match="no pixels"):
        contingency(np.zeros((0, 2), np.int32), np.zeros((0, 2), np.int32))
    with pytest.raises(LabelError, match="2 or 3 axes"):
        contingency(np.zeros(4, np.int32), np.zeros(4, np.int32))
