"""From simulated images to the population behind them: do the intervals hold its truth, and are diameters unbiased?

The full study, with more kinds of image and smaller particles, is `docs/studies/coverage.md`.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree
from scipy.stats import binomtest

from segmetry.measure import distribution, measure
from segmetry.pipeline import Result, analyse
from segmetry.recipe import Recipe
from segmetry.segment import segment
from segmetry.synth import simulate
from segmetry.types import Calibration

N_IMAGES, SIDE, N, MEDIAN, GSD = 200, 384, 20, 36.0, 1.3
REL_UNCERTAINTY = 0.01
MEAN = MEDIAN * math.exp(math.log(GSD) ** 2 / 2)
NAMES = ("d50", "mean")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images() -> dict[str, dict[str, np.ndarray]]:
    """Whether intervals hold the population's value, and values over the true ones of the same spheres, by statistic.

    Found is what the image gives; drawn is what the pixels of the true labels give, so that segmentation has no part in
    it; matched is the mean of the spheres that were found, each with its own true diameter.
    """
    columns = ["equivalent_diameter", "edge_weight", "touches_edge", "centroid"]
    population = {"d50": MEDIAN, "mean": MEAN}
    rows: dict[str, list[dict[str, float]]] = {what: [] for what in ("inside", "found", "drawn", "matched")}
    for k in range(N_IMAGES):
        scene = simulate(
            "bf-tem", seed=70_000 + k, n=N, frame_shape=(SIDE, SIDE), pixel_size=1.0, median_diameter=MEDIAN, gsd=GSD
        )
        spacing = math.exp(np.random.default_rng([k, 999]).normal(0, REL_UNCERTAINTY))
        calibration = Calibration((spacing, spacing), "nm", REL_UNCERTAINTY, "scale bar")
        image = dataclasses.replace(scene.image, calibration=calibration)
        table = measure(segment(image, "hybrid"), image, measures=columns)
        drawn = measure(scene.labels, measures=columns)
        same = drawn.assign(equivalent_diameter=scene.truth["equivalent_diameter"].to_numpy()[drawn["label"] - 1])
        found = distribution(table, rel_uncertainty=REL_UNCERTAINTY).estimates
        pixels, true = distribution(drawn).estimates, distribution(same).estimates
        rows["inside"].append({n: found[n].low <= population[n] <= found[n].high for n in NAMES})
        rows["found"].append({n: found[n].value / spacing / true[n].value for n in NAMES})
        rows["drawn"].append({n: pixels[n].value / true[n].value for n in NAMES})
        rows["matched"].append({"mean": _matched(table, same, spacing)})
    return {what: {n: np.array([row[n] for row in of]) for n in of[0]} for what, of in rows.items()}


def _matched(found: pd.DataFrame, true: pd.DataFrame, spacing: float) -> float:
    """Return the mean ratio of diameters of the true spheres that lie whole in the frame and were found."""
    true = true[~true["touches_edge"]]
    at = ["centroid-0", "centroid-1"]
    distance, which = cKDTree(found[at].to_numpy()).query(true[at].to_numpy())
    diameter = true["equivalent_diameter"].to_numpy()
    hit = distance < 0.3 * diameter
    return float(np.mean(found["equivalent_diameter"].to_numpy()[which[hit]] / spacing / diameter[hit]))


@pytest.mark.parametrize("name", NAMES)
def test_intervals_hold_the_population_in_95_of_100_images(images, name):
    inside = int(images["inside"][name].sum())
    assert binomtest(inside, N_IMAGES, 0.95).pvalue > 0.001, f"{inside} of {N_IMAGES} intervals hold the truth"


def pixel_floor() -> float:
    """Return what pixels alone can move the mean ratio of 200 images by, with 99.7 % certainty.

    The number of pixel centres in a disk of radius R varies with its sub-pixel place. By Parseval's theorem its
    variance is R / (2 pi^2) times the sum of |k|^-3 over all whole k but 0, which is 9.03: a standard deviation of
    0.676 sqrt(R) (Kendall, Quart. J. Math. 19, 1948, 1-26). A diameter's is that over 2 pi R^2, relatively. The median
    of a sample varies sqrt(pi / 2) times as much as its mean.
    """
    radius = MEDIAN / 2
    one = 0.676 * math.sqrt(radius) / (2 * math.pi * radius**2)
    return 3 * one * math.sqrt(math.pi / 2) / math.sqrt(N_IMAGES * N)


@pytest.mark.parametrize("name", NAMES)
def test_statistics_of_isolated_spheres_are_unbiased(images, name):
    bias = images["found"][name].mean() - 1
    assert abs(bias) <= 0.005 + pixel_floor(), f"{name} is off by {bias:+.2%}"


def test_the_diameters_of_the_spheres_that_are_found_are_unbiased(images):
    # In the statistics above, faint small spheres that are missed can make up for outlines that are too tight.
    bias = images["matched"]["mean"].mean() - 1
    assert abs(bias) <= 0.005 + pixel_floor(), f"diameters are off by {bias:+.2%}"


def test_pixels_alone_leave_means_at_their_floor(images):
    # The mean only: a median sees one or two particles, whose ranks the pixels can swap.
    assert abs(images["drawn"]["mean"].mean() - 1) <= pixel_floor()


N_NETWORK = 24


@pytest.fixture(scope="module")
def by_network() -> list[tuple[Result, pd.DataFrame, float]]:
    """Results of the default method with samples; the spheres that show, with true diameters; length of a pixel."""
    results = []
    for k in range(N_NETWORK):
        scene = simulate(
            "bf-tem", seed=80_000 + k, n=N, frame_shape=(SIDE, SIDE), pixel_size=1.0, median_diameter=MEDIAN, gsd=GSD
        )
        spacing = math.exp(np.random.default_rng([k, 998]).normal(0, REL_UNCERTAINTY))
        calibration = Calibration((spacing, spacing), "nm", REL_UNCERTAINTY, "scale bar")
        image = dataclasses.replace(scene.image, calibration=calibration)
        result = analyse(image, Recipe.build(options={"samples": 8}, scale="metadata"))
        drawn = measure(scene.labels, measures=["equivalent_diameter", "edge_weight", "touches_edge", "centroid"])
        true = drawn.assign(equivalent_diameter=scene.truth["equivalent_diameter"].to_numpy()[drawn["label"] - 1])
        results.append((result, true, spacing))
    return results


@pytest.mark.parametrize("name", NAMES)
def test_intervals_of_the_default_method_hold_the_population(by_network, name):
    population = {"d50": MEDIAN, "mean": MEAN}[name]
    found = [result.estimates[name] for result, _, _ in by_network]
    assert all("segmentation" in e.contributions and e.low <= e.this_image.low for e in found)
    inside = sum(e.low <= population <= e.high for e in found)
    assert binomtest(inside, N_NETWORK, 0.95, "less").pvalue > 0.01, f"{inside} of {N_NETWORK} intervals hold the truth"


def test_intervals_of_the_default_method_hold_this_image(by_network):
    inside = 0
    for result, true, _ in by_network:
        own = result.estimates["d50"].this_image
        inside += own.low <= distribution(true).estimates["d50"].value <= own.high
    assert binomtest(inside, N_NETWORK, 0.95, "less").pvalue > 0.01, f"{inside} of {N_NETWORK} intervals hold the truth"


def test_the_default_method_measures_spheres_right(by_network):
    off = [MEDIAN * (_matched(result.table, true, spacing) - 1) for result, true, spacing in by_network]
    assert abs(float(np.mean(off))) < 0.3, f"diameters are off by {np.mean(off):+.2f} px"
