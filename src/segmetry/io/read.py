"""The one door for images: any file in, an `Image` out."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import stat
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from segmetry.errors import CalibrationError, ImageError, ReadError, SegmetryError, ShapeMismatchError
from segmetry.io.formats import FORMATS, HEAD, Format, find_format, readable, stem_of, what_is_it
from segmetry.io.quiet import quiet
from segmetry.io.sidecar import read_sidecar
from segmetry.io.stored import Scale, Stored
from segmetry.types import SPATIAL_AXES, Calibration, Image, Source

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue: ITU-R BT.601."""


def read(
    path: str | os.PathLike[str], *, page: int | None = None, pixel_size: str | Calibration | None = None
) -> Image:
    """Return the image in a file: grey values as stored, with axes, pixel size and notes.

    The content decides what the file is, not its name. Colour becomes luminance, an alpha channel is dropped, and
    `Image.notes` says so. Values are never rescaled. A pixel size that the file does not give stays unknown.

    Parameters
    ----------
    path : path
        PNG, JPEG, BMP, GIF, PGM/PPM, TIFF (plain, OME, ImageJ, FEI, Zeiss...), ``.npy``; with the extra ``formats``
        also NIfTI, with ``em`` also DM3, DM4, EMD and SER. A text file of the same name, as JEOL, Hitachi and TESCAN
        microscopes write it beside the image, is read for the pixel size.
    page : int, optional
        Take one plane of a stack, counted from 0 in the order of the file. By default pages of equal shape are read
        together, as a volume (``"ZYX"``) or a time series (``"TYX"``).
    pixel_size : str or Calibration, optional
        What you know better than the file: ``"0.52 nm"``, or per axis in array order ``"2 x 0.5 x 0.5 nm"``.

    Returns
    -------
    image : Image
        ``axes`` is ``"YX"``, or ``"ZYX"``, ``"TYX"``, ``"EYX"`` for a stack. `pixels` is an integer or float array in
        the byte order of this machine.

    Raises
    ------
    ReadError
        If the file is missing, damaged, empty, too large, of an unknown kind, or holds more than three axes. One line.
    CalibrationError
        If `pixel_size` is not a length, or does not fit the number of axes.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.npy"
    >>> np.save(path, np.eye(3, dtype=np.uint16))
    >>> image = read(path, pixel_size="0.5 nm")
    >>> image.axes, image.shape, image.calibration.spacing, image.calibration.unit
    ('YX', (3, 3), (0.5, 0.5), 'nm')
    """
    path = Path(path)
    return decode(path, page, lambda kind, stored: _image(_source(path, page), kind, stored, pixel_size))


def read_channels(path: str | os.PathLike[str], *, mapped: bool = False) -> tuple[Image, ...]:
    """Return an image of each channel in a file, as `read` does; one where the file names no channels.

    Parameters
    ----------
    path : path
    mapped : bool
        Leave the pixels of TIFF and ``.npy`` on the disk (in a temporary file where a TIFF is compressed) and in the
        byte order of the file: for what is larger than memory.

    Raises
    ------
    ReadError
        As `read` does.
    """
    path = Path(path)

    def images(kind: Format, stored: Stored) -> tuple[Image, ...]:
        source = _source(path, None)
        return tuple(_image(source, kind, one, None, mapped=mapped) for one in _channels(stored))

    return decode(path, None, images, mapped=mapped)


class Channels(tuple[np.ndarray, ...]):
    """Channels (C, ...) that stay in their files: an array of them all would read them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that they would be."""
        return (len(self), *self[0].shape)

    @property
    def dtype(self) -> np.dtype:
        """Type of the array that they would be."""
        return np.result_type(*self)


def read_together(paths: Sequence[str | os.PathLike[str]], *, mapped: Container[Path] = ()) -> Image:
    """Return the image whose channels are in some files: in their order, all channels of each.

    Parameters
    ----------
    paths : sequence of path
    mapped : container of Path
        Files whose pixels stay on the disk, see `read_channels`; if there are any, `Image.channels` are `Channels`.

    Returns
    -------
    image : Image
        The first channel, with all of them as `Image.channels`. The pixel size is that of the first channel that has
        one, and the hash of the source that of all files.

    Raises
    ------
    ReadError
        As `read` does.
    ShapeMismatchError
        If the channels differ in shape.
    """
    files = [Path(path) for path in paths]
    channels = [image for path in files for image in read_channels(path, mapped=path in mapped)]
    first = channels[0]
    for image in channels:
        if image.shape != first.shape:
            raise ShapeMismatchError(
                f"{_path(image)}: this channel is {_by(image.shape)}, that of {_path(first)} {_by(first.shape)}; "
                "all channels of an image have one shape."
            )
    arrays = [image.pixels for image in channels]
    stack = Channels(arrays) if any(path in mapped for path in files) else np.stack(arrays)
    hashes = {_path(image): image.source.sha256 for image in channels if image.source}
    return first.replace(
        pixels=stack[0],
        channels=stack,
        calibration=next((i.calibration for i in channels if i.calibration.known), first.calibration),
        source=first.source and dataclasses.replace(first.source, sha256=joint_hash(list(hashes.values()))),
        notes=tuple(dict.fromkeys(note for image in channels for note in image.notes)),
    )


