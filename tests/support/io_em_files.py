"""Small files of transmission microscopes, put together by hand where no library writes them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def ser(path: Path, pixels: np.ndarray, metres: float) -> Path:
    """A SER file of one image, after the description of the format by Boothroyd: little-endian, version 0x0220."""
    height, width = pixels.shape
    head = struct.pack("<HHH", 0x4949, 0x0197, 0x0220) + struct.pack("<IIII", 0x4122, 0x4152, 1, 1)
    dimension = struct.pack("<IddII", 1, 0.0, 1.0, 0, 6) + b"Number" + struct.pack("<I", 0)
    table_at = len(head) + 8 + 4 + len(dimension)
    data_at = table_at + 16
    element = struct.pack("<ddIddIHII", -1e-9, metres, 0, -1e-9, metres, 0, 2, width, height)
    element += pixels[::-1].astype("<u2").tobytes()
    tag_at = data_at + len(element)
    data = head + struct.pack("<Q", table_at) + struct.pack("<I", 1) + dimension
    data += struct.pack("<QQ", data_at, tag_at) + element + struct.pack("<HHI", 0x4152, 0, 1767225600)
    path.write_bytes(data)
    return path


def dm_head(path: Path, version: int = 3) -> Path:
    """The first bytes of a DigitalMicrograph file, and zeros."""
    length = struct.pack(">I", 100) if version == 3 else struct.pack(">Q", 100)
    path.write_bytes(struct.pack(">I", version) + length + struct.pack(">I", 1) + bytes(100))
    return path


def dm(path: Path, pixels: np.ndarray, lengths: Sequence[float], unit: str, version: int = 3) -> Path:
    """A DigitalMicrograph file of one float image: a tree of tags, names and counts big-endian, values little-endian.

    The numbers of the types are those of the published descriptions of the format: 5 is a 32-bit number, 6 a float, 20
    an array (of 4, 16-bit characters, for text). Axes go from x to y.
    """
    word = ">I" if version == 3 else ">Q"

    def entry(kind: int, name: str, body: bytes) -> bytes:
        size = b"" if version == 3 else struct.pack(">Q", len(body))
        return struct.pack(">BH", kind, len(name)) + name.encode("latin-1") + size + body

    def group(name: str, *entries: bytes) -> bytes:
        return entry(20, name, struct.pack(">BB", 1, 0) + struct.pack(word, len(entries)) + b"".join(entries))

    def value(name: str, described: Sequence[int], data: bytes) -> bytes:
        info = struct.pack(word, len(described)) + b"".join(struct.pack(word, d) for d in described)
        return entry(21, name, b"%%%%" + info + data)

    def number(name: str, n: int) -> bytes:
        return value(name, [5], struct.pack("<I", n))

    def real(name: str, x: float) -> bytes:
        return value(name, [6], struct.pack("<f", x))

    def text(name: str, words: str) -> bytes:
        return value(name, [20, 4, len(words)], words.encode("utf-16-le"))

    axes = [group("", real("Origin", 0), real("Scale", s), text("Units", unit)) for s in reversed(lengths)]
    height, width = pixels.shape
    image = group(
        "ImageData",
        group("Calibrations", group("Brightness", real("Origin", 0), real("Scale", 1), text("Units", "")),
              group("Dimension", *axes)),
        value("Data", [20, 6, pixels.size], pixels.astype("<f4").tobytes()),
        number("DataType", 2),
        group("Dimensions", number("", width), number("", height)),
        number("PixelDepth", 4),
    )  # fmt: skip
    entries = [group("ImageList", group("", image, group("ImageTags"), text("Name", "by hand")))]
    root = struct.pack(">BB", 1, 0) + struct.pack(word, len(entries)) + b"".join(entries)
    length = struct.pack(word, len(root))
    path.write_bytes(struct.pack(">I", version) + length + struct.pack(">I", 1) + root + bytes(8))
    return path


def emd(path: Path, pixels: np.ndarray, lengths: Sequence[float], unit: str) -> Path:
    """An EMD file of the Berkeley kind, written by rosettasciio."""
    from rsciio.emd import file_writer

    axes = [
        {"name": n, "size": s, "scale": d, "units": unit, "offset": 0, "index_in_array": k, "navigate": False}
        for k, (n, s, d) in enumerate(zip("yx", pixels.shape, lengths))
    ]
    signal = {"data": pixels, "axes": axes, "metadata": {"General": {"title": "image"}, "Signal": {}}}
    signal |= {"original_metadata": {}, "learning_results": {}, "attributes": {}, "models": {}}
    file_writer(str(path), signal)
    return path
