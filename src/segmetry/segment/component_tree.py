"""The tree of bright basins of an image: where each one begins, where it meets a higher one, and how it stands out."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from segmetry.errors import ImageError, OptionError

_BITS = 11
"""Bits of a grey value that one pass of the sort looks at."""
_FLOOR = 0.01
"""Basins that stand out by less than this share of the image's range are noise, whatever the gaps between them."""


class Gap(NamedTuple):
    """A threshold in the widest gap of the persistences, and the ratio of those above and below it."""

    threshold: float
    ratio: float


@dataclass(frozen=True, eq=False)
class ComponentTree:
    """Every maximum of an image with the basin it drains, and where that meets a higher one.

    Parameters
    ----------
    basins : int32 array, the shape of the image
        Basin 1..K of each pixel, 1 the one of the highest maximum; 0 where the image is not valid.
    birth : (K,) array of float32
        Value at the maximum of basin ``k + 1``.
    saddle : (K,) array of float32
        Value at which the basin, with all that joined it before, meets a part with a higher maximum; the lowest value
        of the part of the image for the highest basin in it.
    parent : (K,) array of int32
        Basin on the other side of that saddle; 0 for the highest.
    peak : (K,) array of int64
        Flat index of the maximum.
    """

    basins: np.ndarray
    birth: np.ndarray
    saddle: np.ndarray
    parent: np.ndarray
    peak: np.ndarray

    @property
    def persistence(self) -> np.ndarray:
        """(K,) birth minus saddle: how far the image must fall from the maximum to reach a higher one."""
        return self.birth - self.saddle

    def count(self, threshold: float) -> int:
        """Return how many basins stand out by at least `threshold`."""
        return int(np.count_nonzero(self._stays(threshold)))

    def labels(self, threshold: float) -> np.ndarray:
        """Return the image cut into the basins that stand out by at least `threshold`.

        A basin that does not joins its neighbour across the saddle.

        Parameters
        ----------
        threshold : float
            Persistence, in units of the intensity.

        Returns
        -------
        labels : int32 array
            1..L, in falling order of the maxima; 0 only where the image is not valid.
        """
        stays = self._stays(threshold)
        numbers = np.where(stays, np.cumsum(stays), 0).astype(np.int32)
        table = np.concatenate([[0], numbers[_owners(stays, self.parent)]]).astype(np.int32)
        return table[self.basins]

    def gap(self) -> Gap:
        """Return the threshold in the widest gap of the persistences: between objects and noise, where there are both.

        Widest is by ratio. Persistences below one per cent of the image's range count as that one per cent; the
        threshold is the geometric mean of the two sides. A ratio near 1 says that there is no gap.
        """
        persistence = self.persistence
        joined = self.parent > 0
        if joined.any():  # the highest basins count from where all others have joined, not from the lowest pixel
            persistence = np.where(joined, persistence, self.birth - self.saddle[joined].min())
        persistence = np.sort(persistence)[::-1]
        if not persistence.size or persistence[0] <= 0:
            return Gap(0.0, 1.0)
        floor = _FLOOR * persistence[0]
        steps = np.append(np.maximum(persistence, floor), floor).astype(np.float64)
        ratios = steps[:-1] / steps[1:]
        at = int(np.argmax(ratios))
        return Gap(float(np.sqrt(steps[at] * steps[at + 1])), float(ratios[at]))

    def _stays(self, threshold: float) -> np.ndarray:
        if not threshold >= 0:
            raise OptionError(f"a persistence is at least 0, got {threshold}.")
        return (self.persistence >= threshold) | (self.parent == 0)


