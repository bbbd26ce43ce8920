"""All scores of an image and of many: the families, their averages, and what goes to a file and comes back."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from segmetry.errors import OptionError
from segmetry.evaluate.combining import combine, same_classes, tidy
from segmetry.evaluate.judgement import FAMILIES, HEADLINE, ImageScores, Rules, judge, score_of
from segmetry.evaluate.ranking import RANKING
from segmetry.evaluate.reliability import CALIBRATION
from segmetry.types import Calibration

TRUTH = np.zeros((30, 50), int)
TRUTH[5:15, 5:15] = 1
TRUTH[5:15, 30:40] = 2
FOUND = np.where(TRUTH == 1, 4, 0)


def disks(seed: int) -> np.ndarray:
    """Six disks in a frame of 80 x 90, somewhere else for each seed."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:80, :90]
    labels = np.zeros(rows.shape, int)
    for number in range(1, 7):
        row, col = 15 + 25 * ((number - 1) // 3) + rng.uniform(-3, 3), 15 + 28 * ((number - 1) % 3) + rng.uniform(-3, 3)
        labels[np.hypot(rows - row, cols - col) < rng.uniform(5, 10)] = number
    return labels


def flat(scores: ImageScores) -> dict[str, float]:
    return {f"{family}.{name}": value for family, found in scores.values.items() for name, value in found.items()}


@pytest.mark.parametrize("kind", ["instance", "semantic"])
def test_each_family_gives_the_scores_of_its_table(kind):
    found = judge(disks(0) > 0 if kind == "semantic" else disks(0), disks(1) > 0 if kind == "semantic" else disks(1),
                  Rules(kind), probability=None)  # fmt: skip
    expected = {name for name, family in FAMILIES.items() if kind in family.kinds and "pooled" not in name}
    assert set(found.values) == expected
    for name, scores in found.values.items():
        assert set(scores) <= set(FAMILIES[name].scores), name
        missing = set(FAMILIES[name].scores) - set(scores)
        assert missing <= {*RANKING, *CALIBRATION}, (name, missing)  # these need a probability
    family, _, score = HEADLINE[kind].partition(".")
    assert score in found.values[family]


def test_perfect_prediction_is_perfect_whatever_the_numbers():
    found = judge(disks(3), disks(3) * 7, calibration=Calibration((0.5, 0.5), "nm"))
    for name, value in flat(found).items():
        best = score_of(name, "instance").best
        if math.isfinite(value):
            assert value == pytest.approx(1.0 if best == "high" else 0.0, abs=1e-12), name


def test_a_class_per_object_is_another_question():
    objects = judge(TRUTH, FOUND)
    classes = judge(TRUTH, np.where(TRUTH == 1, 1, 0), Rules("semantic"))
    assert objects.values["semantic"]["recall"] == 0.5  # 100 of 200 pixels, all objects one class
    assert classes.values["semantic"]["iou[1]"] == 1
    assert classes.values["semantic"]["iou[2]"] == 0


@pytest.mark.parametrize("kind", ["instance", "semantic"])
def test_scores_come_back_from_json(kind):
    probability = np.random.default_rng(0).random(TRUTH.shape)
    scores = judge(TRUTH > 0 if kind == "semantic" else TRUTH, FOUND > 0 if kind == "semantic" else FOUND, Rules(kind),
                   name="a", probability=probability)  # fmt: skip
    data = json.loads(json.dumps(scores.as_dict()).replace("NaN", "null"))
    back = ImageScores.from_dict(data)
    assert flat(back) == pytest.approx(flat(scores), nan_ok=True)
    one, other = combine([scores] * 6), combine([back] * 6)
    assert {f: set(s) for f, s in one.items()} == {f: set(s) for f, s in other.items()}
    assert other["semantic_pooled"]["iou"].value == one["semantic_pooled"]["iou"].value
    if kind == "instance":
        assert other["instance_pooled"]["ap50"] == one["instance_pooled"]["ap50"]


def test_means_and_pooled_by_hand():
    many = np.zeros((30, 50), int)
    for k in range(8):
        many[2:6, 6 * k : 6 * k + 4] = k + 1
    images = [judge(TRUTH, FOUND, name="a"), judge(many, many, name="b")]
    found = combine(images)
    assert found["instance"]["recall"].value == pytest.approx((1 / 2 + 1) / 2)
    assert found["instance_pooled"]["recall"].value == pytest.approx(9 / 10)
    assert found["semantic"]["recall"].value == pytest.approx((1 / 2 + 1) / 2)
    assert found["semantic_pooled"]["recall"].value == pytest.approx((100 + 128) / (200 + 128))
    assert "mean over images" in found["instance"]["recall"].method
    assert "objects" in found["instance_pooled"]["recall"].method
    assert "pixels" in found["semantic_pooled"]["recall"].method


def test_no_interval_leaves_the_bounds_of_its_score():
    images = [judge(disks(k), disks(k + 1) if k % 3 else disks(k), name=str(k)) for k in range(9)]
    for family, scores in combine(images).items():
        for name, e in scores.items():
            least, most = FAMILIES[family].scores[name].bounds
            if math.isfinite(e.low):
                assert least <= e.low <= e.high <= most, (family, name)


def test_intervals_of_correlations_may_be_negative():
    """Predictions that know nothing: mcc and kappa scatter about 0, and so must their intervals."""
    rng = np.random.default_rng(0)
    noise = [judge(rng.random((20, 20)) < 0.5, rng.random((20, 20)) < 0.5, Rules("semantic")) for _ in range(12)]
    for family in ("semantic", "semantic_pooled"):
        for name in ("mcc", "kappa"):
            assert combine(noise)[family][name].low < 0


def test_lengths_are_in_the_unit_of_the_first_image():
    moved = np.roll(TRUTH, 1, axis=1)
    nm = judge(TRUTH, moved, calibration=Calibration((100.0, 100.0), "nm"))
    um = judge(TRUTH, moved, calibration=Calibration((0.1, 0.1), "µm"))
    assert nm.values["semantic"]["hausdorff"] == pytest.approx(100)
    assert um.values["semantic"]["hausdorff"] == pytest.approx(0.1)
    both = combine([nm, um])["semantic"]["hausdorff"]
    assert both.value == pytest.approx(100)
    assert both.unit == "nm"
    assert nm.values["instance"] == um.values["instance"]
    with pytest.raises(OptionError, match="same pixel size"):
        combine([nm, judge(TRUTH, moved)])


def test_tolerance_is_in_pixels_of_the_shortest_side():
    moved = np.roll(TRUTH, 2, axis=1)
    for calibration in (None, Calibration((0.5, 0.5), "nm")):
        wide = judge(TRUTH, moved, Rules(tolerance=2), calibration=calibration).values["semantic"]["boundary_f1"]
        tight = judge(TRUTH, moved, Rules(tolerance=1), calibration=calibration).values["semantic"]["boundary_f1"]
        assert wide == 1
        assert tight < 0.7


def test_ignored_pixels_change_nothing():
    truth = TRUTH.copy()
    truth[:, 25:] = 255
    other = FOUND.copy()
    other[:, 26:] = 3
    one, two = (judge(truth, p, Rules(ignore=255)) for p in (FOUND, other))
    changed = {n: (v, flat(two)[n]) for n, v in flat(one).items() if v != pytest.approx(flat(two)[n], nan_ok=True)}
    assert not changed


@pytest.mark.parametrize("kind", ["instance", "semantic"])
@pytest.mark.parametrize("value", [-1, 255, 3])
def test_any_value_can_mean_not_judged(kind, value):
    truth = TRUTH.copy()
    truth[:, 25:] = value
    found = judge(truth, FOUND, Rules(kind, ignore=value))
    everywhere = judge(np.where(truth == value, 255, truth), FOUND, Rules(kind, ignore=255))
    assert flat(found) == pytest.approx(flat(everywhere), nan_ok=True)
    right = 1 if kind == "instance" else 650 / 750  # of 30 x 25 judged pixels; 100 of class 1 were called 4
    assert found.values["semantic"]["accuracy"] == pytest.approx(right)


def test_masks_of_255_are_masks():
    mask = TRUTH > 0
    expected = flat(judge(mask, FOUND > 0, Rules("semantic")))
    for truth, found in ((255 * mask, FOUND > 0), (mask, 255 * (FOUND > 0)), (255 * mask, 255 * (FOUND > 0))):
        assert flat(judge(truth, found, Rules("semantic"))) == pytest.approx(expected, nan_ok=True)
    named = judge(255 * mask, 255 * mask, Rules("semantic", classes={0: "a", 1: "b", 255: "c"}))
    assert named.values["semantic"]["iou[c]"] == 1
    with_another = judge(np.where(TRUTH == 2, 255, TRUTH), np.where(TRUTH == 2, 255, 0), Rules("semantic"))
    assert with_another.values["semantic"]["iou[255]"] == 1
    assert with_another.values["semantic"]["iou[1]"] == 0


def test_means_are_over_the_classes_of_all_images():
    """One image shows class 1 on background, the other two classes: both are scored over three."""
    one = np.array([[0, 0, 0, 1, 1, 1, 1, 1]])
    two = np.array([[0, 0, 1, 1, 2, 2, 2, 2]])
    images = [judge(one, np.array([[0, 0, 1, 1, 1, 1, 0, 0]]), Rules("semantic")), judge(two, two, Rules("semantic"))]
    assert images[0].values["semantic"]["iou"] == 3 / 6  # alone: of the foreground
    alike = same_classes(images)
    assert alike[0].values["semantic"]["iou"] == pytest.approx((2 / 5 + 3 / 6) / 2)  # the mean over the classes it has
    assert alike[0].values["semantic"]["iou[1]"] == 3 / 6
    assert math.isnan(alike[0].values["semantic"]["iou[2]"])
    assert alike[0].values["semantic"]["boundary_f1"] == images[0].values["semantic"]["boundary_f1"]
    assert flat(alike[1]) == pytest.approx(flat(images[1]), nan_ok=True)
    found = combine(images)
    assert found["semantic"]["iou"].value == pytest.approx((0.45 + 1) / 2)
    assert found["semantic"]["iou[1]"].value == pytest.approx((3 / 6 + 1) / 2)
    assert same_classes(alike)[0] is alike[0]


def test_pooled_scores_are_no_totals():
    """A total grows with the number of images, so it is no property of the images that could have been taken."""
    images = [judge(TRUTH, FOUND, name=str(k)) for k in range(6)]
    found = combine(images)
    assert found["instance"]["count_error"].value == -1
    assert set(found["instance_pooled"]) == set(found["instance"]) - {"count_error", "splits", "merges"}
    assert set(found["instance_pooled"]) == set(FAMILIES["instance_pooled"].scores)


def test_tidy_table_has_a_row_for_each_value():
    images = [judge(TRUTH, FOUND, name="a"), judge(TRUTH, TRUTH, name="b")]
    table = tidy(images, groups=["x", "y"])
    assert list(table.columns) == ["image", "group", "family", "score", "value", "unit"]
    assert len(table) == sum(len(s) for one in images for s in one.values.values())
    row = table[(table["image"] == "a") & (table["family"] == "instance") & (table["score"] == "ap50")]
    assert row["value"].item() == 0.5
    assert row["group"].item() == "x"


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"kind": "objects"}, "kind of labels"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"tolerance": math.nan}, "tolerance"),
        ({"classes": {0: "a"}}, "semantic"),
        ({"ignore": True}, "whole number"),
        ({"ignore": 0.5}, "whole number"),
    ],
)
def test_bad_rules(rules, says):
    with pytest.raises(OptionError, match=says):
        Rules(**rules)


def test_no_images():
    with pytest.raises(OptionError, match="no images"):
        combine([])


def test_recall_by_width_is_judged_where_it_is_asked_for():
    rules = Rules("semantic", widths=(3,))
    values = judge(TRUTH > 0, FOUND > 0, rules).values["semantic"]
    assert {"skeleton_recall[to 3 px]", "skeleton_recall[over 3 px]"} <= values.keys()
    assert rules.as_dict()["widths_px"] == [3]
    assert score_of("semantic.skeleton_recall[to 3 px]", "semantic").best == "high"
    with pytest.raises(OptionError, match="widths are numbers above 0 that rise"):
        Rules("semantic", widths=(3, 3))
