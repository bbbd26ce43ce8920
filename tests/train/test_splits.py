"""Images dealt by group."""

import numpy as np
import pytest

from segmetry.errors import OptionError
from segmetry.train.splits import PARTS, deal, folds


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


def test_shares_are_those_asked_for_and_groups_stay_whole():
    groups = [f"g{i // 2}" for i in range(200)]
    parts = deal("70/15/15", groups)
    assert [parts.count(p) for p in PARTS] == [140, 30, 30]
    for g in set(groups):
        assert len({p for p, of in zip(parts, groups, strict=True) if of == g}) == 1
    assert parts == deal("70/15/15", groups) != deal("70/15/15", groups, seed=1)


def test_a_fold_checks():
    groups = list("abcde")
    each = [deal(f"fold {k} of 5", groups) for k in range(5)]
    assert [parts.count("check") for parts in each] == [1] * 5
    assert len({parts.index("check") for parts in each}) == 5


def test_planes_are_evenly_spaced_in_every_volume():
    parts = deal("3 of each", ["a"] * 9 + ["b"] * 30)
    assert [i for i, p in enumerate(parts[:9]) if p == "train"] == [1, 4, 7]
    assert [i for i, p in enumerate(parts[9:]) if p == "train"] == [5, 15, 25]


def test_what_is_listed_is_kept():
    assert deal("as listed", list("ab"), ["test", "train"]) == ["test", "train"]
    assert deal("all", list("ab")) == ["train", "train"]


@pytest.mark.parametrize(
    ("split", "word"),
    [
        ("80/30", "add up to 100"),
        ("100/0", "above 0"),
        ("fold 5 of 5", "counted from 0"),
        ("4 of each", "has 3 images"),
        ("as listed", "part of every image"),
        ("half", "is no rule"),
        ("90/10", "nothing to check"),
    ],
)
def test_a_rule_that_cannot_be_says_why(split, word):
    with pytest.raises(OptionError, match=word):
        deal(split, ["a"] * 3)
