"""Numbers as people read them: as many digits as the interval allows, the unit as it is printed, no more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MINUS = "\u2212"
NARROW_SPACE = "\u202f"
NOTHING = "\u2013"
"""What stands where there is no number."""

_SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
_TIGHT_UNITS = ("°",)


class Printed(NamedTuple):
    """A number with interval, cut into the parts that a page sets differently; parts that are not there are empty."""

    value: str
    interval: str
    unit: str

    def __str__(self) -> str:
        space = "" if self.unit in _TIGHT_UNITS else " "
        text = f"{self.value}{space}{self.unit}" if self.unit and self.value != NOTHING else self.value
        return f"{text} {self.interval}" if self.interval else text


def pretty_unit(unit: str) -> str:
    """Return a unit with its powers raised.

    Examples
    --------
    >>> pretty_unit("nm^2"), pretty_unit("µm^-2"), pretty_unit("nm")
    ('nm²', 'µm⁻²', 'nm')
    """
    name, caret, power = unit.partition("^")
    if not caret or not power.lstrip("-").isdecimal():
        return unit
    return name + power.translate(_SUPERSCRIPT)


def format_number(value: float, decimals: int) -> str:
    """Return a number with a fixed number of decimals; a negative number of decimals rounds to tens, hundreds, ...

    Five and more digits before the point are set in groups of three. Not finite gives a dash.

    Examples
    --------
    >>> format_number(12.345, 1), format_number(1234.5, -2), format_number(1234567, 0), format_number(-0.04, 1)
    ('12.3', '1200', '1\u202f234\u202f567', '0.0')
    """
    if not math.isfinite(value):
        return NOTHING
    text = f"{round(value, decimals):.{max(decimals, 0)}f}"
    if not text.strip("-0."):  # minus zero
        text = text.lstrip("-")
    sign, digits = (MINUS, text[1:]) if text.startswith("-") else ("", text)
    whole, point, fraction = digits.partition(".")
    if len(whole) >= 5:
        whole = f"{int(whole):,}".replace(",", NARROW_SPACE)
    return f"{sign}{whole}{point}{fraction}"


def format_significant(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits; very large and very small ones as a power of ten.

    Examples
    --------
    >>> format_significant(0.012345), format_significant(98765), format_significant(1.2e-7), format_significant(99.96)
    ('0.0123', '98\u202f800', '1.20 × 10⁻⁷', '100')
    """
    if not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    decimals = digits - 1 - _exponent(value)
    if _exponent(round(value, decimals)) > _exponent(value):  # 99.96 became 100.0: one digit more than asked for
        decimals -= 1
    if _needs_power(abs(value), decimals):
        exponent = _exponent(round(value, decimals))
        return f"{format_number(value / 10.0**exponent, digits - 1)} × {_power_of_ten(exponent)}"
    return format_number(value, decimals)


def format_count(n: int) -> str:
    """Return a whole number, in groups of three from five digits on."""
    return format_number(n, 0)


def print_count(value: float, low: float = math.nan, high: float = math.nan, unit: str = "") -> Printed:
    """Return a number of things and its interval as whole numbers; rounding loses no whole number of the interval.

    Examples
    --------
    >>> str(print_count(52.0, 48.7, 58.2)), str(print_count(52.0))
    ('52 [49, 58]', '52')
    """
    interval = f"[{format_number(low, 0)}, {format_number(high, 0)}]" if math.isfinite(high - low) else ""
    return Printed(format_number(value, 0), interval, unit)


def count_here(count: Mapping[str, Any] | None) -> str:
    """Return the interval of a count for the images in view as text; empty where it is not known.

    Examples
    --------
    >>> count_here({"this_image": {"low": 48.7, "high": 58.2}}), count_here({"this_image": None})
    ('49 to 58', '')
    """
    own = (count or {}).get("this_image")
    return f"{format_number(own['low'], 0)} to {format_number(own['high'], 0)}" if own else ""


def interval_decimals(low: float, high: float) -> int:
    """Return the decimals that an interval allows: its width keeps two significant digits.

    Its half-width then keeps two digits where it begins with 1 to 4, and one where it begins with 5 to 9, so that
    rounding never moves an end by more than 5 % of the width.

    Examples
    --------
    >>> interval_decimals(11.8, 12.9), interval_decimals(11800, 12900), interval_decimals(0.10, 0.14)
    (1, -2, 3)
    """
    width = abs(high - low)
    decimals = 1 - _exponent(width)
    if _exponent(round(width, decimals)) > _exponent(width):  # 0.996 is 1.0
        decimals -= 1
    return decimals


_LOPSIDED = 4.0
"""Ratio of an interval's ends from which on each number keeps its own two digits."""


