"""What stands over all images: one unit, nothing lost, and the segmentation's share of every image."""

import csv
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats import binomtest

import segmentation_share as study
from segmetry.gather import One, join_tables, pool
from segmetry.measure import distribution, measure
from segmetry.recipe import Recipe
from segmetry.types import Calibration


def image_of(folder, radii, spacing, unit, *, rel=0.0, ndim=2):
    """Return the summary and the table of an image of disks (or balls) of known radii (px)."""
    side = 60
    labels = np.zeros((side,) * (ndim - 1) + (side * len(radii),), np.int32)
    for k, radius in enumerate(radii):
        axes = np.ogrid[tuple(slice(n) for n in labels.shape)]
        centre = [side / 2] * (ndim - 1) + [side * (k + 0.5)]
        labels[sum((a - c) ** 2 for a, c in zip(axes, centre)) < radius**2] = k + 1
    calibration = Calibration((spacing,) * ndim, unit) if unit != "px" else Calibration.unknown(ndim)
    size = {
        "value": spacing if unit != "px" else None,
        "spacing": [spacing] * ndim if unit != "px" else None,
        "unit": unit,
        "rel_uncertainty": rel,
    }
    row = {"folder": folder, "pixel_size": size, "segmentation": {}}
    return One(row, measure(labels, calibration=calibration))


def test_images_of_different_units_pool_in_one():
    radii = [8, 9, 10, 11, 12]
    nm, um = image_of("a", radii, 2.0, "nm"), image_of("b", radii, 0.002, "µm")
    pooled = pool([nm, um, nm], Recipe())
    assert pooled.estimates["d50"].unit == "nm"
    alone = distribution(nm.table)
    assert pooled.estimates["mean"].value == pytest.approx(alone.estimates["mean"].value, rel=1e-9)
    assert pooled.distributions["volume"].n == 15
    assert pooled.notes == ()


def test_volumes_pool_too():
    one = image_of("a", [8, 9, 10], 0.5, "µm", ndim=3)
    pooled = pool([one, one], Recipe())
    assert pooled.estimates["mean"].value == pytest.approx(9.0, rel=0.02)  # diameters 8, 9 and 10 µm


def test_images_without_pixel_size_are_left_out_and_said():
    known, unknown = image_of("a", [9, 10], 2.0, "nm"), image_of("b", [5, 6], 1.0, "px")
    pooled = pool([known, unknown], Recipe())
    assert pooled.distributions["number"].n == 2
    assert "1 image" in pooled.notes[0]
    assert "pixels" in pool([unknown], Recipe()).notes[0]
    assert pool([], Recipe()).estimates == {}


def test_the_uncertainty_of_the_pixel_size_does_not_average_out():
    images = [image_of(f"i{k}", [9.0] * 12, 2.0, "nm", rel=0.05) for k in range(4)]
    d50 = pool(images, Recipe()).estimates["d50"]
    assert (d50.high - d50.low) / d50.value > 2 * 0.05 * 1.8


def test_tables_with_different_columns_join(tmp_path):
    pd.DataFrame({"label": [1, 2], "area": [3.5, 4.5]}).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"label": [1], "volume": [7]}).to_csv(tmp_path / "b.csv", index=False)
    join_tables([("a", tmp_path / "a.csv"), ("b, c", tmp_path / "b.csv")], tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["image", "label", "area", "volume"],
        ["a", "1", "3.5", ""],
        ["a", "2", "4.5", ""],
        ["b, c", "1", "", "7"],
    ]


def test_images_that_hardly_belong_together_are_said_to():
    small, large = image_of("a", [9, 10], 1.0, "nm"), image_of("b", [9, 10], 30.0, "nm")
    assert any("factor of 30" in note for note in pool([small, large], Recipe()).notes)
    assert pool([small, small], Recipe()).notes == ()


def tiny(folder, diameters, samples=(), *, unit="nm", pixel=1.0, border_px=None):
    """Return an image of particles of these diameters, all of them whole and of equal weight."""

    def table(sizes):
        found = pd.DataFrame({"equivalent_diameter": np.array(sizes, float), "edge_weight": 1.0, "touches_edge": False})
        return found.assign(area=math.pi / 4 * found["equivalent_diameter"] ** 2)

    row = {
        "folder": folder,
        "pixel_size": {"value": pixel, "spacing": [pixel, pixel], "unit": unit, "rel_uncertainty": 0.0},
        "segmentation": {} if border_px is None else {"border_sd_px": border_px},
    }
    return One(row, table(diameters), tuple(map(table, samples)))


