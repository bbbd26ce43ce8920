import numpy as np
import pytest

from segmetry.errors import CalibrationError, ImageError, LabelError, SegmetryError, ShapeMismatchError
from segmetry.types import Calibration, Estimate, Image, Interval, Segmentation


@pytest.mark.parametrize("spacing", [(0.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (float("inf"), 1.0), ()])
def test_a_pixel_size_that_makes_no_sense_is_an_error(spacing):
    with pytest.raises(CalibrationError):
        Calibration(spacing, "nm")


def test_unknown_is_said():
    unknown = Calibration.unknown(3)
    assert (unknown.known, unknown.unit, unknown.spacing, unknown.source) == (False, "px", (1, 1, 1), "none")
    with pytest.raises(CalibrationError, match="can only be 1"):
        Calibration((2.0, 2.0), "px")


def test_pixel_size_is_the_side_of_the_equal_square():
    assert Calibration((2.0, 8.0), "um").pixel_size == pytest.approx(4)
    assert Calibration((2.0, 8.0), "um").unit == "µm"


def test_image_checks_itself():
    image = Image(np.zeros((3, 4, 5)), "TYX")
    assert image.spatial_shape == (4, 5)
    assert image.calibration.spacing == (1, 1)
    for wrong, kind in [
        ({"pixels": np.zeros((0, 4))}, ImageError),
        ({"pixels": np.zeros((2, 2), complex)}, ImageError),
        ({"pixels": np.zeros((2, 2, 2, 2))}, ImageError),
        ({"pixels": np.zeros((2, 2)), "axes": "YXC"}, ImageError),
        ({"pixels": np.zeros((2, 2)), "axes": "YY"}, ImageError),
        ({"pixels": np.zeros((2, 2)), "calibration": Calibration.unknown(3)}, CalibrationError),
        ({"pixels": np.zeros((2, 2)), "ignore": np.zeros((2, 3), bool)}, ShapeMismatchError),
    ]:
        with pytest.raises(kind):
            Image(**wrong)
        assert issubclass(kind, SegmetryError)


def test_segmentation_checks_itself():
    assert Segmentation(np.zeros((0, 0), np.int32)).n_regions == 0
    with pytest.raises(LabelError):
        Segmentation(np.zeros((2, 2), np.int64))
    with pytest.raises(ShapeMismatchError):
        Segmentation(np.zeros((2, 2), np.int32), probability=np.zeros((2, 3)))


def test_estimate_as_plain_data_has_no_nan():
    plain = Estimate("d50", 3.0, float("nan"), float("inf"), "nm", this_image=Interval(2.5, 3.5)).as_dict()
    assert plain["low"] is None
    assert plain["high"] is None
    assert plain["this_image"] == {"low": 2.5, "high": 3.5}
    assert Estimate("d50", 3.0).as_dict()["this_image"] is None


@pytest.mark.parametrize("text", ["0.50 ± 0.01 nm", "0.5+-0.01nm", "0.5 +/- 1e-2 nm"])
def test_a_pixel_size_may_come_with_its_uncertainty(text):
    calibration = Calibration.from_text(text)
    assert (calibration.spacing, calibration.unit) == ((0.5, 0.5), "nm")
    assert calibration.rel_uncertainty == pytest.approx(0.02, rel=1e-12)


@pytest.mark.parametrize("text", ["0.5 ± nm", "± 0.1 nm", "0.5 ± -1 nm", "0.5 ± 0.1", "0.5 ± 0.1 parsec"])
def test_half_an_uncertainty_is_an_error(text):
    with pytest.raises(CalibrationError):
        Calibration.from_text(text)


@pytest.mark.parametrize(
    ("text", "spacing", "unit"),
    [
        ("0.5 nm", (0.5, 0.5), "nm"),
        ("0.5 nm, 0.6 nm", (0.5, 0.6), "nm"),
        ("0.5nm,0.6nm", (0.5, 0.6), "nm"),
        ("0,5 nm, 0,6 nm", (0.5, 0.6), "nm"),
        ("2 µm , 500 nm, 500 nm", (2, 0.5, 0.5), "µm"),
        ("0.5 x 0.6 nm", (0.5, 0.6), "nm"),
        ("2x0.5×.25 Angstrom", (2, 0.5, 0.25), "Å"),
        ("1e-1 nm, 2E+1 nm", (0.1, 20), "nm"),
    ],
)
def test_a_pixel_size_may_differ_by_axis(text, spacing, unit):
    calibration = Calibration.from_text(text)
    assert calibration.spacing == pytest.approx(spacing, rel=1e-12)
    assert (calibration.unit, calibration.source) == (unit, "user")
    assert Calibration.from_text(text, len(spacing)) == calibration


def test_of_several_uncertainties_the_largest_counts():
    for text in ("2 ± 0.02 nm, 0.5 ± 0.01 nm", "2 ± 0.02 x 0.5 ± 0.01 nm", "2 nm, 0.5 ± 0.01 nm"):
        calibration = Calibration.from_text(text)
        assert calibration.spacing == (2, 0.5)
        assert calibration.rel_uncertainty == pytest.approx(0.02, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "ndim"),
    [
        ("0.5 nm, 0.6 nm", 3),
        ("2 nm, 0.5 nm, 0.6 nm", 2),
        ("1 nm, 1 nm, 1 nm, 1 nm", None),
        ("0.5 nm, -0.6 nm", 2),
        ("0.5 nm, 0 nm", 2),
        ("0.5 nm,", 2),
        ("0.5, 0.6", 2),
        ("0.5 x 0.6", 2),
        ("0.5 nm, 2 parsec", 2),
        ("2 px, 2 px", 2),
        ("0.5 nm, 1 px", 2),
        ("1,250 nm, 1 nm", 2),
    ],
)
def test_lengths_that_do_not_fit_are_an_error(text, ndim):
    with pytest.raises(CalibrationError):
        Calibration.from_text(text, ndim)
