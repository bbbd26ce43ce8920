"""TIFF of every kind that instruments write: the pixels. What the tags say of their size is in `tiff_tags`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.stored import Stored, check_claim, check_page, pick_plane
from segmetry.io.tiff_tags import read_tags

_MINISWHITE, _RGB, _PALETTE, _SEPARATED, _YCBCR, _CIELAB = 0, 2, 3, 5, 6, 8
_JPEG = (6, 7, 34892, 33007)


def read_tiff(path: Path, page: int | None) -> Stored:
    """Return the first series of images in a TIFF, or one plane of it.

    Pages of equal shape are one stack; its axes are what OME or ImageJ metadata say, else a sequence ``I``. Values are
    as stored, except that a colour table is applied (not ImageJ's, which is for display only), white-is-zero is turned
    round, and CMYK becomes RGB.

    Raises
    ------
    ReadError
        If a page lies beyond the end of the file, is too large, or planes are in other files.
    """
    import tifffile

    with tifffile.TiffFile(path, _multifile=False) as tif:
        if not len(tif.pages):
            raise ReadError("it holds no image; copy it again from the source.")
        series_list = tif.series
        if not series_list:
            raise ReadError("it holds no image that can be decoded; save it again as plain TIFF.")
        size = path.stat().st_size
        index = 0
        series = series_list[index]
        axes = _letters(series)
        notes: list[str] = []
        if page is None:
            _check(series, size)
            pixels = series.asarray()
            if len(series_list) > 1:
                notes.append(
                    f"only the first of {len(series_list)} images of different shape was read, {series.shape}; "
                    "page= picks any other"
                )
        else:
            counts = [_n_planes(s) for s in series_list]
            check_page(page, sum(counts))
            picked = page
            while picked >= counts[index]:
                picked -= counts[index]
                index += 1
            series = series_list[index]
            axes = _letters(series)
            if len(series.pages) == _n_planes(series) > 1 and series.pages[picked] is not None:
                one = series.pages[picked]
                one = one.aspage() if hasattr(one, "aspage") else one
                _check_segments(one, size)
                check_claim(one.shape, one.dtype.itemsize, size, compressed=one.compression != 1)
                pixels, axes = one.asarray(), one.axes
            else:
                _check(series, size)
                pixels, axes = pick_plane(series.asarray(), axes, picked)
        if pixels.ndim != len(axes):
            raise ReadError(f"its axes {axes!r} do not fit its shape {pixels.shape}; save it again as plain TIFF.")
        keyframe = series.keyframe
        pixels, axes, more = _colours(np.asarray(pixels), axes, keyframe, imagej=tif.is_imagej)
        scale, said, metadata = read_tags(tif, index, pixels.shape[axes.index("X")])
    return Stored(pixels, axes, scale, (*notes, *more, *said), metadata)


def _letters(series: Any) -> str:
    """Return the axes of a series with our letters: ``I`` for a sequence that the file does not name."""
    return "".join(a if a in "YXSZTC" else _free(a, series.axes) for a in series.axes)


def _free(letter: str, axes: str) -> str:
    named = {"I": "I", "Q": "I", "L": "E", "R": "I", "H": "H", "A": "A", "P": "P", "V": "V", "M": "M"}.get(
        letter, letter
    )
    return letter if axes.count("I") + axes.count("Q") + axes.count("R") > 1 else named


def _n_planes(series: Any) -> int:
    return math.prod(n for n, a in zip(series.shape, series.axes) if a not in "YXS")


def _check(series: Any, size: int) -> None:
    """Refuse a series that is too large, cut off, or spread over several files."""
    keyframe = series.keyframe
    if keyframe.dtype is None or series.dtype is None:
        raise ReadError(f"pixels of {keyframe.bitspersample} bits are not known; save it again as 8 or 16 bit.")
    compressed = keyframe.compression != 1
    check_claim(series.shape, series.dtype.itemsize, size, compressed=compressed)
    if series.dataoffset is not None:
        end = series.dataoffset + math.prod(series.shape) * series.dtype.itemsize
        if end > size:
            raise ReadError(f"it is cut off: its pixels end at byte {end}, the file at {size}; copy it again.")
        return
    n_missing = sum(p is None for p in series.pages)
    if n_missing:
        raise ReadError(
            f"{n_missing} of its {len(series.pages)} planes lie in other files of the same OME set; "
            "read the planes of each file with page=."
        )
    for one in series.pages:
        _check_segments(one, size)


def _check_segments(one: Any, size: int) -> None:
    ends = [o + n for o, n in zip(one.dataoffsets, one.databytecounts)]
    if not ends:
        raise ReadError(f"page {one.index} says nothing of where its pixels are; copy the file again.")
    if max(ends) > size:
        raise ReadError(f"it is cut off: page {one.index} ends at byte {max(ends)}, the file at {size}; copy it again.")


def _colours(pixels: np.ndarray, axes: str, keyframe: Any, *, imagej: bool) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """Return values that grow with brightness, and colour samples (``S``) only where they are red, green, blue."""
    photometric = int(keyframe.photometric)
    jpeg = int(keyframe.compression) in _JPEG
    notes: tuple[str, ...] = ()
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8)
    if photometric == _PALETTE and keyframe.colormap is not None and "S" not in axes:
        if imagej:
            return pixels, axes, ("the colour table is for display only: values are as stored",)
        table = np.asarray(keyframe.colormap)
        if table.ndim == 2 and table.shape[0] == 3 and pixels.dtype.kind == "u" and pixels.max() < table.shape[1]:
            if table.max() > 255:
                table = table >> 8
            return table.astype(np.uint8).T[pixels], axes + "S", ("the colour table was applied",)
    if photometric == _MINISWHITE and not imagej and pixels.dtype.kind == "u":
        top = 2 ** min(int(keyframe.bitspersample), 8 * pixels.dtype.itemsize) - 1
        return top - np.minimum(pixels, top), axes, ("white is stored as 0: values were turned round",)
    if "S" not in axes:
        return pixels, axes, notes
    at = axes.index("S")
    pixels, axes = np.moveaxis(pixels, at, -1), axes.replace("S", "") + "S"
    samples = pixels.shape[-1]
    if photometric == _SEPARATED and samples >= 4 and pixels.dtype.kind == "u":
        top = np.iinfo(pixels.dtype).max
        ink, black = pixels[..., :3].astype(np.float32), pixels[..., 3:4].astype(np.float32)
        rgb = (top - ink) * (top - black) / top
        return np.rint(rgb).astype(pixels.dtype), axes, ("CMYK colours were turned into RGB",)
    if photometric == _CIELAB or (photometric == _YCBCR and not jpeg):
        return pixels[..., 0], axes[:-1], ("only the lightness of its colours was taken",)
    if samples == 2 and keyframe.extrasamples:
        return pixels, axes, notes
    if samples not in (3, 4):
        # Not colours but channels: they become a leading axis, so that page= can pick one.
        if "C" in axes:
            raise ReadError(f"it has both channels and {samples} samples per pixel; save one channel.")
        return np.moveaxis(pixels, -1, 0), "C" + axes[:-1], notes
    return pixels, axes, notes
