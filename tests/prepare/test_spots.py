"""Spots: rules by hand, a cleaner that knows the noise, repeated frames, and input that cannot be cleaned."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.errors import ImageError, OptionError
from segmetry.prepare.spots import clean_repeats, clean_spots, connected_above, fill_inwards, local_sigma
from segmetry.prepare.spots_classic import clean_median, remove_outliers
from segmetry.synth.radiographs import simulate_radiograph

WAYS = {"median": clean_median, "imagej": remove_outliers, "spots": clean_spots}


def poisson(mean, shape=(128, 160), seed=0):
    return np.random.default_rng(seed).poisson(mean, shape).astype(np.float32)


def test_the_baseline_by_hand():
    frame = np.array([[10, 10, 10, 10], [10, 2000, 10, 10], [10, 10, 10, 10], [10, 10, -1500, 900]], float)
    cleaned, replaced = clean_median(frame, threshold=1000)
    assert np.argwhere(replaced).tolist() == [[1, 1], [3, 2]]
    assert cleaned[1, 1] == cleaned[3, 2] == 10
    assert cleaned[3, 3] == 900
    assert not clean_median(frame, threshold=1990).replaced.any()  # the rule is "more than"


def test_remove_outliers_by_hand():
    frame = np.full((7, 8), 100.0)
    frame[3, 3], frame[3, 6] = 151, 49
    assert np.argwhere(remove_outliers(frame, threshold=50).replaced).tolist() == [[3, 3]]
    assert np.argwhere(remove_outliers(frame, threshold=50, which="dark").replaced).tolist() == [[3, 6]]
    assert remove_outliers(frame, threshold=50, which="both").replaced.sum() == 2
    assert not remove_outliers(frame, threshold=51).replaced.any()
    # Ten of the 21 pixels of the window are not enough to be its median, eleven are.
    frame[:] = 100
    frame[1, 2:5] = frame[2, 1:6] = 900
    frame[3, 2:4] = 900
    assert remove_outliers(frame).replaced[3, 3]
    frame[3, 4] = 900
    assert not remove_outliers(frame).replaced[3, 3]


def test_local_sigma_is_that_of_the_noise_and_spots_have_no_say():
    noise = np.random.default_rng(0).normal(0, 1, (256, 192)).astype(np.float32)
    noise[:, 96:] *= 3
    noise[::7, ::5] = 1000
    sigma = local_sigma(noise)
    # 35 of 1,225 pixels are spots: the median moves to the quantile .515, and 1.48 times that of |z| is 1.04.
    assert np.median(sigma[:, :64]) == pytest.approx(1.04, abs=0.04)
    assert np.median(sigma[:, 128:]) == pytest.approx(3.12, abs=0.12)


@pytest.mark.parametrize("scale", [1.0, 1e-4, 250.0])
def test_the_cleaner_does_not_care_for_the_unit_of_the_counts(scale):
    frame = poisson(400.0)
    frame[20:23, 30] += 300
    first, again = clean_spots(frame), clean_spots(frame * np.float32(scale))
    assert first.replaced[20:23, 30].all()
    np.testing.assert_array_equal(first.replaced, again.replaced)
    np.testing.assert_allclose(again.image, first.image * np.float32(scale), rtol=1e-5)


def test_noise_alone_is_left_alone():
    # Poisson noise of mean 400: 6 sigma are passed by one value in 1e8 or so, and the median's own noise adds little.
    replaced = clean_spots(poisson(400.0, (400, 400))).replaced
    assert replaced.sum() <= 3
    assert not clean_spots(np.full((40, 50), 7.0)).replaced.any()
    assert not clean_spots(np.full((40, 50), 7, np.uint16)).replaced.any()


def test_a_spot_is_filled_and_nothing_else_changes():
    frame = poisson(900.0)
    spoiled = frame.copy()
    spoiled[50:52, 60:63] += 5000
    spoiled[90, 90] = 0
    cleaned, replaced = clean_spots(spoiled)
    assert replaced[50:52, 60:63].all()
    assert not replaced[90, 90]
    assert abs(cleaned[50:52, 60:63] - 900).max() < 60
    np.testing.assert_array_equal(cleaned[~replaced], spoiled[~replaced])
    assert clean_spots(spoiled, which="dark").replaced[90, 90]
    assert clean_spots(spoiled, which="both").replaced[[50, 90], [60, 90]].all()


def test_what_is_too_large_for_a_spot_stays():
    score = np.zeros((20, 30))
    score[3:5, 3:5], score[10:18, 10:20] = 4, 4
    score[4, 4] = score[12, 12] = 9
    found = connected_above(score, 3, 6, 50)
    assert found.sum() == 4
    assert found[3:5, 3:5].all()
    assert not connected_above(score, 3, 10, 50).any()
    assert connected_above(score, 3, 6, 80).sum() == 84


def test_turning_the_frame_turns_the_answer():
    scene = simulate_radiograph(seed=5, frame_shape=(128, 128), n_open=1, n_dark=1)
    whole, turned = clean_spots(scene.frame), clean_spots(np.rot90(scene.frame))
    np.testing.assert_array_equal(np.rot90(whole.replaced), turned.replaced)


def test_filling_goes_from_the_border_inwards():
    image = np.array([[0, 9, 9, 9, 8]], float)
    mask = np.array([[0, 1, 1, 1, 0]], bool)
    np.testing.assert_array_equal(fill_inwards(image, mask), [[0, 0, 4, 8, 8]])
    plane = np.add.outer(np.arange(9.0), 2 * np.arange(11.0))
    hole = np.zeros(plane.shape, bool)
    hole[4, 5] = True
    np.testing.assert_allclose(fill_inwards(np.where(hole, 1e6, plane), hole), plane)
    with pytest.raises(ImageError, match="none is known"):
        fill_inwards(image, np.ones(image.shape, bool))


def test_repeated_frames():
    frames = np.stack([poisson(400.0, (64, 64), seed) for seed in range(4)])
    right = frames.mean(axis=0)
    spoiled = frames.copy()
    for k in range(4):
        spoiled[k, 10 + k, 20:24] += 2000
    cleaned, replaced = clean_repeats(spoiled)
    assert cleaned.shape == (64, 64)
    assert all(replaced[k, 10 + k, 20:24].all() for k in range(4))
    assert replaced.sum() <= 20
    assert abs(cleaned - right)[~replaced.any(axis=0)].max() < 1e-3
    assert abs(cleaned - right).max() < 30  # a spot left in would be 500


def test_on_a_simulated_radiograph_the_cleaner_beats_the_baseline():
    scene = simulate_radiograph(seed=7, frame_shape=(256, 256), exposure=10.0, gamma_rate=300.0)
    flat = (scene.frame - 300.0) / np.maximum(np.median(scene.open_beams, axis=0) - 300.0, 1)
    spot, good = scene.spots[0] > 0, ~scene.bad

    def scores(replaced):
        hit = (replaced & spot & good).sum()
        return hit / (replaced & good).sum(), hit / (spot & good).sum()

    precision, recall = scores(clean_spots(flat).replaced)
    assert precision > 0.9
    assert recall > 0.8
    baseline = [scores(clean_median(flat, threshold=k).replaced) for k in np.linspace(0.05, 0.3, 11)]
    assert max(r for p, r in baseline if p > 0.9) < recall - 0.2


@pytest.mark.parametrize("clean", WAYS.values(), ids=WAYS)
def test_bad_input(clean):
    with pytest.raises(ImageError, match="one by one"):
        clean(np.zeros((3, 20, 20)))
    with pytest.raises(ImageError, match="smaller than the window"):
        clean(np.zeros((2, 40)))
    with pytest.raises(ImageError, match="finite"):
        clean(np.full((20, 20), np.nan))
    cleaned, replaced = clean(np.full((20, 20), 5.0))
    assert (cleaned == 5).all()
    assert not replaced.any()
    assert cleaned.dtype == np.float32
    frame = np.where(np.arange(400).reshape(20, 20) % 57 == 0, np.nan, -40.0)
    cleaned, replaced = clean(frame)
    assert (cleaned == -40).all()
    np.testing.assert_array_equal(replaced, np.isnan(frame))
    before = poisson(50.0) - 60  # dark-corrected counts may be negative
    kept = before.copy()
    assert np.isfinite(clean(before).image).all()
    np.testing.assert_array_equal(before, kept)


def test_options_out_of_range():
    frame = np.zeros((20, 20))
    for wrong in ({"which": "brigth"}, {"low": 7.0}, {"max_area": 0}):
        with pytest.raises(OptionError, match="clean_spots"):
            clean_spots(frame, **wrong)
    for wrong in ({"which": "light"}, {"threshold": -1.0}, {"radius": 99.0}):
        with pytest.raises(OptionError, match="remove_outliers"):
            remove_outliers(frame, **wrong)
    with pytest.raises(OptionError, match="threshold"):
        clean_median(frame, threshold=float("nan"))
    with pytest.raises(ImageError, match="at least three"):
        clean_repeats(np.zeros((2, 9, 9)))
    with pytest.raises(ImageError, match="not finite"):
        clean_repeats(np.full((3, 9, 9), np.nan))
