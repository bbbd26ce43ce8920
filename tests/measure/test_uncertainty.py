"""How causes of uncertainty join, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from segmetry.measure.uncertainty import (
    Counting,
    combine,
    influence_variance,
    particles_needed,
    proportion_interval,
)
from segmetry.types import Estimate

Z = stats.norm.ppf(0.975)


def test_counting_alone_keeps_its_interval():
    found = combine("d50", Counting(10, 9, 12, 50, "order statistics"), unit="nm", power=1)
    assert (found.low, found.high) == (9, 12)
    assert found.contributions == {"counting": 1.0, "calibration": 0.0}
    assert found.this_image is None


def test_pixel_size_joins_in_quadrature_on_each_side():
    found = combine("d50", Counting(10, 9, 12, 50, "x"), power=1, rel_uncertainty=0.05)
    assert math.log(found.high / 10) == pytest.approx(math.hypot(math.log(1.2), Z * 0.05))
    assert math.log(10 / found.low) == pytest.approx(math.hypot(math.log(10 / 9), Z * 0.05))


@pytest.mark.parametrize("power", [-2, 1, 2, 3])
def test_pixel_size_enters_by_the_power_of_length(power):
    found = combine("x", Counting(10, 10, 10, 50, "x"), power=power, rel_uncertainty=0.01)
    assert math.log(found.high / 10) == pytest.approx(Z * 0.01 * abs(power))
    assert found.contributions["calibration"] == 1


def test_segmentation_by_rubin():
    values = [9.0, 10.0, 11.0, 12.0]
    found = combine("x", Counting(10.5, 9.5, 11.5, 50, "x"), sample_values=values, positive=False)
    half = stats.t.ppf(0.975, 3) * np.std(values, ddof=1) * math.sqrt(1.25)
    assert found.this_image == pytest.approx((10.5 - half, 10.5 + half))
    assert found.high == pytest.approx(10.5 + math.hypot(1, half))
    assert found.contributions["segmentation"] == pytest.approx(half**2 / (half**2 + 1))


def test_a_value_outside_its_samples_is_doubted():
    found = combine("x", Counting(20, 19, 21, 9, "x"), sample_values=[10, 10.1, 9.9])
    assert "outside the spread" in found.note
    assert "fewer than two" in combine("x", Counting(20, 19, 21, 9, "x"), sample_values=[10]).note


def test_a_stated_uncertainty_takes_the_place_of_samples():
    stated = {"sample_values": [100.0, 100.0, 100.0], "segmentation_sd": 5.0}
    found = combine("count", Counting(100, 80, 121, 100, "x"), **stated)
    assert found.this_image == pytest.approx((100 - Z * 5, 100 + Z * 5))
    assert (found.low, found.high) == pytest.approx((100 - math.hypot(20, Z * 5), 100 + math.hypot(21, Z * 5)))
    few = combine("count", Counting(3, 1, 8, 3, "x"), segmentation_sd=5.0)
    assert (few.this_image.low, few.low) == (0, 0)
    none = combine("count", Counting(0, 0, 3.7, 0, "x"), segmentation_sd=1.0)
    assert none.this_image == pytest.approx((0, Z))
    # A method that says that it does not know is believed, whatever its samples agree on.
    unknown = combine("count", Counting(100, 80, 121, 100, "x"), **stated | {"segmentation_sd": math.nan})
    assert unknown.this_image is None
    assert (unknown.low, unknown.high) == (80, 121)


def test_unknown_stays_unknown():
    found = combine("x", Counting(5, math.nan, math.nan, 1, "none", "one particle"), power=1, rel_uncertainty=0.1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.note == "one particle"
    assert not found.contributions


def test_influence_variance_of_a_mean_is_the_textbook_one():
    x = np.random.default_rng(0).normal(size=20)
    variance, dof = influence_variance((x - x.mean()) / 20)
    assert variance == pytest.approx(x.var(ddof=1) / 20)
    assert dof == 19


def test_share_has_jeffreys_interval():
    """7 of 20 at 95 %: (0.1717, 0.5669), tables of the Beta(7.5, 13.5) distribution; ends closed at 0 and 1."""
    low, high = proportion_interval(np.array([0.35, 0.0, 1.0]), np.full(3, 20.0), 0.95)
    assert (low[0], high[0]) == pytest.approx((stats.beta.ppf(0.025, 7.5, 13.5), stats.beta.ppf(0.975, 7.5, 13.5)))
    assert (low[1], high[2]) == (0, 1)


def test_particles_needed():
    d50 = Estimate("d50", 10, 9, 11, contributions={"counting": 0.75, "calibration": 0.25}, n=100)
    # Half-width 10 %: counting 0.0075, pixel size 0.0025 of the square. For 6 %: 0.0036 - 0.0025 is left for counting.
    needed = particles_needed(d50, 0.06)
    assert needed.total == math.ceil(100 * 0.0075 / 0.0011)
    assert needed.more == needed.total - 100
    assert particles_needed(d50, 0.2).more == 0
    floor = particles_needed(d50, 0.05)
    assert floor.total == math.inf
    assert "5.0 %" in floor.note
    assert math.isnan(particles_needed(Estimate("d50", 10, n=1), 0.1).total)
