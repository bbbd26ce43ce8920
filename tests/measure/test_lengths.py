"""Lengths and profiles of bodies at any angle."""

from __future__ import annotations

import math

import numpy as np
import pytest

import solids
from segmetry.errors import LabelError, OptionError
from segmetry.measure import Regions
from segmetry.measure.lengths import lengths, long_axes, profile
from segmetry.measure.runs import runs_of_labels
from segmetry.types import Calibration

SPACINGS = [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)]


def regions(labels, spacing=(1.0, 1.0, 1.0)):
    """The regions of a label image."""
    return Regions(runs_of_labels(labels.astype(np.int32)), Calibration(spacing, "mm"))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_cylinders_at_any_angle(spacing):
    """Flat ends at an angle: up to a voxel too long; cross-sections to 5 %, the axis to .5 degrees."""
    rng = np.random.default_rng(0)
    for _ in range(4):
        turn = solids.rotation(rng)
        body = solids.cylinder(30, 5, spacing, rng, turn)
        found = regions(body, spacing)
        assert math.degrees(math.acos(min(1, abs(long_axes(found)[0] @ turn[0])))) < 0.5
        (length,) = lengths(found)
        assert 30 - 0.2 * max(spacing) <= length <= 30 + max(spacing)
        (along,) = lengths(found, turn[:1])
        assert along == pytest.approx(length, abs=0.5)
        seen = profile(body, calibration=Calibration(spacing, "mm"))
        assert seen.length == pytest.approx(length, rel=1e-9)
        assert np.median(seen.areas) == pytest.approx(math.pi * 25, rel=0.05)
        assert seen.volume == pytest.approx(math.pi * 25 * 30, rel=0.04)
        step = seen.positions[1] - seen.positions[0]
        assert seen.areas.sum() * step == pytest.approx(seen.volume, rel=1e-9)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_ellipsoids(spacing):
    """Round ends: right to .6 of the voxel's longest side."""
    rng = np.random.default_rng(1)
    for _ in range(4):
        body = solids.ellipsoid((14, 7, 7), spacing, rng, solids.rotation(rng))
        assert lengths(regions(body, spacing))[0] == pytest.approx(28, abs=0.8 * max(spacing))


def test_slices_of_a_bone_by_hand():
    """Along an axis the length is the number of slices times their distance, wherever the object lies."""
    labels = np.zeros((9, 8, 8), int)
    labels[2:7, 3:5, 3] = 4
    labels[0, 0, 0] = 7
    found = regions(labels, (2.5, 1.0, 0.5))
    assert lengths(found, np.eye(3)[[0, 0]]).tolist() == [12.5, 2.5]
    assert long_axes(found)[0].tolist() == [1, 0, 0]
    assert np.isnan(long_axes(found)[1]).all()
    assert lengths(found)[0] == 12.5
    assert np.isnan(lengths(found)[1])
    seen = profile(labels == 4, axis=0, calibration=Calibration((2.5, 1.0, 0.5), "mm"))
    assert (seen.length, seen.unit) == (12.5, "mm")
    assert seen.positions.tolist() == [5, 7.5, 10, 12.5, 15]
    assert seen.areas.tolist() == [1] * 5


def test_a_wedge_in_an_image_and_a_flip():
    wedge = np.tri(5, dtype=bool)
    assert profile(wedge, axis=1).areas.tolist() == [5, 4, 3, 2, 1]
    assert profile(wedge[:, ::-1], axis=1).areas.tolist() == [1, 2, 3, 4, 5]
    assert profile(wedge, axis=np.array([0.0, 7])).areas.tolist() == [5, 4, 3, 2, 1]


def test_what_has_no_length():
    one = np.zeros((3, 3, 3), bool)
    with pytest.raises(LabelError, match="empty"):
        profile(one)
    one[1, 1, 1] = True
    assert profile(one, axis=2).length == 1
    with pytest.raises(OptionError, match="no long axis"):
        profile(one)
    with pytest.raises(OptionError, match="no long axis"):
        profile(np.ones((4, 4, 4), bool))
    with pytest.raises(OptionError, match="no axis 3 of 3"):
        profile(one, axis=3)
    with pytest.raises(OptionError, match="3 finite numbers"):
        profile(one, axis=np.array([0.0, np.nan, 1]))
    with pytest.raises(OptionError, match="feret_max"):
        lengths(Regions(runs_of_labels(np.ones((2, 2), np.int32)), Calibration.unknown(2)))
    assert lengths(regions(np.zeros((2, 2, 2)))).size == 0
