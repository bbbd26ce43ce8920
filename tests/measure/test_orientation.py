"""Directions of fibres of known direction, diameter and length."""

from __future__ import annotations

import math

import numpy as np
import pytest

import solids
from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.measure.orientation import (
    direction_histogram,
    directions_of,
    fibres,
    orientation_tensor,
    structure_tensor,
)
from segmetry.types import Calibration


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)])
def test_one_fibre(spacing):
    """Direction to 2 degrees; diameter to .5 voxel; length less a radius at each end, to 15 %."""
    rng = np.random.default_rng(0)
    for _ in range(2):
        turn = solids.rotation(rng)
        body = solids.cylinder(36, 4, spacing, rng, turn)
        found = fibres(body, calibration=Calibration(spacing, "µm"))
        cosine = np.abs(found.directions @ turn[0])
        assert math.degrees(math.acos(min(1, np.median(cosine)))) < 2
        assert found.mean_diameter == pytest.approx(8, abs=0.5 * max(spacing))
        assert 28 * 0.9 <= found.length.sum() <= 36
        assert found.tensor.values[0] > 0.99
        assert abs(found.tensor.axes[0] @ turn[0]) > 0.999
        assert found.unit == "µm"


@pytest.mark.slow
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)])
def test_helix(spacing):
    """A helix of slope t: sin²t of its tensor along its axis, half of cos²t across; its length to 5 %."""
    rng = np.random.default_rng(1)
    turn = solids.rotation(rng)
    body, length = solids.helix(14, 2.5, 16, 3, spacing, rng, turn)
    found = fibres(body, calibration=Calibration(spacing, "µm"))
    slope = math.atan2(16, 2 * math.pi * 14)
    assert found.length.sum() == pytest.approx(length, rel=0.05)
    assert found.mean_diameter == pytest.approx(5, abs=0.3)
    assert found.tensor.values == pytest.approx([math.cos(slope) ** 2 / 2] * 2 + [math.sin(slope) ** 2], abs=0.01)
    assert abs(found.tensor.axes[2] @ turn[0]) > 0.999


def test_stripes_in_an_image():
    """Waves with known direction, in pixels that are not square."""
    calibration = Calibration((0.5, 1.0), "mm")
    row, col = np.mgrid[:80, :60]
    for angle in np.radians([0, 30, 100]):
        waves = np.sin((row * 0.5 * math.cos(angle) + col * math.sin(angle)) * 0.9)
        tensor = structure_tensor(waves, calibration=calibration)[40, 30]
        found = directions_of(tensor[None])
        assert abs(found.directions[0] @ [-math.sin(angle), math.cos(angle)]) > 0.9999
        assert found.linearity[0] > 0.98
    assert directions_of(np.zeros((1, 3, 3))).linearity[0] == 0


def test_tensors_and_roses_of_known_directions():
    rng = np.random.default_rng(3)
    ball = rng.normal(size=(40_000, 3))
    ball /= np.linalg.norm(ball, axis=1)[:, None]
    assert orientation_tensor(ball).values == pytest.approx([1 / 3] * 3, abs=0.01)
    assert np.trace(orientation_tensor(ball).tensor) == pytest.approx(1)
    rose = direction_histogram(ball, n_tilt=4, n_turn=8)
    assert rose.density == pytest.approx(np.ones((4, 8)), abs=0.15)
    assert direction_histogram(-ball, n_tilt=4, n_turn=8).density == pytest.approx(rose.density, abs=1e-9)
    assert rose.tilt == pytest.approx(np.degrees(np.arccos([1, 0.75, 0.5, 0.25, 0])))
    tilted = direction_histogram(np.array([[0.6, 0, 0.8]]), np.array([2.0]), n_tilt=2, n_turn=4)
    assert tilted.density.tolist() == [[0, 8, 0, 0], [0, 0, 0, 0]]
    weighed = orientation_tensor(np.eye(3)[:2], np.array([3.0, 1]))
    assert weighed.values.tolist() == [0.75, 0.25, 0]
    assert weighed.axes[0].tolist() == [1, 0, 0]


def test_what_has_no_direction():
    nothing = fibres(np.zeros((6, 6, 6), bool))
    assert len(nothing.places) == 0
    assert math.isnan(nothing.mean_diameter)
    with pytest.raises(ImageError, match="no direction"):
        _ = nothing.tensor
    one = np.zeros((5, 5, 5), bool)
    one[2, 2, 2] = True
    assert fibres(one).diameter.tolist() == [2]
    assert math.isnan(fibres(np.ones((5, 5, 5), bool)).mean_diameter)
    with pytest.raises(ShapeMismatchError):
        orientation_tensor(np.eye(3), np.ones(2))
    with pytest.raises(OptionError, match="rho must be positive"):
        structure_tensor(np.ones((4, 4)), rho=0)
    with pytest.raises(ImageError, match="not finite"):
        structure_tensor(np.full((4, 4), np.nan))
