"""Lengths and their units: one table, one parser."""

from __future__ import annotations

import math
import re
import unicodedata

from segmetry.errors import CalibrationError

METRES: dict[str, float] = {
    "fm": 1e-15,
    "pm": 1e-12,
    "Å": 1e-10,
    "nm": 1e-9,
    "µm": 1e-6,
    "mm": 1e-3,
    "cm": 1e-2,
    "m": 1.0,
    "km": 1e3,
    "inch": 0.0254,
}
"""Metres in one of each unit that a pixel can be measured in."""

_ALIASES: dict[str, str] = {
    "μm": "µm",  # Greek mu; the table has the micro sign
    "um": "µm",
    "micron": "µm",
    "microns": "µm",
    "micrometer": "µm",
    "micrometre": "µm",
    "micrometers": "µm",
    "micrometres": "µm",
    "\\u00b5m": "µm",  # ImageJ writes the escape
    "nanometer": "nm",
    "nanometre": "nm",
    "nanometers": "nm",
    "nanometres": "nm",
    "angstrom": "Å",
    "angstroms": "Å",
    "ångström": "Å",
    "ångströms": "Å",
    "a": "Å",
    "picometer": "pm",
    "picometre": "pm",
    "femtometer": "fm",
    "femtometre": "fm",
    "millimeter": "mm",
    "millimetre": "mm",
    "millimeters": "mm",
    "millimetres": "mm",
    "centimeter": "cm",
    "centimetre": "cm",
    "centimeters": "cm",
    "centimetres": "cm",
    "meter": "m",
    "metre": "m",
    "meters": "m",
    "metres": "m",
    "kilometer": "km",
    "kilometre": "km",
    "in": "inch",
    "inches": "inch",
}

PIXEL = "px"
"""The unit of a length that was never calibrated."""

_LENGTH = re.compile(r"^\s*([-+]?\d*[.,]?\d+(?:[eE][-+]?\d+)?)\s*([^\s\d.,+-].*?)\s*$")

_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}$")
"""A comma that may stand between thousands: 1,250 is 1250 for some and 1.25 for others."""


def normalise_unit(unit: str) -> str:
    """Return the name that the table `METRES` has for a unit, or ``"px"``.

    Raises
    ------
    CalibrationError
        If the unit is not a length.

    Examples
    --------
    >>> normalise_unit("um"), normalise_unit("Angstrom"), normalise_unit("pixels")
    ('µm', 'Å', 'px')
    """
    text = unicodedata.normalize("NFC", str(unit)).strip()  # the angstrom sign becomes the letter Å
    if text in METRES:
        return text
    lower = text.lower()
    if lower in ("px", "pixel", "pixels"):
        return PIXEL
    if lower in _ALIASES:
        return _ALIASES[lower]
    raise CalibrationError(f"{text!r} is not a unit of length; use one of {', '.join(METRES)}.")


def parse_length(text: str) -> tuple[float, str]:
    """Return value and unit of a positive length such as ``"0.52 nm"``.

    Raises
    ------
    CalibrationError
        If there is no number, no unit, the number is not positive and finite, or its comma may be a decimal one or one
        between thousands ("1,250 nm").

    Examples
    --------
    >>> parse_length("0.52 nm"), parse_length("1,5um")
    ((0.52, 'nm'), (1.5, 'µm'))
    """
    match = _LENGTH.match(str(text))
    if not match and re.fullmatch(r"\s*[-+\d.,eE]+\s*", str(text)):
        raise CalibrationError(f"{text!r} has no unit; write for example '{str(text).strip()} nm'.")
    if not match:
        raise CalibrationError(f"{text!r} is not a length; write a number and a unit, such as '0.52 nm'.")
    if _THOUSANDS.match(match.group(1)):
        whole, part = match.group(1).split(",")
        raise CalibrationError(f"{text!r} can be read in two ways; write {whole}{part} or {whole}.{part} instead.")
    value, unit = float(match.group(1).replace(",", ".")), normalise_unit(match.group(2))
    if not (0 < value < math.inf):
        raise CalibrationError(f"a length must be positive and finite, got {text!r}.")
    return value, unit


def convert(value: float, unit: str, to: str) -> float:
    """Return a length in another unit. Pixels convert to pixels only.

    Examples
    --------
    >>> convert(500, "nm", "µm")
    0.5
    """
    if unit == to:
        return value
    if PIXEL in (unit, to):
        raise CalibrationError(f"cannot turn {unit} into {to}: the image is not calibrated.")
    # 500 nm is 0.5 µm, not 0.5000000000000001: divide by a whole power of ten, rid of the last bit's noise.
    if METRES[to] >= METRES[unit]:
        return value / float(f"{METRES[to] / METRES[unit]:.14g}")
    return value * float(f"{METRES[unit] / METRES[to]:.14g}")


def best_unit(metres: float) -> str:
    """Return the unit in which a length reads well: at least 1, with the fewest digits (never cm, inch or Å).

    Examples
    --------
    >>> best_unit(5.2e-10), best_unit(3e-8), best_unit(2.5e-6)
    ('nm', 'nm', 'µm')
    """
    if metres < 1e-10:
        return "pm"
    for unit in ("nm", "µm", "mm", "m"):
        if metres < METRES[unit] * 1000:
            return unit
    return "km"
