"""Pictures of agreement: every pixel by hand, and colours that the colour-blind and a grey print keep apart."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.evaluate import objects
from segmetry.report.agreement import (
    CASES,
    OUTCOMES,
    PALETTES,
    four_colours,
    four_colours_key,
    hit_map,
    hit_map_key,
    hits,
    outcome_key,
    outcome_map,
    with_key,
)

WHITE, BLACK, GREEN, PINK, GREY = (p.colour for p in PALETTES["classic"])

TRUTH = np.array([[0, 0, 3, 3], [0, 1, 3, 3], [0, 1, 0, 9]])
FOUND = np.array([[5, 0, 2, 2], [0, 0, 2, 0], [0, 1, 4, 9]])
# what is so       FP TN TP TP    TN FN TP FN    TN TP FP (9: not judged)
WANTED = [[GREEN, BLACK, WHITE, WHITE], [BLACK, PINK, WHITE, PINK], [BLACK, WHITE, GREEN, GREY]]


def words(key):
    return [text for _, text in key]


def test_four_colours_by_hand():
    assert four_colours(TRUTH, FOUND, ignore=9).tolist() == [[list(c) for c in row] for row in WANTED]
    assert words(four_colours_key(TRUTH, FOUND, ignore=9)) == [
        "true positive 4 px", "true negative 3 px", "false positive 2 px", "false negative 2 px", "not judged 1 px",
    ]  # fmt: skip


def test_swapping_truth_and_prediction_swaps_the_errors_only():
    one, other = four_colours(TRUTH > 0, FOUND > 0), four_colours(FOUND > 0, TRUTH > 0)
    green, pink = (one == GREEN).all(-1), (one == PINK).all(-1)
    assert ((other == PINK).all(-1) == green).all()
    assert ((other == GREEN).all(-1) == pink).all()
    assert (one[~(green | pink)] == other[~(green | pink)]).all()


def test_the_image_shines_through_and_leaves_the_cases_apart():
    ramp = np.tile(np.linspace(0, 1000, 64), (4, 1))
    truth, found = np.zeros((4, 64), int), np.zeros((4, 64), int)
    truth[:2], found[1:3] = 1, 1  # rows: missed, found, invented, neither
    picture = four_colours(truth, found, palette="safe", image=ramp).astype(int)
    assert (np.diff(picture[3].sum(-1)) >= 0).all()
    assert picture[3, -1].sum() > picture[3, 0].sum()
    lightness = picture.mean((1, 2))
    assert lightness[1] > lightness[0] > lightness[2] > lightness[3]
    with pytest.raises(ShapeMismatchError, match="same window"):
        four_colours(truth, found, image=ramp[:, 1:])


def simulated(colours, kind):
    """Return sRGB colours as a dichromat sees them.

    G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, IEEE Trans. Vis. Comput. Graph. 15 (2009) 1291,
    doi:10.1109/TVCG.2009.113: matrices of severity 1, on linear light.
    """
    matrix = np.array(
        {
            "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                           [-0.003882, -0.048116, 1.051998]],
            "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                             [-0.011820, 0.042940, 0.968881]],
            "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                           [0.004733, 0.691367, 0.303900]],
        }[kind]
    )  # fmt: skip
    c = np.asarray(colours, float) / 255
    linear = np.clip(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ matrix.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def smallest_difference(colours, kind):
    lab = rgb2lab(simulated(colours, kind)[None])[0]
    return min(float(deltaE_ciede2000(a, b)) for a, b in itertools.combinations(lab, 2))


KINDS = ("normal", "protanopia", "deuteranopia", "tritanopia")


@pytest.mark.parametrize("kind", KINDS)
def test_safe_colours_are_told_apart(kind):
    # A difference of 2 is just seen side by side; ten times that is another colour.
    assert smallest_difference([p.colour for p in PALETTES["safe"]], kind) > 20
    assert smallest_difference([p.colour for p, _ in OUTCOMES.values()], kind) > 15


def test_the_classic_colours_are_not_safe_and_the_measure_sees_it():
    errors = [GREEN, PINK]
    lightness = rgb2lab(np.array(errors)[None] / 255)[0, :, 0]
    assert abs(np.diff(lightness)[0]) < 10
    assert smallest_difference([p.colour for p in PALETTES["classic"]], "deuteranopia") < 20


def test_safe_colours_keep_apart_in_grey_print_and_one_error_has_stripes():
    lightness = rgb2lab(np.array([p.colour for p in PALETTES["safe"]])[None] / 255)[0, :, 0]
    assert np.diff(np.sort(lightness)).min() > 20
    truth = np.ones((60, 60), int)
    missed = four_colours(truth, 0 * truth, palette="safe")
    stripes = (missed != PALETTES["safe"][3].colour).any(-1)
    assert 0.1 < stripes.mean() < 0.3
    assert not (four_colours(0 * truth, truth, palette="safe") != PALETTES["safe"][2].colour).any()


def test_hits_by_hand():
    truth = np.array([[1, 1, 0, 0]])
    methods = [np.array([[1, 0, 0, 1]]), np.array([[7, 0, 0, 0]]), np.array([[1, 1, 0, 2]])]
    assert hits(truth, methods).tolist() == [[3, 1, 3, 1]]
    mask = np.array([[False, False, False, True]])
    assert hits(truth, methods, ignore=mask).tolist() == [[3, 1, 3, -1]]
    assert words(hit_map_key(truth, methods, ignore=mask)) == [
        "right in 0 of 3: 0 % of pixels", "right in 1 of 3: 33 % of pixels", "right in 2 of 3: 0 % of pixels",
        "right in 3 of 3: 67 % of pixels", "not judged 1 px", "border of a true object",
    ]  # fmt: skip


def test_hit_map_grows_lighter_with_every_method():
    truth = np.zeros((1, 6), int)
    methods = [np.array([[1] * k + [0] * (6 - k)]) for k in range(1, 6)]  # column j is right in j of 5
    picture = hit_map(truth, methods)
    lightness = rgb2lab(picture / 255)[0, :, 0]
    assert (np.diff(lightness) > 5).all()


def test_many_methods_share_a_scale_that_counts_every_pixel_once():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (30, 30))
    key = words(hit_map_key(truth, [rng.integers(0, 2, (30, 30)) for _ in range(20)]))
    assert len(key) <= 9
    assert key[0].startswith("right in 0–")
    assert sum(float(w.split(": ")[1].split(" %")[0]) for w in key[:-1]) == pytest.approx(100, abs=3)


SCENE_TRUTH, SCENE_FOUND = np.zeros((80, 100), np.int32), np.zeros((80, 100), np.int32)
SCENE_TRUTH[5:25, 5:25], SCENE_FOUND[5:25, 5:25] = 1, 4  # found
SCENE_TRUTH[5:25, 40:60] = 2  # missed
SCENE_TRUTH[40:60, 5:45], SCENE_FOUND[40:60, 5:24], SCENE_FOUND[40:60, 26:45] = 3, 5, 6  # split
SCENE_TRUTH[40:60, 60:75], SCENE_TRUTH[40:60, 75:90], SCENE_FOUND[38:62, 60:90] = 6, 7, 8  # merged
SCENE_FOUND[65:78, 50:70] = 9  # invented
OUTCOME = pd.DataFrame(
    {
        "truth": [1, 2, 3, 6, 7, None],
        "prediction": [4, None, 5, 8, 8, 9],
        "iou": [1, 0, 0.48, 0.5, 0.5, 0],
        "outcome": ["found", "missed", "split", "merged", "merged", "invented"],
    }
)


def test_every_object_has_the_colour_of_its_fate():
    picture = outcome_map(OUTCOME, SCENE_TRUTH, SCENE_FOUND)
    for name, labels, label in [
        ("found", SCENE_TRUTH, 1), ("missed", SCENE_TRUTH, 2), ("split", SCENE_TRUTH, 3), ("merged", SCENE_TRUTH, 6),
        ("merged", SCENE_TRUTH, 7), ("invented", SCENE_FOUND, 9),
    ]:  # fmt: skip
        pixels = picture[labels == label]
        full = np.array(OUTCOMES[name][0].colour)
        ground = np.rint(0.55 * 60 + 0.45 * full)
        line = (pixels == full).all(-1)
        assert line.any()
        assert (line | (pixels == ground).all(-1) | (pixels == 255).all(-1)).all()
    assert (picture[(SCENE_TRUTH == 0) & (SCENE_FOUND == 0)] == 60).all()
    assert words(outcome_key(OUTCOME))[:5] == [
        "found 1", "missed 1", "split into several 1", "merged with others 2", "invented 1",
    ]  # fmt: skip


def test_what_the_judge_says_of_objects_can_be_drawn():
    assert set(OUTCOMES) == set(objects.OUTCOMES)
    table = objects.object_outcomes(SCENE_TRUTH, SCENE_FOUND)
    assert words(outcome_key(table)) == words(outcome_key(OUTCOME))
    picture = outcome_map(table, SCENE_TRUTH, SCENE_FOUND)
    assert (picture == outcome_map(OUTCOME, SCENE_TRUTH, SCENE_FOUND)).all()
    assert (picture == outcome_map(table.sample(frac=1, random_state=0), SCENE_TRUTH, SCENE_FOUND)).all()


def test_only_objects_with_a_fate_are_painted():
    nothing = OUTCOME.iloc[:0]
    empty = np.zeros((9, 9), np.int32)
    assert (outcome_map(nothing, empty, empty) == 60).all()
    assert words(outcome_key(nothing))[0] == "found 0"
    with pytest.raises(OptionError, match="lost"):
        outcome_map(OUTCOME.assign(outcome="lost"), SCENE_TRUTH, SCENE_FOUND)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 2), (700, 500), (2100, 30)])
def test_keys_fit_any_picture(shape):
    truth = np.zeros(shape, np.int32)
    truth[: shape[0] // 2 + 1] = 1
    picture = with_key(four_colours(truth, truth), four_colours_key(truth, truth))
    plain = with_key(four_colours(truth, truth), [])
    assert (picture[: len(plain), : plain.shape[1]] == plain).all()
    assert picture.shape[1] >= 320
    assert len(picture) > len(plain)
    assert 240 <= max(plain.shape[:2]) <= 960


def test_key_shows_the_colours_it_names():
    truth = np.zeros((600, 600), np.int32)
    key = four_colours_key(truth, truth)
    strip = with_key(np.zeros((600, 600, 3), np.uint8), key)[600:]
    for paint, case in zip(PALETTES["classic"], CASES[:4], strict=False):
        assert (strip == paint.colour).all(-1).sum() > 50, case


def test_wrong_input_is_refused():
    with pytest.raises(ShapeMismatchError):
        four_colours(np.zeros((3, 3), int), np.zeros((3, 4), int))
    with pytest.raises(ShapeMismatchError, match="one plane"):
        four_colours(np.zeros((2, 3, 3), int), np.zeros((2, 3, 3), int))
    with pytest.raises(OptionError, match="classic, safe"):
        four_colours(TRUTH, FOUND, palette="pretty")
    with pytest.raises(OptionError, match="one prediction"):
        hits(TRUTH, [])


def test_inputs_are_left_alone():
    before = TRUTH.copy(), FOUND.copy(), OUTCOME.copy()
    four_colours(TRUTH, FOUND, ignore=9, image=TRUTH.astype(float))
    hit_map(TRUTH, [FOUND], ignore=9)
    outcome_map(OUTCOME, SCENE_TRUTH, SCENE_FOUND, SCENE_TRUTH.astype(float))
    assert (before[0] == TRUTH).all()
    assert (before[1] == FOUND).all()
    pd.testing.assert_frame_equal(before[2], OUTCOME)
