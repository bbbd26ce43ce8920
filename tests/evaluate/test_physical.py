"""Physical scores: by hand, against scipy, laws of units and labels, and the rules for what is not defined."""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage, stats
from scipy.spatial.distance import cosine

from segmetry.errors import ShapeMismatchError
from segmetry.evaluate.physical import PHYSICAL, cosine_distance, distances, physical_scores
from segmetry.measure import measure, summarise
from segmetry.measure.weighted import Sample
from segmetry.types import Calibration, Estimate, Interval


@functools.cache
def _disks(seed=0, n=60, side=300, radius=(4, 12)):
    """Return disks that do not touch, some cut by the frame."""
    rng = np.random.default_rng(seed)
    labels, y, x = np.zeros((side, side), int), *np.mgrid[:side, :side]
    for k in range(1, n + 1):
        r, c, a = *rng.uniform(0, side, 2), rng.uniform(*radius)
        square = (y - r) ** 2 + (x - c) ** 2
        if not labels[square <= (a + 1.5) ** 2].any():
            labels[square <= a**2] = k
    labels.flags.writeable = False
    return labels


def _squares(*sides, side=40):
    """Return squares with these sides in a row, none at the frame."""
    labels, at = np.zeros((side, 4 + sum(sides) + 2 * len(sides)), int), 2
    for k, s in enumerate(sides, 1):
        labels[2 : 2 + s, at : at + s] = k
        at += s + 2
    return labels


def _sample(values, weights=None):
    values = np.asarray(values, float)
    return Sample(values, np.ones(len(values)) if weights is None else np.asarray(weights, float))


def _same(a, b):
    assert a == pytest.approx(b, nan_ok=True)


def test_table_and_result_have_the_same_keys():
    scores = physical_scores(_disks(), _disks(1))
    assert list(scores) == list(PHYSICAL)
    assert all(isinstance(value, float) for value in scores.values())


def test_count_and_fraction_by_hand():
    # 0 1 1 0 2 0 3      6 pixels, 3 objects; the prediction joins 1 and 2 with two pixels more and loses 3:
    # 0 1 1 0 2 0 3      7 of 6 are labelled, 1 of 3 counted
    truth = np.array([[0, 1, 1, 0, 2, 0, 3], [0, 1, 0, 0, 0, 0, 3]])
    prediction = np.array([[0, 5, 5, 5, 5, 0, 0], [0, 5, 5, 5, 0, 0, 0]])
    scores = physical_scores(truth, prediction)
    assert scores["count_error"] == pytest.approx(1 / 3 - 1)
    assert scores["count_deviation"] == pytest.approx(2 / 3)
    assert scores["fraction_error"] == pytest.approx(7 / 6 - 1)
    assert math.isnan(scores["d50_error"])  # every object touches the frame


def test_sizes_by_hand():
    # Squares of sides 4, 6, 8 and 5, 7, 9: diameters go as sides, so the middle one is 7/6 of the true D50 (the frame's
    # weights hardly differ, and D50 of three is the middle one if they are equal).
    truth, prediction = _squares(4, 6, 8, side=1000), _squares(5, 7, 9, side=1000)
    width = max(truth.shape[1], prediction.shape[1]) + 1000
    truth, prediction = (np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in (truth, prediction))
    scores = physical_scores(truth, prediction)
    assert scores["d50_error"] == pytest.approx(1 / 6, abs=2e-3)
    assert scores["mean_error"] == pytest.approx(7 / 6 - 1, abs=2e-3)
    assert scores["count_error"] == 0
    unit = 2 / math.sqrt(math.pi)  # diameter over side
    assert scores["size_wasserstein"] == pytest.approx(unit, rel=5e-3)
    assert scores["size_wasserstein_relative"] == pytest.approx(1 / 6, rel=5e-3)
    assert scores["size_ks"] == pytest.approx(1 / 3, abs=2e-3)


def test_histograms_by_hand():
    # Three true values, ceil(2 * 3^(1/3)) = 3 classes of the range 0..9: [0, 3), [3, 6), [6, 9].
    # true 0 1 9: (2, 0, 1); found 2 4 5: (1, 2, 0); cosine 2 / sqrt(5 * 5).
    assert cosine_distance(_sample([0, 1, 9]), _sample([2, 4, 5])) == pytest.approx(1 - 2 / 5)
    assert cosine_distance(_sample([0, 1, 1.5]), _sample([8, 9])) == 1
    assert cosine_distance(_sample([4, 4]), _sample([4])) == 0
    # Eight values: exactly 4 classes, though 8^(1/3) has a rounding error.
    eight = _sample([0, 1, 2, 3, 4, 5, 6, 8])
    assert cosine_distance(eight, _sample([1.9, 8])) == pytest.approx(1 - cosine_of([2, 2, 2, 2], [1, 0, 0, 1]))


def cosine_of(a, b):
    return 1 - cosine(a, b)


