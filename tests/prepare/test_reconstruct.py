"""Slices: disks whose projections are a formula, and what stuck pixels and spots do to a slice."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.prepare.reconstruct import find_centre, reconstruct
from segmetry.prepare.stripes import remove_stripes

N = 129
ROW, COL = np.indices((N, N)) - N // 2


def _sinogram(
    angles: np.ndarray, disks: list[tuple[float, float, float, float]], centre: float = N // 2, n: int = N
) -> np.ndarray:
    """Return the projections of disks (attenuation per px, radius, row, column from the axis)."""
    s = np.arange(n) - centre
    theta = np.deg2rad(angles)[:, None]
    return sum(
        mu * 2 * np.sqrt(np.maximum(r**2 - (s - col * np.cos(theta) + row * np.sin(theta)) ** 2, 0))
        for mu, r, row, col in disks
    )


DISKS = [(0.02, 40.0, 3.0, -4.0), (0.03, 10.0, -12.0, 15.0)]
ANGLES = np.arange(0, 180, 1.0)


def test_disks_have_their_attenuation_per_length_and_place():
    found = reconstruct(_sinogram(ANGLES, DISKS), ANGLES, pixel_size=0.5)
    assert found.dtype == np.float32
    inner = np.hypot(ROW + 12, COL - 15) < 7
    outer = (np.hypot(ROW - 3, COL + 4) < 36) & (np.hypot(ROW + 12, COL - 15) > 14)
    air = (np.hypot(ROW - 3, COL + 4) > 46) & (np.hypot(ROW, COL) < 62)
    assert found[inner].mean() == pytest.approx(0.05 / 0.5, rel=0.01)
    assert found[outer].mean() == pytest.approx(0.02 / 0.5, rel=0.01)
    assert abs(found[air].mean()) < 0.0005
    bright = found > 0.07
    assert (ROW[bright].mean(), COL[bright].mean()) == pytest.approx((-12, 15), abs=0.2)
    assert np.isnan(found[np.hypot(ROW, COL) > 64.5]).all()


def test_order_and_doubling_of_angles_do_not_matter():
    rng = np.random.default_rng(0)
    plain = reconstruct(_sinogram(ANGLES[::3], DISKS), ANGLES[::3])
    mixed = rng.permutation(np.concatenate([ANGLES[::3], ANGLES[::3] + 180]))
    both = reconstruct(_sinogram(mixed, DISKS), mixed)
    np.testing.assert_allclose(both, plain, atol=2e-5)
    with_end = np.append(ANGLES[::3], 180.0)
    np.testing.assert_allclose(reconstruct(_sinogram(with_end, DISKS), with_end), plain, atol=2e-5)
    stack = np.stack([_sinogram(with_end, DISKS)] * 2, axis=1)
    assert reconstruct(stack, with_end).shape == (2, N, N)


@pytest.mark.parametrize("centre", [64.0, 61.0, 68.37])
def test_the_axis_is_found_and_used(centre):
    rng = np.random.default_rng(1)
    sinogram = _sinogram(np.append(ANGLES, 180.0), DISKS, centre)
    sinogram += rng.normal(0, 0.01, sinogram.shape)
    found = find_centre(sinogram[0], sinogram[-1])
    assert found == pytest.approx(centre, abs=0.1)
    rows = np.stack([sinogram[0]] * 3), np.stack([sinogram[-1]] * 3)
    rows[0][1, 5] = np.nan
    assert find_centre(*rows) == pytest.approx(found)
    slices = reconstruct(sinogram[:-1], ANGLES, centre=found)
    inner = np.hypot(ROW + 12, COL - 15) < 7
    assert slices[inner].mean() == pytest.approx(0.05, rel=0.02)
    assert np.array_equal(np.isnan(slices), np.hypot(ROW, COL) > min(found, N - 1 - found))


def _share(difference: np.ndarray, where: np.ndarray) -> float:
    """Return the share of a picture's energy that lies in a part of it."""
    energy = np.nan_to_num(difference) ** 2
    return float(energy[where].sum() / energy.sum())


@pytest.fixture(scope="module")
def turn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    angles = np.arange(0, 360, 2.0)
    rng = np.random.default_rng(2)
    sinogram = _sinogram(angles, DISKS) + rng.normal(0, 0.01, (180, N))
    return angles, sinogram, reconstruct(sinogram, angles)


