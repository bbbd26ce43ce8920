"""The one door for images: any file in, an `Image` out."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import stat
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

from segmetry.errors import CalibrationError, ImageError, ReadError, SegmetryError, ShapeMismatchError
from segmetry.io.axes import KEY, AxisValues, distinct, renamed
from segmetry.io.formats import FOLDER, FORMATS, HEAD, Format, find_format, readable, stem_of, what_is_it
from segmetry.io.places import Place, find_place
from segmetry.io.quiet import quiet
from segmetry.io.sidecar import read_sidecar
from segmetry.io.stored import Lazy, Scale, Stored, check_claim, check_page
from segmetry.types import SPATIAL_AXES, Calibration, Image, Source

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue: ITU-R BT.601."""


def read(
    path: str | os.PathLike[str],
    *,
    page: int | None = None,
    pixel_size: str | Calibration | None = None,
    axes: str = "",
    mapped: bool = False,
) -> Image:
    """Return the image in a file or folder: grey values as stored, with axes, pixel size and notes.

    The content decides what the file is, not its name. Colour becomes luminance, an alpha channel is dropped, and
    `Image.notes` says so. Values are never rescaled. A pixel size that the file does not give stays unknown.

    Parameters
    ----------
    path : path
        PNG, JPEG, BMP, GIF, PGM/PPM, TIFF (plain, OME, ImageJ, FEI, Zeiss...), ``.npy``, video; with the extra
        ``formats`` also FITS, HDF5, DICOM, MRC and NIfTI, with ``em`` also DM3, DM4, EMD and SER. A text file of the
        same name, as JEOL, Hitachi and TESCAN microscopes write it beside the image, is read for the pixel size.
        A folder is one stack: numbered slices, a DICOM series, a time-of-flight run. ``scan.h5::/entry/data`` is one of
        the data sets of a file, ``slices::TYX`` says what the axes are.
    page : int, optional
        Take one plane of a stack, counted from 0 in the order of the file. By default pages of equal shape are read
        together, as a volume (``"ZYX"``) or a time series (``"TYX"``).
    pixel_size : str or Calibration, optional
        What you know better than the file: ``"0.52 nm"``, or per axis in array order ``"2 x 0.5 x 0.5 nm"``.
    axes : {"", "YX", "ZYX", "TYX", "EYX"}
        What the axes are, where you know better than the file.
    mapped : bool
        Leave the pixels on the disk where the format allows, else unpack them into a temporary file.

    Returns
    -------
    image : Image
        ``axes`` is ``"YX"``, or ``"ZYX"``, ``"TYX"``, ``"EYX"`` for a stack. `pixels` is an integer or float array in
        the byte order of this machine (of the file, if `mapped`). ``metadata["axis_values"]`` says what the steps of an
        axis without a length are, where the file does: ``{"E": {"name": "time of flight", "unit": "s", "values":
        ...}}``; see `segmetry.io.axis_values`.

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
    place = find_place(path)
    place = place._replace(axes=axes or place.axes)

    def image(kind: Format, stored: Stored) -> Image:
        return _image(_source(place, page), kind, stored, pixel_size, name=name_of(path), mapped=mapped)

    return decode(place, page, image, mapped=mapped)


def read_channels(path: str | os.PathLike[str], *, mapped: bool = False) -> tuple[Image, ...]:
    """Return an image of each channel in a file, as `read` does; one where the file names no channels.

    Parameters
    ----------
    path : path
    mapped : bool
        Leave the pixels on the disk (in a temporary file where they are compressed) and in the byte order of the file:
        for what is larger than memory.

    Raises
    ------
    ReadError
        As `read` does.
    """
    place = find_place(path)

    def images(kind: Format, stored: Stored) -> tuple[Image, ...]:
        source = _source(place, None)
        return tuple(_image(source, kind, one, None, name=name_of(path), mapped=mapped) for one in _channels(stored))

    return decode(place, None, images, mapped=mapped)


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


def decode(
    place: Place, page: int | None, use: Callable[[Format, Stored], T], *, mapped: bool = False, lazy: bool = False
) -> T:
    """Return what `use` makes of the content of a file or folder; whatever goes wrong is one line that names it.

    With `mapped`, pixels stay in the file where its kind can do that; with `lazy` too, they may be `Lazy`, and it is
    for `use` to close them.

    Raises
    ------
    ReadError, CalibrationError
        As `read` does.
    """
    path, part, axes = place
    kind = _kind(path)
    pixels = None
    try:
        with one_line(place, kind):
            stored = kind.reader(mapped=mapped, part=part)(path, page)
            pixels = stored.pixels
            if axes:
                stored = _name_axes(stored, axes)
            if not lazy:
                stored = _loaded(stored, page, mapped)
            return use(kind, stored)
    finally:
        if isinstance(pixels, Lazy) and not lazy:
            pixels.close()


@contextmanager
def one_line(place: Place, kind: Format) -> Iterator[None]:
    """Within it libraries are quiet, and whatever they raise becomes one line that names the file."""
    where = place.named
    try:
        with quiet():
            yield
    except CalibrationError:
        raise
    except SegmetryError as error:
        raise ReadError(f"{where}: {error}") from None
    except MemoryError:
        raise ReadError(
            f"{where}: it does not fit into memory; crop it, pick one page with page=, or read it in blocks with "
            "segmetry.io.open_stack()."
        ) from None
    except Exception as error:  # decoders raise anything on a damaged file
        why = " ".join(str(error).split())[:160] or type(error).__name__
        raise ReadError(f"{where}: cannot be decoded as {kind.name} ({why}); it is damaged: copy it again.") from error


def _kind(path: Path) -> Format:
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where this says no
        return FOLDER
    head = _head(path)
    kind = find_format(head, path)
    if kind is None:
        raise ReadError(f"{path}: {what_is_it(head, path)}; segmetry reads {readable()}.")
    return kind


def _loaded(stored: Stored, page: int | None, mapped: bool) -> Stored:
    """Return the same with pixels that are an array: of one plane, or all."""
    lazy = stored.pixels
    if not isinstance(lazy, Lazy):
        return stored
    if page is None:
        return dataclasses.replace(stored, pixels=lazy.whole(on_disk=mapped))
    check_page(page, lazy.n_planes)
    plane = lazy.shape[len(lazy.leading) :]
    check_claim(plane, lazy.dtype.itemsize, lazy.file_size, compressed=lazy.compressed)
    pixels = np.asarray(lazy.plane(page), lazy.dtype)
    return dataclasses.replace(stored, pixels=pixels, axes=stored.axes[len(lazy.leading) :])


def _name_axes(stored: Stored, wanted: str) -> Stored:
    """Return the same with its leading axis (of those longer than 1) called as the user says."""
    at = [k for k, a in enumerate(stored.axes) if a not in "YXS" and stored.pixels.shape[k] > 1]
    if len(at) != len(wanted) - 2 or not set(wanted) <= set("ZTEYX") or not wanted.endswith("YX"):
        shape = " x ".join(map(str, stored.pixels.shape))
        raise ReadError(f"axes {wanted!r} do not fit its shape {shape} ({stored.axes}); name YX, ZYX, TYX or EYX.")
    if not at:
        return stored
    k, others = at[0], stored.axes.replace(wanted[0], "I")  # an axis of length 1 may have had the letter
    letters = distinct(others[:k] + wanted[0] + others[k + 1 :])
    return dataclasses.replace(stored, axes=letters, axis_values=renamed(stored.axis_values, stored.axes, letters))


def _head(path: Path) -> bytes:
    """Return the first bytes of a regular file that can be read."""
    try:
        mode = path.stat().st_mode
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


def name_of(path: str | os.PathLike[str]) -> str:
    """Return the short name of the image that a path names, for tables and folders.

    Examples
    --------
    >>> name_of("a/scan.nii.gz"), name_of("a/scan.h5::/entry/data"), name_of("run_7::EYX")
    ('scan', 'scan-entry-data', 'run_7')
    """
    file, part, _ = find_place(path)
    stem = file.name if file.is_dir() else stem_of(file.name)
    name = "-".join([stem, *(p for p in part.split("/") if p)])
    return name.encode("utf-8", "backslashreplace").decode()  # no bytes that are no text in tables


def source_hash(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of what a path names: of its file, or of all files of a folder."""
    place = find_place(path).path
    hashes = []
    for one in sorted(p for p in place.iterdir() if p.is_file()) if place.is_dir() else [place]:
        with one.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return joint_hash(hashes)


