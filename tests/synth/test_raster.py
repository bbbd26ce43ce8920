"""Rastered shapes against their analytic areas, over random sub-pixel centres."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.errors import OptionError
from segmetry.synth import draw_disk, raster_disk, raster_ellipse, raster_polygon, regular_polygon
from segmetry.synth.raster import touches


# The tolerance of the mask is what a raster allows: counting the pixel centres in the disk errs by up to 5.8 % at
# radius 5.
@pytest.mark.parametrize(
    ("radius", "mask_rel", "cover_rel"), [(5, 0.06, 0.006), (10, 0.02, 0.003), (50, 0.003, 0.0008)]
)
def test_disk_area(radius, mask_rel, cover_rel):
    rng = np.random.default_rng(radius)
    side = 2 * radius + 8
    for centre in radius + 3 + rng.uniform(-0.5, 0.5, size=(50, 2)):
        cover = raster_disk(tuple(centre), radius, (side, side))
        assert cover.sum() == pytest.approx(math.pi * radius**2, rel=cover_rel)
        assert draw_disk(tuple(centre), radius).sum() == pytest.approx(math.pi * radius**2, rel=mask_rel)


def test_ellipse_area_centroid_and_orientation():
    rng = np.random.default_rng(3)
    row, col = np.mgrid[:90, :90]
    for _ in range(30):
        centre, angle = 44.5 + rng.uniform(-1, 1, 2), rng.uniform(-90, 90)
        cover = raster_ellipse(tuple(centre), (30, 12), angle, (90, 90))
        assert cover.sum() == pytest.approx(math.pi * 30 * 12, rel=0.003)
        assert (cover * row).sum() / cover.sum() == pytest.approx(centre[0], abs=0.03)
        assert (cover * col).sum() / cover.sum() == pytest.approx(centre[1], abs=0.03)
        dr, dc = row - centre[0], col - centre[1]
        found = 0.5 * math.atan2(2 * (cover * dr * dc).sum(), (cover * (dr * dr - dc * dc)).sum())
        turn = (math.degrees(found) - angle + 90) % 180 - 90
        assert abs(turn) < 0.3


def test_polygon_area_by_shoelace_also_when_not_convex():
    rng = np.random.default_rng(5)
    for _ in range(30):
        phi = (
            2 * np.pi * (np.arange(7) + rng.uniform(0, 0.9, 7)) / 7
        )  # no gap over half a turn: it never crosses itself
        corners = 40 + rng.uniform(10, 35, 7)[:, None] * np.column_stack([np.cos(phi), np.sin(phi)])
        r, c = corners.T
        area = 0.5 * abs(r @ np.roll(c, -1) - c @ np.roll(r, -1))
        assert raster_polygon(corners, (80, 80), supersampling=9).sum() == pytest.approx(area, rel=0.01)


def test_square_by_hand():
    # Corners at pixel edges: four whole pixels; half a pixel to the right, the outer columns are covered by half.
    square = np.array([[0.5, 0.5], [0.5, 2.5], [2.5, 2.5], [2.5, 0.5]])
    whole = raster_polygon(square, (4, 4), supersampling=8)
    assert np.array_equal(whole, np.pad(np.ones((2, 2)), 1))
    shifted = raster_polygon(square + np.array([0, 0.5]), (4, 4), supersampling=8)
    assert np.array_equal(shifted[1], [0, 0.5, 1, 0.5])


def test_a_shape_outside_the_frame_leaves_it_empty_and_a_cut_one_is_cut():
    assert raster_disk((-20, 5), 8, (10, 10)).sum() == 0
    half = raster_disk((-0.5, 50), 20, (60, 101))
    assert half.sum() == pytest.approx(math.pi * 400 / 2, rel=0.002)


def test_a_hexagon_in_a_circle():
    corners = regular_polygon((30.2, 29.7), 20, 6, 11)
    assert raster_polygon(corners, (60, 60)).sum() == pytest.approx(1.5 * math.sqrt(3) * 400, rel=0.005)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_mask_touches_the_frame_where_one_of_its_pixels_is_an_outermost_one(ndim):
    # Every pixel of a frame of 5 in turn, in a window of 3 that reaches the frame's first, no, or its last pixel.
    for start in np.ndindex((3,) * ndim):
        window = tuple(slice(s, s + 3) for s in start)
        for at in np.ndindex((3,) * ndim):
            mask = np.zeros((3,) * ndim, bool)
            mask[at] = True
            outermost = any(s + a in (0, 4) for s, a in zip(start, at))
            assert touches(window, mask, (5,) * ndim) == outermost


@pytest.mark.parametrize("axes", [(0, 3), (-1, 2), (math.nan, 1)])
def test_axes_must_be_positive(axes):
    with pytest.raises(OptionError, match="semi-axes"):
        raster_ellipse((5, 5), axes, 0, (10, 10))
