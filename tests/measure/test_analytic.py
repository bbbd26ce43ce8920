"""Shapes whose measures are known exactly, drawn at random sub-pixel centres.

The tolerances are what the raster allows: for area, axes and the Crofton perimeter those that a widely used
implementation was found to reach over random centres; see the docstrings for the estimators.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.measure import measure
from segmetry.types import Calibration


def disk(centre, radius, spacing=(1.0, 1.0)):
    """One disk in a frame that just holds it; centre as an offset from the frame's middle, in pixels."""
    half = [math.ceil(radius / s) + 3 for s in spacing]
    y, x = (np.arange(-h, h + 1) for h in half)
    return (((y[:, None] - centre[0]) * spacing[0]) ** 2 + ((x - centre[1]) * spacing[1]) ** 2 <= radius**2).astype(int)


def table_of(tiles, calibration=None):
    """One table for many small label images: laid under each other, numbered."""
    return measure(np.concatenate([tile * (k + 1) for k, tile in enumerate(tiles)]), calibration=calibration)


DISKS = [  # radius; worst of area, worst of axes, bias and worst of perimeter, bias of Feret max
    (5, 0.055, 0.055, 0.006, 0.036, 0.065),
    (10, 0.02, 0.02, 0.003, 0.02, 0.036),
    (50, 0.0025, 0.0025, 0.0015, 0.0035, 0.0095),
    (100, 0.0008, 0.0012, 0.0015, 0.0025, 0.0055),
]


@pytest.mark.parametrize(("radius", "area", "axis", "bias", "perimeter", "feret"), DISKS)
def test_disks(radius, area, axis, bias, perimeter, feret):
    rng = np.random.default_rng(radius)
    table = table_of([disk(c, radius) for c in rng.uniform(-0.5, 0.5, (100 if radius < 100 else 30, 2))])
    assert table["area"].to_numpy() == pytest.approx(math.pi * radius**2, rel=area)
    assert table["equivalent_diameter"].to_numpy() == pytest.approx(2 * radius, rel=area)
    for name in ("axis_major_length", "axis_minor_length"):
        assert table[name].to_numpy() == pytest.approx(2 * radius, rel=axis)
    ratio = table["perimeter"] / (2 * math.pi * radius)
    assert ratio.mean() == pytest.approx(1, abs=bias)
    assert ratio.to_numpy() == pytest.approx(1, abs=perimeter)
    assert table["feret_max"].mean() == pytest.approx(2 * radius, rel=feret)
    assert table["feret_min"].mean() == pytest.approx(2 * radius, rel=0.02)
    assert table["area_convex"].mean() == pytest.approx(math.pi * radius**2, rel=0.025)
    assert table["solidity"].min() > 0.94
    assert table["solidity"].max() <= 1
    assert table["circularity"].mean() == pytest.approx(1, abs=0.02)
    assert table["euler_number"].eq(1).all()


def test_axes_need_no_twelfth():
    """Disks of radius 5 come out right as it is, and 0.6 % too wide with the 1/12 of little squares."""
    rng = np.random.default_rng(0)
    table = table_of([disk(c, 5) for c in rng.uniform(-0.5, 0.5, (400, 2))])
    squared = table["axis_major_length"] * table["axis_minor_length"]
    assert math.sqrt(squared.mean()) == pytest.approx(10, rel=0.002)
    assert math.sqrt((squared + 16 / 12).mean()) > 10 * 1.004


@pytest.mark.parametrize("spacing", [(1.0, 2.0), (3.0, 1.0), (0.7, 0.5)])
def test_disks_of_pixels_that_are_not_square(spacing):
    rng = np.random.default_rng(1)
    radius = 30.0
    table = table_of(
        [disk(c, radius, spacing) for c in rng.uniform(-0.5, 0.5, (60, 2))], Calibration(spacing, "nm", source="user")
    )
    assert table["area"].mean() == pytest.approx(math.pi * radius**2, rel=0.005)
    assert table["axis_major_length"].mean() == pytest.approx(2 * radius, rel=0.01)
    assert table["axis_minor_length"].mean() == pytest.approx(2 * radius, rel=0.01)
    # Four directions of which two are close together on such a raster: up to 5 % from the length of a circle.
    assert table["perimeter"].mean() == pytest.approx(2 * math.pi * radius, rel=0.05)
    assert table["feret_max"].mean() == pytest.approx(2 * radius, rel=0.05)
    assert table["feret_min"].mean() == pytest.approx(2 * radius, rel=0.05)


