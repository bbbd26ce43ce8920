"""Masks to labels, and what one does to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from segmetry.errors import ImageError, LabelError, OptionError
from segmetry.measure import keep_labels, label, measure, relabel, remove_small
from segmetry.measure.labelling import largest_pieces
from segmetry.types import Calibration, Image

NEIGHBOURS = {4: (2, 1), 8: (2, 2), 6: (3, 1), 18: (3, 2), 26: (3, 3)}


@pytest.mark.parametrize("connectivity", NEIGHBOURS)
@pytest.mark.parametrize("density", [0.1, 0.3, 0.5, 0.8])
def test_label_equals_scipy(connectivity, density):
    ndim, order = NEIGHBOURS[connectivity]
    mask = np.random.default_rng(connectivity).random((23,) * ndim if ndim == 3 else (120, 97)) < density
    expected, _ = ndimage.label(mask, ndimage.generate_binary_structure(ndim, order))
    found = label(mask, connectivity=connectivity)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)  # the numbers too: raster order


def test_label_of_nothing_and_of_everything():
    for shape in ((0, 5), (5, 0), (3, 4), (0, 2, 2), (2, 3, 4)):
        assert label(np.zeros(shape, bool)).shape == shape
        assert label(np.zeros(shape, bool)).max(initial=0) == 0
        assert (label(np.ones(shape, np.uint8)) == 1).all()
    mask = np.asfortranarray(np.eye(4, dtype=bool))[::-1]
    assert label(mask).max() == 1
    assert mask.sum() == 4  # the input is left alone


def test_label_says_what_it_cannot_do():
    with pytest.raises(OptionError, match=r"2D mask is one of \(4, 8\), got 6"):
        label(np.ones((3, 3)), connectivity=6)
    with pytest.raises(ImageError, match="2 or 3 axes"):
        label(np.ones(3))


LABELS = hnp.arrays(
    st.sampled_from([np.uint8, np.int32, np.int64]), hnp.array_shapes(min_dims=2, max_dims=3, max_side=7),
    elements=st.integers(0, 9),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(labels=LABELS)
def test_relabel_keeps_objects_and_order(labels):
    new = relabel(labels)
    names = np.unique(labels[labels > 0])
    assert np.unique(new[new > 0]).tolist() == list(range(1, names.size + 1))
    np.testing.assert_array_equal(np.concatenate([[0], names])[new], labels)


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, least=st.integers(0, 6))
def test_remove_small_equals_plain(labels, least):
    plain = labels.copy()
    for k in np.unique(labels):
        if (labels == k).sum() < least:
            plain[labels == k] = 0
    np.testing.assert_array_equal(remove_small(labels, least), relabel(plain))


def test_relabel_of_huge_numbers():
    labels = np.array([[2**40, 0, 5, 2**40]])
    assert relabel(labels).tolist() == [[2, 0, 1, 2]]
    assert relabel(labels[:, 2:]).tolist() == [[1, 2]]


def test_keep_labels():
    labels = np.array([[1, 2, 3, 4]])
    assert keep_labels(labels, np.array([4, 2, 9, -1])).tolist() == [[0, 1, 0, 2]]
    assert keep_labels(labels, np.array([True, False, True, True, False])).tolist() == [[0, 1, 2, 0]]
    assert keep_labels(labels, np.array([], int)).tolist() == [[0, 0, 0, 0]]
    with pytest.raises(LabelError, match="needs 5"):
        keep_labels(labels, np.array([True, False]))


BAD = {
    "negative": (np.array([[0, -3]]), "found -3"),
    "negative int64": (np.array([[0, -3]], np.int64), "found -3"),
    "float": (np.zeros((2, 2)), "whole numbers, got float64"),
    "mask": (np.zeros((2, 2), bool), "number its objects first with label"),
    "one axis": (np.zeros(3, int), "2 or 3 axes"),
    "four axes": (np.zeros((1, 1, 2, 2), int), "2 or 3 axes"),
    "too large": (np.array([[2**40]]), "use relabel"),
    "complex": (np.zeros((2, 2), complex), "whole numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_labels_that_are_none(case):
    labels, text = BAD[case]
    with pytest.raises(LabelError, match=text) as error:
        measure(labels.astype(np.int32) if case == "negative" else labels)
    assert "\n" not in str(error.value)


def test_errors_of_measure():
    labels = np.zeros((4, 5), int)
    with pytest.raises(ValueError, match=r"labels are \(4, 5\) but the image is \(5, 4\)"):
        measure(labels, np.zeros((5, 4)))
    with pytest.raises(ValueError, match="ignored pixels are"):
        measure(labels, ignore=np.zeros((1, 5), bool))
    with pytest.raises(OptionError, match="did you mean 'perimeter'"):
        measure(labels, measures=["perimetre"])
    with pytest.raises(OptionError, match="not defined in 2D"):
        measure(labels, measures=["volume"])
    with pytest.raises(OptionError, match="needs intensities"):
        measure(labels, measures=["contrast"])
    with pytest.raises(ImageError, match="complex"):
        measure(labels, np.zeros((4, 5), complex))
    with pytest.raises(ValueError, match="3 pixel lengths for 2 axes"):
        measure(labels, calibration=Calibration.unknown(3))
    with pytest.raises(ImageError, match="choose one C"):
        measure(labels, Image(np.zeros((4, 5, 3)), "YXC"))


def test_inputs_are_left_alone():
    labels = np.array([[0, 1], [2, 2]], np.int32)
    image = np.arange(4.0).reshape(2, 2)
    ignore = np.array([[True, False], [False, False]])
    for array in (labels, image, ignore):
        array.flags.writeable = False
    measure(labels, image, ignore=ignore)
    assert labels.tolist() == [[0, 1], [2, 2]]


def test_any_memory_layout():
    labels = np.arange(12).reshape(3, 4) // 3
    image = np.arange(12, dtype=">u2").reshape(3, 4)
    expected = measure(labels, image)
    for way in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
        assert measure(way(labels), way(image)).equals(expected)


@pytest.mark.slow
def test_a_million_objects():
    labels = np.zeros((2000, 2000), np.int32)
    labels[::2, ::2] = np.arange(1, 1_000_001).reshape(1000, 1000)
    table = measure(labels, labels)
    assert len(table) == 1_000_000
    assert (table["area"] == 1).all()
    assert (table["nearest_neighbour_distance"] == 2).all()
    np.testing.assert_array_equal(table["intensity_mean"], table["label"])


def test_largest_pieces_by_hand():
    labels = np.array([[1, 1, 0, 2, 0], [0, 0, 1, 0, 2], [3, 0, 0, 0, 0], [0, 0, 3, 3, 9]])
    kept = [[1, 1, 0, 2, 0], [0, 0, 1, 0, 2], [0, 0, 0, 0, 0], [0, 0, 3, 3, 9]]  # corners hold pieces together
    assert largest_pieces(labels).tolist() == kept


@pytest.mark.parametrize("shape", [(40, 50), (9, 12, 11)])
def test_largest_pieces_equal_plain(shape):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, shape) * (rng.random(shape) < 0.35) * 7
    expected = np.zeros_like(labels)
    for value in np.unique(labels[labels > 0]):
        pieces, _ = ndimage.label(labels == value, np.ones((3,) * labels.ndim))
        expected[pieces == np.bincount(pieces.ravel())[1:].argmax() + 1] = value
    assert np.array_equal(largest_pieces(labels), expected)