def component_tree(image: np.ndarray, *, valid: np.ndarray | None = None) -> ComponentTree:
    """Return the tree of the maxima of an image or a volume, pixels joined over corners (8, 26 neighbours).

    Parameters
    ----------
    image : (M, N) or (P, M, N) array of real numbers
        Finite where it is valid. Types beyond 16 bits count as float32.
    valid : bool array of that shape, optional
        Pixels that count.

    Returns
    -------
    tree : ComponentTree
        Maxima that a plain joins are one; each pixel belongs to the basin of its highest neighbour, where several are
        equal to that of the first one sorted.

    Raises
    ------
    ImageError
        If the image is neither 2D nor 3D, is empty, or a pixel that counts is not finite.

    Notes
    -----
    One pass over the pixels in falling order (a radix sort), with a union-find of basins: linear in the pixels.
    Two parts that meet are joined, and the one with the lower maximum ends: its persistence (Edelsbrunner 2002), which
    is also the maximum's dynamics (Grimaud 1992), so that `count(h)` is the number of maxima that h-maxima keeps.

    References
    ----------
    Edelsbrunner, Letscher, Zomorodian, Discrete Comput. Geom. 28, 511 (2002), doi:10.1007/s00454-002-2885-2; Grimaud,
    Proc. SPIE 1769, 292 (1992), doi:10.1117/12.60650.

    Examples
    --------
    >>> tree = component_tree(np.array([[9, 4, 7, 6, 8, 1]]))
    >>> tree.birth, tree.saddle
    (array([9., 8., 7.], dtype=float32), array([1., 4., 6.], dtype=float32))
    >>> tree.labels(2)
    array([[1, 1, 2, 2, 2, 2]], dtype=int32)
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or image.size == 0 or image.dtype.kind not in "biuf":
        raise ImageError(f"a tree of maxima is of 2D or 3D real numbers, got {image.dtype} of shape {image.shape}.")
    keys = _sortable(image if valid is None else np.where(valid, image, image.dtype.type(0)))
    if keys is None:
        raise ImageError("the image holds pixels that are not finite; replace them first, or give `valid`.")
    # A margin of one pixel that no basin ever takes: neighbours need no look at the border.
    wide = np.pad(keys, 1)
    inside = (slice(1, -1),) * image.ndim
    kind = np.int32 if wide.size < 2**31 else np.int64
    places = np.arange(wide.size, dtype=kind).reshape(wide.shape)[inside]
    order = _falling(wide.ravel(), places.ravel() if valid is None else places[valid])
    steps = np.array([np.ravel_multi_index(at, wide.shape) for at in itertools.product(range(3), repeat=image.ndim)])
    steps = np.delete(steps - steps[steps.size // 2], steps.size // 2)
    basins, start, end, parent = _flood(wide.ravel(), order, steps)
    inner = basins.reshape(wide.shape)[inside]
    corner = np.ones(image.ndim, np.int64)[:, None]
    start, end = (
        np.ravel_multi_index(tuple(np.stack(np.unravel_index(order[i], wide.shape)) - corner), image.shape)
        for i in (start, end)
    )
    values = image.ravel()
    birth, saddle = values[start].astype(np.float32), values[end].astype(np.float32)
    # Pieces of one plain were born apart; they are one maximum.
    stays = (birth > saddle) | (parent == 0)
    owners = _owners(stays, parent)
    new = np.where(stays, np.cumsum(stays), 0).astype(np.int32)
    table = np.concatenate([[0], new[owners]]).astype(np.int32)
    return ComponentTree(table[inner], birth[stays], saddle[stays], table[parent[stays]], start[stays])


def _sortable(image: np.ndarray) -> np.ndarray | None:
    """Return unsigned numbers in the order of the values; None where one of them has no place in it."""
    if image.dtype == bool or image.dtype == np.uint8:
        return image.view(np.uint8)
    if image.dtype == np.uint16:
        return image
    if image.dtype.kind in "iu" and image.dtype.itemsize <= 2:
        return (image.astype(np.int32) + 2**15).astype(np.uint16)
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(image, np.float32) + np.float32(0)  # -0 becomes 0
    if not np.isfinite(values).all():
        return None
    bits = values.view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _falling(keys: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return some places of an array by falling keys; those of equal keys stay in their order. Radix sort."""
    used = keys[places]
    low = used.min(initial=np.iinfo(keys.dtype).max)
    used -= low
    for shift in range(0, int(used.max(initial=0)).bit_length(), _BITS):
        used, places = _sorted_by_digit(used, places, shift)
    return places