def _source(place: Place, page: int | None) -> Source:
    return Source(place.named, source_hash(place.path), page or 0)


def _image(
    source: Source,
    kind: Format,
    stored: Stored,
    pixel_size: str | Calibration | None,
    *,
    name: str,
    mapped: bool = False,
) -> Image:
    path, notes = source.path, list(stored.notes)
    own = next((f for f in FORMATS if path.name.lower().endswith(f.suffixes)), None)
    if own is not None and own is not kind and kind is not FOLDER:
        notes.insert(0, f"the name ends in {path.suffix}, but the content is {kind.name}")
    pixels, axes, more = grey(plain_numbers(stored.pixels, native=not mapped), stored.axes)
    notes += more
    pixels, axes, more = three_axes(pixels, axes)
    notes += more
    notes += _odd_values(pixels)
    metadata = {"format": kind.name, **stored.metadata}
    known, more = known_values(stored, axes, pixels.shape)
    notes += more
    if known:
        metadata[KEY] = {letter: said.as_dict() for letter, said in known.items()}
    scale = stored.scale
    if scale is None and path.is_file():
        scale, more, said = read_sidecar(path, pixels.shape[-1])
        notes += more
        metadata |= said
    calibration, more = file_calibration(scale, axes, pixel_size)
    notes += more
    return Image(
        pixels if mapped else np.ascontiguousarray(pixels),
        axes,
        calibration,
        name=name,
        source=source,
        notes=tuple(dict.fromkeys(notes)),
        metadata=metadata,
    )


def known_values(stored: Stored, axes: str, shape: Sequence[int]) -> tuple[dict[str, AxisValues], tuple[str, ...]]:
    """Return what the steps of the axes mean, and notes on values that do not fit: too few, too many, not finite."""
    known, notes = {}, []
    for letter, said in stored.axis_values.items():
        n_steps = shape[axes.index(letter)] if letter in axes else 0
        if n_steps == len(said.values) and np.isfinite(said.values).all():
            known[letter] = said
        elif n_steps:
            notes.append(
                f"the file gives {len(said.values)} values of {said.name} for {n_steps} steps along {letter}, or some "
                "that are not finite: left out"
            )
    return known, tuple(notes)


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


def grey(pixels: np.ndarray, axes: str) -> tuple[np.ndarray, str, tuple[str, ...]]:
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