def test_a_stuck_pixel_makes_a_ring(turn):
    angles, sinogram, clean = turn
    stuck = sinogram.copy()
    stuck[:, N // 2 + 25] += 0.2
    difference = reconstruct(stuck, angles) - clean
    ring = np.abs(np.hypot(ROW, COL) - 25) < 2
    assert ring.sum() < 0.05 * np.count_nonzero(np.hypot(ROW, COL) < 64)
    assert _share(difference, ring) > 0.75  # the ramp filter's tails hold the rest
    quarters = [
        _share(difference, ring & (np.arctan2(r, c) >= 0) & (np.arctan2(r, c) < np.pi / 2))
        for r, c in ((ROW, COL), (COL, -ROW), (-ROW, -COL), (-COL, ROW))
    ]
    np.testing.assert_allclose(quarters, np.mean(quarters), rtol=0.1)  # all round


def test_a_spot_makes_a_line(turn):
    angles, sinogram, clean = turn
    spotted = sinogram.copy()
    k = 20
    spotted[k, N // 2 - 18] += 5
    difference = reconstruct(spotted, angles) - clean
    theta = np.deg2rad(angles[k])
    line = np.abs(COL * np.cos(theta) - ROW * np.sin(theta) + 18) < 1.5
    assert _share(difference, line) > 0.85
    ring = np.abs(np.hypot(ROW, COL) - 18) < 2
    assert _share(difference, ring) < 0.2


@pytest.mark.slow
def test_stripes_removed_lower_the_rings_and_keep_the_disks():
    n, middle = 321, 160
    angles, rng = np.arange(0, 360, 2.0), np.random.default_rng(3)
    disks = [(0.008, 100.0, 7.0, -10.0), (0.012, 25.0, -30.0, 37.0)]
    sinogram = _sinogram(angles, disks, middle, n) + rng.normal(0, 0.01, (180, n))
    columns = np.array([100, 130, 188, 222, 250])
    striped = sinogram.copy()
    striped[:, columns] += rng.choice([-1, 1], 5) * rng.uniform(0.1, 0.2, 5)
    clean, rings, repaired = reconstruct(np.stack([sinogram, striped, remove_stripes(striped)], axis=1), angles)
    row, col = np.indices((n, n)) - middle
    circles = [np.abs(np.hypot(row, col) - abs(c - middle)) < 0.7 for c in columns]
    # A ring is what stays when one averages along the circle.
    energy = [sum(float((picture - clean)[c].mean()) ** 2 for c in circles) for picture in (rings, repaired)]
    assert energy[0] > 15 * energy[1]
    inner = np.hypot(row + 30, col - 37) < 20
    assert clean[inner].mean() == pytest.approx(0.02, rel=0.005)
    assert repaired[inner].mean() == pytest.approx(0.02, rel=0.02)  # a median over 51 of 321 columns has its price
    outer = (np.hypot(row - 7, col + 10) < 92) & (np.hypot(row + 30, col - 37) > 32)
    assert repaired[outer].mean() == pytest.approx(0.008, rel=0.01)


def test_bad_input():
    sinogram = _sinogram(ANGLES, DISKS)
    with pytest.raises(ShapeMismatchError, match="one angle for each"):
        reconstruct(sinogram, ANGLES[:-1])
    with pytest.raises(OptionError, match="in degrees"):
        reconstruct(sinogram, np.deg2rad(ANGLES))
    with pytest.raises(OptionError, match="half turn out"):
        reconstruct(sinogram[:140], ANGLES[:140])
    with pytest.raises(OptionError, match="centre"):
        reconstruct(sinogram, ANGLES, centre=200)
    with pytest.raises(OptionError, match="did you mean 'hann'"):
        reconstruct(sinogram, ANGLES, window="han")
    sinogram[3, 3] = np.nan
    with pytest.raises(ImageError, match="1 pixels of the projections are not finite"):
        reconstruct(sinogram, ANGLES)
    with pytest.raises(ShapeMismatchError, match="same"):
        find_centre(sinogram[0], sinogram[1, :-1])
    with pytest.raises(ImageError, match="show nothing"):
        find_centre(np.zeros(20), np.zeros(20))
