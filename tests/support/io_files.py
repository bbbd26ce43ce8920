"""Small valid files of every kind, made on the spot: what the tests read, and what the fuzzer breaks."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image as Pillow

RNG = np.random.default_rng(20)
GREY8 = RNG.integers(0, 256, (20, 28), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (20, 28), dtype=np.uint16)
FLOAT = RNG.normal(size=(20, 28)).astype(np.float32)
COLOUR8 = RNG.integers(0, 256, (20, 28, 3), dtype=np.uint8)
STACK16 = RNG.integers(0, 65536, (4, 20, 28), dtype=np.uint16)
BITS = RNG.random((20, 28)) < 0.5

FEI = (
    "[User]\r\nDate=03/12/2019\r\nTime=10:22:13 AM\r\n[System]\r\nSystemType=Helios\r\n[Beam]\r\nHV=5000\r\n"
    "Scan=EScan\r\n"
    "Beam=EBeam\r\n[EBeam]\r\nHV=5000\r\nWD=0.00412\r\n[Scan]\r\nPixelWidth=2.0345e-009\r\nPixelHeight=2.0345e-009\r\n"
    "[Detectors]\r\nName=TLD\r\n[Image]\r\nResolutionX={width}\r\n"
)
ZEISS = (
    "0\r\n0\r\n0\r\n1.0e-009\r\nDP_IMAGE_STORE\r\nStore resolution = {width} * 768\r\n"
    "AP_PIXEL_SIZE\r\nPixel Size = 1.116 nm\r\n"
    "AP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 558.2 pm\r\nAP_ACTUALKV\r\nEHT = 3.00 kV\r\nAP_WD\r\nWD = 5.6 mm\r\n"
    "DP_DETECTOR_CHANNEL\r\nSignal A = InLens\r\nAP_DATE\r\nDate :22 Jan 2026\r\n"
)
JEOL = (
    "$CM_FORMAT JEOL/SEM\n$CM_INSTRUMENT JSM-7800F\n$CM_SIGNAL SEI\n$CM_MAG 5000\n$CM_ACCEL_VOLT 15.00\n"
    "$CM_DATE 2019/03/12\n$CM_FULL_SIZE {width} 15\n$$SM_MICRON_BAR 180\n$$SM_MICRON_MARKER {marker}\n$$SM_WD 10.0\n"
)
HITACHI = (
    "[SemImageFile]\r\nInstructName=SU8230\r\nDataSize={width}x15\r\nPixelSize=9.921875\r\nSignalName=SE(U)\r\n"
    "AcceleratingVoltage=15000 Volt\r\n"
)
TESCAN = (
    "[MAIN]\r\nDevice=MIRA3\r\nPixelSizeX=4.1e-008\r\nPixelSizeY=4.2e-008\r\n[SEM]\r\nHV=15000.0\r\nDetector=SE\r\n"
)


def tiff(path: Path, pixels: np.ndarray = GREY16, **options: Any) -> Path:
    """A TIFF; without a word on colour it is grey, also a stack of three or four planes."""
    options.setdefault("photometric", "palette" if "colormap" in options else "minisblack")
    tifffile.imwrite(path, pixels, **options)
    return path


def tiff_with_text(path: Path, tag: int, text: str, pixels: np.ndarray = GREY8) -> Path:
    """A TIFF with a vendor's tag of text."""
    return tiff(path, pixels, extratags=[(tag, 2, None, text.encode("latin-1"), True)], metadata=None)


def raw_tiff(path: Path, tags: dict[int, tuple[int, Any]], pixels: np.ndarray = GREY8, order: str = "<") -> Path:
    """A TIFF put together byte by byte, so that no library's idea of a tag is between the test and the file.

    `tags` maps a number to (type, value): type 2 is text, 3 a 16-bit number, 5 a rational (numerator, denominator).
    """
    height, width = pixels.shape
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    offset = 8
    whole = {
        256: (3, width), 257: (3, height), 258: (3, pixels.itemsize * 8), 259: (3, 1), 262: (3, 1),
        273: (4, offset), 277: (3, 1), 278: (3, height), 279: (4, len(data)), **tags,
    }  # fmt: skip
    ifd_at = offset + len(data) + len(data) % 2
    extra_at = ifd_at + 2 + 12 * len(whole) + 4
    entries, extra = b"", b""
    for number in sorted(whole):
        kind, value = whole[number]
        packed = {
            2: lambda v: v.encode("latin-1") + b"\0",
            3: lambda v: struct.pack(order + "H", v),
            4: lambda v: struct.pack(order + "I", v),
            5: lambda v: struct.pack(order + "II", *v),
        }[kind](value)
        count = len(packed) if kind == 2 else 1
        if len(packed) > 4:
            field = struct.pack(order + "I", extra_at + len(extra))
            extra += packed + b"\0" * (len(packed) % 2)
        else:
            field = packed.ljust(4, b"\0")
        entries += struct.pack(order + "HHI", number, kind, count) + field
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", ifd_at)
    body = head + data + b"\0" * (len(data) % 2) + struct.pack(order + "H", len(whole)) + entries + b"\0\0\0\0" + extra
    path.write_bytes(body)
    return path


