"""What a segmentation does not know reaches the statistics: tables of samples, moved borders, joined intervals."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from segmetry import pipeline
from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.measure import centres, distribution, measure, nearest_neighbours, radial_distribution, summarise
from segmetry.measure.segmentation_share import (
    SAMPLE_MEASURES,
    border_of,
    both_ways,
    count_sd_of,
    moved,
    sample_tables,
)
from segmetry.measure.spatial import sample_centres
from segmetry.measure.uncertainty import Counting, combine, sample_arms
from segmetry.recipe import Recipe
from segmetry.types import Calibration, Image, Segmentation

NM = Calibration((0.5, 0.5), "nm", 0.01, "user")
SHAPE = (240, 300)


def paint(middles, radii, shape=SHAPE):
    """Label image of disks; where two meet the later one lies on top."""
    labels = np.zeros(shape, np.int32)
    rows, cols = np.indices(shape)
    for k, ((row, col), radius) in enumerate(zip(middles, radii), start=1):
        labels[(rows - row) ** 2 + (cols - col) ** 2 <= radius**2] = k
    return labels


@pytest.fixture(scope="module")
def scene():
    """30 disks apart from each other, six samples whose radii differ; every sample misses one disk."""
    rng = np.random.default_rng(3)
    middles = np.stack(np.meshgrid(np.arange(20, 240, 45), np.arange(20, 300, 50), indexing="ij"), -1).reshape(-1, 2)
    middles = middles + rng.uniform(-8, 8, middles.shape)
    radii = rng.uniform(7, 13, len(middles))
    samples = tuple(
        paint(np.delete(middles, k, 0), np.delete(radii + shift, k)) for k, shift in enumerate(rng.normal(0, 0.5, 6))
    )
    labels = paint(middles, radii)
    scores = np.linspace(0.5, 1.0, int(labels.max()))
    uncertainty = np.where(labels > 0, 0.1, 0.0)
    uncertainty[:, :150] *= 3
    segmentation = Segmentation(
        labels, info={"border_sd_px": 0.4}, samples=samples, scores=scores, uncertainty=uncertainty
    )
    return segmentation, Image(np.where(labels > 0, 60, 180).astype(np.uint8), calibration=NM)


@pytest.mark.parametrize("what", ["nothing", "a footer", "text", "text and a footer"])
def test_sample_tables_are_those_of_measure(scene, what):
    segmentation, image = scene
    ignore = np.zeros(SHAPE, bool)
    ignore[230:] = "footer" in what
    ignore[100:112, 120:180] = "text" in what
    image = image.replace(ignore=ignore)
    tables = sample_tables(segmentation, image)
    assert len(tables) == len(segmentation.samples)
    names = [name for name in SAMPLE_MEASURES if name != "volume"]
    for table, labels in zip(tables, segmentation.samples):
        expected = measure(labels, image, measures=names)
        pd.testing.assert_frame_equal(table[expected.columns], expected, check_exact=True)


def test_samples_that_cannot_be_used_are_refused_and_none_gives_none(scene):
    segmentation, image = scene
    assert sample_tables(dataclasses.replace(segmentation, samples=()), image) == ()
    wrong = dataclasses.replace(segmentation, samples=(np.zeros((3, 4), np.int32),))
    with pytest.raises(ShapeMismatchError, match=r"sample 1 is \(3, 4\)"):
        sample_tables(wrong, image)
    empty = dataclasses.replace(segmentation, samples=(np.zeros(SHAPE, np.int32),) * 2)
    assert [len(table) for table in sample_tables(empty, image)] == [0, 0]


def test_tables_of_volumes():
    labels = np.zeros((8, 9, 10), np.int32)
    labels[2:5, 3:6, 4:8] = 1
    (table,) = sample_tables(Segmentation(labels, samples=(labels,)), calibration=Calibration((2.0, 1, 1), "nm"))
    assert table["volume"][0] == 3 * 3 * 4 * 2


def test_a_moved_border_is_that_of_larger_disks():
    """Tables of disks that are drawn larger, against moved tables of those that were not."""
    rng = np.random.default_rng(0)
    radii = rng.uniform(15, 30, 40)
    small, large = (
        pd.concat([measure(paint([(50.3, 50.7)], [r + s], (101, 101)), calibration=NM) for r in radii]) for s in (0, 2)
    )
    found = moved(small, 2 * 0.5)
    for name in ("equivalent_diameter", "area", "feret_max", "feret_min"):
        ratio = found[name].to_numpy() / large[name].to_numpy()
        assert np.mean(ratio) == pytest.approx(1, abs=0.002), name
    assert small["area"].iloc[0] < found["area"].iloc[0]  # the table given is not changed
    one = pd.DataFrame({"equivalent_diameter": [20.0], "aspect_ratio": [4.0], "roundness": [0.25], "area": [1.0]})
    # Axes 40 and 10 become 44 and 14; the equivalent diameter 24; the longest diameter 40 becomes 44.
    assert moved(one, 2.0)["aspect_ratio"][0] == pytest.approx(44 / 14)
    assert moved(one, 2.0)["roundness"][0] == pytest.approx((24 / 44) ** 2)
    assert moved(one, -30.0)["equivalent_diameter"][0] == pytest.approx(2.0)


def test_border_is_read_in_the_unit_of_lengths():
    assert border_of({}, NM) == 0
    assert border_of({"border_sd_px": 0.4}, NM) == pytest.approx(0.2)
    assert both_ways(pd.DataFrame({"equivalent_diameter": [1.0]}), 0.0) == ()
    for wrong in (-0.1, math.nan, "wide"):
        with pytest.raises(OptionError, match="border_sd_px"):
            border_of({"border_sd_px": wrong}, NM)
    with pytest.raises(OptionError, match="border"):
        distribution(pd.DataFrame({"equivalent_diameter": [1.0]}), border=-1.0)


def test_the_doubt_of_a_count_is_read_and_reaches_the_number_per_area():
    assert count_sd_of({}) is None
    assert math.isnan(count_sd_of({"count_sd": None}))
    assert count_sd_of({"count_sd": 2}) == 2
    with pytest.raises(OptionError, match="count_sd"):
        count_sd_of({"count_sd": -1})
    labels = np.zeros((100, 200), np.int32)
    for k in range(8):
        labels[20:30, 10 + 20 * k : 20 + 20 * k] = k + 1
    place = {"frame_shape": labels.shape, "calibration": NM, "rel_uncertainty": 0.0}
    found = summarise(measure(labels, calibration=NM), count_sd=2.0, **place)
    half = 2 * stats.norm.ppf(0.975) / 8
    for name in ("count", "number_density"):
        value, own = found[name].value, found[name].this_image
        assert (own.low / value, own.high / value) == pytest.approx((1 - half, 1 + half))
    assert found["area_fraction"].this_image is None
    none = summarise(measure(np.zeros_like(labels), calibration=NM), count_sd=1.0, **place)
    assert none["count"].this_image == pytest.approx((0, 2 * half * 2))
    assert none["number_density"].this_image.high == pytest.approx(none["count"].this_image.high / (50 * 100))


def test_border_alone_by_hand():
    """Ten equal particles of 10 nm, borders sure to .25 nm: D50 is sure to .5 nm, and nothing else is unsure."""
    table = pd.DataFrame({"equivalent_diameter": np.full(10, 10.0)})
    table.attrs["units"] = {"equivalent_diameter": "nm"}
    d50 = distribution(table, edge_correction=False, border=0.25).estimates["d50"]
    half = stats.norm.ppf(0.975) * (math.log(10.5) - math.log(9.5)) / 2
    assert math.log(d50.high / 10) == pytest.approx(half)
    assert math.log(10 / d50.low) == pytest.approx(half)
    assert d50.contributions == {"counting": 0, "calibration": 0, "border": 1}
    assert d50.this_image is None  # whether the particles are right is as unknown as before


def test_four_causes_sum_to_one_and_join_in_squares():
    values, moved_values = [9.8, 10.0, 10.3], [9.7, 10.4]
    counting = Counting(10, 9, 12, 50, "x")
    found = combine("d50", counting, power=1, rel_uncertainty=0.02, sample_values=values, border_values=moved_values)
    arms = sample_arms(math.log(10), np.log(values), 0.95)
    z = stats.norm.ppf(0.975)
    calibration, border = z * 0.02, z * math.log(10.4 / 9.7) / 2
    own = math.hypot(arms.above, calibration, border)
    assert math.log(found.this_image.high / 10) == pytest.approx(own)
    assert math.log(found.high / 10) == pytest.approx(math.hypot(own, math.log(1.2)))
    assert math.log(10 / found.low) == pytest.approx(math.hypot(arms.below, calibration, border, math.log(10 / 9)))
    assert set(found.contributions) == {"counting", "segmentation", "border", "calibration"}
    assert sum(found.contributions.values()) == pytest.approx(1)
    assert found.contributions["border"] / found.contributions["calibration"] == pytest.approx(
        (border / calibration) ** 2
    )


def test_samples_to_one_side_lengthen_that_arm_only():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 10)
    noise -= noise.mean()
    level = sample_arms(0.0, noise, 0.95)
    spread = stats.t.ppf(0.975, 9) * noise.std(ddof=1) * math.sqrt(1.1)
    assert level == pytest.approx((spread, spread))
    below, above = sample_arms(0.0, noise - 1.0, 0.95)
    assert above == pytest.approx(spread)
    assert below == pytest.approx(math.hypot(spread, 1.96 * math.sqrt(1 - noise.var(ddof=1) / 10)), rel=1e-3)
    assert sample_arms(0.0, noise + 1.0, 0.95) == pytest.approx((above, below))
    # Both where the value is right, and where the samples' middle is.
    assert below > 1 + 1.645 * noise.std(ddof=1)


def test_samples_without_particles_are_told_and_pull_counts_down():
    table = pd.DataFrame({"centroid-0": [5.0, 8.0], "centroid-1": [5.0, 2.0], "equivalent_diameter": [2.0, 3.0]})
    table.attrs["units"] = {"equivalent_diameter": "px"}
    samples = [table, table, table[:0]]
    found = summarise(table, frame_shape=(10, 10), calibration=Calibration.unknown(), samples=samples)
    assert "1 of 3 segmentation samples have no value" in found["mean"].note
    assert found["number_density"].this_image.low == 0
    assert found["number_density"].this_image.high > 0.02
    assert (
        "fewer than two"
        in summarise(table, frame_shape=(10, 10), calibration=Calibration.unknown(), samples=samples[1:])["mean"].note
    )


def test_g_of_samples_widens_the_band_and_gives_one_of_this_image():
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 100, (300, 2))
    samples = [points[rng.random(300) > 0.1] + rng.normal(0, 0.3, (1, 2)) for _ in range(8)]
    samples = [np.clip(s, 0, 100) for s in samples]
    plain = radial_distribution(points, (100, 100))
    found = radial_distribution(points, (100, 100), samples=samples)
    assert plain.this_image_low is None
    np.testing.assert_array_equal(found.g, plain.g)
    assert np.all(found.high - found.low >= plain.high - plain.low)
    inner = found.this_image_high - found.this_image_low
    assert np.all((found.this_image_low <= found.g) & (found.g <= found.this_image_high))
    assert np.all(inner < found.high - found.low)
    # The spread itself, from g of the samples as the function gives it.
    width = found.r[1] - found.r[0]
    each = np.array(
        [radial_distribution(s, (100, 100), bin_width=width, r_max=width * len(found.r)).g for s in samples]
    )
    far = found.r > 10
    expected = 2 * stats.t.ppf(0.975, 7) * np.std(each, axis=0, ddof=1)[far] * math.sqrt(1 + 1 / 8)
    assert np.median(inner[far] / expected) == pytest.approx(1, abs=0.15)
    assert found.density.this_image.low < 300 / 1e4 < found.density.this_image.high
    alone = radial_distribution(points, (100, 100), samples=samples[:1])
    assert alone.this_image_low is None
    assert any("fewer than two" in note for note in alone.notes)


def test_nearest_neighbours_of_samples():
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 50, (80, 2))
    samples = [points[rng.random(80) > 0.2] for _ in range(9)]
    found = nearest_neighbours(points, (50, 50), samples=samples)
    means = [nearest_neighbours(s, (50, 50)).mean.value for s in samples]
    expected = sample_arms(math.log(found.mean.value), np.log(means), 0.95)
    assert math.log(found.mean.this_image.high / found.mean.value) == pytest.approx(expected.above)
    assert found.clark_evans.this_image.low < found.clark_evans.value
    assert nearest_neighbours(points, (50, 50)).mean.this_image is None


def test_centres_of_samples_lie_in_the_part_of_the_segmentation():
    table = pd.DataFrame({"centroid-0": [9.5, 50.0], "centroid-1": [50.0, 60.0], "feret_max": [20.0, 12.0]})
    place = {"frame_shape": (100, 120), "calibration": Calibration((0.5, 0.5), "nm"), "frame_origin": (0, 2)}
    points, sides = centres(table, **place)
    larger = table.assign(feret_max=30.0)  # a sample whose largest particle is larger has another margin of its own
    (found,) = sample_centres([larger], sides, **place)
    np.testing.assert_allclose(found, points)


def test_the_pipeline_gives_every_statistic_its_share(scene, monkeypatch):
    segmentation, image = scene
    monkeypatch.setattr(pipeline, "segment", lambda *_: segmentation)
    result = pipeline.analyse(image, Recipe())
    unshared = {"lognormal_distance", "count", "number_density", "nearest_neighbour_distance", "clark_evans"}
    for name, estimate in result.estimates.items():
        if name == "lognormal_distance":
            continue
        assert estimate.this_image is not None, name
        assert estimate.low <= estimate.this_image.low <= estimate.value <= estimate.this_image.high <= estimate.high
        assert "segmentation" in estimate.contributions, name
        assert ("border" in estimate.contributions) == (name not in unshared), name
        assert sum(estimate.contributions.values()) == pytest.approx(1), name
    assert result.radial.this_image_low is not None
    table = result.table
    assert table["score"].to_numpy() == pytest.approx(np.linspace(0.5, 1.0, 30))
    expected = [segmentation.uncertainty[segmentation.labels == k].mean() for k in table["label"]]
    assert table["uncertainty"].to_numpy() == pytest.approx(expected)
    assert table.attrs["units"]["uncertainty"] == "nats"

    bare = Segmentation(segmentation.labels)
    monkeypatch.setattr(pipeline, "segment", lambda *_: bare)
    plain = pipeline.analyse(image, Recipe())
    assert not {"score", "uncertainty"} & set(plain.table.columns)
    assert all(estimate.this_image is None for estimate in plain.estimates.values())
    for name in ("d50", "mean", "number_density", "area_fraction"):
        with_share, without = result.estimates[name], plain.estimates[name]
        assert with_share.value == without.value
        assert with_share.low < without.low
        assert without.high < with_share.high


def test_scores_need_a_segmentation_that_states_them(scene):
    segmentation, image = scene
    with pytest.raises(OptionError, match="states its scores"):
        measure(segmentation.labels, image, measures=["score"])
    labels = segmentation.labels.copy()
    labels[labels == 2] = 0
    labels[labels == 5] = 40  # beyond the scores
    found = measure(Segmentation(labels, scores=segmentation.scores), measures=["score"])
    found = dict(zip(found["label"], found["score"]))
    assert found[3] == segmentation.scores[2]
    assert math.isnan(found[40])
    assert 2 not in found


def test_an_object_under_the_footer_beside_text_does_not_count():
    labels = np.zeros((60, 80), np.int32)
    labels[20:26, 20:26], labels[52:58, 30:36] = 1, 2
    ignore = np.zeros(labels.shape, bool)
    ignore[50:], ignore[5:9, 50:60] = True, True
    table = measure(labels, ignore=ignore, measures=["edge_weight"])
    assert np.isfinite(table["edge_weight"][0])
    assert np.isnan(table["edge_weight"][1])
