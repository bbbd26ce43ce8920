"""A folder that is one stack: numbered slices, a DICOM series, the frames of a time-of-flight run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segmetry.errors import ReadError, SegmetryError
from segmetry.io.axes import AxisValues
from segmetry.io.dicom import read_series
from segmetry.io.formats import HEAD, Format, find_format, stem_of
from segmetry.io.stored import Lazy, Stored, library

_SPECTRA = "_spectra.txt"
_SAME_TIME = 0.01
"""Share of a step up to which two times of flight are the same."""


def read_folder(path: Path, page: int | None) -> Stored:
    """Return the images of a folder as one stack, `Lazy`: a slice is read when it is asked for.

    Files are sorted by the last number in their names. DICOM is sorted by position. Where a ``*_Spectra.txt`` (seconds,
    counts) lies beside, or each frame says its time of flight, the axis is ``E``, with its times.

    Raises
    ------
    ReadError
        If there are no images, names of several kinds, missing or repeated numbers, or too few times.
    """
    files = [p for p in sorted(path.iterdir()) if p.is_file() and not p.name.startswith(".")]
    spectra = [p for p in files if p.name.lower().endswith(_SPECTRA)]
    images = [(p, kind) for p in files if (kind := _kind(p)) is not None]
    if not images:
        raise ReadError("this folder holds no images; name a file, or a folder of numbered slices.")
    kinds = sorted({kind.name for _, kind in images})
    if len(kinds) > 1:
        raise ReadError(f"this folder holds files of several kinds ({', '.join(kinds)}); put one stack into a folder.")
    paths, kind = [p for p, _ in images], images[0][1]
    if len(spectra) > 1:
        raise ReadError(
            f"this folder holds several runs ({', '.join(p.name for p in spectra)}); put each into its own."
        )
    if kind.name == "DICOM":
        return read_series(paths)
    numbers, paths, notes = _sorted(paths)
    stored = _stack(paths, kind)
    if kind.name == "FITS" and (spectra or "time_of_flight_s" in stored.metadata):
        stored = _time_of_flight(stored, paths, numbers, spectra[0] if spectra else None)
    return dataclasses.replace(stored, notes=(*notes, *stored.notes))


def _kind(path: Path) -> Format | None:
    with path.open("rb") as file:
        return find_format(file.read(HEAD), path)


def _sorted(paths: Sequence[Path]) -> tuple[list[int], list[Path], tuple[str, ...]]:
    """Return the numbers in the names, and the files in their order.

    Raises
    ------
    ReadError
        If names differ in more than the number, or numbers are missing or come twice.
    """
    if len(paths) == 1:
        return [0], list(paths), ()
    found: dict[int, Path] = {}
    before = ""
    for path in paths:
        parts = re.fullmatch(r"(.*?)(\d+)(\D*)", stem_of(path.name))
        if not parts:
            raise ReadError(f"{path.name} has no number in its name, so its place in the stack is not known.")
        frame = f"{parts[1]}#{parts[3]}"
        if before and frame != before:
            raise ReadError(f"this folder holds files of several names ({before} and {frame}); put one stack into it.")
        before = frame
        number = int(parts[2])
        if number in found:
            raise ReadError(f"{found[number].name} and {path.name} have the same number; keep one of them.")
        found[number] = path
    numbers = sorted(found)
    steps = np.diff(numbers)
    step = int(steps.min())
    notes = () if step == 1 else (f"numbers go by {step}: only every {step}th slice is there",)
    if (steps != step).any():
        missing = (
            [n for n in range(numbers[0], numbers[-1], step) if n not in found] if (steps % step == 0).all() else []
        )
        shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        where = f"{len(missing)} missing: {shown}" if missing else f"the steps go from {step} to {steps.max()}"
        raise ReadError(f"the numbers of its slices have gaps ({where}); copy what is missing, or number them anew.")
    return numbers, [found[n] for n in numbers], notes


def _plane(path: Path, kind: Format) -> Stored:
    """Return the one plane of a file.

    Raises
    ------
    ReadError
        If it is damaged or a stack.
    """
    try:
        stored = kind.reader()(path, None)
        if isinstance(stored.pixels, Lazy):
            lazy = stored.pixels
            try:
                stored = dataclasses.replace(stored, pixels=lazy.whole())
            finally:
                lazy.close()
    except MemoryError:
        raise
    except SegmetryError as error:
        raise ReadError(f"{path.name}: {error}") from None
    except Exception as error:  # decoders raise anything on a damaged file
        raise ReadError(f"{path.name} cannot be decoded as {kind.name}; it is damaged: copy it again.") from error
    shape = stored.pixels.shape
    if any(n > 1 for n, a in zip(shape, stored.axes) if a not in "YXS"):
        raise ReadError(f"{path.name} is itself a stack ({stored.axes}, {shape}); name it alone.")
    keep = [k for k, a in enumerate(stored.axes) if a in "YXS"]
    pixels = stored.pixels.reshape([shape[k] for k in keep])
    return dataclasses.replace(stored, pixels=pixels, axes="".join(stored.axes[k] for k in keep))


def _stack(paths: Sequence[Path], kind: Format) -> Stored:
    first = _plane(paths[0], kind)

    def lazy(of: Callable[[Stored], np.ndarray]) -> Lazy:
        shape, dtype = of(first).shape, of(first).dtype

        def plane(k: int) -> np.ndarray:
            pixels = of(_plane(paths[k], kind))
            for what, here, there in (("shape", pixels.shape, shape), ("type", pixels.dtype, dtype)):
                if here != there:
                    raise ReadError(
                        f"{paths[k].name} has the {what} {here}, {paths[0].name} {there}; slices of a stack are alike."
                    )
            return pixels

        size = sum(p.stat().st_size for p in paths)
        return Lazy((len(paths), *shape), dtype.newbyteorder("="), plane, size, n_leading=1)

    numbers = None if first.numbers is None else lazy(lambda one: one.pixels if one.numbers is None else one.numbers)
    axes = "I" + first.axes
    return Stored(lazy(lambda one: one.pixels), axes, first.scale, first.notes, first.metadata, numbers)


def _time_of_flight(stored: Stored, paths: Sequence[Path], numbers: Sequence[int], spectra: Path | None) -> Stored:
    """Return a stack of frames with the axis ``E``: what the frames say of their times comes before the spectra file.

    A spectra file with a line for each frame of a run is right for a part of the frames too: lines go by number.
    """
    own = _own_times(paths) if "time_of_flight_s" in stored.metadata else None
    metadata: dict[str, Any] = {k: v for k, v in stored.metadata.items() if k not in _OF_ONE_FRAME}
    notes: list[str] = []
    times = own
    if spectra is not None:
        table = _table(spectra)
        if len(table) != len(paths):
            if len(table) <= numbers[-1]:
                raise ReadError(
                    f"the time axis has the wrong length: {spectra.name} has {len(table)} lines, the folder "
                    f"{len(paths)} frames; copy the spectra file of this run."
                )
            table = table[list(numbers)]
        if own is None:
            times = table[:, 0]
        elif not np.allclose(own, table[:, 0], rtol=0, atol=_SAME_TIME * max(float(np.ptp(own)), 1e-9) / len(own)):
            notes.append(
                f"{spectra.name} gives the times {table[0, 0]:.6g} to {table[-1, 0]:.6g} s, the frames themselves "
                f"{own[0]:.6g} to {own[-1]:.6g} s: those of the frames are taken"
            )
        metadata |= {"spectra": {"file": spectra.name, "seconds": tuple(table[:, 0].tolist())}}
        if table.shape[1] > 1:
            metadata["spectra"]["counts"] = tuple(table[:, 1].tolist())
    assert times is not None
    values = {"E": AxisValues(tuple(float(t) for t in times), "s", "time of flight")}
    return dataclasses.replace(
        stored, axes="E" + stored.axes[1:], notes=(*notes, *stored.notes), metadata=metadata, axis_values=values
    )


_OF_ONE_FRAME = ("time_of_flight_s", "counts")


def _own_times(paths: Sequence[Path]) -> np.ndarray | None:
    """Return the time of flight in each frame's header; None where one has none."""
    fits = library("astropy.io.fits", "astropy")
    times = [fits.getheader(path).get("TOF") for path in paths]
    return np.array(times, float) if all(isinstance(t, int | float) for t in times) else None


def _table(path: Path) -> np.ndarray:
    """Return the lines of a spectra file: seconds, counts."""
    try:
        rows = [line.replace(",", " ").split() for line in path.read_text("ascii").splitlines() if line.strip()]
        table = np.array([[float(v) for v in row] for row in rows])
    except ValueError:  # letters, or lines of different length
        raise ReadError(f"{path.name} is no table of seconds and counts; copy it again.") from None
    if table.ndim != 2 or not np.isfinite(table).all() or (np.diff(table[:, 0]) <= 0).any():
        raise ReadError(f"the times in {path.name} do not rise from line to line; copy it again.")
    return table