def _pillow(pixels: np.ndarray, mode: str | None = None, **options: Any) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        picture = Pillow.fromarray(pixels)
        (picture.convert(mode) if mode else picture).save(path, **options)
        return path

    return make


def _cv2(pixels: np.ndarray) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        assert cv2.imwrite(str(path), pixels)
        return path

    return make


def _gif(path: Path) -> Path:
    frames = [Pillow.fromarray(p) for p in (GREY8, GREY8[::-1], GREY8[:, ::-1])]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def _npy(pixels: np.ndarray) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        np.save(path, pixels)
        return path

    return make


def _tiff(pixels: np.ndarray = GREY16, **options: Any) -> Callable[[Path], Path]:
    return lambda path: tiff(path, pixels, **options)


FILES: dict[str, tuple[str, Callable[[Path], Path], np.ndarray | None]] = {
    "png 8": (".png", _pillow(GREY8), GREY8),
    "png 16": (".png", _pillow(GREY16), GREY16),
    "png 1": (".png", _pillow(BITS), BITS.astype(np.uint8)),
    "png rgb": (".png", _pillow(COLOUR8), None),
    "png rgb 16": (".png", _cv2(np.dstack([GREY16] * 3)), GREY16),
    "png palette": (".png", _pillow(COLOUR8, "P"), None),
    "jpeg": (".jpg", _pillow(GREY8, quality=95), None),
    "jpeg rgb": (".jpg", _pillow(COLOUR8), None),
    "bmp": (".bmp", _pillow(GREY8), GREY8),
    "bmp rgb": (".bmp", _pillow(COLOUR8), None),
    "gif": (".gif", _gif, None),
    "pgm": (".pgm", _pillow(GREY8), GREY8),
    "npy": (".npy", _npy(GREY16), GREY16),
    "npy float": (".npy", _npy(FLOAT.astype(">f8")), FLOAT.astype(np.float64)),
    "tiff 8": (".tif", _tiff(GREY8), GREY8),
    "tiff 16 big-endian": (".tif", _tiff(GREY16, byteorder=">"), GREY16),
    "tiff bigtiff": (".tif", _tiff(GREY16, bigtiff=True), GREY16),
    "tiff float": (".tif", _tiff(FLOAT), FLOAT),
    "tiff float 64": (".tif", _tiff(FLOAT.astype(np.float64)), FLOAT.astype(np.float64)),
    "tiff float 16": (".tif", _tiff(FLOAT.astype(np.float16)), FLOAT.astype(np.float16).astype(np.float32)),
    "tiff signed": (".tif", _tiff(GREY16.view(np.int16)), GREY16.view(np.int16)),
    "tiff signed 8": (".tif", _tiff(GREY8.view(np.int8)), GREY8.view(np.int8)),
    "tiff 32": (".tif", _tiff(GREY16.astype(np.uint32) * 65537), GREY16.astype(np.uint32) * 65537),
    "tiff 1": (".tif", _tiff(BITS, photometric="minisblack"), BITS.astype(np.uint8)),
    "tiff lzw predictor": (".tif", _tiff(GREY16, compression="lzw", predictor=True), GREY16),
    "tiff deflate": (".tif", _tiff(GREY16, compression="zlib"), GREY16),
    "tiff packbits": (".tif", _tiff(GREY8, compression="packbits"), GREY8),
    "tiff zstd": (".tif", _tiff(GREY16, compression="zstd"), GREY16),
    "tiff strips": (".tif", _tiff(GREY16, rowsperstrip=3), GREY16),
    "tiff tiles": (".tif", _tiff(GREY16, tile=(16, 16)), GREY16),
    "tiff jpeg": (".tif", _tiff(GREY8, compression="jpeg"), None),
    "tiff stack": (".tif", _tiff(STACK16), STACK16),
    "tiff stack deflate": (".tif", _tiff(STACK16, compression="zlib"), STACK16),
    "tiff rgb": (".tif", _tiff(COLOUR8, photometric="rgb"), None),
    "tiff rgb planar": (
        ".tif",
        _tiff(np.moveaxis(COLOUR8, -1, 0).copy(), photometric="rgb", planarconfig="separate"),
        None,
    ),
    "tiff imagej": (".tif", _tiff(GREY16, imagej=True, resolution=(20, 20), metadata={"unit": "nm"}), GREY16),
    "tiff imagej stack": (".tif", _tiff(STACK16, imagej=True, metadata={"axes": "ZYX", "unit": "nm"}), STACK16),
    "tiff ome": (
        ".tif",
        _tiff(STACK16, ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "nm"}),
        STACK16,
    ),
    "tiff fei": (".tif", lambda p: tiff_with_text(p, 34682, FEI.format(width=28)), GREY8),
    "tiff zeiss": (".tif", lambda p: tiff_with_text(p, 34118, ZEISS.format(width=28)), GREY8),
}
"""Name -> (suffix, function that writes the file, what must be read exactly, or None where colours are mixed)."""


def make(name: str, folder: Path) -> Path:
    """Write one of `FILES` and return its path."""
    suffix, write, _ = FILES[name]
    return write(folder / f"{name.replace(' ', '_')}{suffix}")
