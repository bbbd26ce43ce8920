"""The published EMPS figures against the protocol written out word by word, and what they cannot see."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segmetry.errors import LabelError, ShapeMismatchError
from segmetry.evaluate.instances import score_instances
from segmetry.evaluate.published import PUBLISHED_EMPS, published_emps, resized

SIDE = 512


def word_by_word(truth, prediction):
    """The protocol with a mask for every object and nothing clever, for label images of 512 x 512."""
    masks = [[labels == n for n in np.unique(labels) if n] for labels in (truth, prediction)]
    iou = np.array([[np.float32((g & p).sum()) / np.float32((g | p).sum()) for p in masks[1]] for g in masks[0]])
    precision, recall = {}, {}
    for t in [round(0.05 * i, 2) for i in range(20)]:
        tp = fp = fn = 0
        for g in range(len(masks[0])):
            matches = sum(float(iou[g, p]) > t for p in range(len(masks[1])))
            tp, fn = (tp + 1, fn) if matches else (tp, fn + 1)
            fp += max(0, matches - 1)
        for p in range(len(masks[1])):
            fp += not any(float(iou[g, p]) > t for g in range(len(masks[0])))
        precision[t], recall[t] = tp / (tp + fp + 1e-12), tp / (tp + fn + 1e-12)
    best = [max(float(iou[g, p]) for g in range(len(masks[0]))) for p in range(len(masks[1]))]
    falling = sorted(precision, reverse=True)
    curve_r, curve_p, highest = [], [], 0.0
    for t in falling[::-1]:
        highest = max(highest, precision[t])
        curve_p.insert(0, highest)
        curve_r.insert(0, recall[t])
    half_r, half_p = [np.float16(r) for r in curve_r], [np.float16(p) for p in curve_p]
    if all(r == 1 for r in half_r) and all(p == 1 for p in half_p):
        ap = 1.0
    elif all(r == np.float16(np.mean(curve_r)) for r in half_r) and all(
        p == np.float16(np.mean(curve_p)) for p in half_p
    ):
        ap = np.mean(curve_p)
    else:
        ap = sum((curve_r[k + 1] - curve_r[k]) * (curve_p[k] + curve_p[k + 1]) / 2 for k in range(19))
    mean_iou = np.mean([b if b > 0.5 else 0.0 for b in best])
    return {"ap": ap, "ap50": precision[0.5], "ap75": precision[0.75], "mean_iou": mean_iou}


def random_scene(rng, n):
    """Coarse blocks, so that IoUs of simple fractions (1/2, 3/5) and duplicates occur."""
    truth = np.kron(rng.integers(0, n, (8, 8)), np.ones((64, 64), int))
    prediction = np.where(rng.random((8, 8)) < 0.25, rng.integers(0, n, (8, 8)), truth[::64, ::64] + 50)
    prediction = np.kron(np.where(prediction == 50, 0, prediction), np.ones((64, 64), int))
    return truth, np.roll(prediction, rng.choice([0, 8, 16, 32]), 1)


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_protocol_word_by_word(seed):
    rng = np.random.default_rng(seed)
    truth, prediction = random_scene(rng, 3 + seed % 4)
    assert published_emps(truth, prediction) == pytest.approx(word_by_word(truth, prediction), abs=1e-12)


def columns(*widths):
    """Objects beside each other, each so many of the 512 columns wide, between empty ones."""
    labels, at = np.zeros((SIDE, SIDE), int), 0
    for n, (begin, width) in enumerate(widths, 1):
        assert begin >= at
        labels[:, begin : begin + width] = n
        at = begin + width
    return labels


def test_counted_on_paper():
    truth = columns((0, 100), (100, 100), (300, 50))
    prediction = columns((0, 80), (110, 60), (170, 40))
    # IoU: .8; 60/100 = .6; third of prediction: 30 shared of 110 = .273 with object 2; object 3 missed.
    # t < .2727: pairs 3, TP 2, FP 1 (a further pair of object 2)      P 2/3  R 2/3   (t = 0 ... .25, 6 thresholds)
    # t < .6 and also .6 (single precision 60/100 > .6): TP 2, FP 1   P 2/3  R 2/3   (t = .30 ... .60)
    # t < .8, and .8 (single precision 80/100 > .8): TP 1, FP 2       P 1/3  R 1/3   (t = .65 ... .80)
    # above: TP 0                                                     P 0    R 0     (t = .85 ... .95)
    # Running maximum from t = 0: P = 2/3 everywhere. From R = 0 to 2/3: area 4/9.
    scores = published_emps(truth, prediction)
    assert scores == pytest.approx(word_by_word(truth, prediction), abs=1e-12)
    assert tuple(scores) == tuple(PUBLISHED_EMPS)
    assert float(np.float32(0.6)) > 0.6
    assert float(np.float32(0.8)) > 0.8
    assert scores == pytest.approx({"ap": 4 / 9, "ap50": 2 / 3, "ap75": 1 / 3, "mean_iou": (0.8 + 0.6) / 3}, abs=1e-7)


def test_constant_curves_are_compared_in_half_precision():
    """13 of 14 objects perfect: recall is 13/14 at every threshold, which is no half-precision number."""
    truth = np.kron(np.arange(16).reshape(4, 4) % 15, np.ones((128, 128), int))
    truth[:, 500:] = 0
    scores = published_emps(truth, truth * (truth < 14))
    assert float(np.float16(13 / 14)) != 13 / 14
    assert scores == pytest.approx(dict.fromkeys(PUBLISHED_EMPS, 1.0), abs=1e-9)
    assert score_instances(truth, truth * (truth < 14))["ap50"] == pytest.approx(13 / 14)


def test_resizes_to_the_nearest_pixel_centres():
    rng = np.random.default_rng(0)
    for shape in ((512, 512), (512, 700), (90, 1000), (1, 1), (333, 51)):
        labels = rng.integers(0, 60_000, shape).astype(np.int32)
        theirs = np.array(Image.fromarray(labels).resize((SIDE, SIDE), Image.Resampling.NEAREST))
        assert np.array_equal(resized(labels, SIDE), theirs)


def test_one_blob_scores_one():
    truth = columns((10, 20), (50, 9), (100, 200))
    scores = published_emps(truth, np.ones_like(truth))
    assert scores == pytest.approx({"ap": 1, "ap50": 0, "ap75": 0, "mean_iou": 0}, abs=1e-9)
    assert score_instances(truth, np.ones_like(truth))["map"] == 0


def test_what_was_missed_does_not_count():
    truth = columns((10, 20), (50, 9), (100, 200))
    biggest = truth * (truth == 3)
    assert published_emps(truth, biggest) == pytest.approx(dict.fromkeys(PUBLISHED_EMPS, 1.0), abs=1e-9)


def test_empty_images_by_convention():
    nothing, one = np.zeros((9, 9), int), np.ones((9, 9), int)
    assert published_emps(one, nothing) == dict.fromkeys(PUBLISHED_EMPS, 0)
    assert published_emps(nothing, one) == dict.fromkeys(PUBLISHED_EMPS, 0)
    assert published_emps(nothing, nothing) == dict.fromkeys(PUBLISHED_EMPS, 1)


def test_names_of_objects_do_not_matter():
    truth, prediction = random_scene(np.random.default_rng(3), 5)
    other = published_emps(truth * 70_000, np.where(prediction > 0, 2**31 - 1 - prediction, 0))
    assert other == published_emps(truth, prediction)


def test_bad_input_has_one_clear_line():
    with pytest.raises(LabelError, match="2D"):
        published_emps(np.zeros((2, 2, 2), int), np.zeros((2, 2, 2), int))
    with pytest.raises(ShapeMismatchError, match="undo the resizing"):
        published_emps(np.zeros((2, 2), int), np.zeros((2, 3), int))
