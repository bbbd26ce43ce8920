"""Files that are no image, or a strange one: each with what should come of it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from cli_images import disks, three_disks
from PIL import Image as PillowImage


@dataclass(frozen=True)
class Bad:
    """A file, the words its one line of error must hold, or the number of particles of its whole result."""

    name: str
    write: Callable[[Path], None]
    says: tuple[str, ...] = ()
    n: int | None = None


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _tiff(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def bomb() -> bytes:
    """Return a PNG of a megabyte that claims 60,000 x 60,000 pixels, and has the rows for a good part of them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(60_001)
    data = b"".join(packer.compress(row * 200) for _ in range(85)) + packer.flush()
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _npy(array: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.save(path, array)


def _bytes(make: Callable[[], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(make()) and None


def _with(value: float, where: str = "corner") -> np.ndarray:
    image = three_disks().astype(np.float32)
    if where == "corner":
        image[110:, 120:] = value
    else:
        image[::17, ::13] = value
    return image


def _rgba() -> np.ndarray:
    grey = three_disks()
    return np.dstack([grey, grey, grey, np.full_like(grey, 255)])


def _complex() -> np.ndarray:
    return three_disks() * (1 + 1j)


def _one_bit() -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(three_disks() > 125).save(buffer, "PNG")
    return buffer.getvalue()


REFUSED = (
    Bad("empty.tif", _bytes(lambda: b""), ("empty",)),
    Bad("empty.png", _bytes(lambda: b""), ("empty",)),
    Bad("cut.png", _bytes(lambda: _png(three_disks())[:2000]), ()),
    Bad("cut-in-the-header.png", _bytes(lambda: _png(three_disks())[:20]), ()),
    Bad("cut.tif", _bytes(lambda: _tiff(three_disks())[:4000]), ()),
    Bad("cut-in-the-header.tif", _bytes(lambda: _tiff(three_disks())[:6]), ()),
    Bad("text.png", _bytes(lambda: b"Dear colleague, the image is attached.\n" * 20), ()),
    Bad("page.tif", _bytes(lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>"), ()),
    Bad("noise.jpg", _bytes(lambda: np.random.default_rng(0).bytes(5000)), ()),
    Bad("zero-by-zero.npy", _npy(np.zeros((0, 0), np.uint8)), ("empty",)),
    Bad("zero-rows.npy", _npy(np.zeros((0, 40))), ("empty",)),
    Bad("complex.npy", _npy(_complex()), ("complex", "abs")),
    Bad("enormous-values.npy", _npy(three_disks() * 1e30), ("2e+32", "divide")),
    Bad("five-axes.npy", _npy(np.zeros((2, 3, 4, 20, 30), np.uint8)), ()),
    Bad("one-axis.npy", _npy(np.arange(50.0)), ()),
    Bad("words.npy", _npy(np.array([["a", "b"], ["c", "d"]])), ()),
    Bad("five-axes.tif", _bytes(lambda: _tiff(np.zeros((2, 3, 4, 20, 30), np.uint8), photometric="minisblack")), ()),
    Bad("bomb.png", _bytes(bomb), ("60000",)),
)
"""No image, or none that can be measured: one line of error."""

MEASURED = (
    Bad("constant.tif", _bytes(lambda: _tiff(np.full((60, 70), 99, np.uint8))), n=0),
    Bad("one-pixel.tif", _bytes(lambda: _tiff(np.full((1, 1), 7, np.uint8))), n=0),
    Bad("one-row.tif", _bytes(lambda: _tiff(np.arange(200, dtype=np.uint8)[None]))),
    Bad("two-by-two.npy", _npy(np.array([[0, 255], [255, 0]], np.uint8))),
    Bad("all-nan.npy", _npy(np.full((60, 70), np.nan)), n=0),
    Bad("all-infinite.npy", _npy(np.full((60, 70), np.inf)), n=0),
    Bad("some-nan.npy", _npy(_with(np.nan)), n=3),
    Bad("some-infinite.npy", _npy(_with(np.inf)), n=3),
    Bad("minus-infinite.npy", _npy(_with(-np.inf)), n=3),
    Bad("huge-values.npy", _npy(three_disks() * 1e9), n=3),
    Bad("tiny-values.npy", _npy(three_disks() * 1e-12), n=3),
    Bad("negative.npy", _npy(three_disks().astype(np.int16) - 3000), n=3),
    Bad("one-bit.png", _bytes(_one_bit), n=3),
    Bad("rgba.png", _bytes(lambda: _png(_rgba())), n=3),
    Bad("wrong-suffix.png", _bytes(lambda: _tiff(three_disks())), n=3),
    Bad("no-suffix", _bytes(lambda: _png(three_disks())), n=3),
    Bad("bool.npy", _npy(three_disks() > 125), n=3),
    Bad("int64.npy", _npy(three_disks().astype(np.int64)), n=3),
    Bad("big-endian.npy", _npy(three_disks().astype(">u2")), n=3),
    Bad("half.npy", _npy(three_disks().astype(np.float16)), n=3),
    Bad("one-particle.tif", _bytes(lambda: _tiff(disks((90, 90), (45.0, 45.0, 15.0)))), n=1),
    Bad("two-particles.tif", _bytes(lambda: _tiff(disks((90, 120), (45.0, 35.0, 15.0), (45.0, 85.0, 18.0)))), n=2),
    Bad("noise-only.tif", _bytes(lambda: _tiff(disks((200, 240)))), n=0),
)
"""Strange images with a whole result; `n` particles where the truth is known."""
