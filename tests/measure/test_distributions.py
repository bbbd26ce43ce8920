"""Size distributions against hand counts, textbook intervals and laws."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from segmetry.errors import OptionError
from segmetry.measure.distributions import distribution
from segmetry.measure.weighted import STATISTICS, Sample, mean_counting, quantile, quantile_counting

SIZE = "equivalent_diameter"


def table(sizes, unit="nm", **columns) -> pd.DataFrame:
    out = pd.DataFrame({SIZE: np.asarray(sizes, float), **columns})
    out.attrs["units"] = {SIZE: unit}
    return out


def lognormal(n=200, gsd=1.4, median=20.0, seed=0):
    return median * np.exp(np.random.default_rng(seed).normal(0, math.log(gsd), n))


def test_by_hand():
    # Five particles, weights 1 1 2 1 1 of 6: the middle of the third is at (2 + 1) / 6 = one half.
    found = distribution(table([10, 12, 14, 20, 24], edge_weight=[1, 1, 2, 1, 1]))
    assert found.estimates["d50"].value == pytest.approx(14)
    assert found.estimates["mean"].value == pytest.approx((10 + 12 + 28 + 20 + 24) / 6)
    # D10 lies at 0.6 of 6: between the middles 0.5 and 1.5 of the first two, so 10 + 0.1 * 2.
    assert found.estimates["d10"].value == pytest.approx(10.2)
    assert found.estimates["d90"].value == pytest.approx(24 - 0.1 * 4)
    assert found.estimates["span"].value == pytest.approx((23.6 - 10.2) / 14)
    assert found.estimates["d50"].unit == "nm"
    assert found.estimates["span"].unit == ""


def test_moment_means_by_hand():
    found = distribution(table([1, 2, 3]), edge_correction=False).estimates
    assert found["d32"].value == pytest.approx((1 + 8 + 27) / (1 + 4 + 9))
    assert found["d43"].value == pytest.approx((1 + 16 + 81) / (1 + 8 + 27))


@pytest.mark.parametrize(("weighting", "same"), [("area", "d32"), ("volume", "d43")])
def test_mean_of_a_weighted_distribution_is_the_moment_mean(weighting, same):
    """ISO 9276-2: the mean of q2 is D[3,2], that of q3 is D[4,3], whatever distribution one starts from."""
    sizes = table(lognormal())
    number, weighted = (distribution(sizes, edge_correction=False, weighting=w) for w in ("number", weighting))
    assert weighted.estimates["mean"].value == pytest.approx(number.estimates[same].value, rel=1e-12)
    assert weighted.estimates[same].value == pytest.approx(number.estimates[same].value, rel=1e-12)


@pytest.mark.parametrize(("weighting", "power"), [("number", 0), ("area", 2), ("volume", 3)])
def test_lognormal_moves_as_hatch_and_choate_say(weighting, power):
    """Weighting a log-normal by x^k keeps its spread and moves its median by exp(k s^2)."""
    gsd, n = 1.2, 200_000
    found = distribution(table(lognormal(n, gsd)), edge_correction=False, weighting=weighting).estimates
    s = math.log(gsd)
    median = 20 * math.exp(power * s**2)
    z = stats.norm.ppf(0.9)
    expected = {
        "d10": median * math.exp(-z * s),
        "d50": median,
        "d90": median * math.exp(z * s),
        "span": 2 * math.sinh(z * s),
        "mean": median * math.exp(s**2 / 2),
        "mode": median * math.exp(-(s**2)),
        "gsd": gsd,
        "lognormal_median": median,
        "lognormal_gsd": gsd,
        "d32": 20 * math.exp(2.5 * s**2),
        "d43": 20 * math.exp(3.5 * s**2),
    }
    for name, value in expected.items():
        # Four standard errors of the least certain (volume-weighted) one; the mode converges slower.
        assert found[name].value == pytest.approx(value, rel=0.03 if name == "mode" else 0.006), name
    assert found["lognormal_distance"].value < 0.01


def test_every_statistic_is_tested_and_has_an_interval():
    found = distribution(table(lognormal()), edge_correction=False).estimates
    assert set(found) == {*STATISTICS, "d32", "d43", "lognormal_distance"}
    for name, estimate in found.items():
        if name != "lognormal_distance":
            assert estimate.low < estimate.value < estimate.high, name
            assert sum(estimate.contributions.values()) == pytest.approx(1), name
            assert estimate.n == 200
            assert estimate.this_image is None


def test_equal_weights_give_hazen_quantiles():
    x = np.random.default_rng(1).gamma(3, size=37)
    for p in (0.05, 0.1, 0.37, 0.5, 0.9):
        assert quantile(Sample(x, np.ones(37)), p) == pytest.approx(np.quantile(x, p, method="hazen"))


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(st.floats(0.1, 100), min_size=1, max_size=12),
    counts=st.lists(st.integers(1, 4), min_size=12, max_size=12),
)
def test_a_weight_counts_as_that_many_particles(sizes, counts):
    counts = counts[: len(sizes)]
    one = distribution(table(sizes, edge_weight=np.array(counts, float)))
    many = distribution(table(np.repeat(sizes, counts), edge_weight=np.ones(sum(counts))))
    assert one.estimates["mean"].value == pytest.approx(many.estimates["mean"].value)
    assert one.estimates["lognormal_gsd"].value == pytest.approx(many.estimates["lognormal_gsd"].value, abs=1e-9)
    np.testing.assert_allclose(one.x, many.x)
    np.testing.assert_allclose(one.cumulative, many.cumulative, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_scales_with_the_unit(factor, seed):
    sizes = lognormal(40, seed=seed)
    weights = np.random.default_rng(seed).uniform(1, 2, 40)
    once, scaled = (distribution(table(s, edge_weight=weights)) for s in (sizes, sizes * factor))
    for name, before in once.estimates.items():
        after = scaled.estimates[name]
        by = factor if before.unit == "nm" else 1.0
        # The mode is the middle of a cell of a fine grid: rounding can move it by one cell.
        rel = 0.01 if name == "mode" else 1e-9
        for a, b in ((before.value, after.value), (before.low, after.low), (before.high, after.high)):
            assert b == pytest.approx(a * by, rel=rel, nan_ok=True), name


def test_order_of_rows_does_not_matter():
    sizes, weights = lognormal(50), np.random.default_rng(2).uniform(1, 2, 50)
    turn = np.random.default_rng(3).permutation(50)
    a = distribution(table(sizes, edge_weight=weights)).estimates
    b = distribution(table(sizes[turn], edge_weight=weights[turn])).estimates
    for name in a:
        for end in ("value", "low", "high"):
            assert getattr(a[name], end) == pytest.approx(getattr(b[name], end), rel=1e-9, nan_ok=True), name


def test_median_interval_lies_between_the_order_statistics_of_the_sign_test():
    """n = 100: [x40, x61] covers 96.5 %, [x41, x60] 94.3 % (binomial tables); 95 % must lie between them."""
    x = np.sort(lognormal(100))
    found = quantile_counting(Sample(x, np.ones(100)), 0.5, 0.95)
    assert x[39] <= found.low <= x[40]
    assert x[59] <= found.high <= x[60]
    assert found.note == ""


def test_quantile_beyond_the_sample_uses_the_tolerance_factor():
    """One-sided 95 % limit of the 90th percentile of a normal, n = 10: factor 2.355 (Natrella 1963, table A-7)."""
    y = np.random.default_rng(4).normal(size=10)
    found = quantile_counting(Sample(np.exp(y), np.ones(10)), 0.9, 0.90)
    assert math.log(found.high) == pytest.approx(y.mean() + 2.355 * y.std(ddof=1), abs=2e-3)
    assert "log-normal tail" in found.note


def test_mean_of_a_symmetric_sample_has_students_interval():
    half = np.random.default_rng(5).normal(0, 1, 15)
    x = 10 + np.concatenate([half, -half])
    found = mean_counting(Sample(x, np.ones(30)), 0.95)
    low, high = stats.t.interval(0.95, 29, x.mean(), stats.sem(x))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6)


def test_images_as_groups_give_the_interval_of_image_means():
    """Twelve images of equal numbers, symmetric about the mean: Student's interval of twelve means."""
    rng = np.random.default_rng(6)
    shift = rng.normal(0, 2, 6)
    centres = 20 + np.concatenate([shift, -shift])
    inner = rng.normal(0, 0.5, 10)
    x = (centres[:, None] + np.concatenate([inner, -inner])).ravel()
    image = np.repeat([f"image {i}" for i in range(12)], 20)
    found = distribution(table(x, image=image), edge_correction=False, groups="image")
    low, high = stats.t.interval(0.95, 11, centres.mean(), stats.sem(centres))
    mean = found.estimates["mean"]
    assert (mean.low, mean.high) == pytest.approx((low, high), rel=1e-6)
    assert "12 images were resampled" in found.notes
    alone = distribution(table(x), edge_correction=False)
    for name in ("d10", "d50", "d90", "mean"):
        wide, narrow = found.estimates[name], alone.estimates[name]
        assert wide.high - wide.low > 2 * (narrow.high - narrow.low), name
    inside = (found.cumulative > 0.2) & (found.cumulative < 0.8)
    assert np.all((found.cumulative_high - found.cumulative_low)[inside] > 0.3)


