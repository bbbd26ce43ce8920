"""Paths that name more than a file: ``scan.h5::/entry/data``, ``slices::ZYX``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from segmetry.errors import ReadError

_AXES = re.compile(r"[ZTE]?YX")


class Place(NamedTuple):
    """Where an image is: the file or folder, what to take in it, and the axes that the user names."""

    path: Path
    part: str = ""
    axes: str = ""

    @property
    def named(self) -> Path:
        """The path with the part, as users write it."""
        return Path(f"{self.path}::{self.part}") if self.part else self.path


def find_place(path: str | os.PathLike[str]) -> Place:
    """Return what a path names: behind ``::`` comes a data set (or HDU), or axes, or one after the other.

    ``::`` never stands in a Windows path with a drive, and a file that is really called so is taken as it is. A data
    set that is called like axes is written with its slash: ``a.h5::/ZYX``.

    Raises
    ------
    ReadError
        If more than that follows.

    Examples
    --------
    >>> find_place("scan.h5::/entry/data")
    Place(path=PosixPath('scan.h5'), part='/entry/data', axes='')
    >>> find_place("slices::TYX")[1:], find_place("C:/a.h5::data::TYX")[1:], find_place("a.tif")[1:]
    (('', 'TYX'), ('data', 'TYX'), ('', ''))
    """
    text = os.fspath(path)
    if "::" not in text or Path(text).exists():
        return Place(Path(text))
    first, *rest = text.replace("\\", "/").split("::")
    file = Path(text[: len(first)])
    axes = rest.pop() if _AXES.fullmatch(rest[-1]) else ""
    if len(rest) > 1:
        raise ReadError(f"{text}: too much follows '::'; write FILE::DATASET, FILE::AXES or FILE::DATASET::AXES.")
    return Place(file, rest[0] if rest else "", axes)