def joint_hash(hashes: Sequence[str]) -> str:
    """Return the SHA-256 that stands for several files: of one its own, else that of theirs in their order."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _path(image: Image) -> Path | None:
    return image.source.path if image.source else None


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _channels(stored: Stored) -> list[Stored]:
    at = stored.axes.find("C")
    if at < 0:
        return [stored]
    return [
        dataclasses.replace(stored, pixels=pixels, axes=stored.axes.replace("C", ""))
        for pixels in np.moveaxis(stored.pixels, at, 0)
    ]


T = TypeVar("T")


def decode(path: Path, page: int | None, use: Callable[[Format, Stored], T], *, mapped: bool = False) -> T:
    """Return what `use` makes of a file's content; whatever goes wrong is one line that names the file.

    With `mapped`, pixels stay in the file where its kind can do that.

    Raises
    ------
    ReadError, CalibrationError
        As `read` does.
    """
    head = _head(path)
    kind = find_format(head, path)
    if kind is None:
        raise ReadError(f"{path}: {what_is_it(head, path)}; segmetry reads {readable()}.")
    try:
        with quiet():
            return use(kind, kind.reader(mapped=mapped)(path, page))
    except CalibrationError:
        raise
    except SegmetryError as error:
        raise ReadError(f"{path}: {error}") from None
    except MemoryError:
        raise ReadError(f"{path}: it does not fit into memory; crop it, or pick one page with page=.") from None
    except Exception as error:  # decoders raise anything on a damaged file
        why = " ".join(str(error).split())[:160] or type(error).__name__
        raise ReadError(f"{path}: cannot be decoded as {kind.name} ({why}); it is damaged: copy it again.") from error


def _head(path: Path) -> bytes:
    """Return the first bytes of a regular file that can be read."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ReadError(f"{path}: is a folder; name a file in it.")
        if not stat.S_ISREG(mode):
            raise ReadError(f"{path}: is a device or a pipe, not a file; save the image to a file first.")
        with path.open("rb") as file:
            head = file.read(HEAD)
    except ReadError:
        raise
    except FileNotFoundError:
        if path.is_symlink():
            raise ReadError(f"{path}: is a link to a file that does not exist: {path.readlink()}.") from None
        raise ReadError(f"{path}: there is no such file{_near(path)}.") from None
    except PermissionError:
        raise ReadError(f"{path}: reading is not permitted; change its permissions.") from None
    except (OSError, ValueError) as error:
        raise ReadError(f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error}).") from None
    if not head:
        raise ReadError(f"{path}: is empty (0 bytes); copy it again from the source.")
    return head


def _near(path: Path) -> str:
    """Return a hint at a file in the same folder with a name much like it."""
    import difflib

    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"; the folder {path.parent} does not exist either" if not path.parent.exists() else ""
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else "; check the name"


def _source(path: Path, page: int | None) -> Source:
    with path.open("rb") as file:
        return Source(path, hashlib.file_digest(file, "sha256").hexdigest(), page or 0)


def _image(
    source: Source, kind: Format, stored: Stored, pixel_size: str | Calibration | None, *, mapped: bool = False
) -> Image:
    path, notes = source.path, list(stored.notes)
    own = next((f for f in FORMATS if path.suffix.lower() in f.suffixes), None)
    if own is not None and own is not kind:
        notes.insert(0, f"the name ends in {path.suffix}, but the content is {kind.name}")
    pixels, axes, more = _grey(plain_numbers(stored.pixels, native=not mapped), stored.axes)
    notes += more
    pixels, axes, more = three_axes(pixels, axes)
    notes += more
    notes += _odd_values(pixels)
    metadata = {"format": kind.name, **stored.metadata}
    scale = stored.scale
    if scale is None:
        scale, more, said = read_sidecar(path, pixels.shape[-1])
        notes += more
        metadata |= said
    calibration, more = file_calibration(scale, axes, pixel_size)
    notes += more
    return Image(
        pixels if mapped else np.ascontiguousarray(pixels),
        axes,
        calibration,
        name=stem_of(path.name).encode("utf-8", "backslashreplace").decode(),  # no bytes that are no text in tables
        source=source,
        notes=tuple(dict.fromkeys(notes)),
        metadata=metadata,
    )


def plain_numbers(pixels: np.ndarray, *, native: bool = True) -> np.ndarray:
    """Return real numbers in a dtype that every library knows; `native` ones in the byte order of this machine."""
    if pixels.dtype.kind == "c":
        raise ImageError("its pixels are complex; save the modulus (np.abs) or the phase instead.")
    if pixels.dtype.kind not in "biuf":
        raise ImageError(f"its pixels are {pixels.dtype}, not plain numbers; save one array of numbers.")
    if pixels.dtype == bool:
        return pixels.astype(np.uint8)
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize not in (4, 8):
        return pixels.astype(np.float32 if pixels.dtype.itemsize < 4 else np.float64)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False) if native else pixels


