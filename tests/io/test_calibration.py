"""Which pixel size is taken, and what is said where sources disagree."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from segmetry.errors import CalibrationError, OptionError
from segmetry.io.calibration import calibrate
from segmetry.types import Calibration, Image


def picture(length: int = 100, text: str = "50 nm") -> np.ndarray:
    """A grey field with a white bar of whole pixels and its label."""
    pixels = np.random.default_rng(0).normal(90, 4, (300, 400)).clip(0, 255).astype(np.uint8)
    pixels[270:276, 40 : 40 + length] = 255
    cv2.putText(pixels, text, (45, 258), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2, cv2.LINE_AA)
    return pixels


def image(spacing: float | tuple[float, float] | None = None, unit: str = "nm", **more: int) -> Image:
    calibration = Calibration.unknown()
    if spacing is not None:
        both = spacing if isinstance(spacing, tuple) else (spacing, spacing)
        calibration = Calibration(both, unit, 0.0, "metadata", "a tag")
    return Image(picture(**more), calibration=calibration)


def test_the_bar_calibrates_an_image_without_metadata():
    found, annotations = calibrate(image())
    assert found.calibration.source == "scale bar"
    assert found.calibration.unit == "nm"
    assert found.calibration.spacing == pytest.approx((0.5, 0.5), rel=0.005)
    assert 0 < found.calibration.rel_uncertainty < 0.02
    assert annotations.ignore[272, 60]
    assert not annotations.ignore[100:200].any()


def test_metadata_that_agree_are_kept():
    found, annotations = calibrate(image(0.51))
    assert found.calibration == image(0.51).calibration
    assert any("agree" in note for note in annotations.notes)


@pytest.mark.parametrize(("spacing", "unit"), [(0.8, "nm"), (0.0008, "µm"), (0.25, "nm")])
def test_a_resized_image_takes_the_bar_and_says_so(spacing, unit):
    found, annotations = calibrate(image(spacing, unit))
    assert found.calibration.source == "scale bar"
    assert found.calibration.pixel_size == pytest.approx(0.5, rel=0.005)
    for notes in (found.notes, annotations.notes):
        assert any(note.startswith("WARNING") and "disagree" in note for note in notes)


@pytest.mark.parametrize("spacing", [5.0, 0.05, 500.0])
def test_a_power_of_ten_keeps_the_metadata_and_says_so(spacing):
    found, _ = calibrate(image(spacing))
    assert found.calibration.spacing == (spacing, spacing)
    assert any(note.startswith("WARNING") for note in found.notes)


def test_pixels_that_are_not_square_stay_so():
    found, _ = calibrate(image((1.6, 0.8)))
    assert found.calibration.spacing == pytest.approx((1.0, 0.5), rel=0.005)


def test_the_user_wins_and_hears_of_a_conflict():
    found, annotations = calibrate(image(0.5), pixel_size="0.7 nm")
    assert found.calibration.source == "user"
    assert found.calibration.spacing == (0.7, 0.7)
    assert any(note.startswith("WARNING") for note in annotations.notes)
    quiet, annotations = calibrate(image(0.5), pixel_size="0.0005 µm")
    assert quiet.calibration.unit == "µm"
    assert not annotations.notes


def test_each_scale_takes_its_source():
    assert calibrate(image(0.8), scale="metadata")[0].calibration.spacing == (0.8, 0.8)
    assert calibrate(image(0.5), scale="bar")[0].calibration.source == "scale bar"
    none, annotations = calibrate(image(0.5), scale="none")
    assert not none.calibration.known
    assert annotations.ignore[272, 60], "annotations are marked even where nothing is calibrated"


def test_without_bar_and_metadata_the_size_is_unknown_and_a_note_says_why():
    plain = Image(np.random.default_rng(1).normal(90, 4, (200, 300)).clip(0, 255).astype(np.uint8))
    for scale in ("auto", "bar"):
        found, _ = calibrate(plain, scale=scale)
        assert not found.calibration.known
        assert any("pixel size unknown" in note for note in found.notes)


def test_a_stack_keeps_its_metadata_and_is_not_searched():
    calibration = Calibration((2.0, 0.5, 0.5), "nm", 0.0, "metadata")
    stack = Image(np.zeros((3, 40, 50), np.uint8), "ZYX", calibration)
    found, annotations = calibrate(stack)
    assert found.calibration == calibration
    assert annotations.scale_bar is None
    assert found.ignore.shape == (3, 40, 50)
    assert not found.ignore.any()


def test_what_was_ignored_before_stays_ignored():
    before = np.zeros((300, 400), bool)
    before[:5] = True
    found, _ = calibrate(image().replace(ignore=before))
    assert found.ignore[:5].all()
    assert found.ignore[272, 60]


def test_bad_options_get_one_clear_line():
    with pytest.raises(OptionError, match="did you mean 'auto'"):
        calibrate(image(), scale="outo")  # type: ignore[arg-type]
    with pytest.raises(CalibrationError):
        calibrate(image(), pixel_size="-2 nm")


def test_the_users_word_wins_over_the_file_and_the_file_is_heard():
    pixels = np.full((40, 40), 100, np.uint8)
    file = Calibration((0.5, 0.5), "nm", 0.0, "metadata", "a tag")
    found, annotations = calibrate(Image(pixels, calibration=file), pixel_size="0.25 nm")
    assert found.calibration.spacing == (0.25, 0.25)
    assert any("0.5 nm" in note and note.startswith("WARNING") for note in annotations.notes)
    agreeing = calibrate(Image(pixels, calibration=file), pixel_size="500 pm")[1]
    assert not any(note.startswith("WARNING") for note in agreeing.notes)
