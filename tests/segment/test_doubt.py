"""Entropies of samples: by hand, against scipy, and their laws."""

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import entropy

from segmetry.errors import OptionError
from segmetry.segment.doubt import DoubtSum, doubt_of, mean_over


def test_entropy_against_scipy():
    p = np.linspace(0.001, 0.999, 50)
    found = doubt_of([logit(p)])
    np.testing.assert_allclose(found.probability, p, rtol=1e-6)
    np.testing.assert_allclose(found.entropy, entropy(np.stack([p, 1 - p])), rtol=1e-6)
    np.testing.assert_array_equal(found.entropy, found.expected_entropy)


def test_entropy_is_finite_at_the_ends():
    found = doubt_of([np.array([-np.inf, -1e9, 800.0, np.inf])])
    assert found.probability.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(found.entropy, 1e-6 * (1 + np.log(1e6)), rtol=1e-5)


def test_samples_may_come_one_by_one_in_any_layout():
    samples = np.random.default_rng(1).normal(0, 3, (4, 6, 9)).astype(np.float32)
    sums = DoubtSum()
    for sample in samples:
        sums.add(np.asfortranarray(sample))
    for one, other in zip(sums.doubt(), doubt_of(samples), strict=True):
        np.testing.assert_array_equal(one, other)


def test_parts_by_hand():
    # Probabilities .2 and .8: mean .5, entropy ln 2; each sample has entropy .5004.
    found = doubt_of([logit(np.array([0.2])), logit(np.array([0.8]))])
    each = -(0.2 * np.log(0.2) + 0.8 * np.log(0.8))
    assert found.probability == pytest.approx([0.5])
    assert found.entropy == pytest.approx([np.log(2)], rel=1e-6)
    assert found.expected_entropy == pytest.approx([each], rel=1e-6)
    assert found.mutual_information == pytest.approx([np.log(2) - each], rel=1e-6)


def test_laws():
    samples = np.random.default_rng(0).normal(0, 2, (7, 20, 30))
    found = doubt_of(samples)
    assert (found.mutual_information >= 0).all()
    assert (found.entropy <= np.log(2) + 1e-6).all()
    np.testing.assert_allclose(found.expected_entropy + found.mutual_information, found.entropy, atol=1e-6)
    flipped = doubt_of(-samples[::-1])
    np.testing.assert_allclose(flipped.mutual_information, found.mutual_information, atol=1e-6)
    same = doubt_of([samples[0]] * 3)
    assert np.abs(same.mutual_information).max() < 1e-6


def test_no_sample():
    with pytest.raises(OptionError, match="at least one"):
        doubt_of([])


def test_mean_over_by_hand():
    labels = np.array([[1, 1, 0], [3, 2, 2]])
    values = np.array([[1.0, 3.0, 9.0], [5.0, 2.0, 4.0]])
    assert mean_over(labels, values).tolist() == [2, 3, 5]
    assert mean_over(np.zeros((2, 2), int), np.ones((2, 2))).size == 0
