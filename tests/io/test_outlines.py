"""Outlines follow the edges of pixels: valid polygons whose areas are pixel counts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from shapely.geometry import MultiPolygon, Point, Polygon

from segmetry.errors import LabelError
from segmetry.io.outlines import outlines, ring_area


def polygons(outline):
    return [Polygon(shell[:, ::-1], [h[:, ::-1] for h in holes]) for shell, holes in outline.parts]


def test_by_hand():
    labels = np.array(
        [
            [3, 3, 3, 0],
            [3, 0, 3, 0],
            [3, 3, 3, 5],
        ]
    )
    three, five = outlines(labels)
    ((shell, (hole,)),) = three.parts
    assert shell.tolist() == [[0, 0], [0, 3], [3, 3], [3, 0]]
    assert sorted(hole.tolist()) == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert (ring_area(shell), ring_area(hole)) == (9, -1)
    assert five.label == 5
    assert sorted(five.parts[0][0].tolist()) == [[2, 3], [2, 4], [3, 3], [3, 4]]


def test_pixels_that_touch_by_the_corner_are_parts():
    (one,) = outlines(np.array([[1, 0], [0, 1]]))
    assert [ring_area(shell) for shell, _ in one.parts] == [1, 1]
    (one,) = outlines(np.array([[0, 1], [1, 0]]))
    assert len(one.parts) == 2


def test_an_island_in_a_hole():
    labels = np.ones((7, 7), int)
    labels[1:6, 1:6] = 0
    labels[3, 3] = 1
    (one,) = outlines(labels)
    areas = sorted((ring_area(shell), [ring_area(h) for h in holes]) for shell, holes in one.parts)
    assert areas == [(1, []), (49, [-25])]


@settings(max_examples=300, deadline=None)
@given(arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3)))
def test_outlines_are_exact(labels):
    found = outlines(labels)
    assert [o.label for o in found] == [n for n in np.unique(labels).tolist() if n]
    for outline in found:
        mask = labels == outline.label
        parts = polygons(outline)
        assert MultiPolygon(parts).is_valid
        assert sum(p.area for p in parts) == mask.sum()
        assert len(parts) == ndi.label(mask)[1]  # 4-connected
        whole = MultiPolygon(parts)
        for row, col in np.ndindex(mask.shape):
            assert whole.contains(Point(col + 0.5, row + 0.5)) == mask[row, col]


def test_nothing_and_everything():
    assert outlines(np.zeros((4, 5), np.int32)) == []
    (one,) = outlines(np.ones((4, 5), np.uint8))
    assert ring_area(one.parts[0][0]) == 20
    assert outlines(np.zeros((0, 5), np.int32)) == []


@pytest.mark.parametrize("bad", [np.zeros((3, 3)), np.zeros((2, 3, 3), int)])
def test_what_is_no_label_image(bad):
    with pytest.raises(LabelError, match="2D"):
        outlines(bad)