@pytest.mark.parametrize(("long", "short", "worst"), [(20, 10, 0.055), (60, 20, 0.02), (90, 60, 0.006)])  # as disks
def test_ellipses_at_any_angle(long, short, worst):
    rng = np.random.default_rng(long)
    tiles, angles = [], rng.uniform(-90, 90, 60)
    y, x = np.mgrid[-60:61, -60:61]
    for angle in np.radians(angles):
        cy, cx = rng.uniform(-0.5, 0.5, 2)
        u = math.cos(angle) * (y - cy) + math.sin(angle) * (x - cx)
        v = math.cos(angle) * (x - cx) - math.sin(angle) * (y - cy)
        tiles.append(((2 * u / long) ** 2 + (2 * v / short) ** 2 <= 1).astype(int))
    table = table_of(tiles)
    assert table["axis_major_length"].to_numpy() == pytest.approx(long, rel=worst)
    assert table["axis_minor_length"].to_numpy() == pytest.approx(short, rel=worst)
    turned = (table["orientation"] - angles + 90) % 180 - 90
    assert np.abs(turned).max() < (3 if short == 10 else 1)
    assert table["aspect_ratio"].mean() == pytest.approx(long / short, rel=0.01)
    assert table["aspect_ratio_rectangle"].mean() == pytest.approx(long / short, rel=0.05)
    assert table["eccentricity"].mean() == pytest.approx(math.sqrt(1 - (short / long) ** 2), rel=0.01)


@pytest.mark.parametrize("side", [20, 60])
def test_squares_at_any_angle(side):
    rng = np.random.default_rng(side)
    tiles = []
    y, x = np.mgrid[-side : side + 1, -side : side + 1]
    for angle in rng.uniform(0, math.pi, 60):
        cy, cx = rng.uniform(-0.5, 0.5, 2)
        u = math.cos(angle) * (y - cy) + math.sin(angle) * (x - cx)
        v = math.cos(angle) * (x - cx) - math.sin(angle) * (y - cy)
        tiles.append((np.maximum(np.abs(u), np.abs(v)) <= side / 2).astype(int))
    table = table_of(tiles)
    assert table["area"].mean() == pytest.approx(side**2, rel=0.005)
    assert table["aspect_ratio"].mean() == pytest.approx(1, abs=0.02)
    # With four directions a straight edge at angle t measures pi/8 sum |sin(t - t_k)|: 0.948 along an axis, 1.026 at
    # 22.5 degrees, 1 on average; the raster cuts off the corners, at most half a pixel at each end of a side.
    ratio = table["perimeter"] / (4 * side)
    assert ratio.min() > 0.948 - 1 / side
    assert ratio.max() < 1.026 + 0.2 / side
    assert ratio.mean() == pytest.approx(1, abs=0.01 + 0.3 / side)
    assert table["feret_max"].mean() == pytest.approx(side * math.sqrt(2), rel=0.02)
    assert table["feret_min"].mean() == pytest.approx(side, rel=0.04)
    assert table["solidity"].min() > 0.92


@pytest.mark.parametrize(("radius", "volume", "surface"), [(5, 0.04, 0.03), (10, 0.01, 0.012), (20, 0.003, 0.006)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)])
def test_balls(radius, volume, surface, spacing):
    rng = np.random.default_rng(radius)
    tiles = []
    axes = [np.arange(-math.ceil(radius / s) - 2, math.ceil(radius / s) + 3) for s in spacing]
    for centre in rng.uniform(-0.5, 0.5, (12, 3)):
        z, y, x = (((a - c) * s) ** 2 for a, c, s in zip(axes, centre, spacing))
        tiles.append((z[:, None, None] + y[:, None] + x <= radius**2).astype(int))
    table = table_of(tiles, Calibration(spacing, "nm", source="user"))
    wide = 1.0 if spacing[0] == 1 else 2.5  # half the planes: coarser
    assert table["volume"].to_numpy() == pytest.approx(4 / 3 * math.pi * radius**3, rel=volume * wide)
    assert table["surface_area"].to_numpy() == pytest.approx(4 * math.pi * radius**2, rel=surface * wide)
    assert table["sphericity"].mean() == pytest.approx(1, abs=0.02 * wide)
    for name in ("axis_major_length", "axis_medium_length", "axis_minor_length"):
        assert table[name].mean() == pytest.approx(2 * radius, rel=0.02 * wide)
    assert 0 < table["feret_max"].mean() - 2 * radius < spacing[0]  # the best of many directions: up to a voxel more
    assert table["feret_min"].mean() == pytest.approx(2 * radius, abs=0.6 * spacing[0])


def test_a_long_rod_in_a_volume():
    """The largest width is found between the sampled directions."""
    rng = np.random.default_rng(3)
    z, y, x = np.mgrid[-30:31, -30:31, -30:31]
    tiles = []
    for _ in range(8):
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        along = z * axis[0] + y * axis[1] + x * axis[2]
        tiles.append(((np.abs(along) <= 27) & (z**2 + y**2 + x**2 - along**2 <= 9)).astype(int))
    table = table_of(tiles)
    assert table["feret_max"].to_numpy() == pytest.approx(math.hypot(54, 6), rel=0.025)
    assert table["feret_min"].to_numpy() == pytest.approx(6, abs=1)
