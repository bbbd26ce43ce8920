"""Everyday pictures: PNG, JPEG, BMP, GIF, PGM and PPM.

None of them can hold a pixel size that means anything: the resolution in a PNG or a JPEG is that of a screen or a
printer.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.axes import AxisValues
from segmetry.io.stored import Stored, check_claim, check_page, pick_plane

_SAMPLES = {"LA": 2, "PA": 2, "RGB": 3, "RGBA": 4, "RGBX": 4, "CMYK": 4, "YCbCr": 3, "LAB": 3, "HSV": 3}
_BYTES = {"I": 4, "F": 4, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}


def read_png(path: Path, page: int | None) -> Stored:
    """Return the pixels of a PNG of any depth; 16-bit colour stays 16-bit."""
    from PIL.PngImagePlugin import PngImageFile

    with path.open("rb") as file:
        head = file.read(26)
        if len(head) < 26 or head[12:16] != b"IHDR":
            raise ReadError("it is cut off within its header; copy it again from the source.")
        width, height, depth, colour = struct.unpack(">IIBB", head[16:26])
        deep_colour = depth == 16 and colour in (2, 4, 6)
        samples = {2: 3, 3: 3, 4: 2, 6: 4}.get(colour, 1)
        check_claim((height, width, samples), max(1, depth // 8), path.stat().st_size, compressed=True)
        if not deep_colour:
            return _with_pillow(PngImageFile, path, page)
    # Pillow halves the depth of colour with 16 bits.
    import imagecodecs

    pixels = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    return Stored(*pick_plane(pixels, "YXS"[: pixels.ndim], page))


def read_jpeg(path: Path, page: int | None) -> Stored:
    """Return the pixels of a JPEG."""
    from PIL.JpegImagePlugin import JpegImageFile

    stored = _with_pillow(JpegImageFile, path, page)
    note = "JPEG compression rounds grey values and rings at edges: prefer the original file"
    return Stored(stored.pixels, stored.axes, notes=(*stored.notes, note), metadata=stored.metadata)


def read_bmp(path: Path, page: int | None) -> Stored:
    """Return the pixels of a Windows bitmap."""
    from PIL.BmpImagePlugin import BmpImageFile

    return _with_pillow(BmpImageFile, path, page)


def read_pnm(path: Path, page: int | None) -> Stored:
    """Return the pixels of a PBM, PGM or PPM."""
    from PIL.PpmImagePlugin import PpmImageFile

    return _with_pillow(PpmImageFile, path, page)


def read_gif(path: Path, page: int | None) -> Stored:
    """Return the pixels of a GIF; several frames are a time series."""
    from PIL.GifImagePlugin import GifImageFile

    with path.open("rb") as file:
        head = file.read(10)
        if len(head) < 10:
            raise ReadError("it is cut off within its header; copy it again from the source.")
        width, height = struct.unpack("<HH", head[6:10])
        check_claim((height, width, 3), 1, path.stat().st_size, compressed=True)
        file.seek(0)
        picture = GifImageFile(file)
        n_frames = picture.n_frames
        if page is not None:
            check_page(page, n_frames)
        wanted = range(n_frames) if page is None else (page,)
        check_claim((len(wanted), height, width, 3), 1, path.stat().st_size, compressed=True)
        frames, starts = [], [0.0]
        for index in wanted:
            picture.seek(index)
            if picture.size != (width, height):
                raise ReadError("its frames differ in size; save one of them as PNG.")
            frames.append(np.asarray(picture.convert("RGB")))
            starts.append(starts[-1] + picture.info.get("duration", 0) / 1000)
    if len(frames) == 1:
        return Stored(frames[0], "YXS")
    times = {"T": AxisValues(tuple(starts[:-1]), "s", "time")} if starts[-1] else {}
    return Stored(np.stack(frames), "TYXS", axis_values=times)


def _with_pillow(opener: Callable[[io.BufferedReader], Any], path: Path, page: int | None) -> Stored:
    """Return the pixels of the one picture in a file.

    The class of the format is called, not ``PIL.Image.open``: that would try every format on a damaged file, and some
    of them start other programs.
    """
    with path.open("rb") as file:
        picture = opener(file)
        width, height = picture.size
        samples = _SAMPLES.get(picture.mode, 3 if picture.mode == "P" else 1)
        check_claim((height, width, samples), _BYTES.get(picture.mode, 1), path.stat().st_size, compressed=True)
        notes: list[str] = []
        metadata: dict[str, Any] = {}
        if picture.getexif().get(274, 1) != 1:
            notes.append("the file asks viewers to turn it (EXIF orientation); pixels are as stored")
        picture.load()
        numbers = np.asarray(picture) if picture.mode == "P" and page is None else None
        if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            notes.append(f"{picture.mode} colours were turned into RGB")
            picture = picture.convert("RGB")
        elif picture.mode in ("P", "PA"):
            picture = picture.convert("RGBA" if picture.mode == "PA" else "RGB")
            notes.append("the colour table was applied")
        if getattr(picture, "n_frames", 1) > 1:
            notes.append(f"only the first of {picture.n_frames} frames was read")
        pixels = np.asarray(picture)
    pixels, axes = pick_plane(pixels, "YXS"[: pixels.ndim], page)
    return Stored(pixels, axes, notes=tuple(notes), metadata=metadata, numbers=numbers)
