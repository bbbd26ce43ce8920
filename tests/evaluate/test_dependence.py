"""Trends and properties: by hand, against scipy, laws, and whether the intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.ndimage import distance_transform_edt

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.evaluate.dependence import trend
from segmetry.evaluate.properties import image_properties, object_properties


def _of(score, against, **options):
    return trend(score, against, name="IoU", against_name="contrast", **options)


def test_a_line_is_found_exactly():
    x = np.array([1.0, 2, 4, 8, 16, 32])
    found = _of(0.3 + 0.1 * np.log2(x), x)
    assert found.scale == "log2"
    assert found.slope.value == pytest.approx(0.1)
    assert found.rho.value == pytest.approx(1)
    assert found.through == (pytest.approx(2**2.5), pytest.approx(0.55))
    assert found.sentence == "IoU falls by 0.100 per halving of contrast [0.100, 0.100]"
    back = _of(0.3 + 0.1 * np.log2(x), 64 / x)
    assert back.slope.value == pytest.approx(-0.1)
    assert back.sentence == "IoU rises by 0.100 per halving of contrast [0.100, 0.100]"
    line = _of(2 - 0.01 * x, 5 * x, scale="linear", unit="px")
    assert line.slope.value == pytest.approx(-0.002)
    assert line.slope.unit == "px^-1"
    assert line.sentence == "IoU falls by 0.020 per 10 px of contrast [0.020, 0.020]"


def test_slope_and_rho_against_scipy():
    rng = np.random.default_rng(0)
    x = rng.gamma(2, 10, 80).round()  # ties
    y = np.clip(0.4 + 0.01 * x + rng.normal(0, 0.2, 80), 0, 1)
    found = _of(y, x, scale="linear")
    line = stats.linregress(x, y)
    assert found.slope.value == pytest.approx(line.slope)
    half = (found.slope.high - found.slope.low) / 2
    assert half == pytest.approx(stats.t.ppf(0.975, 78) * line.stderr, rel=0.35)  # theirs takes an even spread
    assert found.rho.value == pytest.approx(stats.spearmanr(x, y).statistic)


def test_rank_correlation_of_draws_is_that_of_repeated_rows():
    from segmetry.evaluate.dependence import _correlation, _Ranks

    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 6, (2, 15))
    times = rng.multinomial(15, np.full(15, 1 / 15), 20)
    expected = [stats.spearmanr(np.repeat(x, t), np.repeat(y, t)).statistic for t in times]
    assert _correlation(times.astype(float), _Ranks(x), _Ranks(y)) == pytest.approx(expected)


def test_bins_by_hand():
    # 12 rows, at most 2 bins by five rows each: 1..6 and 7..12; scores are the squares.
    x = np.arange(1.0, 13)
    found = _of(x**2, x, scale="linear")
    assert found.edges.tolist() == [1, 6, 12]
    assert found.n_bin.tolist() == [6, 6]
    assert found.centres.tolist() == [3.5, 9.5]
    assert found.median == pytest.approx([(9 + 16) / 2, (81 + 100) / 2])
    assert found.low[0] == pytest.approx(np.quantile(x[:6] ** 2, 0.25))
    assert found.high[1] == pytest.approx(np.quantile(x[6:] ** 2, 0.75))


def test_every_row_is_in_one_bin():
    rng = np.random.default_rng(2)
    for n in (1, 4, 5, 37, 400):
        x = rng.integers(1, 9, n).astype(float)
        found = _of(rng.random(n), x)
        assert found.n_bin.sum() == n
        assert (found.n_bin > 0).all()
        assert (np.diff(found.edges) > 0).all() or len(found.edges) == 2


def test_scale_is_chosen():
    y = np.linspace(0, 1, 300)
    assert _of(y, np.linspace(1, 3, 300)).scale == "linear"  # spread below four
    assert _of(y, np.geomspace(1, 30, 300)).scale == "log2"
    assert _of(y, np.linspace(-1, 30, 300)).scale == "linear"
    almost = _of(y, np.append(np.geomspace(1, 30, 299), 0))
    assert (almost.scale, almost.n) == ("log2", 299)


def test_no_trend_and_too_few():
    rng = np.random.default_rng(4)
    found = _of(rng.random(60), rng.random(60))
    assert found.slope.low < 0 < found.slope.high
    assert found.sentence.startswith("no trend of IoU with contrast can be seen")
    few = _of([0.1, 0.2, 0.3], [1, 2, 3])
    assert few.slope.value == pytest.approx(0.1)
    assert few.sentence == "whether IoU goes with contrast cannot be told: 3 images: too few for an interval"
    same = _of([0.1, 0.2, 0.3], [1, 1, 1])
    assert math.isnan(same.slope.value)
    nothing = _of([math.nan], [1.0])
    assert (nothing.n, len(nothing.median)) == (0, 0)
    assert "cannot be told" in nothing.sentence


def test_groups_widen_the_interval_and_missing_rows_are_left_out():
    rng = np.random.default_rng(5)
    image = np.repeat(np.arange(30), 20)
    contrast = np.repeat(rng.uniform(10, 100, 30), 20)
    score = np.repeat(rng.normal(0.6, 0.1, 30), 20) + rng.normal(0, 0.02, 600)
    alone, together = _of(score, contrast), _of(score, contrast, groups=image)
    assert together.slope.value == pytest.approx(alone.slope.value)
    assert together.slope.high - together.slope.low > 3 * (alone.slope.high - alone.slope.low)
    assert together.rho.high - together.rho.low > 2 * (alone.rho.high - alone.rho.low)
    holes = score.copy()
    holes[image == 3] = np.nan
    found = _of(holes, contrast, groups=image)
    assert (found.n, found.n_groups) == (580, 29)


def test_units_and_signs():
    rng = np.random.default_rng(6)
    x, y = rng.uniform(1, 3, 50), rng.random(50)
    one = _of(y, x)
    scaled = _of(2 * y + 1, 10 * x)
    assert (scaled.slope.low, scaled.slope.high) == pytest.approx((one.slope.low / 5, one.slope.high / 5))
    assert scaled.rho.low == pytest.approx(one.rho.low)
    turned = _of(-y, x)
    assert (turned.slope.low, turned.slope.high) == pytest.approx((-one.slope.high, -one.slope.low))
    wide = np.geomspace(1, 100, 50)
    assert _of(y, 7 * wide).slope.low == pytest.approx(_of(y, wide).slope.low)  # per doubling: no unit


def test_objects_counted_on_paper():
    truth = np.zeros((24, 40), int)
    truth[4:8, 4:8] = 1
    truth[4:8, 10:14] = 2  # two background columns between: a neighbour of 1
    truth[4:8, 17:21] = 5  # three between: not one of 2
    truth[8:10, 6:8] = 9  # touches 1
    pixels = np.where(truth > 0, 60.0, 20.0)
    pixels[truth == 5] = 10.0
    table = object_properties(truth, pixels)
    assert table["label"].tolist() == [1, 2, 5, 9]
    assert table["neighbours"].tolist() == [2, 1, 0, 1]  # 9 is one row and three columns away from 2: sqrt(10) > 3
    assert table["contrast"].tolist() == pytest.approx([40, 40, 10, 40])
    assert table["contrast_relative"].tolist() == pytest.approx([0.5, 0.5, 1 / 3, 0.5])
    assert table["equivalent_diameter"][0] == pytest.approx(8 / math.sqrt(math.pi))
    image = image_properties(truth, pixels)
    assert image["contrast"] == pytest.approx(40)
    assert image["crowding"] == 3 / 4
    assert image["covered"] == 52 / 960
    assert image["n_objects"] == 4
    assert image["noise"] == pytest.approx(0, abs=1e-3)
    assert image == image_properties(truth, pixels, objects=table)


@pytest.mark.parametrize("seed", range(6))
def test_neighbours_against_distance_maps(seed):
    rng = np.random.default_rng(seed)
    truth = np.zeros((40, 40), int)
    for k in range(1, 15):
        r, c = rng.integers(0, 36, 2)
        truth[r : r + rng.integers(1, 6), c : c + rng.integers(1, 6)] = 3 * k
    names = np.unique(truth[truth > 0])
    near = {a: sum((distance_transform_edt(truth != a)[truth == b] <= 3).any() for b in names if b != a) for a in names}
    assert object_properties(truth, rng.random((40, 40)))["neighbours"].tolist() == [near[a] for a in names]


def test_noise_and_ignored_pixels():
    rng = np.random.default_rng(0)
    truth = np.zeros((120, 120), int)
    truth[20:50, 20:50] = 1
    truth[100:, :] = 255
    pixels = rng.normal(100, 5, truth.shape) + 40 * (truth == 1)
    found = image_properties(truth, pixels, ignore=255)
    assert found["n_objects"] == 1
    assert found["covered"] == 900 / 12000
    assert found["noise"] == pytest.approx(5, rel=0.05)
    assert found["contrast"] == pytest.approx(40, abs=1)


def test_empty_and_full_images():
    nothing, pixels = np.zeros((20, 20), int), np.arange(400.0).reshape(20, 20)
    assert len(object_properties(nothing, pixels)) == 0
    empty = image_properties(nothing, pixels)
    assert empty["n_objects"] == empty["covered"] == 0
    assert math.isnan(empty["contrast"])
    assert math.isnan(empty["crowding"])
    full = image_properties(nothing + 1, pixels)
    assert full["covered"] == 1
    assert math.isnan(full["noise"])
    assert math.isnan(full["contrast"])


def test_bad_input_has_one_clear_line():
    with pytest.raises(ShapeMismatchError, match="one a row"):
        _of([1, 2], [1, 2, 3])
    with pytest.raises(OptionError, match="8 is usual"):
        _of([1, 2], [1, 2], n_bins=0)
    with pytest.raises(OptionError, match="'log2'"):
        _of([1, 2], [1, 2], scale="log10")
    with pytest.raises(OptionError, match="for volumes"):
        object_properties(np.zeros((3, 3, 3), int), np.zeros((3, 3, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("true", [0.0, 0.08])
def test_slopes_and_rho_cover(true):
    """Objects in 40 images of unequal number; spread grows with the property. a two-sided binomial test."""
    rng = np.random.default_rng(11)
    inside = np.zeros(2)
    big = None
    for k in range(1001):
        n_images = 40 if k else 20_000
        size = 1 + rng.poisson(rng.gamma(1.5, 4, n_images))
        image = np.repeat(np.arange(n_images), size)
        x = rng.normal(0, 1, n_images)[image] + rng.normal(0, 0.5, len(image))
        error = rng.normal(0, 0.1, n_images)[image] + rng.gamma(1, 0.1, len(image)) * np.exp(0.3 * np.tanh(x))
        y = true * x + error - 0.1 * np.exp(0.3 * np.tanh(x))
        if not k:
            big = np.polyfit(x, y, 1)[0], stats.spearmanr(x, y).statistic
            continue
        found = trend(y, 2.0**x, name="y", against_name="x", scale="log2", groups=image, seed=k)
        for at, estimate in enumerate((found.slope, found.rho)):
            inside[at] += estimate.low <= big[at] <= estimate.high
    for n in inside:
        assert stats.binomtest(int(n), 1000, 0.95).pvalue > 0.002, inside
