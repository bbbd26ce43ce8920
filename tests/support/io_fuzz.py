"""Breaks small valid files in many ways and reads them: an image or a `SegmetryError`, nothing else, and soon."""

from __future__ import annotations

import signal
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from io_em_files import dm, emd, ser
from io_files import FILES, FLOAT, GREY16, make

from segmetry.errors import SegmetryError
from segmetry.io import read
from segmetry.types import Image

SECONDS = 30.0
"""A file that takes longer hangs; whole ones take milliseconds, on a busy machine and with imports a few seconds."""


class Hang(BaseException):
    """Raised by the alarm; no handler of exceptions in a library stops it."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise `Hang` in the main thread after some seconds."""

    def ring(*_: object) -> None:
        raise Hang(f"no answer after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a damaged copy: one to three changes, half of them within the first 300 bytes, where headers are."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        top = max(1, len(out) if rng.random() < 0.5 else min(len(out), 300))
        at = int(rng.integers(0, top))
        length = int(rng.integers(1, 9))
        kind = rng.integers(0, 9)
        if kind == 0:
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            out[at : at + length] = rng.bytes(len(out[at : at + length]))
        elif kind == 2:
            out[at : at + 4] = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"][int(rng.integers(0, 3))]
        elif kind == 3:
            out[at : at + length] = bytes(length)
        elif kind == 4:
            del out[at : at + length]
        elif kind == 5:
            out[at:at] = rng.bytes(length)
        elif kind == 6:
            out[at:at] = out[at : at + 64]
        elif kind == 7:
            del out[max(at, 1) :]
        else:
            whole = int.from_bytes(out[at : at + 2], "little") + int(rng.integers(-2, 3))
            out[at : at + 2] = (whole % 65536).to_bytes(2, "little")
        if not out:
            out = bytearray(b"\0")
    return bytes(out)


def whole_files(folder: Path) -> list[tuple[str, str, bytes]]:
    """Return name, suffix and bytes of a whole file of every kind; those of the extra ``em`` where it is installed."""
    files = [(name, FILES[name][0], make(name, folder).read_bytes()) for name in FILES]
    if find_spec("rsciio") and find_spec("h5py"):
        for write, name in ((_dm3, "a.dm3"), (_dm4, "a.dm4"), (_ser, "a.ser"), (_emd, "a.emd")):
            path = write(folder / name)
            files.append((name, path.suffix, path.read_bytes()))
    return files


def _dm3(path: Path) -> Path:
    return dm(path, FLOAT, (0.5, 0.5), "nm", 3)


def _dm4(path: Path) -> Path:
    return dm(path, FLOAT, (0.5, 0.5), "nm", 4)


def _ser(path: Path) -> Path:
    return ser(path, GREY16, 4e-10)


def _emd(path: Path) -> Path:
    return emd(path, FLOAT, (0.5, 0.5), "nm")


def fuzz(folder: Path, n_files: int, seed: int) -> Counter[str]:
    """Read `n_files` damaged files, kinds in turn, and count the outcomes.

    Raises
    ------
    AssertionError
        At the first file that gives anything but an image or a one-line `SegmetryError`, or a warning.
    Hang
        At the first file that takes longer than `SECONDS`.
    """
    rng = np.random.default_rng(seed)
    files = whole_files(folder)
    outcomes: Counter[str] = Counter()
    for number in range(n_files):
        name, suffix, data = files[number % len(files)]
        path = folder / f"damaged{suffix}"
        path.write_bytes(mutate(data, rng))
        page = None if rng.random() < 0.8 else int(rng.integers(0, 3))
        what = f"file {number} of seed {seed}, made from {name!r}, page {page}"
        with alarm(SECONDS), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                image = read(path, page=page)
            except SegmetryError as error:
                _check_refusal(error, what)
                outcomes["refused"] += 1
            except Exception as error:
                raise AssertionError(f"{what}: {traceback.format_exc()}") from error
            else:
                assert isinstance(image, Image), what
                assert image.axes in ("YX", "ZYX", "TYX"), f"{what}: {image.axes}"
                outcomes["read"] += 1
        assert not warned, f"{what}: warned {[str(w.message) for w in warned]}"
    return outcomes


def _check_refusal(error: SegmetryError, what: str) -> None:
    """One line; and it is not a mistake of ours: the innermost frame of a decoder's error is not our code."""
    assert "\n" not in str(error), f"{what}: more than one line: {error}"
    if error.__cause__ is not None:
        frames = traceback.extract_tb(error.__cause__.__traceback__)
        assert "segmetry/io" not in frames[-1].filename, f"{what}: {frames[-1]} raised {error.__cause__!r}"
