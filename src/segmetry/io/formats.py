"""The kinds of file that can be read: one record each. A new kind is a reader and a row."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Protocol

from segmetry.errors import ReadError
from segmetry.io.stored import Stored

HEAD = 512
"""Bytes from the start of a file that `Format.matches` may look at."""


_HDF5 = b"\x89HDF\r\n\x1a\n"


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
        Whether the reader can leave the pixels in the file: it then takes ``mapped=True``. One that gives `Lazy` pixels
        needs no telling.
    parts : bool
        Whether files hold named images: the reader then takes ``part="/entry/data"``.
    """

    name: str
    suffixes: tuple[str, ...]
    matches: Callable[[bytes, Path], bool]
    where: str
    maps: bool = False
    parts: bool = False

    def reader(self, *, mapped: bool = False, part: str = "") -> Reader:
        """Return the reader, `mapped` where this kind can be; its libraries are imported now.

        Raises
        ------
        ReadError
            If a `part` is named, and files of this kind have none.
        """
        if part and not self.parts:
            raise ReadError(f"a {self.name} has no named parts such as {part!r}; leave out what follows '::'.")
        module, function = self.where.split(":")
        reader = getattr(import_module(f"segmetry.io.{module}"), function)
        if part:
            reader = partial(reader, part=part)
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
    return head.startswith(_HDF5) and path.suffix.lower() == ".emd"


def _is_nifti(head: bytes, path: Path) -> bool:
    if path.name.lower().endswith(".nii.gz"):
        return head[:2] == b"\x1f\x8b"
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def _is_fits(head: bytes, path: Path) -> bool:
    return _unpacked(head).startswith(b"SIMPLE  =")


def _is_mrc(head: bytes, path: Path) -> bool:
    return _unpacked(head)[208:212] == b"MAP "


def _unpacked(head: bytes) -> bytes:
    """Return the first bytes of what a gzip file holds; of any other, its own."""
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        return zlib.decompressobj(31).decompress(head, HEAD)
    except zlib.error:
        return b""


_STILL = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis", b"jp2 ", b"crx ")
"""Brands of the container of MP4 that are pictures."""


def _is_video(head: bytes, path: Path) -> bool:
    if head[4:8] == b"ftyp":
        return head[8:12] not in _STILL
    # QuickTime before brands; AVI; Matroska and WebM.
    return (
        head[4:8] in (b"moov", b"mdat", b"wide")
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or head[:4] == b"\x1a\x45\xdf\xa3"
    )


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
    Format("FITS", (".fits", ".fit", ".fts", ".fits.gz"), _is_fits, "fits:read_fits", parts=True),
    Format("DICOM", (".dcm", ".dicom", ".ima"), lambda head, path: head[128:132] == b"DICM", "dicom:read_dicom"),
    Format("MRC", (".mrc", ".mrcs", ".map", ".rec", ".st", ".ali", ".mrc.gz"), _is_mrc, "mrc:read_mrc"),
    Format("DM3", (".dm3",), _is_dm(3), "em:read_dm"),
    Format("DM4", (".dm4",), _is_dm(4), "em:read_dm"),
    Format("EMD", (".emd",), _is_emd, "em:read_emd"),
    Format("HDF5", (".h5", ".hdf5", ".hdf", ".nxs", ".nx"), _starts(_HDF5), "hdf5:read_hdf5", parts=True),
    Format("SER", (".ser",), _starts(b"II\x97\x01"), "em:read_ser"),
    Format("video", (".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm"), _is_video, "video:read_video"),
)

FOLDER = Format("folder", (), lambda head, path: path.is_dir(), "folder:read_folder")
"""A folder that is one image: numbered slices, a DICOM series, a time-of-flight run."""

_KNOWN_BUT_NOT_READ: tuple[tuple[str, Callable[[bytes, Path], bool]], ...] = (
    ("a NumPy archive of several arrays (.npz)", lambda head, path: path.suffix.lower() == ".npz"),
    ("a zip archive (or an Office document)", _starts(b"PK\x03\x04")),
    ("a PDF", _starts(b"%PDF")),
    ("a gzip archive", _starts(b"\x1f\x8b")),
    ("a WebP picture", lambda head, path: head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
    ("a Zeiss CZI file", _starts(b"ZISRAWFILE")),
    ("a JPEG 2000 picture", _starts(b"\0\0\0\x0cjP  ")),
    ("an HEIC or AVIF picture", lambda head, path: head[4:8] == b"ftyp"),
    ("an Analyze or NIfTI header without its pixels (.hdr)", lambda head, path: head[344:348] == b"ni1\0"),
    ("a MetaImage (.mha)", _starts(b"ObjectType", b"NDims")),
    ("an NRRD volume", _starts(b"NRRD000")),
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
