"""Integral range and intervals of fractions on Boolean models of balls, whose covariance is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.errors import CalibrationError, ImageError, OptionError
from segmetry.measure.representative import Representative, representative
from segmetry.types import Calibration, Interval
from solids import boolean_balls, integral_range


@pytest.mark.slow
@pytest.mark.parametrize(("fraction", "radius"), [(0.2, 3), (0.5, 4)])
def test_boolean_model(fraction, radius):
    """The range to 10 % on average, its interval and that of the fraction hold in at least 9 of 12."""
    truth, held, covered, ranges = integral_range(fraction, radius), 0, 0, []
    for seed in range(12):
        found = representative(boolean_balls(np.random.default_rng(seed), 80, fraction, radius))
        ranges.append(found.integral_range)
        held += found.range_interval.low <= truth <= found.range_interval.high
        low, high = found.interval()
        covered += low <= fraction <= high
    assert np.mean(ranges) == pytest.approx(truth, rel=0.1)
    assert held >= 9
    assert covered >= 9


@pytest.mark.parametrize(("shape", "spacing"), [((256, 256), (1, 1)), ((256, 128), (0.5, 1.0))])
def test_disks(shape, spacing):
    fraction, radius, ranges = 0.3, 4, []
    calibration = Calibration(spacing, "µm")
    for seed in range(4):
        mask = boolean_balls(np.random.default_rng(seed), (256, 256), fraction, radius)[:, :: 256 // shape[1]]
        found = representative(mask, calibration=calibration)
        ranges.append(found.integral_range)
    assert np.mean(ranges) == pytest.approx(integral_range(fraction, radius * spacing[0], 2), rel=0.2)
    assert found.size == pytest.approx(mask.size * spacing[0] * spacing[1])
    assert (np.diff(found.sizes) > 0).all()


def test_pixels_that_know_nothing_of_each_other():
    """The variances of noise are binomial; structures as fine as pixels get a range that is up to twice too large."""
    found = representative(np.random.default_rng(4).random((64, 64, 64)) < 0.5)
    many = found.n_blocks > 200
    error = 5 * np.sqrt(2 / found.n_blocks[many])
    assert (np.abs(found.variances[many] * found.sizes[many] / 0.25 - 1) < error).all()
    assert 1 <= found.integral_range < 2


def test_sizes_and_intervals_by_hand():
    """A fraction of .5 with a range of 2: a volume of 20,000 is 10,000 independent points."""
    found = Representative(
        0.5, 2.0, Interval(2, 2), np.zeros(0), np.zeros(0), np.zeros(0, int), 20_000, "µm", 3, 0.95
    )  # fmt: skip
    low, high = found.interval()
    assert (high + low, high - low) == (pytest.approx(1), pytest.approx(2 * 1.96 * 0.005, rel=0.01))
    assert found.interval(80_000)[1] - 0.5 == pytest.approx(1.96 * 0.0025, rel=0.01)
    assert found.size_for(0.0196) == pytest.approx(20_000, rel=1e-3)
    assert found.size_for(0.0098, relative=False, n=4) == pytest.approx(5_000, rel=1e-3)


def test_laws():
    mask = np.random.default_rng(1).random((48, 32, 32)) < 0.3
    found, other = representative(mask), representative(~mask.transpose(0, 2, 1))
    assert other.fraction == pytest.approx(1 - found.fraction)
    assert other.integral_range == pytest.approx(found.integral_range, rel=1e-9)
    scaled = representative(mask, calibration=Calibration((2, 2, 2), "nm"))
    assert scaled.integral_range == pytest.approx(8 * found.integral_range, rel=1e-9)
    assert scaled.interval() == pytest.approx(found.interval(), rel=1e-9)


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (np.ones((16, 16, 16), bool), "one phase"),
        (np.zeros((16, 16, 16), bool), "one phase"),
        (np.arange(4096).reshape(16, 16, 16) < 2048, "coarse"),
        (np.array([[True, False]]), "too small"),
    ],
)
def test_what_says_nothing(mask, why):
    found = representative(mask)
    assert math.isnan(found.integral_range)
    assert math.isnan(found.interval().low)
    assert math.isnan(found.size_for(0.1))
    assert why in found.note


def test_what_cannot_be_asked():
    mask = np.random.default_rng(1).random((32, 32)) < 0.3
    with pytest.raises(OptionError, match="between 0 and 1"):
        representative(mask, level=95)
    with pytest.raises(OptionError, match="error must be positive"):
        representative(mask).size_for(0)
    with pytest.raises(OptionError, match="size must be positive"):
        representative(mask).interval(math.nan)
    with pytest.raises(OptionError, match="from 1 on"):
        representative(mask).size_for(0.1, n=0)
    with pytest.raises(ImageError):
        representative(np.zeros((0, 4), bool))
    with pytest.raises(CalibrationError):
        representative(mask, calibration=Calibration((math.nan, 1), "nm"))
