"""FITS of astronomy, neutron and X-ray beamlines, through astropy (the extra ``formats``).

Axes, units and scaling follow the FITS standard (Pence et al. 2010, 10.1051/0004-6361/201015362): NAXIS1 is columns,
``BZERO + BSCALE * stored`` is the value, BLANK marks pixels without one. A CDELT is taken as a pixel size where its
CUNIT is a length. The first row of the file is the first row of the image; programs for stars draw it at the bottom.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.axes import AxisValues, distinct, is_length, letter_of
from segmetry.io.stored import Lazy, Scale, Stored, check_claim, library, make_scale, number
from segmetry.units import convert, normalise_unit

_FACTS = {
    "TOF": "time_of_flight_s",
    "TIMEBIN": "time_bin_s",
    "N_COUNTS": "counts",
    "N_TRIGS": "triggers",
    "EXPTIME": "exposure_s",
    "DATE-OBS": "date",
    "INSTRUME": "instrument",
    "DETECTOR": "detector",
    "OBJECT": "sample",
    "BUNIT": "value_unit",
}
_SKY = ("RA", "DEC", "GLON", "GLAT", "ELON", "ELAT")


def read_fits(path: Path, page: int | None, *, part: str = "") -> Stored:
    """Return the first image in a FITS file, or the HDU that `part` names by number or EXTNAME.

    Raises
    ------
    ReadError
        If astropy is missing, there is no such image, it has one axis only, or the file is cut off.
    """
    fits = library("astropy.io.fits", "astropy")
    file = path.open("rb")
    try:
        return _choose(path, fits.open(file, mode="readonly", lazy_load_hdus=True), file.close, part)
    except BaseException:
        file.close()
        raise


def _choose(path: Path, hdus: Any, close: Callable[[], None], part: str) -> Stored:
    images = [(k, hdu) for k, hdu in enumerate(hdus) if hdu.is_image and hdu.shape]
    names = ", ".join(f"{k} ({hdu.name or 'no name'}, {' x '.join(map(str, hdu.shape))})" for k, hdu in images)
    if not images:
        raise ReadError("it holds no image, only headers or tables; name a file with an image.")
    wanted = part.strip("/").casefold()
    chosen = [hdu for k, hdu in images if not part or wanted in (str(k), hdu.name.casefold())]
    if not chosen:
        raise ReadError(f"it has no image called {part!r}; its images are {names}.")
    hdu, header = chosen[0], chosen[0].header
    notes = () if part or len(images) == 1 else (f"only the first of its images was read: {names}; FILE::NUMBER picks",)
    shape = tuple(int(n) for n in hdu.shape)
    if len(shape) < 2:
        raise ReadError(f"its image has one axis of {shape[0]} values; an image needs rows and columns.")
    size = path.stat().st_size
    compressed = path.suffix.lower() == ".gz" or not hasattr(hdu, "_data_offset") or "ZCMPTYPE" in header
    tiled = type(hdu).__name__ == "CompImageHDU"
    check_claim(shape[-2:], abs(int(header["BITPIX"])) // 8, size, compressed=compressed or tiled)
    offset = 0 if tiled else int(hdu.fileinfo()["datLoc"])
    if not compressed and not tiled:
        end = offset + math.prod(shape) * abs(int(header["BITPIX"])) // 8
        if end > size:
            raise ReadError(f"it is cut off: its pixels end at byte {end}, the file at {size}; copy it again.")
    section = hdu.section
    leading = shape[:-2]
    dtype = np.asarray(section[(*([0] * (len(shape) - 1)), slice(0, 1))]).dtype.newbyteorder("=")
    raw = not compressed and not tiled and not {"BSCALE", "BZERO", "BLANK"} & set(header)

    def plane(k: int) -> np.ndarray:
        return np.asarray(section[(*(int(i) for i in np.unravel_index(k, leading)), slice(None), slice(None))])

    def mapped() -> np.ndarray:
        code = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}[int(header["BITPIX"])]
        return np.memmap(path, code, "r", offset, shape)

    lazy = Lazy(shape, dtype, plane, size, compressed or tiled, mapped=mapped if raw else None, close=close)
    axes, scale, more, values = _axes(header, shape)
    metadata = {name: header[key] for key, name in _FACTS.items() if isinstance(header.get(key), str | int | float)}
    return Stored(lazy, axes, scale, (*notes, *more), metadata, axis_values=values)


def _axes(header: Any, shape: tuple[int, ...]) -> tuple[str, Scale | None, tuple[str, ...], dict[str, AxisValues]]:
    """Return the letters of the axes, pixel lengths, notes, and what the steps of the other axes mean."""
    n_axes = len(shape)
    letters, steps = "", {}
    for n in range(n_axes, 0, -1):
        kind = str(header.get(f"CTYPE{n}", "")).split("-")[0].strip()
        unit = str(header.get(f"CUNIT{n}", "")).strip()
        letter = "X" if n == 1 else "Y" if n == 2 else letter_of(kind, unit)
        letters = distinct(letters + letter)
        step = number(header.get(f"CDELT{n}", header.get(f"CD{n}_{n}")))
        steps[letters[-1]] = (n, kind, unit, step)
    lengths: dict[str, float | None] = {}
    unit = normalise_unit(steps["X"][2]) if is_length(steps["X"][2]) and steps["X"][1] not in _SKY else ""
    for letter in "XYZ":
        n, kind, own, step = steps.get(letter, (0, "", "", None))
        if unit and step and is_length(own):
            lengths[letter] = convert(abs(step), normalise_unit(own), unit)
    scale, notes = make_scale(lengths, unit, "FITS CDELT and CUNIT") if lengths else (None, ())
    values = {}
    for letter in "TE":
        if letter in steps and steps[letter][3]:
            n, kind, own, step = steps[letter]
            start, at = number(header.get(f"CRVAL{n}", 0.0)), number(header.get(f"CRPIX{n}", 1.0))
            if start is not None and at is not None and step is not None:
                found = start + (np.arange(1, shape[n_axes - n] + 1) - at) * step
                name = {"TOF": "time of flight", "TIME": "time"}.get(kind.upper(), kind.lower() or "steps")
                values[letter] = AxisValues(tuple(found.tolist()), own, name)
    return letters, scale, notes, values
