"""Classes of objects by bounds on their measures: ``bone: volume > 500, aspect_ratio > 2; vessel: volume < 500``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from segmetry.errors import OptionError, unknown_name
from segmetry.measure.catalogue import MEASURES
from segmetry.measure.table import measure
from segmetry.types import Image

_SIDES = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


class Bound(NamedTuple):
    """A measure, one of < <= > >=, and the value it is compared with, in the measure's unit."""

    measure: str
    side: str
    value: float


class Group(NamedTuple):
    """A class and the bounds that all of its objects keep."""

    name: str
    bounds: tuple[Bound, ...]


def read_groups(text: str) -> tuple[Group, ...]:
    """Return the groups that a text names, in its order.

    Parameters
    ----------
    text : str
        ``"name: measure > value, ...; name: ..."``; a group without bounds takes what is left. Of a single group the
        name may be left out: it is then ``object``.

    Raises
    ------
    OptionError
        If a measure does not exist or gives no number (the near name is offered), or a bound cannot be read.

    Examples
    --------
    >>> read_groups("bone: volume > 500, aspect_ratio >= 2; rest:")[0].bounds[1]
    Bound(measure='aspect_ratio', side='>=', value=2.0)
    """
    groups = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, colon, bounds = part.rpartition(":")
        if not colon:
            name, bounds = "object", part
        pieces = [_read_bound(b) for b in bounds.split(",") if b.strip()]
        groups.append(Group(name.strip(), tuple(pieces)))
    names = [g.name for g in groups]
    if len(set(names)) < len(names) or not all(names):
        raise OptionError(f"groups need different names, got {names}; write 'bone: volume > 500; rest:'.")
    return tuple(groups)


def _read_bound(text: str) -> Bound:
    found = re.fullmatch(r"\s*([\w-]+)\s*(<=|>=|<|>)\s*(\S+)\s*", text)
    try:
        name, side, value = found.groups() if found else ("", "", "")
        number = float(value)
    except ValueError:
        raise OptionError(f"{text.strip()!r} is no bound; write one as 'volume > 500'.") from None
    known = [m.name for m in MEASURES.values() if m.kind not in ("text", "flag")]
    if name not in known:
        raise unknown_name("measure", name, known)
    return Bound(name, side, number)


def keeps(labels: np.ndarray, image: Image, bounds: Sequence[Bound]) -> np.ndarray:
    """Return for labels 0..L whether an object keeps all bounds; False for 0 and for a measure that is nan.

    Parameters
    ----------
    labels : (M, N) or (P, M, N) array of int32
        Numbered without gaps.
    image : Image
        Intensities and calibration: bounds are in its unit of length.
    bounds : sequence of Bound
    """
    good = np.ones(int(labels.max(initial=0)) + 1, bool)
    good[0] = False
    if bounds and good.size > 1:
        table = measure(labels, image, measures=[b.measure for b in bounds])
        for bound in bounds:
            if bound.measure not in table:
                raise OptionError(f"the measure {bound.measure!r} has several values per object; bounds need one.")
            good[1:] &= _SIDES[bound.side](table[bound.measure].to_numpy(), bound.value)
    return good


def largest(labels: np.ndarray, good: np.ndarray, k: int) -> np.ndarray:
    """Return `good` (L + 1,) with at most the `k` largest of the labels it keeps; 0 keeps them all.

    Of equally large ones the first numbers stay.
    """
    if k == 0 or np.count_nonzero(good) <= k:
        return good
    size = np.where(good, np.bincount(labels.ravel(), minlength=good.size), 0)
    kept = np.zeros_like(good)
    kept[np.argsort(-size, kind="stable")[:k]] = True
    return kept