@pytest.mark.parametrize("seed", range(5))
def test_distances_against_scipy(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.lognormal(2, 0.5, 40).round(1), rng.lognormal(2.1, 0.4, 25).round(1)
    wa, wb = rng.uniform(1, 3, 40), rng.uniform(1, 3, 25)
    area, height = distances(_sample(a), _sample(b))
    assert area == pytest.approx(stats.wasserstein_distance(a, b))
    assert height == pytest.approx(stats.ks_2samp(a, b).statistic)
    assert distances(_sample(a, wa), _sample(b, wb))[0] == pytest.approx(stats.wasserstein_distance(a, b, wa, wb))
    whole = rng.integers(1, 4, 40)
    assert distances(_sample(a, whole), _sample(b)) == pytest.approx(
        distances(_sample(np.repeat(a, whole)), _sample(b))
    )
    edges = np.linspace(min(a.min(), b.min()), max(a.max(), b.max()), math.ceil(2 * 40 ** (1 / 3)) + 1)
    theirs = cosine(np.histogram(a, edges)[0], np.histogram(b, edges)[0])
    assert cosine_distance(_sample(a), _sample(b)) == pytest.approx(theirs)


def test_truth_against_itself_is_perfect():
    truth = _disks(n=150)
    scores = physical_scores(truth, truth)
    for name, row in PHYSICAL.items():
        assert scores[name] == (1 if row.best == "high" else 0), name


def test_labels_may_have_any_names():
    truth, prediction = _disks(2), ndimage.grey_erosion(_disks(2), 3)
    names = np.random.default_rng(0).permutation(2000) + 1
    renamed = np.where(prediction > 0, names[prediction], 0)
    _same(physical_scores(np.where(truth > 0, names[truth], 0), renamed), physical_scores(truth, prediction))


def test_units_scale_by_their_power():
    truth, prediction = _disks(3, n=150), ndimage.grey_erosion(_disks(3, n=150), 3)
    px = physical_scores(truth, prediction)
    nm = physical_scores(truth, prediction, calibration=Calibration((2.5, 2.5), "nm", 0.2))
    for name, row in PHYSICAL.items():
        assert nm[name] == pytest.approx(px[name] * 2.5**row.length_power), name
    assert PHYSICAL["size_wasserstein"].length_power == 1


def test_turns_and_flips_change_nothing():
    truth, prediction = _disks(4, n=150), ndimage.grey_erosion(_disks(4, n=150), 3)
    one = physical_scores(truth, prediction)
    _same(physical_scores(truth.T, prediction.T), one)
    _same(physical_scores(truth[::-1], prediction[::-1]), one)


def test_errors_have_the_sign_of_the_damage():
    truth = _disks(5, n=150)
    small = physical_scores(truth, ndimage.grey_erosion(truth, 3))
    large = physical_scores(truth, ndimage.grey_dilation(truth, 3))
    for name in ("d10", "d50", "d90", "mean", "fraction"):
        assert small[f"{name}_error"] < -0.05 < 0.05 < large[f"{name}_error"]
        assert small[f"{name}_deviation"] == -small[f"{name}_error"]
    assert small["d50_covered"] == small["mean_covered"] == 0  # a pixel all round is far outside of what was stated
    assert small["rdf_rmse"] < 0.1
    rng = np.random.default_rng(0)
    kept = np.where(rng.random(151) < 0.6, np.arange(151), 0)[truth]
    dropped = physical_scores(truth, kept)
    assert dropped["count_error"] < -0.2
    assert dropped["d50_covered"] == 1
    moved = physical_scores(truth, _disks(6, n=150))
    assert min(moved["rdf_rmse"], dropped["rdf_rmse"]) > 2 * small["rdf_rmse"]


def test_g_of_r_is_that_of_measure():
    from segmetry.measure import centres, radial_distribution

    truth, prediction = _disks(7, n=200), _disks(8, n=200)
    cal = Calibration((0.5, 0.5), "nm")
    points = [centres(measure(x, calibration=cal), frame_shape=x.shape, calibration=cal) for x in (truth, prediction)]
    expected = radial_distribution(*points[0])
    step = expected.r[1] - expected.r[0]
    got = radial_distribution(*points[1], bin_width=step, r_max=expected.r[-1] + step / 2)
    found = physical_scores(truth, prediction, calibration=cal)["rdf_rmse"]
    assert found == pytest.approx(math.sqrt(np.mean((expected.g - got.g) ** 2)))


def test_covered_asks_the_interval_that_was_stated():
    truth = _disks(9)
    prediction = ndimage.grey_dilation(truth, 3)
    stated = summarise(measure(prediction), frame_shape=truth.shape, calibration=Calibration.unknown())
    plain = physical_scores(truth, prediction)
    given = physical_scores(truth, prediction, estimates=stated)
    _same(given, plain)
    true_d50 = summarise(measure(truth), frame_shape=truth.shape, calibration=Calibration.unknown())["d50"].value

    def asked(**interval):
        return physical_scores(truth, prediction, estimates={"d50": Estimate("d50", 20.0, **interval)})

    assert asked(low=true_d50 - 1, high=true_d50 + 1)["d50_covered"] == 1
    assert asked(low=true_d50 + 1, high=true_d50 + 2)["d50_covered"] == 0
    narrow = Interval(true_d50 + 1, true_d50 + 2)  # this image's own interval is what is asked where there is one
    assert asked(low=true_d50 - 1, high=true_d50 + 1, this_image=narrow)["d50_covered"] == 0
    assert math.isnan(asked(low=math.nan, high=math.nan)["d50_covered"])
    assert math.isnan(asked(low=0.0, high=99.0)["mean_covered"])  # nothing was stated


def test_ignored_pixels_are_no_particles():
    truth = _disks(10, side=200)
    prediction = ndimage.grey_erosion(truth, 3)
    cut = physical_scores(truth[:150], prediction[:150])
    footer = np.zeros(truth.shape, bool)
    footer[150:] = True
    noisy = np.where(footer, 7, prediction)
    _same(physical_scores(truth, noisy, ignore=footer), cut)
    _same(physical_scores(np.where(footer, 255, truth), noisy, ignore=255), cut)


def test_volumes():
    # Eight cubes of side 3 to 10 in a large frame, voxels twice as deep: found without their outermost voxels.
    truth, prediction = np.zeros((2, 40, 40, 130), int)
    for k, (side, at) in enumerate(zip(range(3, 11), range(5, 130, 15)), 1):
        truth[10 : 10 + side, 12 : 12 + side, at : at + side] = k
        prediction[11 : 9 + side, 13 : 11 + side, at + 1 : at + side - 1] = k
    prediction[prediction == 1] = 0
    scores = physical_scores(truth, prediction, calibration=Calibration((2, 1, 1), "µm"))
    sides = np.arange(3, 11)
    assert scores["count_error"] == 7 / 8 - 1
    assert scores["fraction_error"] == pytest.approx(((sides[1:] - 2) ** 3).sum() / (sides**3).sum() - 1)
    # Sides 2 to 8 with the median 5 for 3 to 10 with the median 6.5; frames weigh the large ones up a little.
    assert scores["d50_error"] == pytest.approx(5 / 6.5 - 1, abs=0.03)
    assert math.isnan(scores["rdf_rmse"])
    same = physical_scores(truth, truth)
    assert (same["size_ks"], same["d50_covered"], same["aspect_wasserstein"]) == (0, 1, 0)


def test_what_is_not_defined_is_nan():
    nothing, disks = np.zeros((300, 300), int), _disks()
    both = physical_scores(nothing, nothing)
    assert both["count_error"] == both["fraction_error"] == 0
    missed = physical_scores(disks, nothing)
    assert missed["count_error"] == missed["fraction_error"] == -1
    invented = physical_scores(nothing, disks)
    assert math.isnan(invented["count_error"])
    for scores in (both, missed, invented):
        assert math.isnan(scores["d50_error"])
        assert math.isnan(scores["size_ks"])
        assert math.isnan(scores["aspect_cosine"])
        assert math.isnan(scores["rdf_rmse"])
        assert math.isnan(scores["mean_covered"])
    few = _squares(4, 6, 8)
    found = physical_scores(few, few)
    assert found["size_cosine"] == 0
    assert math.isnan(found["rdf_rmse"])  # under 20 centres
    two = _squares(4, 6)
    assert math.isnan(physical_scores(two, two)["d50_covered"])  # no interval from two
    dot = np.zeros((9, 9), int)
    dot[4, 4] = 1
    assert math.isnan(physical_scores(dot, dot)["aspect_ks"])  # one pixel has no form
    with pytest.raises(ShapeMismatchError):
        physical_scores(np.zeros((3, 3), int), np.zeros((3, 4), int))


def test_inputs_stay_as_they_are():
    truth, prediction = _disks(11), _disks(12)
    before = SimpleNamespace(truth=truth.copy(), prediction=prediction.copy())
    physical_scores(truth, prediction, ignore=3)
    assert (truth == before.truth).all()
    assert (prediction == before.prediction).all()


def test_real_truth_against_itself_and_eroded():
    cv2 = pytest.importorskip("cv2")
    from realdata import folder

    emps = folder("emps")
    if emps is None:
        pytest.skip("the labelled EMPS images are not here (SEGMETRY_DATA)")
    for path in sorted((emps / "segmaps").glob("*.png"))[:12]:
        truth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(int)
        same = physical_scores(truth, truth)
        for name, row in PHYSICAL.items():
            assert math.isnan(same[name]) or same[name] == (1 if row.best == "high" else 0), (path.name, name)
        worn = physical_scores(truth, ndimage.grey_erosion(truth, 3))
        assert worn["fraction_error"] < 0
        assert math.isnan(worn["d50_error"]) or worn["d50_error"] < 0
