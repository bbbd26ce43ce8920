"""DM3, DM4, EMD and SER of transmission microscopes, through rosettasciio (the extra ``em``)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.axes import ENERGY, TIME, is_length
from segmetry.io.stored import Scale, Stored, check_claim, check_page, make_scale, number
from segmetry.units import METRES, normalise_unit


def read_dm(path: Path, page: int | None) -> Stored:
    """Return the image of a Gatan DigitalMicrograph file, version 3 or 4."""
    return _choose(path, _load("digitalmicrograph", path), page, "DigitalMicrograph calibration")


def read_emd(path: Path, page: int | None) -> Stored:
    """Return the image of an EMD file, of Velox or of the Berkeley kind."""
    return _choose(path, _load("emd", path), page, "EMD calibration")


def read_ser(path: Path, page: int | None) -> Stored:
    """Return the image of a SER file of FEI's TIA."""
    return _choose(path, _load("tia", path), page, "SER calibration")


def _load(plugin: str, path: Path) -> Sequence[Mapping[str, Any]]:
    """Return what rosettasciio finds in a file, its arrays not yet loaded. It is imported here only: it is GPL."""
    try:
        module = import_module(f"rsciio.{plugin}")
    except ImportError as error:
        missing = error.name or "rsciio"
        what = "" if missing.startswith("rsciio") else f" ({missing} is missing)"
        raise ReadError(f"this kind of file needs rosettasciio{what}: pip install segmetry[em]") from None
    try:
        return module.file_reader(str(path), lazy=True)
    except ImportError as error:
        raise ReadError(f"this kind of file needs {error.name}: pip install segmetry[em]") from None


def _choose(path: Path, found: Sequence[Mapping[str, Any]], page: int | None, detail: str) -> Stored:
    """Return the first image among what was found, or the plane that `page` counts to."""
    images = [entry for entry in found if np.ndim(entry["data"]) >= 2 and not _is_spectrum(entry)]
    if not images:
        kinds = ", ".join("x".join(map(str, np.shape(e["data"]))) for e in found) or "nothing"
        raise ReadError(f"it holds no image ({kinds}); export the image as TIFF with its scale.")
    chosen = images[0]
    notes: list[str] = []
    if page is None and len(images) > 1:
        titles = ", ".join(str(_deep(e, "metadata", "General", "title") or "untitled") for e in images)
        notes.append(f"only the first of its {len(images)} images was read ({titles}); page= picks any other")
    if page is not None:
        counts = [math.prod(np.shape(e["data"])[:-2]) for e in images]
        check_page(page, sum(counts))
        index = 0
        while page >= counts[index]:
            page -= counts[index]
            index += 1
        chosen = images[index]
    axes = _letters(chosen)
    scale, more = _scale(chosen, axes, detail)
    data = chosen["data"]
    if page is not None:
        data, axes = data[np.unravel_index(page, data.shape[:-2])], "YX"
    # EMD may be compressed; the other kinds hold what they claim.
    check_claim(data.shape, data.dtype.itemsize, path.stat().st_size, compressed=path.suffix.lower() == ".emd")
    pixels = np.asarray(data)
    if pixels.dtype.names:  # colour comes as records of R, G, B
        pixels, axes = np.stack([pixels[name] for name in pixels.dtype.names], axis=-1), axes + "S"
    return Stored(pixels, axes, scale, (*notes, *more), _metadata(chosen))


def _axes_of(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the axes of an entry in the order of its array; fewer than its dimensions where some have no record."""
    return sorted(entry.get("axes", ()), key=lambda a: a.get("index_in_array", 0))


def _unit(axis: Mapping[str, Any]) -> str:
    unit = axis.get("units")
    return unit.strip() if isinstance(unit, str) else ""


def _is_spectrum(entry: Mapping[str, Any]) -> bool:
    axes = _axes_of(entry)
    return bool(axes) and _unit(axes[-1]) in ENERGY


def _letters(entry: Mapping[str, Any]) -> str:
    """Return a letter for each axis: by its unit a time, an energy, a length, or an unnamed sequence."""
    records = _axes_of(entry)
    leading = ""
    for k in range(np.ndim(entry["data"]) - 2):
        unit = _unit(records[k]) if k < len(records) else ""
        letter = "T" if unit in TIME else "E" if unit in ENERGY else "Z" if is_length(unit) else "I"
        leading += letter if letter not in leading else "JKLMNOPQ"[k]
    return leading + "YX"


def _scale(entry: Mapping[str, Any], axes: str, detail: str) -> tuple[Scale | None, tuple[str, ...]]:
    records = _axes_of(entry)
    if len(records) != len(axes):
        return None, ()
    by_letter = dict(zip(axes, records))
    unit = _unit(by_letter["X"])
    if not unit or unit.lower().startswith("<"):
        return None, ()
    lengths: dict[str, float | None] = {}
    for letter in "ZYX":
        if letter in by_letter:
            value, own = number(by_letter[letter].get("scale")), _unit(by_letter[letter])
            if value is None or own == unit:
                lengths[letter] = value
            elif is_length(own) and is_length(unit):
                lengths[letter] = value * METRES[normalise_unit(own)] / METRES[normalise_unit(unit)]
    return make_scale({k: v and abs(v) for k, v in lengths.items()}, unit, detail)


def _metadata(entry: Mapping[str, Any]) -> dict[str, Any]:
    microscope = _deep(entry, "metadata", "Acquisition_instrument", "TEM") or {}
    general = _deep(entry, "metadata", "General") or {}
    wanted = {
        "voltage_kV": microscope.get("beam_energy"),
        "magnification": microscope.get("magnification"),
        "instrument": microscope.get("microscope"),
        "title": general.get("title"),
        "date": general.get("date"),
        "time": general.get("time"),
    }
    return {key: value for key, value in wanted.items() if isinstance(value, str | int | float) and value != ""}


def _deep(entry: Any, *keys: str) -> Any:
    for key in keys:
        entry = entry.get(key) if isinstance(entry, Mapping) else None
    return entry
