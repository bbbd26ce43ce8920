"""Value and unit out of a label such as ``"1.00um"``, and what in a footer is a length but no scale bar."""

from __future__ import annotations

import re
from typing import NamedTuple

from segmetry.units import METRES


class Label(NamedTuple):
    """A length that a label names, with how far to trust it.

    ``start`` and ``end`` are the share of the line's characters before the length and up to its end: 0 and 1 for a line
    that holds nothing else.
    """

    value: float
    unit: str
    trust: float
    start: float = 0.0
    end: float = 1.0

    @property
    def metres(self) -> float:
        """The length in metres."""
        return self.value * METRES[self.unit]


_UNITS = {
    "nm": "nm", "nrn": "nm", "nrm": "nm", "nin": "nm", "n m": "nm", "NM": "nm", "Nm": "nm", "nM": "nm",
    "µm": "µm", "μm": "µm", "um": "µm", "urn": "µm", "µrn": "µm", "μrn": "µm", "u m": "µm", "µ m": "µm", "μ m": "µm",
    "UM": "µm", "Um": "µm", "uM": "µm", "µM": "µm", "micron": "µm", "microns": "µm",
    "mm": "mm", "cm": "cm", "Å": "Å", "A": "Å", "pm": "pm",
}  # fmt: skip
"""Unit by what the recogniser makes of it. "A" is an angstrom only in a line of its own."""

_NUMBER = r"(?P<number>(?:\d{1,3}(?:[ ,]\d{3})+|[\dOoDQIl|]{1,5})(?:[.,·][\dOoDQ]{1,3})?|[.,·][\dOo]{1,3})"
_UNIT = "(?P<unit>" + "|".join(sorted((re.escape(u) for u in _UNITS), key=len, reverse=True)) + ")"
_ALONE = re.compile(rf"^[^\w.,]*{_NUMBER}\s*{_UNIT}[^\w]*$")
_LAST = re.compile(rf"^(?P<before>.*\s){_NUMBER}\s*{_UNIT}[^\w]*$")
_LABEL = re.compile(
    r"(?:^|\W)(?:WD|HFW|HFOV|VFW|VFOV|FOV|FW|HV|EHT|Spot|Mag|Det|Tilt|Width|Field|Working|Pixel|px|Px|Focus|Depth|Size)"
    r"(?:\W|\d|$)",
    re.IGNORECASE,
)
_USUAL = (1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 1.5)


_DIGITS = str.maketrans("OoDQIl|", "0000111")


def is_field_name(text: str) -> bool:
    """Whether a text names a field of an instrument's footer whose value is no scale bar (WD, HFW, mag).

    Examples
    --------
    >>> is_field_name("WD = 7.5 mm"), is_field_name("HFW"), is_field_name("500 nm")
    (True, True, False)
    """
    return bool(_LABEL.search(text))


def usual(value: float) -> float:
    """Return how usual the value of a scale bar is: 1 for 1, 2, 5, 10, 20 ...; 0.3 for 37.

    Examples
    --------
    >>> usual(500), usual(0.2), usual(2.5), usual(122)
    (1.0, 1.0, 1.0, 0.3)
    """
    mantissa = value
    while mantissa >= 9.999:
        mantissa /= 10
    while mantissa < 0.9999:
        mantissa *= 10
    nearest = min(_USUAL, key=lambda u: abs(mantissa - u))
    if abs(mantissa - nearest) > 1e-6 * nearest:
        whole = abs(mantissa * 2 - round(mantissa * 2)) < 1e-6  # 3.5, 7, 12 -> 1.2 is not
        return 0.6 if whole else 0.3
    return 1.0 if nearest in (1.0, 2.0, 5.0) else (1.0 if nearest in (2.5, 3.0, 4.0) else 0.85)


def parse_label(text: str) -> Label | None:
    """Return the length that a burned-in label names, or None.

    A line that holds only the length counts fully; a length at the end of a longer line (a footer in one piece) counts
    less, and not at all in millimetres or behind the name of a field.

    Examples
    --------
    >>> [parse_label(t)[:2] for t in ("500nm", "1.00um", "0,5 µm", ".5 μm", "— 20 nm —", "l0 nm", "1 000 nm")]
    [(500.0, 'nm'), (1.0, 'µm'), (0.5, 'µm'), (0.5, 'µm'), (20.0, 'nm'), (10.0, 'nm'), (1000.0, 'nm')]
    >>> parse_label("WD = 7.5 mm"), parse_label("50 000 x"), parse_label("7.0 ± 3.1°"), parse_label("20.00 kV")
    (None, None, None, None)
    >>> parse_label("S4800 3.0kV 8.8mm x100k SE(U) 500nm")[:3]
    (500.0, 'nm', 0.8)
    """
    text = text.strip()
    match = _ALONE.match(text)
    trust, start = 1.0, 0.0
    if match is None:
        match = _LAST.match(text)
        if match is None:
            return None
        before, unit = match["before"], match["unit"]
        field = is_field_name(before.split()[-1]) or (len(before.split()) > 1 and is_field_name(before.split()[-2]))
        if field or _UNITS[unit] in ("mm", "cm", "Å", "pm"):
            return None
        trust, start = 0.8, len(before) / len(text)
    if match["unit"] == "A" and start:
        return None
    raw = match["number"]
    digits = raw.translate(_DIGITS)
    if digits != raw:
        trust *= 0.85
    if not any(c.isdigit() for c in raw):
        return None  # "Il nm": nothing in it was surely a digit
    if re.fullmatch(r"\d{1,3}(?:[ ,]\d{3})+", digits):
        number = re.sub(r"[ ,]", "", digits)
    else:
        number = re.sub(r"[,·]", ".", digits.replace(" ", ""))
        if re.fullmatch(r"0\d+", number):
            return None  # "05 µm" has lost its point
    try:
        value = float(number)
    except ValueError:
        return None
    unit = _UNITS[match["unit"]]
    if not value > 0:
        return None
    if match["unit"] not in ("nm", "µm", "μm", "um", "mm", "cm", "Å"):
        trust *= 0.85
    return Label(value, unit, trust * usual(value), start)


def is_unit_only(text: str) -> bool:
    """Whether a text is a unit whose number was cut off or lies in another box.

    Examples
    --------
    >>> is_unit_only("μm"), is_unit_only("nm"), is_unit_only("5 nm")
    (True, True, False)
    """
    return text.strip(" .-—–_") in ("nm", "µm", "μm", "um", "urn", "nrn")


def is_number_only(text: str) -> bool:
    """Whether a text is a number whose unit may lie in the next box.

    Examples
    --------
    >>> is_number_only("0.5"), is_number_only("200"), is_number_only("5.00 kV")
    (True, True, False)
    """
    return bool(re.fullmatch(r"\d{0,4}[.,]?\d{1,4}", text.strip(" -—–_")))


def usual_number(text: str) -> bool:
    """Whether a number may be the value of a scale bar: 1, 2 or 5 times a power of ten.

    Examples
    --------
    >>> usual_number("20"), usual_number("0.5"), usual_number("37"), usual_number("0")
    (True, True, False, False)
    """
    value = float(text.strip(" -—–_").replace(",", "."))
    return value > 0 and f"{value:.6e}"[:8] in ("1.000000", "2.000000", "5.000000")
