"""Cutting touching particles: where two disks must be cut, and what must never be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.segment.split import split_touching


def ellipse(shape, centre, semi_axes, angle):
    i, j = np.mgrid[: shape[0], : shape[1]]
    i, j = i - centre[0], j - centre[1]
    along, across = j * math.cos(angle) + i * math.sin(angle), i * math.cos(angle) - j * math.sin(angle)
    return (along / semi_axes[0]) ** 2 + (across / semi_axes[1]) ** 2 <= 1


def rod(shape, centre, length, width, angle):
    """A rectangle with half disks at its ends."""
    i, j = np.mgrid[: shape[0], : shape[1]]
    i, j = i - centre[0], j - centre[1]
    along, across = j * math.cos(angle) + i * math.sin(angle), i * math.cos(angle) - j * math.sin(angle)
    return np.hypot(np.maximum(np.abs(along) - (length - width) / 2, 0), across) <= width / 2


def n_parts(mask):
    return int(split_touching(mask.astype(np.uint8)).max())


def two_disks(radius_a, radius_b, distance, angle, offset):
    shape = (140, 140)
    step = np.array([math.sin(angle), math.cos(angle)]) * distance / 2
    i, j = np.mgrid[: shape[0], : shape[1]]
    a, b = np.array([70, 70]) + offset - step, np.array([70, 70]) + offset + step
    return (np.hypot(i - a[0], j - a[1]) <= radius_a), (np.hypot(i - b[0], j - b[1]) <= radius_b)


@pytest.mark.parametrize("radius", [8, 14, 24])
def test_two_equal_disks_are_cut_down_to_the_neck_that_is_asked_for(radius):
    """The neck of two disks of radius r at distance d is sqrt(4 r^2 - d^2) wide: 0.6 of 2 r at d = 1.6 r."""
    rng = np.random.default_rng(radius)
    for neck, wanted in ((0.6, 2), (0.9, 1)):
        distance = 2 * radius * math.sqrt(1 - neck**2)
        parts = [
            n_parts(
                np.logical_or(*two_disks(radius, radius, distance, rng.uniform(0, math.pi), rng.uniform(-0.5, 0.5, 2)))
            )
            for _ in range(40)
        ]
        # At 8 px the raster moves the neck by up to a tenth of its width, and one notch in twenty gets too shallow.
        assert np.mean(np.array(parts) == wanted) >= (0.9 if radius < 10 else 1), (neck, parts)


@pytest.mark.parametrize("ratio", [1.0, 0.7, 0.5])
def test_the_cut_runs_through_the_neck(ratio):
    rng = np.random.default_rng(int(ratio * 10))
    for _ in range(20):
        a, b = two_disks(22, 22 * ratio, 22 + 22 * ratio - 3, rng.uniform(0, 2 * math.pi), rng.uniform(-0.5, 0.5, 2))
        labels = split_touching((a | b).astype(np.uint8))
        assert labels.max() == 2
        for disk, other in ((a, b), (b, a)):
            (name,) = np.unique(labels[disk & ~other & _core(disk)])
            part = labels == name
            assert (part & disk).sum() / (part | disk).sum() > 0.9


def _core(disk):
    rows, columns = np.nonzero(disk)
    i, j = np.mgrid[: disk.shape[0], : disk.shape[1]]
    return np.hypot(i - rows.mean(), j - columns.mean()) < 4


def test_single_ellipses_are_never_cut():
    rng = np.random.default_rng(0)
    for _ in range(300):
        minor = rng.uniform(4, 20)
        axes = (minor * rng.uniform(1, 4), minor)
        assert n_parts(ellipse((180, 180), rng.uniform(88, 92, 2), axes, rng.uniform(0, math.pi))) == 1


def test_single_rods_are_never_cut():
    rng = np.random.default_rng(1)
    for _ in range(300):
        width = rng.uniform(5, 25)
        mask = rod((180, 180), rng.uniform(88, 92, 2), width * rng.uniform(1.2, 6), width, rng.uniform(0, math.pi))
        assert n_parts(mask) == 1


def test_squares_and_noisy_outlines_are_seldom_cut():
    """Rough outlines of single disks: radius 15, its border displaced by up to a pixel."""
    rng = np.random.default_rng(2)
    cut = 0
    for _ in range(200):
        i, j = np.mgrid[:60, :60]
        angle = np.arctan2(i - 30, j - 30)
        wave = sum(rng.normal(0, 0.4) * np.cos(k * angle + rng.uniform(0, 6)) for k in range(2, 9))
        cut += n_parts(np.hypot(i - 30, j - 30) <= 15 + wave) > 1
    assert cut <= 2  # 1 %
    for angle in np.linspace(0, math.pi / 2, 15):
        i, j = np.mgrid[:80, :80] - 40.0
        a, b = i * math.cos(angle) + j * math.sin(angle), j * math.cos(angle) - i * math.sin(angle)
        assert n_parts(np.maximum(np.abs(a), np.abs(b)) <= 20) == 1


def test_chain_of_three():
    i, j = np.mgrid[:60, :140]
    mask = np.zeros(i.shape, bool)
    for column in (30, 64, 98):
        mask |= np.hypot(i - 30, j - column) <= 18
    labels = split_touching(mask.astype(np.uint8))
    assert labels.max() == 3
    assert len({labels[30, 30], labels[30, 64], labels[30, 98]}) == 3


def test_laws():
    rng = np.random.default_rng(3)
    mask = np.zeros((120, 150), bool)
    i, j = np.mgrid[:120, :150]
    for row, column, radius in zip(rng.uniform(0, 120, 25), rng.uniform(0, 150, 25), rng.uniform(5, 14, 25)):
        mask |= np.hypot(i - row, j - column) <= radius
    labels = split_touching(mask.astype(np.uint8))
    np.testing.assert_array_equal(labels > 0, mask)
    assert np.unique(labels).tolist() == list(range(labels.max() + 1))
    padded = split_touching(np.pad(mask, ((0, 0), (0, 30))).astype(np.uint8))
    free = ~np.isin(labels, np.unique(labels[:, -1]))  # a particle at the frame goes on outside, one before a gap ends
    assert len(np.unique(labels[free])) == len(np.unique(padded[:, :150][free]))


def test_nothing_and_everything():
    assert split_touching(np.zeros((5, 5), np.uint8)).max() == 0
    assert (split_touching(np.ones((5, 7), np.uint8)) == 1).all()
    assert split_touching(np.ones((1, 1), np.uint8)).tolist() == [[1]]