def _grey(pixels: np.ndarray, axes: str) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """Return one number per pixel: samples ``S`` are grey, grey and alpha, RGB or RGBA."""
    if "S" not in axes:
        return pixels, axes, ()
    pixels, axes = np.moveaxis(pixels, axes.index("S"), -1), axes.replace("S", "")
    samples = pixels.shape[-1]
    notes: list[str] = []
    if samples in (2, 4):
        alpha, pixels = pixels[..., -1], pixels[..., :-1]
        top = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1.0
        share = float(np.mean(alpha < top))
        clear = f"; {max(share, 0.001):.1%} of the pixels were not opaque" if share else ""
        notes.append(f"the alpha channel was dropped{clear}")
    if samples < 3:
        return pixels[..., 0], axes, tuple(notes)
    red, green, blue = (pixels[..., k] for k in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red, axes, tuple(notes)
    notes.append("colour was turned into luminance (0.299 R + 0.587 G + 0.114 B)")
    luminance = np.zeros(red.shape, np.float32 if red.dtype.itemsize < 4 else np.float64)
    for weight, sample in zip(_LUMA, (red, green, blue)):
        luminance += luminance.dtype.type(weight) * sample
    if red.dtype.kind in "iu":
        luminance = np.rint(luminance)
    return luminance.astype(red.dtype), axes, tuple(notes)


def three_axes(pixels: np.ndarray, axes: str) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """Return ``YX``, or a stack with one leading axis; axes of length 1 go."""
    keep = [k for k, a in enumerate(axes) if a in "YX" or pixels.shape[k] > 1]
    pixels, axes = pixels.reshape([pixels.shape[k] for k in keep]), "".join(axes[k] for k in keep)
    leading = [k for k, a in enumerate(axes) if a not in "YX"]
    order = [*leading, axes.index("Y"), axes.index("X")]
    pixels, axes = pixels.transpose(order), "".join(axes[k] for k in order)
    if len(axes) == 2:
        return pixels, axes, ()
    n_pages = int(np.prod(pixels.shape[:-2]))
    if len(axes) > 3 or axes[0] == "C":
        what = "channels" if len(axes) == 3 else "more than three axes"
        raise ReadError(
            f"it has {what} ({axes}, shape {pixels.shape}); pick one of its {n_pages} planes with page=0 to "
            f"page={n_pages - 1}."
        )
    if axes[0] in "ZTE":
        return pixels, axes, ()
    note = f"its {n_pages} pages are taken as the planes of a volume: the file does not say; page= picks one"
    return pixels, "ZYX", (note,)


def _odd_values(pixels: np.ndarray) -> list[str]:
    """Return notes on values that are not finite, and on an image without contrast."""
    notes = []
    if pixels.dtype.kind == "f":
        parts = np.array_split(pixels, math.ceil(pixels.nbytes / 2**26) or 1)  # it may be larger than memory
        n_nan, n_inf = (sum(int(np.count_nonzero(odd(part))) for part in parts) for odd in (np.isnan, np.isinf))
        for count, name in ((n_nan, "not a number"), (n_inf, "infinite")):
            if count:
                share = "all pixels are" if count == pixels.size else f"{count} of {pixels.size} pixels are"
                notes.append(f"{share} {name}")
        if n_nan + n_inf:
            return notes
    if pixels.size > 1 and pixels.min() == pixels.max():
        notes.append(f"every pixel has the same value, {pixels.flat[0]}")
    return notes


def file_calibration(
    scale: Scale | None, axes: str, pixel_size: str | Calibration | None
) -> tuple[Calibration, tuple[str, ...]]:
    """Return the pixel size: the user's, else the file's, else unknown."""
    spatial = [a for a in axes if a in SPATIAL_AXES]
    if isinstance(pixel_size, Calibration):
        if len(pixel_size.spacing) != len(spatial):
            raise CalibrationError(f"{len(pixel_size.spacing)} pixel lengths are given for the axes {axes!r}.")
        return pixel_size, ()
    if pixel_size is not None:
        return Calibration.from_text(str(pixel_size), len(spatial)), ()
    if scale is None:
        return Calibration.unknown(len(spatial)), ()
    missing = [a for a in spatial if a not in scale.lengths]
    if missing:
        known = scale.lengths["X"]
        note = (
            f"a pixel is {known:g} {scale.unit} in the plane ({scale.detail}), but the file does not give the distance "
            'of the planes: left unknown; give pixel_size="Z x Y x X unit", or page= for one plane'
        )
        return Calibration.unknown(len(spatial)), (note,)
    spacing = tuple(scale.lengths[a] for a in spatial)
    return Calibration(spacing, scale.unit, scale.rel_uncertainty, "metadata", scale.detail), ()
