"""Bodies and tubes against the areas and volumes that geometry gives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.synth.bodies import Tubes, fragment, frame_along, plate
from segmetry.synth.raster import cover


def size_of(body, shape, centre, samples=5):
    def inside(*x):
        return body.level(*(v - c for v, c in zip(x, centre))) <= 1

    return float(cover(inside, np.array(centre) - body.reach, np.array(centre) + body.reach, shape, samples)[1].sum())


@pytest.mark.parametrize("power", [1.7, 2.0, 4.0])
def test_a_plate_in_the_plane_has_the_area_of_a_superellipse(power):
    rng = np.random.default_rng(1)
    expected = 4 * 20 * 7 * math.gamma(1 + 1 / power) ** 2 / math.gamma(1 + 2 / power)
    for _ in range(5):
        body = plate(np.array([7.0, 20.0]), frame_along(rng.standard_normal(2)), power)
        assert size_of(body, (90, 90), rng.uniform(40, 50, 2)) == pytest.approx(expected, rel=3e-3)


def test_a_plate_in_space_has_the_volume_of_an_ellipsoid():
    body = plate(np.array([6.0, 12.0, 9.0]), frame_along(np.array([1.0, 2.0, -1.0])), 2.0)
    volume = size_of(body, (40, 40, 40), (19.6, 20.2, 20.0), samples=3)
    assert volume == pytest.approx(4 / 3 * math.pi * 6 * 12 * 9, rel=3e-3)


def test_roughness_keeps_the_area_about():
    rng = np.random.default_rng(2)
    sizes = [
        size_of(plate(np.array([15.0, 15.0]), np.eye(2), 2.0).rough(0.1, rng), (80, 80), (40, 40)) for _ in range(60)
    ]
    assert np.std(sizes) > 5
    # The mean of (1 + e)^-2 over waves with a standard deviation of 0.1 is 1 + 3 * 0.01.
    assert np.mean(sizes) == pytest.approx(1.03 * math.pi * 15**2, rel=0.04)


@pytest.mark.parametrize("ndim", [2, 3])
def test_fragments_are_closed_and_about_as_large_as_asked(ndim):
    rng = np.random.default_rng(3)
    ball = math.pi / 4 * 30**2 if ndim == 2 else math.pi / 6 * 30**3
    sizes = [
        size_of(fragment(30.0, rng, ndim, np.ones(ndim)), (100,) * ndim, (50.0,) * ndim, samples=1) for _ in range(20)
    ]
    assert all(0.5 * ball < size < 2.2 * ball for size in sizes)


def test_the_frame_is_orthonormal_and_begins_along_the_vector():
    for first in ([0.0, 1.0], [1.0, 0.0], [1.0, 2.0, 3.0], [0.0, 0.0, -2.0]):
        axes = frame_along(np.array(first))
        assert axes @ axes.T == pytest.approx(np.eye(len(first)), abs=1e-12)
        assert abs(axes[0] @ first) == pytest.approx(np.linalg.norm(first))


@pytest.mark.parametrize("angle", [0.1, 0.3, 1.1])
def test_a_straight_tube_has_the_area_of_a_stadium_and_the_volume_of_a_capsule(angle):
    radius, length = 3.3, 50.0
    way = np.array([math.cos(angle), math.sin(angle)])
    start = np.array([15.2, 12.7])
    tubes = Tubes((90, 90), 5)
    # In three pieces: where they meet nothing is counted twice.
    tubes.add(start + np.outer([0.0, 10.0, 31.0, length], way), np.full(3, radius))
    assert tubes.coverage().sum() == pytest.approx(2 * radius * length + math.pi * radius**2, rel=2e-3)
    volume = math.pi * radius**2 * length + 4 / 3 * math.pi * radius**3
    assert tubes.thickness().sum() == pytest.approx(volume, rel=3e-3)
    assert tubes.thickness().max() == pytest.approx(2 * radius, rel=0.02)


def test_tubes_that_cross_lie_on_each_other():
    tubes = Tubes((60, 60), 3)
    tubes.add(np.array([[30.0, 5.0], [30.0, 55.0]]), np.array([4.0]))
    tubes.add(np.array([[5.0, 30.0], [55.0, 30.0]]), np.array([4.0]))
    assert tubes.thickness()[30, 30] == pytest.approx(16, rel=0.03)
    assert tubes.thickness()[30, 10] == pytest.approx(8, rel=0.03)


def test_a_tube_in_space_and_one_outside_the_frame():
    tubes = Tubes((24, 24, 40), 3)
    tubes.add(np.array([[11.8, 12.1, 9.0], [11.8, 12.1, 30.0]]), np.array([5.0]))
    assert tubes.coverage().sum() == pytest.approx(math.pi * 25 * 21 + 4 / 3 * math.pi * 125, rel=5e-3)
    outside = Tubes((20, 20), 3)
    outside.add(np.array([[-40.0, 5.0], [-30.0, 5.0]]), np.array([3.0]))
    assert outside.coverage().max() == 0