def print_estimate(value: float, low: float = math.nan, high: float = math.nan, unit: str = "") -> Printed:
    """Return value, interval and unit as text, with the digits that the interval allows.

    Without a usable interval (not finite, or of no width) the value keeps three significant digits and the interval
    is empty. Numbers that need a power of ten carry it behind the interval, before the unit.
    """
    unit = pretty_unit(unit)
    if not math.isfinite(value):
        return Printed(NOTHING, "", unit)
    width = high - low
    scale = max(abs(value), abs(low), abs(high)) if math.isfinite(width) else 0.0
    if not (math.isfinite(width) and width > 1e-9 * scale):
        return Printed(format_significant(value), "", unit)
    decimals = interval_decimals(low, high)
    if 0 < low <= value and high > _LOPSIDED * low:
        # The width says nothing about the lower end any more: [5.1, 1300], not [0, 1300].
        numbers = [format_significant(x, 2) for x in (value, low, high)]
        return Printed(numbers[0], f"[{numbers[1]}, {numbers[2]}]", unit)
    if _needs_power(scale, decimals):
        exponent = _exponent(scale)
        factor = 10.0**exponent
        decimals = interval_decimals(low / factor, high / factor)
        numbers = [format_number(x / factor, decimals) for x in (value, low, high)]
        power = f"× {_power_of_ten(exponent)}"
        return Printed(numbers[0], f"[{numbers[1]}, {numbers[2]}]", f"{power} {unit}".rstrip())
    numbers = [format_number(x, decimals) for x in (value, low, high)]
    return Printed(numbers[0], f"[{numbers[1]}, {numbers[2]}]", unit)


def format_estimate(value: float, low: float = math.nan, high: float = math.nan, unit: str = "") -> str:
    """Return a number with its unit and interval in one line.

    The width of the interval keeps two significant digits (see `interval_decimals`); the value gets the same decimals.

    Examples
    --------
    >>> format_estimate(12.3456, 11.8123, 12.9123, "nm")
    '12.3 nm [11.8, 12.9]'
    >>> format_estimate(0.123456, 0.1201, 0.1269), format_estimate(12.3456, unit="nm")
    ('0.1235 [0.1201, 0.1269]', '12.3 nm')
    >>> format_estimate(3.41e-5, 3.12e-5, 3.71e-5, "nm^-2")
    '3.41 [3.12, 3.71] × 10⁻⁵ nm⁻²'
    """
    printed = print_estimate(value, low, high, unit)
    if printed.interval and printed.unit.startswith("×"):  # the power of ten belongs to all three numbers
        return f"{printed.value} {printed.interval} {printed.unit}"
    return str(printed)


def format_share(share: float) -> str:
    """Return a share as a percentage with two significant digits.

    Examples
    --------
    >>> format_share(0.0534), format_share(0.5), format_share(1.0), format_share(0.00004)
    ('5.3 %', '50 %', '100 %', '0.0040 %')
    """
    if not math.isfinite(share):
        return NOTHING
    return f"{format_significant(100 * share, 2 if abs(share) < 0.995 else 3)} %"


def print_fraction(fraction: Mapping[str, Any]) -> Printed:
    """Return an estimate of a share, as plain data, in per cent."""
    value, low, high = (math.nan if fraction[k] is None else 100 * fraction[k] for k in ("value", "low", "high"))
    return print_estimate(value, low, high, "%")


def fractions_line(phases: Sequence[Mapping[str, Any]]) -> str:
    """Return phases, as plain data, with their fractions in one line.

    Examples
    --------
    >>> pore = {"class": "pore", "area_fraction": {"value": 0.182, "low": 0.161, "high": 0.204}}
    >>> fractions_line([pore, {"class": "grain", "area_fraction": {"value": 0.818, "low": None, "high": None}}])
    '2 phases: pore 18.2 % [16.1, 20.4], grain 81.8 %'
    """
    shares = (f"{p['class']} {print_fraction(p.get('area_fraction') or p['volume_fraction'])}" for p in phases)
    return f"{plural(len(phases), 'phase')}: {', '.join(shares)}"


def plural(n: int, one: str, many: str = "") -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> plural(1, "particle"), plural(0, "particle"), plural(2, "analysis", "analyses")
    ('1 particle', '0 particles', '2 analyses')
    """
    return f"{format_count(n)} {one if n == 1 else many or one + 's'}"


def _exponent(value: float) -> int:
    """Return the power of ten of the first digit; 0 for zero."""
    if value == 0:
        return 0
    # The printed form knows: log10 puts 1000 at 2.9999999999999996.
    return int(f"{abs(value):.15e}".partition("e")[2])


def _needs_power(scale: float, decimals: int) -> bool:
    return scale >= 1e7 or (0 < scale < 1e-3) or decimals > 6


def _power_of_ten(exponent: int) -> str:
    return "10" + str(exponent).translate(_SUPERSCRIPT)