def test_few_images_resample_particles():
    found = distribution(table(lognormal(30), image=np.arange(30) % 9), edge_correction=False, groups="image")
    assert any("9 images are fewer than 10" in note for note in found.notes)
    plain = distribution(table(lognormal(30)), edge_correction=False)
    assert found.estimates["mean"].low == plain.estimates["mean"].low


def test_frame_correction_drops_what_touches_and_weights_the_rest():
    sizes = table([10, 20, 30], edge_weight=[1.0, 3.0, np.nan], touches_edge=[False, False, True])
    on, off = (distribution(sizes, edge_correction=c) for c in (True, False))
    assert (on.n, on.n_dropped, off.n, off.n_dropped) == (2, 1, 3, 0)
    assert on.estimates["mean"].value == pytest.approx(17.5)
    assert off.estimates["mean"].value == pytest.approx(20)
    assert "1 particles that touch it dropped" in on.notes[0]
    assert "1 particles that touch the frame counted" in off.notes[0]
    hidden = table([10, 20, 30], edge_weight=[1.0, np.nan, np.nan], touches_edge=[False, False, True])
    notes = distribution(hidden).notes
    assert "1 particles that touch it dropped" in notes[0]
    assert "1 particles that burned-in text may hide" in notes[1]
    assert "not corrected" in distribution(table([10, 20, 30])).notes[0]
    large = distribution(table([10, 20, 30], edge_weight=[1.0, 1.2, 40.0]))
    assert any("counts 40 times" in note for note in large.notes)


