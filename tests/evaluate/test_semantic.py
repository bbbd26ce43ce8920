"""Scores of classes against counts by hand, scikit-learn, and laws."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from peers import torchmetrics
from sklearn import metrics

from segmetry.errors import ImageError, LabelError, OptionError, ShapeMismatchError
from segmetry.evaluate.semantic import PER_CLASS, SEMANTIC, SemanticCounts, count_classes, foreground


def _same(a, b, rel=1e-12):
    """Whether two sets of scores agree in every key, nan with nan."""
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=rel, atol=1e-15, err_msg=name)


def test_two_classes_counted_on_paper():
    truth = np.array([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    prediction = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]])
    counts = count_classes(truth, prediction)
    assert counts.confusion.tolist() == [[5, 1], [2, 2]]  # true negatives 5, false positives 1; missed 2, found 2
    assert counts.scores() == pytest.approx(
        {
            "accuracy": 7 / 10,
            "balanced_accuracy": (5 / 6 + 2 / 4) / 2,
            "precision": 2 / 3,
            "recall": 2 / 4,
            "specificity": 5 / 6,
            "iou": 2 / 5,
            "dice": 4 / 7,
            "mean_iou": (5 / 8 + 2 / 5) / 2,
            "mean_dice": (10 / 13 + 4 / 7) / 2,
            "jaccard": 2 / 5,
            "frequency_weighted_iou": 0.6 * 5 / 8 + 0.4 * 2 / 5,
            "mcc": (2 * 5 - 1 * 2) / math.sqrt(3 * 4 * 7 * 6),
            "kappa": (0.7 - (0.4 * 0.3 + 0.6 * 0.7)) / (1 - (0.4 * 0.3 + 0.6 * 0.7)),
            "mae": 3 / 10,
        }
    )


def test_three_classes_counted_on_paper():
    truth = np.array([[0, 0, 0, 1, 1, 2]])
    prediction = np.array([[0, 0, 1, 1, 2, 2]])
    scores = count_classes(truth, prediction, classes=["air", "root", "soil"]).scores()
    iou = {"air": 2 / 3, "root": 1 / 3, "soil": 1 / 2}
    assert {name: scores[f"iou[{name}]"] for name in iou} == pytest.approx(iou)
    assert scores["mean_iou"] == scores["iou"] == pytest.approx(sum(iou.values()) / 3)
    assert scores["jaccard"] == pytest.approx((1 + 1) / (3 + 2))
    assert scores["frequency_weighted_iou"] == pytest.approx((3 * 2 / 3 + 2 * 1 / 3 + 1 / 2) / 6)
    assert math.isnan(scores["mae"])


def test_the_table_names_every_score():
    binary = count_classes(np.array([[0, 1]]), np.array([[0, 1]])).scores()
    assert binary.keys() == SEMANTIC.keys()
    several = count_classes(np.array([[0, 1, 4]]), np.array([[0, 1, 4]])).scores()
    assert several.keys() == SEMANTIC.keys() | {f"{name}[{k}]" for name in PER_CLASS for k in (0, 1, 4)}
    assert all(type(value) is float for value in several.values())


@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("right", [0.0, 0.3, 0.95])
def test_against_scikit_learn(k, right):
    rng = np.random.default_rng(k)
    truth = rng.choice(k, (40, 50), p=rng.dirichlet(np.ones(k)))
    prediction = np.where(rng.random(truth.shape) < right, truth, rng.integers(0, k, truth.shape))
    t, p = truth.ravel(), prediction.ravel()
    counts = count_classes(truth, prediction)
    scores, each = counts.scores(), counts.per_class()
    assert (counts.confusion == metrics.confusion_matrix(t, p)).all()
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(t, p)
    iou = metrics.jaccard_score(t, p, average=None)
    for name, right_one in (("precision", precision), ("recall", recall), ("dice", f1), ("iou", iou)):
        assert each[name] == pytest.approx(right_one)
    assert each["specificity"] == pytest.approx(
        [metrics.recall_score(t != i, p != i) for i in range(k)]  # recall of "not i"
    )
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(t, p))
    assert scores["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(t, p))
    assert scores["mean_iou"] == pytest.approx(metrics.jaccard_score(t, p, average="macro"))
    assert scores["mean_dice"] == pytest.approx(metrics.f1_score(t, p, average="macro"))
    micro = metrics.jaccard_score(t, p, labels=range(1, k), average="micro")
    assert scores["jaccard"] == pytest.approx(micro)
    assert scores["frequency_weighted_iou"] == pytest.approx(metrics.jaccard_score(t, p, average="weighted"))
    assert scores["mcc"] == pytest.approx(metrics.matthews_corrcoef(t, p))
    assert scores["kappa"] == pytest.approx(metrics.cohen_kappa_score(t, p))
    if k == 2:
        assert scores["dice"] == pytest.approx(f1[1])
    else:
        assert scores["dice"] == pytest.approx(f1.mean())


@pytest.mark.slow
@pytest.mark.torch
def test_against_torchmetrics():
    torch = pytest.importorskip("torch")
    classification = torchmetrics("classification")
    rng = np.random.default_rng(5)
    truth, prediction = rng.integers(0, 4, (2, 30, 30))
    scores = count_classes(truth, prediction).scores()
    t, p = torch.from_numpy(truth.ravel()), torch.from_numpy(prediction.ravel())
    for name, metric in {
        "mean_iou": classification.MulticlassJaccardIndex(4),
        "mcc": classification.MulticlassMatthewsCorrCoef(4),
        "kappa": classification.MulticlassCohenKappa(4),
        "specificity": classification.MulticlassSpecificity(4),
    }.items():
        assert scores[name] == pytest.approx(float(metric(p, t)), rel=1e-5, abs=1e-6)  # float32 there


def test_counts_add_up_as_images_joined():
    rng = np.random.default_rng(1)
    truth, prediction = rng.integers(0, 4, (2, 20, 30))
    whole = count_classes(truth, prediction)
    parts = count_classes(truth[:7], prediction[:7]) + count_classes(truth[7:], prediction[7:])
    assert (parts.confusion == whole.confusion).all()
    _same(parts.scores(), whole.scores())


def test_counts_of_other_classes_add_up():
    a = count_classes(np.array([[0, 1, 1]]), np.array([[0, 0, 1]]))
    b = count_classes(np.array([[0, 5, 5]]), np.array([[0, 1, 5]]))
    both = a + b
    assert both.values == (0, 1, 5)
    assert both.confusion.tolist() == [[2, 0, 0], [1, 1, 0], [0, 1, 1]]
    assert (b + a).confusion.tolist() == both.confusion.tolist()
    stacked = SemanticCounts.stack([a, b])
    assert stacked.confusion.shape == (2, 3, 3)
    assert stacked.confusion.sum(0).tolist() == both.confusion.tolist()


def test_a_stack_scores_all_at_once():
    rng = np.random.default_rng(2)
    images = [count_classes(*rng.integers(0, 3, (2, 5, 6)), classes=["a", "b", "c"]) for _ in range(6)]
    images.append(count_classes(np.zeros((5, 6), int), np.zeros((5, 6), int), classes=["a", "b", "c"]))
    together = SemanticCounts.stack(images).scores()
    for i, one in enumerate(images):
        _same({name: value[i] for name, value in together.items()}, one.scores())
    # Resampled: counts summed with weights are the counts of images taken so often.
    weights = rng.integers(0, 3, (4, len(images)))
    stack = SemanticCounts.stack(images)
    resampled = SemanticCounts(np.tensordot(weights, stack.confusion, 1), stack.values, stack.names)
    by_hand = sum((image for image, n in zip(images, weights[2]) for _ in range(n)), start=images[0])
    by_hand = SemanticCounts(by_hand.confusion - images[0].confusion, stack.values, stack.names)
    _same({name: value[2] for name, value in resampled.scores().items()}, by_hand.scores())


def test_names_of_classes_do_not_matter():
    rng = np.random.default_rng(3)
    truth, prediction = rng.integers(0, 5, (2, 30, 30))
    other = np.array([0, 9, 4, 200, 7])  # the background stays
    before, after = count_classes(truth, prediction).scores(), count_classes(other[truth], other[prediction]).scores()
    for name in SEMANTIC:
        assert after[name] == pytest.approx(before[name], nan_ok=True)
    assert after["iou[200]"] == before["iou[3]"]


def test_swapping_truth_and_prediction():
    rng = np.random.default_rng(4)
    truth, prediction = rng.integers(0, 2, (2, 30, 30)) * rng.integers(0, 2, (2, 30, 30))
    one, other = count_classes(truth, prediction).scores(), count_classes(prediction, truth).scores()
    assert one["precision"] == other["recall"]
    for name in ("accuracy", "iou", "dice", "mean_iou", "mean_dice", "mcc", "kappa", "mae"):
        assert one[name] == pytest.approx(other[name])


def test_the_complement_swaps_the_classes():
    rng = np.random.default_rng(5)
    truth, prediction = rng.random((2, 30, 30)) < [[[0.3]], [[0.4]]]
    one, other = count_classes(truth, prediction), count_classes(~truth, ~prediction)
    assert one.scores()["specificity"] == other.scores()["recall"]
    assert one.per_class()["iou"].tolist() == other.per_class()["iou"][::-1].tolist()
    for name in ("accuracy", "mean_iou", "mcc", "kappa"):
        assert one.scores()[name] == pytest.approx(other.scores()[name])
    wrong = count_classes(truth, ~truth).scores()
    assert (wrong["accuracy"], wrong["iou"], wrong["mcc"]) == (0, 0, pytest.approx(-1))


@pytest.mark.parametrize("big", [10**10, 10**13])
def test_large_counts_do_not_overflow(big):
    table = [[big, 3], [5, 7]]
    scores = SemanticCounts(np.array(table), (0, 1), ("a", "b")).scores()
    tn, fp, fn, tp = big, 3, 5, 7  # in Python's whole numbers, which have no end
    squared = Fraction((tp * tn - fp * fn) ** 2, (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert scores["mcc"] == pytest.approx(math.sqrt(squared), rel=1e-12)
    n = big + 15
    chance = Fraction((tp + fp) * (tp + fn) + (tn + fp) * (tn + fn), n * n)
    assert scores["kappa"] == pytest.approx(float((Fraction(tp + tn, n) - chance) / (1 - chance)), rel=1e-12)
    assert scores["iou"] == 7 / 15


def test_a_class_that_is_absent():
    truth, prediction = np.array([[0, 0, 1, 1]]), np.array([[0, 0, 1, 0]])
    names = ["air", "root", "soil"]
    scores = count_classes(truth, prediction, classes=names).scores()
    assert math.isnan(scores["iou[soil]"])
    assert math.isnan(scores["recall[soil]"])
    assert scores["mean_iou"] == pytest.approx((2 / 3 + 1 / 2) / 2)  # of two classes
    invented = count_classes(truth, np.array([[0, 0, 1, 2]]), classes=names).scores()
    assert invented["iou[soil]"] == 0
    assert invented["mean_iou"] == pytest.approx((1 + 1 / 2 + 0) / 3)  # of three
    assert math.isnan(invented["recall[soil]"])
    assert invented["balanced_accuracy"] == pytest.approx((1 + 1 / 2) / 2)


def test_empties():
    blank, full = np.zeros((4, 4), int), np.ones((4, 4), int)
    half = np.tile([0, 1], (4, 2))
    neither = count_classes(blank, blank).scores()
    assert (neither["accuracy"], neither["mean_iou"], neither["mae"]) == (1, 1, 0)
    for name in ("iou", "dice", "precision", "recall", "mcc", "kappa", "jaccard"):
        assert math.isnan(neither[name]), name
    assert neither["specificity"] == 1
    _same(count_classes(blank, blank, classes=["no", "yes"]).scores(), neither)
    missed = count_classes(half, blank).scores()
    assert (missed["iou"], missed["recall"], missed["mcc"], missed["kappa"]) == (0, 0, 0, 0)
    assert math.isnan(missed["precision"])
    invented = count_classes(blank, half).scores()
    assert (invented["iou"], invented["precision"], invented["mcc"]) == (0, 0, 0)
    assert math.isnan(invented["recall"])
    everything = count_classes(full, full).scores()
    assert (everything["iou"], everything["mean_iou"]) == (1, 1)
    assert math.isnan(everything["mcc"])
    opposite = count_classes(blank, full).scores()
    assert (opposite["accuracy"], opposite["iou"], opposite["kappa"]) == (0, 0, 0)
    assert math.isnan(opposite["mcc"])


def test_one_pixel():
    assert count_classes(np.array([[1]]), np.array([[1]])).scores()["iou"] == 1
    assert count_classes(np.array([[1]]), np.array([[0]])).scores()["iou"] == 0
    assert count_classes(np.array([[0]]), np.array([[0]])).scores()["accuracy"] == 1


def test_ignored_pixels_do_not_count():
    truth = np.array([[1, 1, 255, 255], [0, 0, 255, 0]])
    prediction = np.array([[1, 0, 1, 0], [0, 1, 1, 0]])
    kept = count_classes(np.array([[1, 1, 0, 0, 0]]), np.array([[1, 0, 0, 1, 0]])).scores()
    _same(count_classes(truth, prediction, ignore=255).scores(), kept)
    mask = truth == 255
    _same(count_classes(np.where(mask, 1, truth), prediction, ignore=mask).scores(), kept)
    nothing = count_classes(truth, prediction, ignore=np.ones(truth.shape, bool)).scores()
    assert all(math.isnan(value) for value in nothing.values())


def test_dtypes_masks_and_volumes_agree():
    rng = np.random.default_rng(6)
    truth, prediction = rng.integers(0, 2, (2, 4, 5, 6))
    right = count_classes(truth, prediction).confusion
    for dtype in (bool, np.uint8, np.uint16, np.int64):
        assert (count_classes(truth.astype(dtype), prediction.astype(bool)).confusion == right).all()
    assert (count_classes(truth[..., ::-1], prediction[..., ::-1]).confusion == right).all()
    assert (count_classes(truth.reshape(20, 6), prediction.reshape(20, 6)).confusion == right).all()


def test_a_mask_of_255_is_a_mask():
    truth, prediction = np.array([[0, 255, 255]], np.uint8), np.array([[0, 255, 0]], np.uint8)
    counts = count_classes(truth, prediction)
    assert counts.is_binary
    assert counts.scores()["iou"] == 0.5
    with pytest.raises(LabelError, match="255"):
        count_classes(truth, prediction // 255)
    assert count_classes(foreground(truth), foreground(prediction // 255)).scores()["iou"] == 0.5


def test_mae_of_a_probability():
    truth = np.array([[1, 1, 0, 0]])
    probability = np.array([[0.9, 0.4, 0.3, 0.0]])
    counts = count_classes(truth, probability > 0.5, probability=probability)
    assert counts.scores()["mae"] == pytest.approx((0.1 + 0.6 + 0.3 + 0) / 4)
    twice = counts + counts
    assert twice.scores()["mae"] == pytest.approx(counts.scores()["mae"])
    assert SemanticCounts.stack([counts, twice]).scores()["mae"] == pytest.approx([0.25, 0.25])
    eight_bit = np.array([[255, 0, 51, 0]], np.uint8)
    assert count_classes(truth, truth, probability=eight_bit).scores()["mae"] == pytest.approx((0 + 1 + 0.2) / 4)
    first_only = np.array([[False, True, True, True]])
    partly = count_classes(truth, truth, probability=probability, ignore=first_only)
    assert partly.scores()["mae"] == pytest.approx(0.1)


def test_tables_for_figures():
    counts = count_classes(np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]]), classes=["air", "root", "soil"])
    np.testing.assert_array_equal(counts.normalised(), [[0.5, 0.5, 0], [0, 1, 0], [np.nan] * 3])
    table = counts.table()
    assert table.loc["air", "root"] == 1
    assert (table.index.name, table.columns.name) == ("truth", "prediction")


def test_bad_input_is_told():
    a = np.array([[0, 1]])
    with pytest.raises(ShapeMismatchError):
        count_classes(a, a.T)
    with pytest.raises(LabelError, match="truth holds the label 2"):
        count_classes(a * 2, a, classes=["no", "yes"])
    with pytest.raises(LabelError, match="objects, not classes"):
        count_classes(np.arange(2000).reshape(40, 50), np.zeros((40, 50), int))
    with pytest.raises(OptionError, match="called"):
        count_classes(a, a, classes=["no", "yes"]) + count_classes(a, a, classes=["no", "ja"])
    with pytest.raises(OptionError, match="list of names"):
        count_classes(a, a, classes="ab")
    with pytest.raises(OptionError, match="different names"):
        count_classes(a, a, classes=["x", "x"])
    with pytest.raises(ImageError, match="1 of 2"):
        count_classes(a, a, probability=np.array([[0.5, np.nan]]))
    with pytest.raises(ImageError, match="1 of 2"):
        count_classes(a, a, probability=np.array([[0.5, 1.5]]))
    with pytest.raises(OptionError, match="two classes"):
        count_classes(a * 2, a, probability=np.array([[0.5, 0.5]]))
    with pytest.raises(OptionError, match="probabilities"):
        count_classes(a, a) + count_classes(a, a, probability=a * 0.5)
    with pytest.raises(OptionError, match="no counts"):
        SemanticCounts.stack([])
