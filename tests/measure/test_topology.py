"""Euler and Betti numbers by hand, against scikit-image and on bodies; percolation by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.measure import euler_number as euler_of_scikit_image

import solids
from segmetry.errors import ImageError, OptionError
from segmetry.measure import measure
from segmetry.measure.topology import (
    betti_numbers,
    euler_density,
    euler_number,
    euler_numbers,
    percolation,
    solid_of,
)
from segmetry.types import Calibration


@pytest.mark.parametrize("shape", [(7, 6, 8), (9, 11)])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_against_scikit_image(shape, share):
    rng = np.random.default_rng(int(10 * share))
    few, many = (4, 8) if len(shape) == 2 else (6, 26)
    for _ in range(4):
        mask = rng.random(shape) < share
        assert euler_number(mask) == euler_number(mask, connectivity=many) == euler_of_scikit_image(mask, len(shape))
        assert euler_number(mask, connectivity=few) == euler_of_scikit_image(mask, 1)
        for joined in (few, many):
            pieces, tunnels, cavities = betti_numbers(mask, connectivity=joined)
            assert pieces - tunnels + cavities == euler_number(mask, connectivity=joined)
            assert min(tunnels, cavities) >= 0


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)])
def test_bodies(spacing):
    rng = np.random.default_rng(5)
    turn = solids.rotation(rng)
    wire, _ = solids.helix(9, 2.2, 12, 1.5, spacing, rng, turn)
    for body, expected in (
        (solids.ball(6, spacing, rng), (1, 0, 0)),
        (solids.torus(9, 3, spacing, rng, turn), (1, 1, 0)),
        (solids.hollow_ball(8, 4, spacing, rng), (1, 0, 1)),
        (wire, (1, 0, 0)),
    ):
        for connectivity in (6, 26):
            assert betti_numbers(body, connectivity=connectivity) == expected
            assert euler_number(body, connectivity=connectivity) == expected[0] - expected[1] + expected[2]


def test_each_label_as_if_alone():
    labels = np.random.default_rng(1).integers(0, 4, (6, 7, 8))
    for connectivity in (6, 26):
        found = euler_numbers(labels, np.array([1, 3, 9]), connectivity=connectivity)
        assert found.tolist() == [euler_number(labels == k, connectivity=connectivity) for k in (1, 3, 9)]
    huge = np.where(labels == 3, 2**31 - 1, labels)
    assert euler_numbers(huge, np.array([1, 2, 7, 2**31 - 1])).tolist() == [
        euler_number(labels == k) for k in (1, 2, 7, 3)
    ]
    assert euler_numbers(labels[0], np.array([2])).tolist() == [euler_number(labels[0] == 2)]


def test_solid_is_that_of_the_table():
    mask = np.random.default_rng(2).random((9, 10, 8)) < 0.4
    calibration = Calibration((2, 1, 1.5), "mm")
    found = solid_of(mask, calibration=calibration)
    table = measure(mask.astype(int), calibration=calibration, measures=["volume", "surface_area"])
    assert found.volume == pytest.approx(table["volume"][0], rel=1e-12)
    assert found.surface_area == pytest.approx(table["surface_area"][0], rel=1e-12)
    assert found.euler_number == euler_number(mask)


def test_euler_density_has_no_frame():
    """A lattice of rods with period 6: in each cell a node (+1) and three rods (-1 each)."""
    rods = np.zeros((31, 31, 31), bool)
    at = np.arange(31) % 6 < 2
    rods |= (at[:, None, None] & at[:, None]) | (at[:, None, None] & at) | (at[:, None] & at)
    for connectivity in (6, 26):
        assert euler_density(rods, connectivity=connectivity) == pytest.approx(-2 / 6**3, rel=1e-12)
        scaled = euler_density(rods, calibration=Calibration((2, 1, 1), "mm"), connectivity=connectivity)
        assert scaled == pytest.approx(-1 / 6**3, rel=1e-12)
    assert math.isnan(euler_density(np.ones((1, 4, 4), bool)))
    assert euler_density(np.ones((3, 3, 3), bool)) == 0


def test_percolation_by_hand():
    mask = np.zeros((5, 5, 5), bool)
    mask[:, 2, 2] = True  # 5 voxels from front to back
    mask[0, 0, :2] = True  # 2 that end inside
    found = percolation(mask)
    assert found.spans.tolist() == [True, False, False]
    assert found.spanning_share == pytest.approx([5 / 7, 0, 0])
    assert (found.largest_share, found.n_pieces) == (pytest.approx(5 / 7), 2)
    mask[2:, 2, 2], mask[2:, 2, 3] = False, True  # a step over an edge
    assert percolation(mask).spans[0]
    assert not percolation(mask, connectivity=6).spans[0]


def test_what_cannot_be_counted():
    empty = np.zeros((4, 4, 4), bool)
    assert euler_number(empty) == 0
    assert betti_numbers(empty) == (0, 0, 0)
    assert solid_of(empty) == (0, 0, 0)
    assert math.isnan(percolation(empty).largest_share)
    assert np.isnan(percolation(empty).spanning_share).all()
    full = np.ones((3, 4, 5), bool)
    assert betti_numbers(full) == (1, 0, 0)
    assert percolation(full).spans.all()
    assert euler_number(np.ones((1, 1, 1), bool)) == 1
    with pytest.raises(OptionError, match=r"\(6, 26\), got 18"):
        euler_number(full, connectivity=18)
    with pytest.raises(ImageError):
        euler_number(np.zeros(3, bool))