FIRST = tiny("a", [8, 10, 12], ([8, 10, 14], [10, 10, 12]))
SECOND = tiny("b", [0.020, 0.022], ([0.020, 0.024], [0.020]), unit="µm", pixel=0.001)


def test_the_share_of_the_segmentation_by_hand():
    """The i-th samples of both images are one: medians of 8 10 14 20 24 and of 10 10 12 20 (all nm), around 12."""
    pooled = pool([FIRST, SECOND], Recipe())
    assert pooled.notes == ()
    logs = np.log([14.0, 11.0])
    spread = stats.t.ppf(0.975, 1) * np.std(logs, ddof=1) * math.sqrt(1 + 1 / 2)
    d50 = pooled.estimates["d50"]
    # The samples' mean lies above, but by less than the mean of two varies: both arms are the spread.
    assert (np.mean(logs) - math.log(12)) ** 2 < np.var(logs, ddof=1) / 2
    assert d50.value == pytest.approx(12)
    assert d50.this_image == pytest.approx((12 * math.exp(-spread), 12 * math.exp(spread)))
    assert d50.low < d50.this_image.low < d50.this_image.high < d50.high
    assert "segmentation" in d50.contributions


def test_the_number_of_particles_by_hand():
    """5 were found, 5 and 4 in the samples; another five frames' worth would give a Poisson number."""
    count = pool([FIRST, SECOND], Recipe()).estimates["count"]
    logs = np.log([5.0, 4.0])
    spread = stats.t.ppf(0.975, 1) * np.std(logs, ddof=1) * math.sqrt(1.5)
    distance = np.log(5) - np.mean(logs)
    lean = stats.norm.ppf(0.975) * math.sqrt(max(distance**2 - np.var(logs, ddof=1) / 2, 0))
    assert count.value == 5
    assert count.this_image == pytest.approx((5 * math.exp(-math.hypot(spread, lean)), 5 * math.exp(spread)))
    alone = pool([tiny("a", [8, 10, 12]), tiny("b", [20, 22])], Recipe()).estimates["count"]
    # Jeffreys' interval for the mean of a Poisson number.
    assert (alone.low, alone.high) == pytest.approx(stats.gamma.ppf([0.025, 0.975], 5.5))
    assert alone.this_image is None


def test_what_counts_of_images_are_off_by_adds_up():
    """One network errs alike in images of one kind: 1 and 2 particles are 3, not the root of 5."""

    def stating(one, sd):
        return one._replace(row=one.row | {"segmentation": {"count_sd": sd}})

    count = pool([stating(FIRST, 1.0), stating(SECOND, 2.0)], Recipe()).estimates["count"]
    half = 3 * stats.norm.ppf(0.975)
    assert count.this_image == pytest.approx((max(5 - half, 0), 5 + half))
    for other in (stating(SECOND, None), SECOND):
        assert pool([stating(FIRST, 1.0), other], Recipe()).estimates["count"].this_image is None


def test_from_ten_images_on_the_number_varies_as_images_do():
    counts = [3, 5, 9, 2, 7, 7, 4, 12, 1, 10]
    n = pool([tiny(f"i{k}", np.linspace(8, 12, c)) for k, c in enumerate(counts)], Recipe()).estimates["count"]
    variance = 10 * np.var(counts, ddof=1) * (stats.t.ppf(0.975, 9) / stats.norm.ppf(0.975)) ** 2
    assert n.value == 60
    k = 60**2 / variance
    assert (n.low, n.high) == pytest.approx(stats.gamma.ppf([0.025, 0.975], k + 0.5) * 60 / k)
    assert "10 images" in n.method


def test_borders_of_all_images_move_together_each_as_far_as_is_unsure():
    """1 nm for the first image, 3 nm for the second: diameters 2 and 6 nm larger or smaller."""
    first = tiny("a", [8, 10, 12, 14], pixel=2.0, border_px=0.5)
    second = tiny("b", [0.011, 0.020], unit="µm", pixel=0.004, border_px=0.75)
    d50 = pool([first, second], Recipe()).estimates["d50"]
    inner, outer = np.median([6, 8, 10, 12, 5, 14]), np.median([10, 12, 14, 16, 17, 26])
    half = stats.norm.ppf(0.975) * math.log(outer / inner) / 2
    counting = math.log(d50.high / 11.5) ** 2 - half**2
    bare = pool([tiny("a", [8, 10, 12, 14]), tiny("b", [11, 20])], Recipe()).estimates["d50"]
    assert d50.value == bare.value == pytest.approx(11.5)
    assert counting == pytest.approx(math.log(bare.high / bare.value) ** 2)
    many = pool([first] * 8, Recipe()).estimates["d50"]
    assert many.contributions["border"] > 0.9, "a shift that all images share does not average out"