@numba.njit(cache=True, nogil=True)
def _sorted_by_digit(keys, places, shift):
    """One stable pass of a counting sort, largest first."""
    mask = (1 << _BITS) - 1
    start = np.zeros(mask + 2, np.int64)
    for key in keys:
        start[mask - ((np.int64(key) >> shift) & mask) + 1] += 1
    for i in range(mask + 1):
        start[i + 1] += start[i]
    out_keys, out_places = np.empty_like(keys), np.empty_like(places)
    for i in range(keys.size):
        digit = mask - ((np.int64(keys[i]) >> shift) & mask)
        at = start[digit]
        start[digit] = at + 1
        out_keys[at] = keys[i]
        out_places[at] = places[i]
    return out_keys, out_places


@numba.njit(cache=True, nogil=True)
def _flood(keys, order, steps):
    """Give each pixel, highest first, to the basin of its highest neighbour, and join the parts that meet there."""
    basins = np.zeros(keys.size, np.int32)
    room = 1024
    start, end, parent = np.empty(room, np.int64), np.empty(room, np.int64), np.zeros(room, np.int32)
    root = np.arange(room + 1, dtype=np.int32)
    n = n_parts = 0
    for i in range(order.size):
        p = order[i]
        best, own = np.int64(-1), np.int32(0)
        several = False
        for step in steps:
            found = basins[p + step]
            if found:
                several |= own != 0 and found != own
                if np.int64(keys[p + step]) > best:
                    best, own = np.int64(keys[p + step]), found
        if own == 0:
            if n == room:
                room *= 2
                start, end = _longer(start, room), _longer(end, room)
                parent, root = _longer(parent, room), _longer(root, room + 1)
            start[n] = i
            parent[n] = 0
            n += 1
            n_parts += 1
            own = np.int32(n)
            root[n] = n
        basins[p] = own
        if not several:
            continue
        # Of the parts that meet here the one of the highest maximum (the least number) goes on, through the basin whose
        # neighbour of this pixel is highest.
        mine, best, through = _find(root, own), np.int64(-1), own
        for step in steps:
            found = basins[p + step]
            if found and found != through:
                other, key = _find(root, found), np.int64(keys[p + step])
                if other < mine or (other == mine and key > best):
                    mine, best, through = other, key, found
            elif found:
                best = max(best, np.int64(keys[p + step]))
        for step in steps:
            found = basins[p + step]
            if found and found != through:
                other = _find(root, found)
                if other != mine:
                    n_parts -= 1
                    end[other - 1], parent[other - 1], root[other] = i, through, mine
    # What met nothing higher ends with the last pixel of its part.
    if n_parts == 1:
        end[0] = order.size - 1
    else:
        for i in range(order.size):
            first = _find(root, basins[order[i]])
            if parent[first - 1] == 0:
                end[first - 1] = i
    return basins, start[:n], end[:n], parent[:n]


@numba.njit(cache=True, nogil=True)
def _longer(array, n):
    out = np.zeros(n, array.dtype)
    out[: array.size] = array
    return out


@numba.njit(cache=True, nogil=True)
def _find(root, k):
    while root[k] != k:
        root[k] = root[root[k]]
        k = root[k]
    return k


@numba.njit(cache=True, nogil=True)
def _owners(stays, parent):
    """Return for each basin (from 0) the basin that it becomes a part of: itself where it stays."""
    owner = np.full(stays.size, -1, np.int64)
    for k in range(stays.size):
        end = k
        while not stays[end] and owner[end] < 0:
            end = parent[end] - 1
        final = owner[end] if owner[end] >= 0 else end
        at = k
        while at != end:
            owner[at] = final
            at = parent[at] - 1
        owner[end] = final
    return owner
