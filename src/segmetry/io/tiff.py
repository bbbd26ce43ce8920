"""TIFF of every kind that instruments write: the pixels. What the tags say of their size is in `tiff_tags`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.ome_axes import read_annotation
from segmetry.io.stored import Stored, check_claim, check_memory, check_page, number, pick_plane
from segmetry.io.tiff_tags import read_tags

_MINISWHITE, _RGB, _PALETTE, _SEPARATED, _YCBCR, _CIELAB = 0, 2, 3, 5, 6, 8
_JPEG = (6, 7, 34892, 33007)


def read_tiff(path: Path, page: int | None, *, mapped: bool = False) -> Stored:
    """Return the first series of images in a TIFF, or one plane of it.

    `mapped` leaves pixels in the file where they are not compressed, and unpacks others into a temporary file.

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
        if not len(tif.pages) or not tif.series:
            raise ReadError("it holds no image that can be decoded; save it again as plain TIFF.")
        size = path.stat().st_size
        series, index, picked = tif.series[0], 0, page
        notes: list[str] = []
        if page is None:
            _check_whole(tif, path)
            if len(tif.series) > 1:
                notes.append(
                    f"only the first of {len(tif.series)} images of different shape was read, {series.shape}; "
                    "page= picks any other"
                )
        else:
            counts = [_n_planes(s) for s in tif.series]
            check_page(page, sum(counts))
            index = next(k for k in range(len(counts)) if page < sum(counts[: k + 1]))
            series, picked = tif.series[index], page - sum(counts[:index])
        if picked is not None and len(series.pages) == _n_planes(series) > 1 and series.pages[picked] is not None:
            one = series.pages[picked].aspage()
            _check_segments(one, size)
            check_claim(one.shape, one.dtype.itemsize, size, compressed=one.compression != 1)
            pixels, axes, picked = one.asarray(), one.axes, None
        else:
            _check(series, size)
            if not mapped:
                check_memory(series.shape, series.dtype.itemsize)
            pixels, axes = series.asarray(out="memmap" if mapped else None), _letters(series.axes)
        if pixels.ndim != len(axes):
            raise ReadError(f"its axes {axes!r} do not fit its shape {pixels.shape}; save it again as plain TIFF.")
        stored = np.asarray(pixels)
        pixels, axes, more = _colours(stored, axes, series.keyframe, imagej=tif.is_imagej)
        numbers = stored if more and picked is None and stored.ndim == len(axes.replace("S", "")) else None
        letter, values = read_annotation(tif.ome_metadata if tif.is_ome else None)
        if letter:
            axes = axes.replace("T", letter)
        pixels, axes = pick_plane(pixels, axes, picked)
        scale, said, metadata = read_tags(tif, index, pixels.shape[axes.index("X")])
    named = {letter: values} if values else {}
    return Stored(pixels, axes, scale, (*notes, *more, *said), metadata, numbers, named)


def _letters(axes: str) -> str:
    """Return the axes of a series, each with its own letter: from ``I`` on where the file gives no name we know."""
    free = iter("IJKLMNOPQRUVW")
    return "".join(a if a in "YXSZTC" else next(free) for a in axes)


def _n_planes(series: Any) -> int:
    n_planes = math.prod(n for n, a in zip(series.shape, series.axes) if a not in "YXS")
    samples = series.shape[series.axes.index("S")] if "S" in series.axes else 1
    return n_planes if _are_colours(samples, series.keyframe) else n_planes * samples


def _are_colours(samples: int, keyframe: Any) -> bool:
    """Whether the samples of a pixel are grey, grey and alpha, RGB or RGBA; else they are channels."""
    return samples in (1, 3, 4) or (samples == 2 and bool(keyframe.extrasamples)) or keyframe.photometric == _SEPARATED


def _check_whole(tif: Any, path: Path) -> None:
    """Refuse a file whose later pages were cut off: the chain of pages leads out of it, or ImageJ counted more."""
    size = path.stat().st_size
    found = sum(_n_planes(s) for s in tif.series)
    claimed = found
    if tif.is_imagej:
        claimed = _whole((tif.imagej_metadata or {}).get("images"))
    broken = False
    with path.open("rb") as file:
        head = file.read(16)
        order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
        big = head[2:4] in (b"+\0", b"\0+")
        n_count, n_entry, n_offset = (8, 20, 8) if big else (2, 12, 4)
        offset = int.from_bytes(head[8:16] if big else head[4:8], order)
        seen: set[int] = set()
        while offset and offset not in seen:
            seen.add(offset)
            if offset + n_count > size:
                broken = True
                break
            file.seek(offset)
            count = int.from_bytes(file.read(n_count), order)
            after = offset + n_count + count * n_entry
            if after + n_offset > size:
                broken = True
                break
            file.seek(after)
            offset = int.from_bytes(file.read(n_offset), order)
    if broken or claimed > found:
        more = f"{claimed} were written" if claimed > found else "the list of pages leads beyond its end"
        raise ReadError(
            f"it is cut off: {found} {'page is' if found == 1 else 'pages are'} there, {more}; copy it again, or pick "
            "one of those with page=."
        )


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
    ends = [_whole(o) + _whole(n) for o, n in zip(one.dataoffsets, one.databytecounts)]
    if not ends:
        raise ReadError(f"page {one.index} says nothing of where its pixels are; copy the file again.")
    if max(ends) > size:
        raise ReadError(f"it is cut off: page {one.index} ends at byte {max(ends)}, the file at {size}; copy it again.")


def _whole(value: object) -> int:
    """Return a tag's value as a whole number; 0 where a damaged tag holds none."""
    size = number(value)
    return int(size) if size is not None and math.isfinite(size) else 0


def _colours(pixels: np.ndarray, axes: str, keyframe: Any, *, imagej: bool) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """Return values that grow with brightness, and colour samples (``S``) only where they are red, green, blue."""
    photometric = number(keyframe.photometric)
    jpeg = keyframe.compression in _JPEG
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
        bits = _whole(keyframe.bitspersample) or 8 * pixels.dtype.itemsize
        top = 2 ** min(bits, 8 * pixels.dtype.itemsize) - 1
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
    if not _are_colours(samples, keyframe):
        # Not colours but channels: they become a leading axis, so that page= can pick one.
        if "C" in axes:
            raise ReadError(f"it has both channels and {samples} samples per pixel; save one channel.")
        return np.moveaxis(pixels, -1, 0), "C" + axes[:-1], notes
    return pixels, axes, notes
