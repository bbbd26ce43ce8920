"""ROC and precision-recall against counts of pairs, scikit-learn, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from peers import torchmetrics
from sklearn import metrics

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.evaluate.ranking import RANKING, ScoreHistogram, count_scores


def _image(seed, dtype, shape=(60, 70), share=0.3, top=None):
    """Return a truth, and scores with many ties that know something of it."""
    rng = np.random.default_rng(seed)
    truth = rng.random(shape) < share
    value = np.clip(rng.normal(0.4 + 0.2 * truth, 0.15), 0, 1)
    if dtype in (np.uint8, np.uint16):
        return truth, (value * (top or np.iinfo(dtype).max)).astype(dtype)
    return truth, value.astype(dtype)


def test_areas_counted_on_paper():
    truth = np.array([[1, 1, 0, 0, 0]])
    score = np.array([[0.9, 0.4, 0.4, 0.7, 0.1]])
    histogram = count_scores(truth, score)
    # 0.9 beats 3 of 3; 0.4 ties with one, loses to one, beats one: 3 + 0.5 + 0 + 1 of 6 pairs.
    assert histogram.roc_auc() == pytest.approx(4.5 / 6)
    # precision 1 at the first foreground pixel; 2 of 4 at the threshold 0.4 of the second.
    assert histogram.pr_auc() == pytest.approx((1 + 2 / 4) / 2)
    assert histogram.scores().keys() == RANKING.keys()
    curve = histogram.roc_curve()
    assert curve.x.tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3, 1])
    assert curve.y.tolist() == [0, 0.5, 0.5, 1, 1]
    curve = histogram.pr_curve()
    assert curve.x.tolist() == [0.5, 0.5, 1, 1]
    assert curve.y.tolist() == pytest.approx([1, 1 / 2, 2 / 4, 2 / 5])
    assert curve.threshold.tolist() == pytest.approx([0.9, 0.7, 0.4, 0.1], abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.uint16, 300), (np.uint8, 3)])
def test_whole_number_scores_are_exact(seed, dtype, top):
    truth, score = _image(seed, dtype, top=top)
    histogram = count_scores(truth, score)
    t, s = truth.ravel(), score.ravel()
    assert histogram.roc_auc() == pytest.approx(metrics.roc_auc_score(t, s), rel=1e-12)
    assert histogram.pr_auc() == pytest.approx(metrics.average_precision_score(t, s), rel=1e-12)
    x, y, _ = metrics.roc_curve(t, s, drop_intermediate=False)
    curve = histogram.roc_curve()
    assert curve.x == pytest.approx(x)
    assert curve.y == pytest.approx(y)
    precision, recall, _ = metrics.precision_recall_curve(t, s)
    curve = histogram.pr_curve()
    assert curve.x == pytest.approx(recall[-2::-1])  # there the end (0, 1) is added, and the order is the other one
    assert curve.y == pytest.approx(precision[-2::-1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("squeeze", [1, 1e-2, 1e-4])
def test_floats_keep_within_their_limits(seed, squeeze):
    truth, score = _image(seed, np.float64)
    score = score * squeeze  # at 1e-4 all lie on eight levels
    histogram = count_scores(truth, score)
    for name, right in (
        ("roc_auc", metrics.roc_auc_score(truth.ravel(), score.ravel())),
        ("pr_auc", metrics.average_precision_score(truth.ravel(), score.ravel())),
    ):
        low, high = getattr(histogram, f"{name}_limits")()
        assert low <= right <= high
        assert low <= getattr(histogram, name)() <= high
        if squeeze == 1:
            assert high - low < 0.01
            assert getattr(histogram, name)() == pytest.approx(right, abs=2e-4)


@pytest.mark.slow
@pytest.mark.torch
def test_against_torchmetrics():
    torch = pytest.importorskip("torch")
    functional = torchmetrics("functional.classification")
    truth, score = _image(3, np.float32)
    t, s = torch.from_numpy(truth.ravel().astype(int)), torch.from_numpy(score.ravel())
    histogram = count_scores(truth, score)
    assert histogram.roc_auc() == pytest.approx(float(functional.binary_auroc(s, t)), abs=1e-5)
    assert histogram.pr_auc() == pytest.approx(float(functional.binary_average_precision(s, t)), abs=1e-4)


def test_dtypes_agree():
    truth, score = _image(1, np.uint8)
    right = count_scores(truth, score).scores()
    for same in (score / 255, (score / 255).astype(np.float32), score.astype(np.uint16) * 257):
        assert count_scores(truth, same).scores() == right
    mask = score > 128
    t, s = truth.ravel(), mask.ravel()
    assert count_scores(truth, mask).roc_auc() == pytest.approx(metrics.roc_auc_score(t, s), rel=1e-12)
    half = np.array([[0.0, 0.25, 0.5, 1.0]], np.float16)
    assert count_scores(np.array([[0, 1, 0, 1]]), half).roc_auc() == 0.75


def test_laws():
    truth, score = _image(2, np.uint16, top=500)
    area = count_scores(truth, score).roc_auc()
    assert count_scores(~truth, score).roc_auc() == pytest.approx(1 - area)
    assert count_scores(truth, 65535 - score).roc_auc() == pytest.approx(1 - area)
    assert count_scores(truth, score * 7 + 3).scores() == pytest.approx(count_scores(truth, score).scores())  # monotone
    assert count_scores(truth, truth).scores() == {"roc_auc": 1, "pr_auc": 1}
    constant = count_scores(truth, np.full(truth.shape, 0.3)).scores()
    assert constant == pytest.approx({"roc_auc": 0.5, "pr_auc": truth.mean()})
    assert count_scores(truth[..., None], score[..., None]).roc_auc() == area
    assert count_scores(truth.ravel(), score.ravel()).roc_auc() == area


def test_histograms_add_up_and_stack():
    parts = [_image(seed, np.float32) for seed in range(4)]
    histograms = [count_scores(*part) for part in parts]
    whole = count_scores(*(np.concatenate(sides) for sides in zip(*parts)))
    assert sum(histograms[1:], start=histograms[0]).scores() == whole.scores()
    stacked = ScoreHistogram.stack(histograms).scores()
    for name in RANKING:
        assert stacked[name] == pytest.approx([h.scores()[name] for h in histograms], rel=1e-12)


def test_resamples_are_sums_of_images():
    histograms = [count_scores(*_image(seed, np.uint16)) for seed in range(4)]
    weights = np.random.default_rng(0).integers(0, 3, (40, 4))
    weights[7] = 0
    found = ScoreHistogram.stack(histograms).resampled(weights)
    for row in (0, 33, 39):
        chosen = [h for h, n in zip(histograms, weights[row]) for _ in range(n)]
        right = sum(chosen[1:], start=chosen[0]).scores()
        assert {name: found[name][row] for name in RANKING} == pytest.approx(right, rel=1e-12)
    assert math.isnan(found["roc_auc"][7])
    with pytest.raises(ShapeMismatchError, match="weights"):
        ScoreHistogram.stack(histograms).resampled(weights[:, 1:])


def test_one_class_is_not_defined():
    score = np.array([[0.1, 0.9]])
    for truth in (np.zeros((1, 2), int), np.ones((1, 2), int)):
        histogram = count_scores(truth, score)
        assert all(math.isnan(value) for value in histogram.scores().values())
        assert all(math.isnan(value) for value in (*histogram.roc_auc_limits(), *histogram.pr_auc_limits()))
    nothing = count_scores(np.zeros(0, int), np.zeros(0))
    assert all(math.isnan(value) for value in nothing.scores().values())


def test_one_pixel():
    assert math.isnan(count_scores(np.array([[1]]), np.array([[0.5]])).roc_auc())


def test_ignored_pixels_do_not_count():
    truth, score = _image(4, np.float32)
    away = np.zeros(truth.shape, bool)
    away[:20] = True
    right = count_scores(truth[20:], score[20:]).scores()
    spoilt = np.where(away, np.nan, score)
    assert count_scores(truth, spoilt, ignore=away).scores() == right
    assert count_scores(np.where(away, 255, truth), spoilt, ignore=255).scores() == right


def test_uncertainty_against_error():
    truth = np.array([[0, 0, 1, 1, 2, 2]])
    prediction = np.array([[0, 1, 1, 1, 2, 0]])
    entropy = np.array([[0.0, 0.6, 0.1, 0.2, 0.3, 0.25]])  # wrong ones: 0.6 (beats 4 of 4) and 0.25 (beats 3 of 4)
    histogram = count_scores(truth != prediction, entropy, highest=math.log(2))
    assert histogram.roc_auc() == pytest.approx(7 / 8)
    assert histogram.roc_curve().threshold[1] == pytest.approx(0.6, abs=1e-5)


def test_a_float32_at_the_end_of_the_scale():
    highest = math.log(2)
    score = np.array([[np.nextafter(np.float32(highest), np.float32(1)), 0]], np.float32)
    assert score[0, 0] > highest
    assert count_scores(np.array([[1, 0]]), score, highest=highest).roc_auc() == 1


def test_bad_input_is_told():
    truth = np.array([[0, 1, 1]])
    with pytest.raises(ImageError, match="2 of 3 scores are nan"):
        count_scores(truth, np.array([[np.nan, 0.5, np.nan]]))
    with pytest.raises(ImageError, match=r"1 of 3 scores are not in \[0, 1\]"):
        count_scores(truth, np.array([[0.1, 0.5, 4.0]]))
    with pytest.raises(ImageError, match="int64"):
        count_scores(truth, truth)
    with pytest.raises(ShapeMismatchError):
        count_scores(truth, np.zeros((3, 1)))
    with pytest.raises(OptionError, match="highest"):
        count_scores(truth, truth * 0.5, highest=0)
    with pytest.raises(OptionError, match="scale"):
        count_scores(truth, truth * 0.5) + count_scores(truth, truth * 0.5, highest=2)
    with pytest.raises(OptionError, match="no histograms"):
        ScoreHistogram.stack([])
    with pytest.raises(ShapeMismatchError, match="curve"):
        ScoreHistogram.stack([count_scores(truth, truth * 0.5)]).roc_curve()
    with pytest.raises(ImageError, match="no curve"):
        count_scores(truth, truth * 0.5, ignore=truth >= 0).roc_curve()