def test_frame_bias_is_removed_on_a_scene_built_to_have_one():
    """Disks up to half the frame, thrown at random; only those inside are seen. Truth: their own distribution."""
    rng = np.random.default_rng(7)
    side, n = 100.0, 200_000
    d = rng.uniform(5, 60, n)
    centre = rng.uniform(-40, side + 40, (n, 2))
    seen = np.all((centre > d[:, None] / 2) & (centre < side - d[:, None] / 2), axis=1)
    weight = side**2 / (side - d[seen]) ** 2
    biased = distribution(table(d[seen]), edge_correction=False).estimates
    found = distribution(table(d[seen], edge_weight=weight)).estimates
    assert biased["mean"].value < 0.8 * 32.5
    assert found["mean"].value == pytest.approx(32.5, rel=0.01)
    assert found["d10"].value == pytest.approx(10.5, rel=0.02)
    assert found["d90"].value == pytest.approx(54.5, rel=0.01)
    for name, truth in (("mean", 32.5), ("d50", 32.5)):
        assert found[name].low < truth < found[name].high


def test_pixel_size_enters_lengths_and_not_ratios():
    sizes = table(lognormal(10_000))
    plain, unsure = (distribution(sizes, edge_correction=False, rel_uncertainty=u).estimates for u in (0.0, 0.05))
    for name in ("d50", "mean", "d32"):
        half = (math.log(unsure[name].high) - math.log(unsure[name].low)) / 2
        assert half == pytest.approx(1.96 * 0.05, rel=0.05), name
        assert unsure[name].contributions["calibration"] > 0.9
    for name in ("gsd", "span"):
        assert (unsure[name].low, unsure[name].high) == (plain[name].low, plain[name].high)
        assert unsure[name].contributions["calibration"] == 0


