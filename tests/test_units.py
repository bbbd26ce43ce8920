import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmetry.errors import CalibrationError
from segmetry.units import METRES, best_unit, convert, normalise_unit, parse_length


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("0.52 nm", 0.52, "nm"),
        ("500nm", 500, "nm"),
        ("1.00um", 1, "µm"),
        ("1,5 μm", 1.5, "µm"),
        ("2e-3 mm", 0.002, "mm"),
        (".5 Å", 0.5, "Å"),
        ("3 \u212b", 3, "Å"),
        ("  7   Micrometers ", 7, "µm"),
    ],
)
def test_lengths_are_read_as_people_write_them(text, value, unit):
    assert parse_length(text) == (pytest.approx(value, rel=1e-15), unit)


@pytest.mark.parametrize(
    "text", ["", "nm", "5", "0 nm", "-1 nm", "5 parsec", "nan nm", "inf nm", "1e999 nm", "5 nm nm", "1 2 nm"]
)
def test_what_is_no_length_is_an_error(text):
    with pytest.raises(CalibrationError):
        parse_length(text)


@given(st.floats(1e-6, 1e6), st.sampled_from(sorted(METRES)), st.sampled_from(sorted(METRES)))
def test_conversion_there_and_back(value, unit, other):
    assert convert(convert(value, unit, other), other, unit) == pytest.approx(value, rel=1e-12)


def test_conversion_by_hand():
    assert convert(1, "µm", "nm") == pytest.approx(1000, rel=1e-15)
    assert convert(10, "Å", "nm") == pytest.approx(1, rel=1e-15)
    with pytest.raises(CalibrationError, match="not calibrated"):
        convert(1, "px", "nm")


@given(st.floats(1e-14, 1e4))
def test_best_unit_gives_readable_numbers(metres):
    assert 0.01 <= metres / METRES[best_unit(metres)] < 1000 + 1e-9 or metres < 1e-12 or metres > 1e3


def test_units_have_one_name():
    assert {normalise_unit(u) for u in ("um", "μm", "µm", "micron", "Micrometre")} == {"µm"}
    assert math.isclose(METRES[normalise_unit("angstrom")], 1e-10)


@pytest.mark.parametrize(("text", "instead"), [("1,000 nm", "1000 or 1.000"), ("12,500um", "12500 or 12.500")])
def test_a_comma_between_thousands_is_no_guess(text, instead):
    """A factor of a thousand hangs on it."""
    with pytest.raises(CalibrationError, match=instead):
        parse_length(text)
    assert parse_length("0,520 nm") == (0.52, "nm")
    assert parse_length("1,25 nm") == (1.25, "nm")
    assert parse_length("1000,5 nm") == (1000.5, "nm")
