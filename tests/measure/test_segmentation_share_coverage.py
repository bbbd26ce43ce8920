"""Intervals with the segmentation's share hold known truths: a small studies/segmentation_share.py."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

import segmentation_share as study

LAWS = {law.name: law for law in study.LAWS}
N_SETS, N_IMAGES = 300, 60
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["a shift that samples show", "a shift that samples do not show, stated", "all of it"])
def test_population_intervals_cover_with_the_share_and_not_without(name):
    """Of 300 intervals of D50; .93 to .97 is what chance leaves of 95 %."""
    d50 = study.run(LAWS[name], N_SETS, seed=2026)["d50"]
    assert d50.n == N_SETS
    assert binomtest(d50.held["population"], N_SETS, 0.95).pvalue > 0.01, d50.cover("population")
    assert binomtest(d50.held["this image"], N_SETS, 0.95, "less").pvalue > 0.01, d50.cover("this image")
    assert binomtest(d50.held["without"], N_SETS, 0.95, "less").pvalue < 1e-6, d50.cover("without")


@pytest.mark.parametrize("name", ["samples too small", "samples right, value too large"])
def test_samples_to_one_side_are_covered_whichever_is_right(name):
    d50 = study.run(LAWS[name], N_SETS, seed=2027)["d50"]
    for kind in ("population", "this image"):
        assert binomtest(d50.held[kind], N_SETS, 0.95, "less").pvalue > 0.01, d50.cover(kind)
    worst = min(d50.cover("around the value"), d50.cover("around the samples"))
    assert worst < 0.95


def test_whole_images_cover_from_labels_to_numbers():
    d50 = study.run_images(LAWS["all of it"], N_IMAGES, seed=2028)["d50"]
    for kind in ("population", "this image"):
        assert binomtest(d50.held[kind], N_IMAGES, 0.95, "less").pvalue > 0.01, d50.cover(kind)
