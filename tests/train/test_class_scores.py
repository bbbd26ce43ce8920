"""The scores of an epoch: by hand, and the same however images are dealt."""

import numpy as np
import pytest

from segmetry.train.class_scores import judge_classes, pool, scores

ABC = ("a", "b", "c")


def test_two_classes_by_hand():
    truth = np.array([[0, 0, 1, 1, 1]])
    one = np.array([[0.1, 0.6, 0.4, 0.9, 0.8]])
    found = scores(judge_classes(truth, np.stack([1 - one, one]), ("air", "grain")))
    assert {k: found[k] for k in ("tp", "fp", "tn", "fn")} == {"tp": 2, "fp": 1, "tn": 1, "fn": 1}
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["precision"] == pytest.approx(2 / 3, abs=1e-5)
    assert found["recall"] == pytest.approx(2 / 3, abs=1e-5)
    assert found["iou[grain]"] == pytest.approx(2 / 4)
    assert found["iou[air]"] == pytest.approx(1 / 3, abs=1e-5)
    assert found["mean_iou"] == pytest.approx((1 / 2 + 1 / 3) / 2, abs=1e-5)
    assert found["mae"] == pytest.approx((0.1 + 0.6 + 0.6 + 0.1 + 0.2) / 5)
    assert found["auc"] == pytest.approx(5 / 6, abs=1e-4)  # of six pairs only (0.4, 0.6) is the wrong way round


def test_three_classes_by_hand():
    truth, found = np.array([[0, 0, 1, 1, 2, 2]]), np.array([[0, 1, 1, 2, 2, 2]])
    told = scores(judge_classes(truth, np.eye(3)[found].transpose(2, 0, 1), ABC))
    pixels = {k: [told[f"{k}[{name}]"] for name in ABC] for k in ("tp", "fp", "tn", "fn")}
    assert pixels == {"tp": [1, 1, 2], "fp": [0, 1, 1], "tn": [4, 3, 3], "fn": [1, 1, 0]}
    assert told["precision"] == pytest.approx((1 + 1 / 2 + 2 / 3) / 3, abs=1e-5)
    assert told["recall"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3, abs=1e-5)


def test_what_nobody_knows_does_not_count():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (20, 30))
    probability = rng.dirichlet(np.ones(3), (20, 30)).transpose(2, 0, 1)
    ignored = np.zeros(truth.shape, bool)
    ignored[:, 15:] = True
    part = scores(judge_classes(truth, probability, ABC, ignored=ignored))
    other = probability.copy()
    other[:, :, 15:] = other[::-1, :, 15:]
    assert scores(judge_classes(truth, other, ABC, ignored=ignored)) == part
    left = scores(judge_classes(truth[:, :15], probability[:, :, :15], ABC))
    for name in ("accuracy", "mean_iou", "iou[b]", "auc", "mae"):
        assert part[name] == left[name]


def test_images_add_up():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, (2, 16, 16))
    probability = rng.dirichlet(np.ones(3), truth.shape).transpose(0, 3, 1, 2)
    each = [judge_classes(t, p, ABC) for t, p in zip(truth, probability, strict=True)]
    both = scores(pool(each))
    assert both["accuracy"] == pytest.approx(np.mean([scores(e)["accuracy"] for e in each]), abs=1e-5)
    assert scores(pool(reversed(each))) == both
    right = np.eye(3)[truth[0]].transpose(2, 0, 1)
    perfect = scores(judge_classes(truth[0], right, ABC))
    assert all(perfect[k] == 1 for k in ("accuracy", "mean_iou", "auc", "boundary_f1"))
    assert perfect["mae"] == 0


def test_classes_that_do_not_occur_are_left_out():
    truth = np.zeros((4, 4), int)
    found = scores(judge_classes(truth, np.stack([np.ones((4, 4)), np.zeros((4, 4))]), ("air", "grain")))
    assert "iou[grain]" not in found
    assert found["accuracy"] == 1
