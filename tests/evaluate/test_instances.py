"""Matching and the scores of objects against counts by hand, a search over all matchings, and other libraries."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from segmetry.errors import LabelError, OptionError, ShapeMismatchError
from segmetry.evaluate import average_precision, match
from segmetry.evaluate.instance_counts import INSTANCE, LEVELS, InstanceCounts
from segmetry.evaluate.instances import count_instances, score_instances

RATIOS = "ap50 ap75 ap90 map precision recall f1 pq sq rq ari".split()


def _all_matchings(truth, prediction, threshold):
    """Return (number of pairs, total IoU) of the best matching by trying every one."""
    ts, ps = np.unique(truth[truth > 0]), np.unique(prediction[prediction > 0])
    iou = np.array([[((truth == t) & (prediction == p)).sum() / ((truth == t) | (prediction == p)).sum() for p in ps]
                    for t in ts]).reshape(len(ts), len(ps))  # fmt: skip
    if len(ts) > len(ps):
        iou = iou.T
    best = (0, 0.0)
    for order in itertools.permutations(range(iou.shape[1]), iou.shape[0]):
        hit = [iou[i, j] for i, j in enumerate(order) if iou[i, j] >= threshold]
        best = max(best, (len(hit), round(sum(hit), 9)))
    return best


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.75])
def test_matching_is_the_best_of_all(seed, threshold):
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 5, (4, 4)), np.ones((2, 2), int))
    prediction = np.where(rng.random(truth.shape) < 0.3, rng.integers(0, 5, truth.shape), truth * 3)
    found = match(truth, prediction, threshold=threshold)
    assert len(set(found.truth)) == len(found.truth)
    assert len(set(found.prediction)) == len(found.prediction)
    n, total = _all_matchings(truth, prediction, threshold)
    assert (len(found.iou), round(found.iou.sum(), 9)) == (n, pytest.approx(total))
    n_all = found.n_truth + found.n_prediction
    assert average_precision(truth, prediction, threshold) == pytest.approx(n / (n_all - n))


def test_average_precision_counted_on_paper():
    truth = np.array([[1, 1, 1, 0, 2, 2], [1, 1, 1, 0, 2, 2], [3, 0, 0, 0, 0, 0]])
    # 1 found with 5 of 6 pixels (IoU 5/6), 2 found with 2 of 4 (0.5), 3 missed, one invented.
    prediction = np.array([[4, 4, 4, 0, 0, 9], [4, 4, 0, 0, 0, 9], [0, 0, 7, 7, 0, 0]])
    ap = average_precision(truth, prediction, (0.5, 0.75, 0.9))
    assert ap == pytest.approx([2 / (3 + 3 - 2), 1 / 5, 0])


def test_average_precision_laws():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, (2, 30, 30))
    levels = np.arange(0.05, 1, 0.05)
    assert average_precision(a, b, levels) == pytest.approx(average_precision(b, a, levels))
    assert average_precision(a, a, levels) == pytest.approx(np.ones(len(levels)))
    renamed = np.array([0, 40, 3, 900, 7, 12])[b]
    assert average_precision(a, renamed, levels) == pytest.approx(average_precision(a, b, levels))
    assert (np.diff(average_precision(a, b, levels)) <= 0).all()


def test_empty_images():
    nothing, one = np.zeros((3, 3), np.int32), np.eye(3, dtype=np.int32)
    assert average_precision(nothing, nothing, 0.5) == [1.0]
    assert average_precision(one, nothing, 0.5) == [0.0]
    assert average_precision(nothing, one, 0.5) == [0.0]


def test_bad_input_has_one_clear_line():
    with pytest.raises(ShapeMismatchError, match="undo the resizing"):
        match(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(LabelError, match="whole numbers"):
        match(np.zeros((2, 2)), np.zeros((2, 2), int))
    with pytest.raises(LabelError, match=">= 0"):
        match(np.full((2, 2), -1), np.zeros((2, 2), int))
    with pytest.raises(OptionError, match="threshold"):
        match(np.zeros((2, 2), int), np.zeros((2, 2), int), threshold=0)


def random_pair(seed, side=24, high=7):
    """Blocks, and the same with some pixels renamed: overlaps of all sizes, ties at exactly one half among them."""
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, high, (side // 4, side // 4)), np.ones((4, 4), int))
    moved = np.roll(truth, rng.integers(0, 3, 2), (0, 1)) * 3
    return truth, np.where(rng.random(truth.shape) < 0.15, rng.integers(0, high, truth.shape), moved)


def test_scores_counted_on_paper():
    truth = np.array([[1, 1, 1, 0, 2, 2], [1, 1, 1, 0, 2, 2], [3, 0, 0, 0, 0, 0]])
    # 1 found with 5 of 6 pixels (IoU 5/6), 2 found with 2 of 4 (exactly 1/2), 3 missed, 7 invented.
    prediction = np.array([[4, 4, 4, 0, 0, 9], [4, 4, 0, 0, 0, 9], [0, 0, 7, 7, 0, 0]])
    scores = score_instances(truth, prediction)
    assert tuple(scores) == tuple(INSTANCE)
    assert all(type(value) is float for value in scores.values())
    assert scores["ap50"] == pytest.approx(2 / 4)
    assert scores["ap75"] == pytest.approx(1 / 5)
    assert scores["ap90"] == 0
    assert scores["map"] == pytest.approx((2 / 4 + 6 / 5 + 0 * 3) / 10)  # .5; .55 to .8; .85 to .95
    assert (scores["precision"], scores["recall"], scores["f1"]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    # Panoptic quality asks for more than one half: only 1 is a hit.
    assert (scores["sq"], scores["rq"], scores["pq"]) == pytest.approx((5 / 6, 1 / 3, 5 / 18))
    assert (scores["count_error"], scores["count_error_relative"]) == (0, 0)
    assert (scores["splits"], scores["merges"]) == (0, 0)
    # 11 true pixels. Unclaimed ones stand alone: 1 of object 1, 2 of object 2, the pixel of object 3.
    split = (5 * math.log2(6 / 5) + 1 * math.log2(6) + 2 * math.log2(4 / 2) + 2 * math.log2(4)) / 11
    assert scores["vi_split"] == pytest.approx(split)
    assert scores["vi_merge"] == 0
    together, true, found, pairs = 10 + 1, 15 + 6, 10 + 1, 55
    chance = true * found / pairs
    assert scores["ari"] == pytest.approx((together - chance) / ((true + found) / 2 - chance))


def test_splits_and_merges_counted_on_paper():
    truth = np.array([[1, 1, 1, 1, 1, 0, 2, 2, 3, 3]])
    prediction = np.array([[4, 4, 5, 5, 6, 6, 7, 7, 7, 7]])
    # 4 and 5 lie in 1, 6 only with half of itself: one split. 7 holds 2 and 3: one merge.
    scores = score_instances(truth, prediction)
    assert (scores["splits"], scores["merges"]) == (1, 1)
    swapped = score_instances(prediction, truth)
    assert (swapped["splits"], swapped["merges"]) == (1, 1)
    assert score_instances(truth, prediction * (prediction < 6))["splits"] == 1
    assert score_instances(truth, prediction * (prediction < 5))["splits"] == 0
    # 2 and 7 match at exactly one half, and 2 could as well be 3: one hit, not two.
    assert scores["recall"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", range(30))
def test_counts_of_every_level_are_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 5, (4, 4)), np.ones((2, 2), int))
    prediction = np.where(rng.random(truth.shape) < 0.3, rng.integers(0, 5, truth.shape), truth * 3)
    counts = count_instances(truth, prediction)
    n_truth, n_prediction = (len(np.unique(x[x > 0])) for x in (truth, prediction))
    for i, level in enumerate(LEVELS):
        tp, _ = _all_matchings(truth, prediction, level)
        assert (counts.tp[i], counts.fn[i], counts.fp[i]) == (tp, n_truth - tp, n_prediction - tp)
    tp, iou = _all_matchings(truth, prediction, np.nextafter(0.5, 1))
    assert (counts.tp[10], counts.fn[10], counts.fp[10]) == (tp, n_truth - tp, n_prediction - tp)
    assert counts.iou == pytest.approx(iou)


def test_a_level_is_reached_by_an_overlap_of_just_that():
    """Overlaps 10/20 to 19/20: each is a hit at its own level and not at the next."""
    for i in range(10):
        truth = np.ones((1, 20), int)
        prediction = truth * (np.arange(20) < 10 + i)
        assert count_instances(truth, prediction).tp[:10].tolist() == [1] * (i + 1) + [0] * (9 - i)


@pytest.mark.parametrize("seed", range(5))
def test_clusters_agree_with_other_libraries(seed):
    from skimage.metrics import variation_of_information

    truth, prediction = random_pair(seed)
    scores = score_instances(truth, prediction)
    alone = np.arange(truth.size).reshape(truth.shape) + 1000
    inside = truth > 0
    regions = np.where(prediction > 0, prediction, alone)  # unclaimed pixels are regions of their own
    assert scores["ari"] == pytest.approx(adjusted_rand_score(truth[inside], regions[inside]))
    split, merge = variation_of_information(truth, regions, ignore_labels=[0])
    assert (scores["vi_split"], scores["vi_merge"]) == pytest.approx((split, merge))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.75])
def test_agrees_with_stardist(seed, threshold):
    matching = pytest.importorskip("stardist.matching").matching
    truth, prediction = random_pair(seed, side=120, high=60)
    theirs = matching(truth, prediction, thresh=threshold)
    counts, i = count_instances(truth, prediction), int(np.argmin(np.abs(LEVELS - threshold)))
    assert (counts.tp[i], counts.fp[i], counts.fn[i]) == (theirs.tp, theirs.fp, theirs.fn)
    assert average_precision(truth, prediction, threshold)[0] == pytest.approx(theirs.accuracy)
    if threshold == 0.5 and counts.tp[10] == theirs.tp:
        scores = score_instances(truth, prediction)
        names = ("precision", "recall", "f1", "pq", "sq")
        others = (theirs.precision, theirs.recall, theirs.f1, theirs.panoptic_quality, theirs.mean_true_score)
        assert [scores[n] for n in names[:4]] == pytest.approx(others[:4])


SWAPPED = {"precision": "recall", "recall": "precision", "splits": "merges", "merges": "splits"}


@pytest.mark.parametrize("seed", range(5))
def test_swapping_truth_and_prediction(seed):
    truth, prediction = random_pair(seed)
    there, back = score_instances(truth, prediction), score_instances(prediction, truth)
    for name in "ap50 ap75 ap90 map f1 pq sq rq precision recall splits merges".split():
        assert back[SWAPPED.get(name, name)] == pytest.approx(there[name]), name
    assert back["count_error"] == -there["count_error"]
    covered = truth * (prediction > 0), prediction * (truth > 0)  # where both have the same foreground
    there, back = score_instances(*covered), score_instances(*covered[::-1])
    assert back["ari"] == pytest.approx(there["ari"])
    assert (back["vi_split"], back["vi_merge"]) == pytest.approx((there["vi_merge"], there["vi_split"]))


@pytest.mark.parametrize("seed", range(5))
def test_names_place_and_frame_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    truth, prediction = random_pair(seed)
    scores = score_instances(truth, prediction)
    names = np.append(0, rng.choice(2**31 - 1, 50, replace=False) + 1)
    changed = {
        "other names": (names[truth], names[::-1][prediction] * (prediction > 0)),
        "padding": (np.pad(truth, 9), np.pad(prediction, 9)),
        "a quarter turn": (np.rot90(truth), np.rot90(prediction)),
        "a plane of a volume": (truth[None], prediction[None]),
        "twice as many pixels": (truth.repeat(2, 0), prediction.repeat(2, 0)),
    }
    for what, pair in changed.items():
        other = score_instances(*pair)
        for name in scores if what != "twice as many pixels" else "ap50 ap75 ap90 map pq splits merges".split():
            assert other[name] == pytest.approx(scores[name], rel=1e-9, abs=1e-12), (what, name)


def test_a_volume_is_scored_as_a_whole():
    truth, prediction = np.zeros((2, 3, 4, 5), int)
    truth[:, 1, 1], prediction[:2, 1, 1] = 8, 3
    assert score_instances(truth, prediction)["sq"] == pytest.approx(2 / 3)


def test_perfect_prediction():
    truth, _ = random_pair(0)
    scores = score_instances(truth, 70_000 + truth * (truth > 0) - 70_000 * (truth == 0))
    assert {name: scores[name] for name in RATIOS} == dict.fromkeys(RATIOS, pytest.approx(1))
    rest = set(INSTANCE) - set(RATIOS)
    assert {name: scores[name] for name in rest} == dict.fromkeys(rest, 0)


@pytest.mark.parametrize("shape", [(1, 1), (4, 5)])
def test_empty_images_by_convention(shape):
    nothing, one = np.zeros(shape, int), np.zeros(shape, int)
    one[0, 0] = 70_000
    agree = score_instances(nothing, nothing)
    assert {name: agree[name] for name in RATIOS} == dict.fromkeys(RATIOS, 1)
    assert {agree[name] for name in set(INSTANCE) - set(RATIOS)} == {0}
    missed, invented = score_instances(one, nothing), score_instances(nothing, one)
    for scores, error in ((missed, -1), (invented, 1)):
        assert {name: scores[name] for name in RATIOS} == dict.fromkeys(RATIOS, 0)
        assert scores["count_error"] == error
        assert (scores["splits"], scores["merges"]) == (0, 0)
    assert missed["count_error_relative"] == -1
    assert (missed["vi_split"], missed["vi_merge"]) == (0, 0)  # one pixel alone is not split
    assert all(math.isnan(invented[name]) for name in ("count_error_relative", "vi_split", "vi_merge"))


def test_nothing_hit():
    scores = score_instances(np.array([[1, 1, 0, 0]]), np.array([[0, 0, 1, 1]]))
    assert {name: scores[name] for name in RATIOS} == dict.fromkeys(RATIOS, 0)
    assert (scores["vi_split"], scores["vi_merge"]) == (1, 0)  # two pixels, each alone: one bit


def test_ignored_pixels_by_hand():
    """Objects 1 to 4 stand on lines 0 to 3 of the truth, their likes on the prediction; x marks ignored columns."""
    ignored = np.zeros((5, 6), bool)
    ignored[:, 3:] = True
    truth = np.array([[1, 1, 0, 0, 0, 0], [0, 2, 2, 2, 2, 2], [0, 0, 3, 3, 3, 0], [0, 0, 0, 4, 4, 4], [0] * 6])
    prediction = np.array([[0] * 6, [0, 6, 6, 6, 6, 6], [0] * 6, [0, 0, 7, 7, 7, 7], [8, 8, 0, 9, 9, 9]])
    # 1 missed; 2 and 6 mostly ignored but match: a hit; 3 mostly ignored, missed without blame; 4 and 9 wholly ignored:
    # they do not exist; 7 mostly ignored, not held against anyone; 8 invented.
    counts = count_instances(truth, prediction, ignore=ignored)
    assert (counts.tp[0], counts.fn[0], counts.fp[0]) == (1, 1, 1)
    assert counts.n_foreground == 2 + 2 + 1
    scores = score_instances(truth, prediction, ignore=ignored)
    assert (scores["ap50"], scores["sq"], scores["count_error"]) == (pytest.approx(1 / 3), 1, 0)
    back = score_instances(prediction, truth, ignore=ignored)
    assert (back["ap50"], back["count_error"]) == (scores["ap50"], 0)
    # Half ignored is not more than half: such an object counts.
    assert count_instances(truth * 0, prediction, ignore=np.arange(6) >= np.full((5, 1), 4)).fp[0] == 3


@pytest.mark.parametrize("seed", range(5))
def test_what_lies_in_ignored_pixels_does_not_matter_when_objects_end_there(seed):
    """Where no object crosses the border of the mask, ignoring equals cutting the image."""
    truth, prediction = random_pair(seed)
    ignored = np.zeros(truth.shape, bool)
    ignored[:, 12:] = True
    for labels in (truth, prediction):
        labels[:, 12:] = np.where(labels[:, 12:] > 0, labels[:, 12:] + 1000, 0)
    here = score_instances(truth, prediction, ignore=ignored)
    assert here == pytest.approx(score_instances(truth[:, :12], prediction[:, :12]))
    assert here == pytest.approx(score_instances(np.where(ignored, 5_000_000, truth), prediction, ignore=5_000_000))


def test_counts_add_up_and_stack():
    parts = [count_instances(*random_pair(seed)) for seed in range(4)]
    total = parts[0] + parts[1] + parts[2] + parts[3]
    stacked = InstanceCounts.stack(parts)
    each = stacked.scores()
    for i, part in enumerate(parts):
        for name, value in part.scores().items():
            assert each[name][i] == pytest.approx(float(value)), name
    drawn = stacked.draw(np.array([[1, 1, 1, 1], [0, 2, 0, 1]])).scores()
    again = (parts[1] + parts[1] + parts[3]).scores()
    for name, value in total.scores().items():
        assert drawn[name].shape == (2,)
        assert drawn[name] == pytest.approx([float(value), float(again[name])]), name


@pytest.mark.parametrize("seed", range(3))
def test_pooled_scores_are_those_of_the_images_laid_side_by_side(seed):
    pairs = [random_pair(10 * seed + i) for i in range(3)]
    pooled = sum((count_instances(*p) for p in pairs[1:]), count_instances(*pairs[0])).scores()
    beside = [np.hstack([np.where(p[k] > 0, p[k] + 100 * i, 0) for i, p in enumerate(pairs)]) for k in (0, 1)]
    together = score_instances(*beside)
    for name in set(INSTANCE) - {"ari"}:  # a pair of pixels of two images is no pair
        assert float(pooled[name]) == pytest.approx(together[name]), name


def test_objects_at_the_frame_and_of_one_pixel():
    truth = np.array([[1, 0, 2], [0, 0, 0], [3, 0, 4]])
    scores = score_instances(truth, truth * (truth < 4))
    assert (scores["ap50"], scores["recall"], scores["count_error"]) == (0.75, 0.75, -1)
