"""Intervals hold the truth as often as they say: 200 micrographs, a small studies/interval_coverage.py."""

from __future__ import annotations

from collections import defaultdict

import pytest
from scipy.stats import binomtest

import interval_coverage as study


@pytest.fixture(scope="module")
def tallies():
    scenarios = (
        study.Scenario(50, 1.3),
        study.Scenario(200, 1.5, side=500, median=20.0),
        study.Scenario(300, 1.4, "clusters"),
        study.Scenario(300, 1.2, "hard core"),
    )
    together: dict[str, study.Tally] = defaultdict(study.Tally)
    for scenario in scenarios:
        for name, tally in study.run(scenario, 50, seed=2026).items():
            together[name].join(tally)
    return together


@pytest.mark.slow
@pytest.mark.parametrize("name", ["d10", "d50", "d90", "mean", "gsd", "number_density", "g at 0.1"])
def test_intervals_cover(tallies, name):
    """95 % of 200 intervals; a two-sided binomial test, which 0.93 to 0.97 passes and 0.89 does not."""
    tally = tallies[name]
    assert tally.n == 200
    assert binomtest(tally.inside, tally.n, 0.95).pvalue > 0.002, tally


@pytest.mark.slow
def test_edge_weights_take_out_the_bias_of_the_frame(tallies):
    scenario = study.Scenario(300, 1.5, "no order", 300, 36.0)
    found = study.run(scenario, 40, seed=7)
    with_weights, without = (found[n].ratio / found[n].n for n in ("mean", "mean, no edge weights"))
    assert abs(with_weights - 1) < 0.02
    assert without < 0.97


def test_the_patterns_have_the_g_they_claim():
    """The simulation's own truth: the mean of g over patterns against the formula."""
    import numpy as np

    from segmetry.measure import radial_distribution

    rng = np.random.default_rng(3)
    edges = np.linspace(0, 0.2, 21)
    for pattern in study.PATTERNS.values():
        runs = [
            radial_distribution(pattern.draw(rng, 1500, 0.0), (1, 1), bin_width=0.01, r_max=0.2).g for _ in range(40)
        ]
        truth = study.class_means(lambda r, p=pattern: p.g(r, 1500), edges)
        error = np.std(runs, axis=0, ddof=1) / np.sqrt(40)
        assert np.all(np.abs(np.mean(runs, 0) - truth) <= 4.5 * error + 0.01 * truth), pattern.name
