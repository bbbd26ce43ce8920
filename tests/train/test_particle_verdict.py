"""How good a network for particles is: counted by hand, and no image chooses what judges it."""

import json

import numpy as np
import pytest

from segmetry.evaluate.reliability import Reliability
from segmetry.evaluate.scored import ScoredImage
from segmetry.train.particle_verdict import ON_OTHERS, ON_THE_SAME, judge_particles

pytestmark = pytest.mark.torch  # the folder of training


def image(group, n_right=8, n_false=2, n_missed=2):
    """An image whose right particles score .9 and whose false ones score .1."""
    scores = np.repeat([0.9, 0.1], [n_right, n_false])
    return ScoredImage(scores, np.arange(scores.size) < n_right, n_right + n_missed, group)


def test_counts_and_means_are_those_by_hand():
    seen = [image(f"g{k}") for k in range(9)] + [image("g9", n_right=4, n_false=0, n_missed=4)]
    found = judge_particles([f"i{k}" for k in range(10)], seen)
    assert found.how == ON_OTHERS
    # The threshold lies between .1 and .9: 8 of 10 are found, and nothing false.
    assert [(one.n_truth, one.n_found, one.n_right) for one in found.images] == [(10, 8, 8)] * 9 + [(8, 4, 4)]
    assert found.scores["instance.ap50"].value == pytest.approx((9 * 0.8 + 0.5) / 10)
    assert found.scores["instance.precision"].value == 1
    assert found.scores["instance.recall"].value == pytest.approx((9 * 0.8 + 0.5) / 10)
    assert found.scores["instance.ap50"].low < 0.77 < found.scores["instance.ap50"].high
    assert found.headline()["instance.ap50"][0] == 0.77
    assert "10 images of 10 groups" in found.headline()["on"]
    data = json.loads(json.dumps(found.as_dict()))
    assert data["images"][9] == {"name": "i9", "group": "g9", "n_truth": 8, "n_found": 4, "n_right": 4}
    assert Reliability.from_dict(data["reliability"]).n.sum() == 94  # whatever was found, kept or not


def test_an_image_has_no_part_in_its_own_threshold():
    """One group is the reverse of the others: by their threshold all its right particles go."""
    odd = image("odd")
    odd = ScoredImage(1 - odd.scores, odd.right, odd.n_truth, "odd")
    found = judge_particles([str(k) for k in range(10)], [image(f"g{k}") for k in range(9)] + [odd])
    assert found.images[-1].n_right == 0
    assert found.images[-1].n_found == 2


def test_one_group_is_judged_by_itself_and_says_so():
    found = judge_particles(["a", "b"], [image("one"), image("one")])
    assert found.how == ON_THE_SAME
    assert np.isnan(found.scores["instance.ap50"].low)
    assert found.headline()["instance.ap50"] == [0.8, None, None]


def test_an_image_without_particles_is_right_if_nothing_is_found():
    nothing = ScoredImage(np.zeros(0), np.zeros(0, bool), 0, "empty")
    found = judge_particles([str(k) for k in range(6)], [nothing, *(image(f"g{k}") for k in range(5))])
    assert found.images[0].ap50 == 1
    assert found.scores["instance.recall"].n == 5