def test_what_all_images_err_alike_does_not_average_out():
    """The same image eight times over, with the same samples: the segmentation is as unsure as in one."""
    one = tiny("a", [8, 10, 12], ([7, 9, 11], [9, 11, 13]))
    other = one._replace(samples=one.samples[::-1])
    alone, alike, apart = (pool(of, Recipe()).estimates["mean"] for of in ([one], [one] * 8, [one, other] * 4))
    assert alone.value == alike.value == apart.value == 10
    assert alike.this_image == pytest.approx(alone.this_image)
    assert apart.this_image == pytest.approx((10, 10)), "where images err the other way round, they cancel"


def test_an_image_in_which_only_samples_found_particles_counts():
    empty = tiny("b", [], ([30.0], []))
    count = pool([FIRST, empty], Recipe()).estimates["count"]
    assert count.value == 3
    assert count.this_image.high > pool([FIRST], Recipe()).estimates["count"].this_image.high


def test_a_blank_image_takes_nothing_from_the_others():
    """A constant image is not given to the network, so it has no samples."""
    alone, both = (pool(of, Recipe()) for of in ([FIRST], [FIRST, tiny("b", [])]))
    assert both.notes == ()
    assert both.estimates["d50"] == alone.estimates["d50"]


def test_images_without_samples_among_others_are_said():
    bare = tiny("b", [20, 22])
    pooled = pool([FIRST, bare], Recipe())
    assert pooled.notes == (
        "1 of 2 images has no segmentation samples: their part of the segmentation's share is not in the intervals "
        "over all.",
    )
    assert all(e.this_image is None for e in pooled.estimates.values())
    d50 = pooled.estimates["d50"]
    without = pool([FIRST._replace(samples=()), bare], Recipe()).estimates["d50"]
    assert d50.value == without.value
    assert d50.low < without.low < without.high < d50.high


@pytest.mark.slow
def test_intervals_over_all_images_cover():
    """Batches of five images by one segmenter: a shift of all borders that samples draw, one that is only stated, and
    errors of each particle by itself; the first two are the same in all images of a batch."""
    law = study.Law("", own=0.5, n=40, n_samples=12)
    shown, stated, n_batches, n_images = 0.4, 0.3, 100, 5
    held = dict.fromkeys(("population", "bare", "these", "count"), 0)
    for k in range(n_batches):
        rng = np.random.default_rng([20, k])
        spacing = math.exp(rng.normal(0, study.REL_UNCERTAINTY))
        shift, moves = rng.normal(0, math.hypot(shown, stated)), rng.normal(0, shown, law.n_samples)
        images, true = [], []
        for i in range(n_images):
            scene = study.draw_scene(law, rng)
            found, *samples = (
                study.table_of(at, size + 2 * (shift + move), spacing)
                for (at, size), move in zip((scene.found, *scene.samples), (0.0, *moves), strict=True)
            )
            row = tiny(f"i{i}", [], pixel=spacing, border_px=stated).row
            row["pixel_size"]["rel_uncertainty"] = study.REL_UNCERTAINTY
            images.append(One(row, found, tuple(samples)))
            true.append(study.table_of(*scene.true, 1.0))
        got = pool(images, Recipe()).estimates
        d50, count = got["d50"], got["count"]
        bare = distribution(pd.concat([one.table for one in images]).assign(touches_edge=False)).estimates["d50"]
        own = distribution(pd.concat(true)).estimates["d50"].value
        held["population"] += d50.low <= study.MEDIAN <= d50.high
        held["bare"] += bare.low <= study.MEDIAN <= bare.high
        held["these"] += d50.this_image.low <= own <= d50.this_image.high
        held["count"] += count.this_image.low <= sum(map(len, true)) <= count.this_image.high
        assert d50.high - d50.low > bare.high - bare.low
    for kind in ("population", "these"):
        assert binomtest(held[kind], n_batches, 0.95, "less").pvalue > 0.01, held
    assert binomtest(held["bare"], n_batches, 0.95, "less").pvalue < 1e-6, held
