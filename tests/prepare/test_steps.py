"""Steps of preparation: what each does to pixels, axes and what is ignored, and what all of them refuse."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.errors import ImageError, OptionError
from segmetry.prepare.step import Step
from segmetry.prepare.table import STEPS, step_from
from segmetry.types import Calibration, Image


def picture(shape=(40, 50), axes="YX", seed=0):
    rng = np.random.default_rng(seed)
    ignore = np.zeros(shape[-2:] if axes != "ZYX" else shape, bool)
    ignore[..., :5, :] = True
    n = sum(a in "ZYX" for a in axes)
    return Image(rng.integers(0, 200, shape).astype(np.uint8), axes, Calibration((0.5,) * n, "nm"), ignore=ignore)


@pytest.mark.parametrize("name", STEPS)
class TestEveryStep:
    def test_it_goes_to_data_and_back(self, name):
        step = STEPS[name]()
        assert step_from(step.as_dict()) == step
        assert step.as_dict()["step"] == name
        assert step.summary

    def test_a_misspelt_option_is_refused_with_the_step_named(self, name):
        with pytest.raises(OptionError, match=name):
            step_from({"step": name, "no_such_option": 1})


@pytest.mark.parametrize("name", [n for n, s in STEPS.items() if not s.references and not s.axes])
@pytest.mark.parametrize(("shape", "axes"), [((40, 50), "YX"), ((6, 40, 50), "ZYX"), ((6, 40, 50), "TYX")])
def test_a_plain_step_keeps_shape_and_scale_and_does_not_write_to_its_input(name, shape, axes):
    image = picture(shape, axes)
    before = image.pixels.copy()
    after = STEPS[name]().run(image, {})
    assert (after.shape, after.axes, after.calibration) == (image.shape, image.axes, image.calibration)
    np.testing.assert_array_equal(image.pixels, before)


def test_crop_keeps_a_box_of_pixels_and_of_what_is_ignored():
    image = picture((6, 40, 50), "TYX")
    after = step_from({"step": "crop", "rows": [3, 13], "columns": [10, 50], "frames": [2, 4]}).run(image, {})
    np.testing.assert_array_equal(after.pixels, image.pixels[2:4, 3:13, 10:50])
    np.testing.assert_array_equal(after.ignore, image.ignore[3:13, 10:50])
    volume = picture((6, 40, 50), "ZYX")
    after = step_from({"step": "crop", "frames": [1, 2]}).run(volume, {})
    np.testing.assert_array_equal(after.ignore, volume.ignore[1:2])


@pytest.mark.parametrize(
    ("ends", "words"),
    [({"rows": [5]}, r"no part \[5\]"), ({"rows": [30, 41]}, "40 pixels along Y"), ({"columns": [9, 9]}, "along X"),
     ({"rows": [0, 2.5]}, "2.5"), ({"frames": [0, 1]}, "frames are of stacks")],
)  # fmt: skip
def test_a_box_that_does_not_fit_is_refused(ends, words):
    with pytest.raises(ImageError, match=words):
        step_from({"step": "crop"} | ends).run(picture(), {})


def test_smooth_lowers_noise_as_a_gaussian_does():
    noise = np.random.default_rng(1).normal(0, 10, (300, 300)).astype(np.float32)
    after = step_from({"step": "smooth", "sigma": 2}).run(Image(noise), {})
    assert after.pixels.std() == pytest.approx(10 / (2 * np.sqrt(np.pi) * 2), rel=0.05)
    series = step_from({"step": "smooth", "sigma": 2}).run(Image(np.stack([noise, 0 * noise]), "TYX"), {})
    np.testing.assert_allclose(series.pixels[0], after.pixels, atol=1e-5)
    assert not series.pixels[1].any(), "frames of a series do not mix"


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_invert_exchanges_ends_and_undoes_itself(dtype):
    image = Image(np.array([[3, 7], [100, 50]], dtype))
    once = step_from("invert").run(image, {})
    assert once.pixels.dtype == dtype
    assert once.pixels.tolist() == [[100, 96], [3, 53]]
    np.testing.assert_array_equal(step_from("invert").run(once, {}).pixels, image.pixels)


def test_invert_leaves_what_is_no_number():
    once = step_from("invert").run(Image(np.array([[1, np.nan], [4, 2]], np.float32)), {})
    np.testing.assert_array_equal(once.pixels, [[4, np.nan], [1, 3]])


@pytest.mark.parametrize(
    ("data", "words"),
    [("smoth", "smooth"), ({"sigma": 1}, "a step of preparation is a name"), ({"step": "smooth", "sigma": -1}, "sigma"),
     ([1], "a step of preparation is a name")],
)  # fmt: skip
def test_what_is_no_step_is_refused(data, words):
    with pytest.raises(OptionError, match=words):
        step_from(data)


def test_axes_that_a_step_cannot_take_are_named():
    class Angles(Step):
        name = "angles"
        axes = ("TYX",)

    with pytest.raises(ImageError, match="step angles takes images with the axes TYX, but these are YX"):
        Angles().check_axes(picture())
