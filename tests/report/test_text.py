"""Numbers as text: the digits that an interval allows, checked against decimal arithmetic."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from segmetry.report.text import (
    NOTHING,
    format_count,
    format_estimate,
    format_number,
    format_share,
    format_significant,
    interval_decimals,
    plural,
    pretty_unit,
    print_estimate,
)

THIN = "\u202f"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((12.3456, 11.8123, 12.9123, "nm"), "12.3 nm [11.8, 12.9]"),
        ((12.3, 11.8, 12.9, "nm"), "12.3 nm [11.8, 12.9]"),
        ((12.3456, 12.1, 12.6, "nm"), "12.35 nm [12.10, 12.60]"),
        ((35.4, 33.2, 37.7, "nm"), "35.4 nm [33.2, 37.7]"),
        ((1.0, 0.5, 1.5, ""), "1.0 [0.5, 1.5]"),
        ((12345.0, 11811.0, 12911.0, "px"), f"12{THIN}300 px [11{THIN}800, 12{THIN}900]"),
        ((1234.0, 1181.0, 1291.0, "px"), "1230 px [1180, 1290]"),
        ((0.0, -0.3, 0.3, "nm"), "0.00 nm [−0.30, 0.30]"),
        ((-12.34, -13.0, -11.7, "°"), "−12.3° [−13.0, −11.7]"),
        ((0.9996, 0.9991, 1.0001, ""), "0.9996 [0.9991, 1.0001]"),
        ((0.0034, 0.0012, 0.0056, "nm^-2"), "0.0034 nm⁻² [0.0012, 0.0056]"),
        ((3.41e-5, 3.12e-5, 3.71e-5, "nm^-2"), "3.41 [3.12, 3.71] × 10⁻⁵ nm⁻²"),
        ((5.2e8, 4.9e8, 5.5e8, "nm^2"), "5.20 [4.90, 5.50] × 10⁸ nm²"),
        ((9.99e-5, 9.0e-5, 11.0e-5, ""), "1.00 [0.90, 1.10] × 10⁻⁴"),
    ],
)
def test_estimate_by_hand(numbers, text):
    assert format_estimate(*numbers) == text


@pytest.mark.parametrize(
    ("low", "high"), [(math.nan, math.nan), (math.nan, 13.0), (12.3, 12.3), (-math.inf, math.inf), (13.0, 12.0)]
)
def test_no_usable_interval_leaves_three_digits_and_no_brackets(low, high):
    assert format_estimate(12.3456, low, high, "nm") == "12.3 nm"


def test_no_value_is_a_dash_even_with_an_interval():
    assert format_estimate(math.nan, 1.0, 2.0, "nm") == NOTHING
    assert format_estimate(math.inf, 1.0, 2.0, "nm") == NOTHING


@given(
    middle=st.floats(-9e5, 9e5, allow_nan=False),
    half=st.floats(-5, 5).map(lambda p: 10.0**p),
    value_at=st.floats(0, 1),
)
def test_ends_move_by_at_most_a_twentieth_of_the_width_and_no_needless_digit_is_shown(middle, half, value_at):
    assume(half > 1e-8 * abs(middle))  # narrower is no interval but rounding
    low, high = middle - half, middle + half
    value = low + value_at * (high - low)
    printed = print_estimate(value, low, high)
    numbers = [_parse(t) for t in (printed.value, *printed.interval.strip("[]").split(", "))]
    factor = Decimal(10) ** _power(printed.unit)
    width = Decimal(high) - Decimal(low)
    for shown, true in zip(numbers, (value, low, high), strict=True):
        assert abs(shown * factor - Decimal(true)) <= width * Decimal("0.0501")
    # One digit less would move an end by up to half of a quantum, a twentieth of ten widths: too coarse.
    quantum = Decimal(10) ** (-interval_decimals(low, high))
    assert Decimal("9.4") < width / quantum < Decimal("99.6")


@given(st.floats(1e-12, 1e12), st.integers(2, 6))
def test_significant_digits_keep_the_number(value, digits):
    text = format_significant(value, digits)
    number, _, power = text.partition(" × ")
    shown = _parse(number) * Decimal(10) ** _power("× " + power if power else "")
    assert abs(shown - Decimal(value)) <= Decimal(value) * Decimal(10) ** (1 - digits) * Decimal("0.5001")


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.0, 3, "0"), (99.96, 3, "100"), (9.996, 3, "10.0"), (1000.0, 3, "1000"), (-0.012345, 3, "−0.0123"),
     (math.nan, 3, NOTHING), (1234567.0, 3, f"1{THIN}230{THIN}000"), (99999999.0, 3, "1.00 × 10⁸")],
)  # fmt: skip
def test_significant_by_hand(value, digits, text):
    assert format_significant(value, digits) == text


def test_minus_zero_loses_its_sign():
    assert format_number(-0.0001, 2) == "0.00"
    assert format_number(-0.4, 0) == "0"


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "0"), (999, "999"), (1000, "1000"), (10000, f"10{THIN}000"), (1234567, f"1{THIN}234{THIN}567")],
)
def test_counts(n, text):
    assert format_count(n) == text


@pytest.mark.parametrize(
    ("unit", "text"),
    [("nm^2", "nm²"), ("µm^-3", "µm⁻³"), ("px", "px"), ("", ""), ("a^b", "a^b"), ("intensity", "intensity")],
)
def test_units(unit, text):
    assert pretty_unit(unit) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.004, "0.40 %"), (0.0534, "5.3 %"), (0.5, "50 %"), (0.994, "99 %"), (0.9999, "100 %"), (1, "100 %")],
)
def test_shares(share, text):
    assert format_share(share) == text


def test_plurals():
    assert [plural(n, "object") for n in (0, 1, 2)] == ["0 objects", "1 object", "2 objects"]


def _parse(text: str) -> Decimal:
    return Decimal(text.replace("−", "-").replace(THIN, ""))


def _power(unit: str) -> int:
    if not unit.startswith("×"):
        return 0
    digits = unit.split("10", 1)[1].split(" ")[0]
    return int(digits.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
