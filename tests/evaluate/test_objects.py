"""What became of each object: by hand, by analytic distances, and by adding up to the counts of the scores."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from segmetry.errors import CalibrationError
from segmetry.evaluate.instances import count_instances
from segmetry.evaluate.objects import OUTCOMES, object_outcomes
from segmetry.evaluate.surface import surface_scores


def told(table):
    return list(zip(table["truth"], table["prediction"], table["outcome"]))


def test_every_outcome_by_hand():
    truth = np.array([[1, 1, 1, 0, 2, 2, 2, 2, 0, 3, 3, 4, 4, 0, 5, 5, 5, 0, 0]])
    prediction = np.array([[9, 9, 0, 0, 8, 8, 7, 0, 0, 6, 6, 6, 6, 0, 0, 0, 2, 0, 3]])
    #                       found      split             merged  merged    missed       invented
    # 2 has pieces 8 (IoU 2/4) and 7: a hit at exactly one half goes before split.
    table = object_outcomes(truth, prediction)
    # 6 covers 3 and 4 with IoU 1/2 each: one of them is found, the other merged.
    assert told(table)[:2] == [(1, 9, "found"), (2, 8, "found")]
    assert sorted(outcome for _, _, outcome in told(table)[2:4]) == ["found", "merged"]
    assert told(table)[4:] == [(5, 2, "missed"), (0, 2, "invented"), (0, 3, "invented"), (0, 7, "invented")]
    assert table["iou"].tolist() == pytest.approx([2 / 3, 1 / 2, 1 / 2, 1 / 2, 1 / 3, 0, 0, 0])
    assert table["truth_area"].tolist() == [3, 4, 2, 2, 3, 0, 0, 0]
    assert table["prediction_area"].tolist() == [2, 2, 4, 4, 1, 1, 1, 1]


def test_split_and_merged_objects_account_for_their_parts():
    truth = np.array([[1, 1, 1, 1, 1, 0, 2, 2, 3, 3, 4, 4]])
    prediction = np.array([[5, 5, 6, 6, 7, 0, 8, 8, 8, 8, 8, 8]])
    table = object_outcomes(truth, prediction)
    assert [(t, o) for t, _, o in told(table)] == [(1, "split"), (2, "merged"), (3, "merged"), (4, "merged")]
    assert table["prediction"].tolist()[1:] == [8, 8, 8]
    assert table["prediction"][0] in (5, 6)
    assert table["iou"].tolist() == pytest.approx([2 / 5, 1 / 3, 1 / 3, 1 / 3])
    assert table["boundary_distance"].isna().all()


def test_empty_images_give_no_rows():
    table = object_outcomes(np.zeros((3, 4), int), np.zeros((3, 4), int))
    assert len(table) == 0
    assert list(table.columns) == [
        "truth", "prediction", "iou", "outcome", "boundary_distance", "truth_area", "prediction_area",
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_rows_add_up_to_the_counts_of_the_scores(seed):
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 7, (6, 6)), np.ones((4, 4), int))
    prediction = np.where(rng.random(truth.shape) < 0.2, rng.integers(0, 9, truth.shape), np.roll(truth, 1, 0) * 70_000)
    ignored = rng.random(truth.shape) < 0.3 if seed % 2 else None
    table, counts = (f(truth, prediction, ignore=ignored) for f in (object_outcomes, count_instances))
    number = {outcome: int((table["outcome"] == outcome).sum()) for outcome in OUTCOMES}
    of_truth = table["truth"] > 0
    assert number["found"] == counts.tp[0]
    assert of_truth.sum() == counts.tp[0] + counts.fn[0]
    assert number["invented"] == (~of_truth).sum() <= counts.fp[0]
    assert number["split"] <= counts.splits
    if not counts.splits and not counts.merges:
        assert number["invented"] == counts.fp[0]
    assert table["truth"][of_truth].is_unique
    assert table["boundary_distance"].notna().tolist() == (table["outcome"] == "found").tolist()


def disk(radius, centre=(60, 60), side=121):
    rows, columns = np.ogrid[:side, :side]
    return ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2).astype(int)


def test_distance_of_two_circles_about_one_centre():
    table = object_outcomes(disk(40), disk(44) * 3, spacing=(0.5, 0.5))
    # Contour points are the middles of pixel sides, up to half a pixel off the circle, and the nearest of them counts.
    assert table["boundary_distance"][0] == pytest.approx(4 * 0.5, abs=0.25 * 0.5)
    assert table["truth_area"][0] == pytest.approx(math.pi * 20**2, rel=0.01)
    assert object_outcomes(disk(40), disk(40))["boundary_distance"][0] == 0


def test_each_distance_is_the_surface_score_of_the_two_alone():
    truth, prediction = np.zeros((2, 150, 200), np.int32)
    rng = np.random.default_rng(4)
    for n in range(1, 13):
        centre = 50 * ((n - 1) % 4) + 25, 50 * ((n - 1) // 4) + 20
        cv2.circle(truth, centre, 20, 100_000 * n, -1)
        cv2.circle(prediction, tuple(int(c + rng.integers(-3, 4)) for c in centre), int(rng.integers(16, 23)), n, -1)
    ignored = np.zeros(truth.shape, bool)
    ignored[:, 95:105] = True
    for mask in (None, ignored):
        table = object_outcomes(truth, prediction, ignore=mask, spacing=(2.0, 3.0))
        assert (table["outcome"] == "found").sum() == 12
        for _, row in table[table["outcome"] == "found"].iterrows():
            alone = surface_scores(
                truth == row["truth"], prediction == row["prediction"], tolerance=1, spacing=(2.0, 3.0), ignore=mask
            )
            assert row["boundary_distance"] == pytest.approx(alone["mean_surface_distance"])


def test_an_object_that_fills_the_image_has_no_contour():
    table = object_outcomes(np.ones((4, 4), int), np.ones((4, 4), int))
    assert table["outcome"].tolist() == ["found"]
    assert table["boundary_distance"].isna().all()


def test_volumes():
    truth, prediction = np.zeros((2, 8, 8, 8), int)
    truth[2:6, 2:6, 2:6], prediction[2:6, 2:6, 2:5] = 1, 1
    table = object_outcomes(truth, prediction, spacing=(2.0, 1.0, 1.0))
    assert table["truth_area"][0] == 64 * 2
    assert table["iou"][0] == pytest.approx(0.75)
    assert 0 < table["boundary_distance"][0] < 1


def test_spacing_must_be_positive():
    with pytest.raises(CalibrationError, match="spacing"):
        object_outcomes(np.ones((2, 2), int), np.ones((2, 2), int), spacing=(0, 1))
