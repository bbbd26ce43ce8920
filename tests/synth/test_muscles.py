"""The upper arm: sections of the bone, smooth change, likeness inside, noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.errors import OptionError
from segmetry.synth import simulate_muscles

SMALL = {"frame_shape": (160, 160), "pixel_size": 0.9, "n_slices": 12}


@pytest.fixture(scope="module")
def arm():
    return simulate_muscles(seed=2, **SMALL)


def test_the_bones_sections_are_those_of_ellipses(arm):
    # A section of 20 px across is met by the half-coverage rule within 2 %.
    areas = (arm.labels == 4).sum(axis=(1, 2)) * 0.9**2
    assert areas == pytest.approx(np.array(arm.facts["bone_section"]), rel=0.02)
    (bone,) = arm.truth[arm.truth["class"] == "bone"].to_dict("records")
    assert bone["volume"] == pytest.approx(sum(arm.facts["bone_section"]) * 4.0, rel=0.01)
    assert (bone["first_slice"], bone["last_slice"], bone["length"]) == (0, 11, 48.0)


def test_the_brachialis_is_in_the_lower_half_and_the_biceps_in_front_of_the_triceps(arm):
    brachialis = np.flatnonzero((arm.labels == 3).any(axis=(1, 2)))
    assert brachialis[0] >= 4
    for i in range(2, 10):
        rows = [np.argwhere(arm.labels[i] == k)[:, 0].mean() for k in (1, 4, 2)]
        assert rows[0] < rows[1] < rows[2]


def test_slices_change_smoothly():
    arm = simulate_muscles(seed=3, frame_shape=(120, 120), pixel_size=1.2, n_slices=71, noise=0.0)
    for label in (1, 2, 3, 4):
        large = np.flatnonzero((arm.labels == label).sum(axis=(1, 2)) > 200)
        assert len(large) > 20
        for i in large[:-1]:
            a, b = arm.labels[i] == label, arm.labels[i + 1] == label
            assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.85
    near = np.abs(np.diff(arm.image.pixels, axis=0)).mean()
    far = np.abs(arm.image.pixels[10:] - arm.image.pixels[:-10]).mean()
    assert near < 0.5 * far


def test_muscles_look_alike_inside():
    # Without the coil's field, all pixels that are wholly muscle have one law of grey values.
    arm = simulate_muscles(seed=4, bias=0.0, noise=0.0, blur_px=0.0, **SMALL)
    means = [np.median(arm.image.pixels[arm.labels == k]) for k in (1, 2, 3)]
    assert means == pytest.approx([0.35] * 3, abs=0.01)


def test_noise_in_air_is_rayleigh():
    # The modulus of two normal channels has the mean sigma sqrt(pi / 2) where there is no signal.
    arm = simulate_muscles(seed=5, noise=0.05, bias=0.0, n_slices=2, frame_shape=(128, 128), pixel_size=1.2)
    air = arm.image.pixels[:, :8, :8]
    assert air.mean() == pytest.approx(0.05 * math.sqrt(math.pi / 2), rel=5 * 0.52 / math.sqrt(air.size))
    assert (arm.image.pixels >= 0).all()


@pytest.mark.parametrize("name", ["biceps", "bone"])
def test_one_class_alone(arm, name):
    alone = simulate_muscles(seed=2, only=name, **SMALL)
    assert alone.classes == ("background", name)
    assert np.array_equal(alone.labels == 1, arm.labels == arm.classes.index(name))
    assert np.array_equal(alone.image.pixels, arm.image.pixels)


def test_a_mirrored_arm_has_the_same_volumes_about():
    a, b = (simulate_muscles(seed=6, mirrored=m, **SMALL).facts["volume"] for m in (False, True))
    for name in ("biceps", "triceps", "bone"):
        assert a[name] == pytest.approx(b[name], rel=0.01)


def test_the_volume_does_not_depend_on_the_raster():
    coarse, fine = (
        simulate_muscles(seed=7, n_slices=6, slice_spacing=40.0, frame_shape=(n, n), pixel_size=size).facts["volume"]
        for n, size in ((150, 1.0), (300, 0.5))
    )
    for name in ("biceps", "triceps", "bone"):
        assert coarse[name] == pytest.approx(fine[name], rel=0.02)


def test_what_cannot_be():
    with pytest.raises(OptionError, match="did you mean 'triceps'"):
        simulate_muscles(only="tricep")
