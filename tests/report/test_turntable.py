"""Views of surfaces: outlines of known size, what is near hides what is far, the right side is up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.errors import LabelError, OptionError
from segmetry.measure.mesh import Mesh, mesh_of
from segmetry.report.turntable import turntable

RED, BLUE = (255, 0, 0), (0, 0, 255)


def square(centre, half, axis, sense=1):
    """A plate of two triangles at right angles to an axis of x, y, z; it looks along `sense`."""
    others = [a for a in range(3) if a != axis]
    corners = np.tile(np.array(centre, float), (4, 1))
    corners[:, others] += half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    faces = np.array([(0, 1, 2), (0, 2, 3)], np.int32)
    up = axis != 1  # x cross z is -y
    return Mesh(corners, faces if (sense > 0) == up else faces[:, ::-1].copy())


def drawn(strip):
    """Where a picture is not white."""
    return (strip != 255).any(axis=-1)


def test_ball_from_all_sides():
    grid = np.mgrid[-12:13, -12:13, -12:13]
    strip = turntable([mesh_of((grid**2).sum(axis=0) <= 100)], [RED], n_views=4, side=100)
    assert strip.shape == (100, 400, 3)
    assert strip.dtype == np.uint8
    for view in np.split(drawn(strip), 4, axis=1):
        assert view.sum() == pytest.approx(math.pi * 48**2, rel=0.05)  # the ball fills 96 % of the side
    red = strip[..., 0][drawn(strip)]
    assert red.max() > 1.5 * red[red > 0].min()  # shaded


def test_near_hides_far():
    """The first view looks along y; half a turn later the other plate is in front."""
    strip = turntable(
        [square((0, -5, 0), 5, 1, -1), square((0, 5, 0), 5, 1, 1)], [RED, BLUE], n_views=2, side=60, tilt=0
    )
    first, half = strip[30, 30], strip[30, 90]
    assert first[0] > first[2] == 0
    assert half[2] > half[0] == 0


def test_planes_point_up_and_columns_right():
    strip = turntable([square((0, 0, 8), 2, 1), square((8, 0, 0), 2, 1)], [RED, BLUE], n_views=1, side=80, tilt=0)
    rows_red, _ = np.nonzero((strip[..., 0] > 0) & (strip[..., 2] == 0))
    _, cols_blue = np.nonzero((strip[..., 2] > 0) & (strip[..., 0] == 0))
    assert rows_red.mean() < 30
    assert cols_blue.mean() > 50


def test_one_point_and_what_cannot_be_drawn():
    one = mesh_of(np.ones((1, 1, 1), bool))
    assert drawn(turntable([one], [RED], n_views=1, side=20)).any()
    nothing = Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32))
    with pytest.raises(LabelError, match="no surface"):
        turntable([nothing], [RED])
    with pytest.raises(LabelError, match="no surface"):
        turntable([], [])
    with pytest.raises(OptionError, match="n_views from 1"):
        turntable([one], [RED], n_views=0)
    with pytest.raises(OptionError, match="2 colours for 1"):
        turntable([one], [RED, BLUE])
