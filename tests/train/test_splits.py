"""Folds by group."""

import numpy as np
import pytest

from segmetry.train.splits import folds


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_whole_and_folds_are_even(seed):
    rng = np.random.default_rng(seed)
    groups = [f"g{k}" for k in rng.integers(0, 60, 150)]
    fold = folds(groups, 5, seed=seed)
    for g in set(groups):
        assert len({f for f, name in zip(fold, groups, strict=True) if name == g}) == 1
    sizes = np.bincount(fold, minlength=5)
    assert sizes.sum() == 150
    assert sizes.max() - sizes.min() <= max(np.unique(groups, return_counts=True)[1])


def test_the_order_of_images_does_not_matter():
    groups = [f"g{k}" for k in np.random.default_rng(0).integers(0, 30, 80)]
    order = np.random.default_rng(1).permutation(80)
    one, two = folds(groups, 4), folds([groups[i] for i in order], 4)
    np.testing.assert_array_equal(one[order], two)