def test_bands_hold_pixel_size():
    sizes = table(lognormal(10_000))
    plain, unsure = (distribution(sizes, edge_correction=False, rel_uncertainty=u) for u in (0.0, 0.05))
    at = np.argmin(np.abs(unsure.cumulative - 0.5))
    # The share below a size moves as far as the sizes do when they are 5 % longer or shorter.
    longer, shorter = (np.mean(sizes[SIZE] * f < unsure.x[at]) for f in (1.05, 0.95))
    expected = 1.96 * math.hypot((shorter - longer) / 2, 0.5 / 100)
    half = (unsure.cumulative_high[at] - unsure.cumulative_low[at]) / 2
    assert half == pytest.approx(expected, rel=0.02)
    assert plain.cumulative_high[at] - plain.cumulative_low[at] < 0.03
    assert np.all(unsure.density_high - unsure.density_low >= (plain.density_high - plain.density_low) * 0.999)


def test_segmentation_samples_give_this_image_interval():
    rng = np.random.default_rng(8)
    sizes = lognormal(500)
    samples = [table(sizes * math.exp(e)) for e in rng.normal(0, 0.03, 20)]
    found = distribution(table(sizes), edge_correction=False, samples=samples, rel_uncertainty=0.01).estimates["d50"]
    spread = np.std([np.log(np.quantile(s[SIZE], 0.5)) for s in samples], ddof=1)
    expected = math.hypot(stats.t.ppf(0.975, 19) * spread * math.sqrt(1 + 1 / 20), 1.96 * 0.01)
    assert math.log(found.this_image.high / found.value) == pytest.approx(expected, rel=1e-3)
    assert found.low < found.this_image.low < found.this_image.high < found.high
    assert set(found.contributions) == {"counting", "segmentation", "calibration"}
    assert sum(found.contributions.values()) == pytest.approx(1)


def test_histogram_and_curve():
    sizes = lognormal(300)
    found = distribution(table(sizes), edge_correction=False)
    width = np.diff(found.edges)
    assert np.sum(found.density * width) == pytest.approx(1)
    np.testing.assert_allclose(found.density * width * 300, np.histogram(sizes, found.edges)[0], atol=1e-9)
    assert found.edges[0] <= sizes.min() < sizes.max() <= found.edges[-1]
    assert np.all((found.density_low <= found.density) & (found.density <= found.density_high))
    assert np.all(np.diff(found.cumulative) > 0)
    assert np.all((found.cumulative_low <= found.cumulative) & (found.cumulative <= found.cumulative_high))
    # The curve and D50 are one definition.
    assert np.interp(0.5, found.cumulative, found.x) == pytest.approx(found.estimates["d50"].value)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_particles_have_values_but_no_interval(n):
    found = distribution(table([10.0, 12.0][:n], edge_weight=np.ones(n)), rel_uncertainty=0.01)
    assert found.n == n
    for name in STATISTICS:
        estimate = found.estimates[name]
        assert math.isnan(estimate.low)
        assert math.isnan(estimate.high)
        assert estimate.note, name
    assert math.isnan(found.estimates["d50"].value) == (n == 0)
    assert len(found.density) == len(found.edges) - 1
    assert np.all(np.isnan(found.density_low))


def test_equal_particles_and_lost_values():
    found = distribution(table([5.0] * 20 + [np.nan]), edge_correction=False)
    assert (found.n, found.n_dropped) == (20, 1)
    for name in ("d10", "d50", "mean", "mode", "d43"):
        assert found.estimates[name].value == pytest.approx(5.0)
    assert found.estimates["gsd"].value == pytest.approx(1.0)


