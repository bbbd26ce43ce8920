"""Text files that scanning microscopes write beside the image: JEOL, Hitachi, TESCAN."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from segmetry.errors import CalibrationError
from segmetry.io.stored import Scale, make_scale, number
from segmetry.units import parse_length

_MAX_BYTES = 2**20

Found = tuple[Scale | None, tuple[str, ...], dict[str, Any]]


def read_sidecar(path: Path, width: int) -> Found:
    """Return pixel lengths, notes and metadata from the text file that belongs to an image, if there is one.

    For ``a.tif`` these are ``a.txt``, ``a.hdr`` and ``a-tif.hdr``, in any case. A file that says it belongs to an image
    of another width is not believed.

    Parameters
    ----------
    path : path
        The image.
    width : int
        Its number of columns.
    """
    for name in (f"{path.stem}.txt", f"{path.stem}-{path.suffix[1:]}.hdr", f"{path.stem}.hdr"):
        for candidate in dict.fromkeys((name, name[:-3] + name[-3:].upper(), name[:-3] + name[-3:].capitalize())):
            text = _text(path.with_name(candidate))
            for recognised, parse in _KINDS:
                if recognised in text:
                    return parse(text, candidate, width)
    return None, (), {}


def _jeol(text: str, name: str, width: int) -> Found:
    """The bar's length in pixels (``$$SM_MICRON_BAR``) and in words (``$$SM_MICRON_MARKER``, e.g. ``100nm``)."""
    said: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        if key.startswith("$"):
            said.setdefault(key.lstrip("$"), value.strip())
    metadata = _named(
        said,
        CM_ACCEL_VOLT="voltage_kV",
        CM_MAG="magnification",
        CM_SIGNAL="detector",
        SM_WD="working_distance_mm",
        CM_DATE="date",
        CM_TIME="time",
        CM_INSTRUMENT="instrument",
    )
    bar = number(said.get("SM_MICRON_BAR"))
    if not bar or "SM_MICRON_MARKER" not in said:
        return None, (), metadata
    detail = f"{name} $$SM_MICRON_BAR and $$SM_MICRON_MARKER"
    full = said.get("CM_FULL_SIZE", "").split()
    if full and full[0].isdigit() and int(full[0]) != width:
        return None, (_other_width(detail, int(full[0]), width),), metadata
    try:
        length, unit = parse_length(said["SM_MICRON_MARKER"])
    except CalibrationError:
        return None, (f"{detail}: {said['SM_MICRON_MARKER']!r} is no length: left unknown",), metadata
    # The bar is given in whole pixels: a rounding error, uniform over one pixel.
    scale, notes = make_scale({"X": length / bar}, unit, detail, rel_uncertainty=1 / (math.sqrt(12) * abs(bar)))
    return scale, () if scale else notes, metadata


def _hitachi(text: str, name: str, width: int) -> Found:
    """``PixelSize`` in nm, ``DataSize=1280x960``."""
    said = _ini(text)
    metadata = _named(
        said,
        AcceleratingVoltage="voltage",
        Magnification="magnification",
        SignalName="detector",
        WorkingDistance="working_distance",
        Date="date",
        Time="time",
        InstructName="instrument",
    )
    length = number(said.get("PixelSize"))
    if length is None:
        return None, (), metadata
    detail = f"{name} PixelSize"
    columns = said.get("DataSize", "").lower().partition("x")[0]
    if columns.isdigit() and int(columns) != width:
        return None, (_other_width(detail, int(columns), width),), metadata
    scale, notes = make_scale({"Y": length, "X": length}, "nm", detail)
    return scale, notes, metadata


def _tescan(text: str, name: str, width: int) -> Found:
    """``PixelSizeX`` and ``PixelSizeY`` in metres."""
    said = _ini(text)
    metadata = _named(
        said, HV="voltage_V", Magnification="magnification", Detector="detector", WD="working_distance_m", Date="date",
        Time="time", Device="instrument",
    )  # fmt: skip
    across, down = number(said.get("PixelSizeX")), number(said.get("PixelSizeY"))
    if across is None:
        return None, (), metadata
    nanometres = {"X": across * 1e9, "Y": None if down is None else down * 1e9}
    scale, notes = make_scale(nanometres, "nm", f"{name} PixelSizeX")
    return scale, notes, metadata


_KINDS: tuple[tuple[str, Callable[[str, str, int], Found]], ...] = (
    ("$SM_MICRON_BAR", _jeol),
    ("[SemImageFile]", _hitachi),
    ("PixelSizeX", _tescan),
)
"""Words that a kind of file surely holds, and its parser."""


def _text(path: Path) -> str:
    """Return the text of a small file; empty where it cannot be read."""
    data = b""
    with suppress(OSError):
        if path.is_file() and path.stat().st_size <= _MAX_BYTES:
            data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _ini(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    said: dict[str, str] = {}
    for key, _, value in pairs:
        said.setdefault(key.strip(), value.strip())
    return said


def _named(said: Mapping[str, str], **names: str) -> dict[str, Any]:
    """Return the values under our names for them."""
    return {ours: said[theirs] for theirs, ours in names.items() if said.get(theirs)}


def _other_width(detail: str, claimed: int, width: int) -> str:
    return (
        f"{detail} belongs to an image of {claimed} columns, this one has {width}: it was cropped or resized, so the "
        "pixel size is left unknown"
    )
