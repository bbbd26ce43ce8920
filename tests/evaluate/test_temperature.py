"""The temperature is that which the labels were drawn with."""

import numpy as np
import pytest

from segmetry.errors import ShapeMismatchError
from segmetry.evaluate.temperature import fit_temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_temperature_of_the_draw_comes_back(temperature, n_classes):
    rng = np.random.default_rng(n_classes)
    logits = rng.normal(0, 2, (n_classes, 40_000))
    shares = np.exp(logits) / np.exp(logits).sum(axis=0)
    truth = (rng.random(shares.shape[1]) > np.cumsum(shares, axis=0)).sum(axis=0)
    # The standard error of log T is 1 / sqrt(n information); over 40,000 cases it stays below 1 %.
    assert fit_temperature(temperature * logits, truth) == pytest.approx(temperature, rel=0.04)


def test_one_row_is_the_log_odds_of_the_second_class():
    rng = np.random.default_rng(1)
    odds = rng.normal(0, 2, 5000)
    truth = (rng.random(5000) < 0.3).astype(int)
    both = np.stack([-odds / 2, odds / 2])
    assert fit_temperature(odds[None], truth) == pytest.approx(fit_temperature(both, truth), rel=1e-3)


def test_one_class_says_nothing():
    assert fit_temperature(np.ones((3, 10)), np.zeros(10, int)) == 1.0
    assert fit_temperature(np.ones((1, 0)), np.zeros(0, int)) == 1.0


def test_shapes_must_match():
    with pytest.raises(ShapeMismatchError, match="got"):
        fit_temperature(np.ones((2, 3)), np.zeros(4, int))