def test_other_columns():
    rng = np.random.default_rng(9)
    sizes = table(lognormal(100), aspect_ratio=rng.uniform(1, 2, 100), contrast=rng.normal(0, 1, 100))
    aspect = distribution(sizes, measure="aspect_ratio", weighting="area", edge_correction=False)
    weights = sizes[SIZE] ** 2
    assert aspect.estimates["mean"].value == pytest.approx(np.average(sizes["aspect_ratio"], weights=weights))
    assert aspect.unit == ""
    assert "d32" not in aspect.estimates
    contrast = distribution(sizes, measure="contrast", edge_correction=False).estimates
    assert contrast["mean"].low < 0 < contrast["mean"].high
    assert math.isnan(contrast["gsd"].value)
    assert "above 0" in contrast["gsd"].note


def test_bad_requests():
    sizes = table(lognormal(10))
    with pytest.raises(OptionError, match="did you mean 'equivalent_diameter'"):
        distribution(sizes, measure="equivalent_diametre")
    with pytest.raises(OptionError, match="did you mean 'volume'"):
        distribution(sizes, weighting="volum")
    with pytest.raises(OptionError, match="level"):
        distribution(sizes, level=95)
    with pytest.raises(OptionError, match="column of groups"):
        distribution(sizes, groups="picture")
    with pytest.raises(OptionError, match="names no unit"):
        distribution(pd.DataFrame({SIZE: [1.0, 2.0]}), rel_uncertainty=0.01)
    with pytest.raises(OptionError, match="needs the column"):
        distribution(pd.DataFrame({"solidity": [0.9, 0.8]}), measure="solidity", weighting="volume")


@pytest.mark.parametrize("kind", ["tiny spread", "huge spread", "zeros", "negative", "infinite", "one heavy"])
def test_odd_tables_give_ordered_intervals(kind):
    """Nothing warns (warnings are errors here), and where there is an interval the value lies in it."""
    rng = np.random.default_rng(10)
    for n in (3, 5, 11, 40):
        x = np.exp(rng.normal(0, {"tiny spread": 0.001, "huge spread": 3}.get(kind, 0.4), n))
        weight = rng.uniform(1, 2, n)
        if kind == "zeros":
            x[: n // 2 + 1] = 0
        elif kind == "negative":
            x = -x
        elif kind == "infinite":
            x[0] = np.inf
        elif kind == "one heavy":
            weight[0] = 1e9
        for weighting in ("number", "volume"):
            found = distribution(table(x, edge_weight=weight), weighting=weighting, rel_uncertainty=0.02)
            for estimate in found.estimates.values():
                if math.isfinite(estimate.low):
                    slack = 1e-9 * abs(estimate.value)
                    assert estimate.low - slack <= estimate.value <= estimate.high + slack, (n, estimate)


@pytest.mark.parametrize("n", [3, 20001])
def test_equal_sizes_have_a_mode_and_no_spread(n):
    table = pd.DataFrame({"equivalent_diameter": np.full(n, 2.2567), "edge_weight": np.ones(n)})
    estimates = distribution(table).estimates
    assert estimates["mode"].value == pytest.approx(2.2567, rel=1e-9)
    assert estimates["d50"].value == pytest.approx(2.2567, rel=1e-12)


def test_a_fit_is_claimed_only_where_a_misfit_would_be_seen():
    def said(sizes, **columns):
        return distribution(table(sizes, **columns)).estimates["lognormal_distance"].note

    assert said(lognormal(200)).startswith("the log-normal fits: 5 % limit 0.0626")  # 0.886 / sqrt(200)
    # Sizes between 5 and 35, all alike likely, are no log-normal; twenty of them mostly cannot tell.
    few = [said(np.random.default_rng(seed).uniform(5, 35, 20)) for seed in range(40)]
    assert sum("would hardly show a misfit" in note for note in few) > 20
    assert not any("the log-normal fits" in note for note in few)
    assert all("5 % limit 0.198" in note for note in few)
    two_sizes = np.repeat([10.0, 30.0], 10) * np.linspace(0.99, 1.01, 20)
    assert said(two_sizes).startswith("the log-normal does not fit"), "a clear misfit is said, however few"
    # 200 particles, nearly all of the weight on 20 of them: the effective number counts.
    assert "would hardly" in said(lognormal(200), edge_weight=np.where(np.arange(200) < 20, 1000.0, 1.0))
