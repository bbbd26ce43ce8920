"""The kinds of file that can be read: one record each. A new kind is a reader and a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Protocol

from segmetry.io.stored import Stored

HEAD = 512
"""Bytes from the start of a file that `Format.matches` may look at."""


class Reader(Protocol):
    """Reads one kind of file; `page` picks one plane, None takes all."""

    def __call__(self, path: Path, page: int | None) -> Stored: ...


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Parameters
    ----------
    name : str
        As people call it.
    suffixes : tuple of str
        Usual endings, lower case with the dot. Only used to notice a wrong name, or where `matches` cannot tell.
    matches : callable
        Whether the first bytes, and the path where bytes are not enough, are of this kind.
    where : str
        ``"module:function"`` of the reader in this package, imported on first use.
    maps : bool
        Whether the reader can leave the pixels in the file: it then takes ``mapped=True``.
    """

    name: str
    suffixes: tuple[str, ...]
    matches: Callable[[bytes, Path], bool]
    where: str
    maps: bool = False

    def reader(self, *, mapped: bool = False) -> Reader:
        """Return the reader, `mapped` where this kind can be; its libraries are imported now."""
        module, function = self.where.split(":")
        reader = getattr(import_module(f"segmetry.io.{module}"), function)
        return partial(reader, mapped=True) if mapped and self.maps else reader


def _starts(*magic: bytes) -> Callable[[bytes, Path], bool]:
    return lambda head, path: head.startswith(magic)


def _is_pnm(head: bytes, path: Path) -> bool:
    return len(head) > 2 and head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b" \t\r\n#"


def _is_bmp(head: bytes, path: Path) -> bool:
    # "BM" alone also starts many words; the four reserved bytes are 0, and the header says its own size.
    return head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)


def _is_dm(version: int) -> Callable[[bytes, Path], bool]:
    # A big-endian version, the length, then 1 (little-endian data) or 0.
    flag_at = 8 if version == 3 else 12

    def matches(head: bytes, path: Path) -> bool:
        return head[:4] == bytes((0, 0, 0, version)) and head[flag_at : flag_at + 4] in (b"\0\0\0\0", b"\0\0\0\1")

    return matches


def _is_emd(head: bytes, path: Path) -> bool:
    return head.startswith(b"\x89HDF\r\n\x1a\n") and path.suffix.lower() == ".emd"


def _is_nifti(head: bytes, path: Path) -> bool:
    if path.name.lower().endswith(".nii.gz"):
        return head[:2] == b"\x1f\x8b"
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


FORMATS: tuple[Format, ...] = (
    Format("PNG", (".png",), _starts(b"\x89PNG\r\n\x1a\n"), "raster:read_png"),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), _starts(b"\xff\xd8\xff"), "raster:read_jpeg"),
    Format(
        "TIFF",
        (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk", ".svs", ".ndpi", ".qptiff"),
        _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        "tiff:read_tiff",
        maps=True,
    ),
    Format("BMP", (".bmp", ".dib"), _is_bmp, "raster:read_bmp"),
    Format("GIF", (".gif",), _starts(b"GIF87a", b"GIF89a"), "raster:read_gif"),
    Format("PGM/PPM", (".pgm", ".ppm", ".pbm", ".pnm"), _is_pnm, "raster:read_pnm"),
    Format("NumPy", (".npy",), _starts(b"\x93NUMPY"), "npy:read_npy", maps=True),
    Format("NIfTI", (".nii", ".nii.gz"), _is_nifti, "nifti:read_nifti"),
    Format("DM3", (".dm3",), _is_dm(3), "em:read_dm"),
    Format("DM4", (".dm4",), _is_dm(4), "em:read_dm"),
    Format("EMD", (".emd",), _is_emd, "em:read_emd"),
    Format("SER", (".ser",), _starts(b"II\x97\x01"), "em:read_ser"),
)

_KNOWN_BUT_NOT_READ: tuple[tuple[str, Callable[[bytes, Path], bool]], ...] = (
    ("an HDF5 file", _starts(b"\x89HDF\r\n\x1a\n")),
    ("a FITS file", _starts(b"SIMPLE  =")),
    ("a zip archive (or an Office document)", _starts(b"PK\x03\x04")),
    ("a PDF", _starts(b"%PDF")),
    ("a gzip archive", _starts(b"\x1f\x8b")),
    ("a WebP picture", lambda head, path: head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
    ("a DICOM file", lambda head, path: head[128:132] == b"DICM"),
    ("a Zeiss CZI file", _starts(b"ZISRAWFILE")),
    ("a JPEG 2000 picture", _starts(b"\0\0\0\x0cjP  ")),
    ("an HEIC picture", lambda head, path: head[4:8] == b"ftyp"),
)


def find_format(head: bytes, path: Path) -> Format | None:
    """Return the format of a file by its content, None where none matches."""
    return next((f for f in FORMATS if f.matches(head, path)), None)


def what_is_it(head: bytes, path: Path) -> str:
    """Return, in words, what a file that cannot be read seems to be."""
    for name, matches in _KNOWN_BUT_NOT_READ:
        if matches(head, path):
            return f"is {name}"
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        text = head[: error.start].decode("utf-8") if error.start > len(head) - 4 else ""
    if text and all(c.isprintable() or c in "\t\r\n\f" for c in text):
        return "is a text file, not an image"
    return "is of no known kind"


def readable() -> str:
    """Return the names of all formats, for messages and help."""
    return ", ".join(f.name for f in FORMATS)


_COMPOUND = (".nii.gz", ".ome.tiff", ".ome.tif", ".ome.btf", ".fits.gz", ".mrc.gz", ".tar.gz")


def stem_of(name: str) -> str:
    """Return a file name without its whole suffix.

    Examples
    --------
    >>> stem_of("scan.nii.gz"), stem_of("a.b.tif"), stem_of("cells.ome.tif"), stem_of(".hidden")
    ('scan', 'a.b', 'cells', '.hidden')
    """
    for suffix in _COMPOUND:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return Path(name).stem
