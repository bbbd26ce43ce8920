"""A topological loss: pieces and holes of a soft map, by persistence, matched to those of the truth."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

from segmetry.errors import OptionError
from segmetry.train.losses.batch import Batch


class Dots(NamedTuple):
    """A persistence diagram of a map's superlevel sets, as the flat indices of its critical pixels.

    Parameters
    ----------
    birth : (n,) int64 array
        Pixel at whose value a piece appears (a hole closes), from high to low values.
    death : (n,) int64 array
        Pixel at whose value it joins an older piece (is filled); -1 for a piece that never does.
    """

    birth: np.ndarray
    death: np.ndarray


def betti(batch: Batch, *, side: int = 64) -> Tensor:
    """Return the squared distance of persistence diagrams of probability and truth: the mean over patches.

    Parameters
    ----------
    batch : Batch
        Of images: in a volume, tunnels are no pieces of anything.
    side : int
        Length of a patch (px); the last ones of an image are what is left. Dots are matched within a patch, so this is
        how far apart a piece and its match can be.

    Raises
    ------
    OptionError
        For volumes.

    Notes
    -----
    Each piece and hole of the map's superlevel sets is a dot: where it is born, b, and where it dies, d (0 for a
    piece that stays). Those of a truth of 0 and 1 are all at b = 1, d = 0. As many dots of the map as the truth has
    are matched to these, the cheapest choice; a match costs ``(1 - b)^2 + d^2``, every other dot its squared distance
    to the diagonal, ``(b - d)^2 / 2``, and a true dot left over 1/2 (no slope). Pieces hang together over corners,
    background over sides, and holes that the patch's frame cuts do not count.

    The slope reaches critical pixels only, a handful, and says nothing about place: add a loss of pixels, and give
    this one a small weight. Every class but class 0 counts. Pixels of weight 0 are neither piece nor hole; other
    weights of pixels do not enter.

    References
    ----------
    Hu et al., NeurIPS 2019, arXiv:1906.05404. There pieces are matched by an assignment solver; as all true dots
    coincide, a sort by what a match gains finds the same.
    """
    if batch.target.ndim != 3:
        raise OptionError("loss: 'betti' is for images; for volumes take 'cldice', or train slices.")
    first = 0 if batch.is_binary else 1
    soft, true = batch.probability[:, first:], batch.truth[:, first:]
    maps, truths = soft.detach().cpu().numpy(), true.cpu().numpy()
    class_share = (batch.map_weight[first:] / batch.map_weight[first:].sum().clamp(min=1e-30)).tolist()
    place = np.arange(soft.numel()).reshape(soft.shape)
    # At least one entry each, so that nothing to match is no special case: the pixel with no weight.
    births, deaths, matched, share = (
        [np.zeros(1, np.int64)],
        [np.zeros(1, np.int64)],
        [np.zeros(1, bool)],
        [np.zeros(1)],
    )
    left_over, n_patches = 0.0, 0
    for image, known, window in _patches((batch.weight > 0).cpu().numpy(), side):
        n_patches += 1
        for k, weight in enumerate(class_share):
            values, truth, pixel = (np.ascontiguousarray(m[image, k][window]) for m in (maps, truths, place))
            for dots, goal in zip(diagram(values, known), diagram(truth, known), strict=True):
                n = int(np.count_nonzero(truth.ravel()[goal.birth]))
                left_over += 0.5 * weight * max(0, n - dots.birth.size)
                births.append(pixel.ravel()[dots.birth])
                deaths.append(np.where(dots.death < 0, -1, pixel.ravel()[dots.death]))
                matched.append(match(dots, values, n))
                share.append(np.full(dots.birth.size, weight))
    birth, death, chosen, weights = (
        torch.from_numpy(np.concatenate(part)).to(soft.device) for part in (births, deaths, matched, share)
    )
    b = soft.flatten()[birth]
    d = torch.where(death < 0, 0, soft.flatten()[death.clamp(min=0)])
    cost = torch.where(chosen, (1 - b).square() + d.square(), (b - d).square() / 2)
    return ((cost * weights.to(cost.dtype)).sum() + left_over) / max(1, n_patches)


def _patches(known: np.ndarray, side: int) -> Iterator[tuple[int, np.ndarray, tuple[slice, slice]]]:
    """Yield the number of the image, what is known there, and the place of every patch with a known pixel."""
    for image, whole in enumerate(known):
        for row, col in itertools.product(*(range(0, n, side) for n in whole.shape)):
            window = (slice(row, row + side), slice(col, col + side))
            if whole[window].any():
                yield image, np.ascontiguousarray(whole[window]), window


def match(dots: Dots, values: np.ndarray, n: int) -> np.ndarray:
    """Return which dots go to the `n` true ones at b = 1, d = 0 so that all together cost least; bool, one per dot."""
    flat = values.ravel().astype(np.float64)
    b = flat[dots.birth]
    d = np.where(dots.death < 0, 0.0, flat[dots.death])
    # What a match saves: (b - d)^2 / 2 - (1 - b)^2 - d^2, but for a constant.
    gain = (b - d) - (b + d - 1) ** 2 / 2
    chosen = np.zeros(b.size, bool)
    chosen[np.argsort(-gain, kind="stable")[:n]] = True
    return chosen


def diagram(values: np.ndarray, known: np.ndarray) -> tuple[Dots, Dots]:
    """Return the pieces and the holes of the superlevel sets of a map, those that live for no time left out.

    Parameters
    ----------
    values : (M, N) array of float
    known : (M, N) array of bool
        Pixels that are not known belong to no piece, and join what they touch of the background to the outside.

    Notes
    -----
    Holes are pieces of the complement (Alexander duality): they appear at their lowest pixel as the level rises, and
    join an older one, or the outside, over a saddle. Equal values are ordered by their place, the same way for both.
    """
    order = np.argsort(-values, axis=None, kind="stable")
    flat = values.ravel()
    birth, death = _merges(order, known.ravel(), values.shape[1], True)
    lives = (death < 0) | (flat[birth] > flat[death])
    pieces = Dots(birth[lives], death[lives])
    lowest, saddle = _merges(np.ascontiguousarray(order[::-1]), known.ravel(), values.shape[1], False)
    lives = flat[saddle] > flat[lowest]
    return pieces, Dots(saddle[lives], lowest[lives])


@njit(cache=True, nogil=True)
def _merges(order: np.ndarray, known: np.ndarray, width: int, pieces: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return where pieces begin and where they end, as pixels enter in an order; -1 for those that do not end.

    `pieces`: over corners and on their own. Otherwise over sides, with all around the frame as the oldest of them.
    """
    n = order.size
    height = n // width
    rank = np.empty(n + 1, np.int64)
    for i in range(n):
        rank[order[i]] = i
    rank[n] = -1
    parent = np.full(n + 1, -1, np.int64)
    parent[n] = n
    if not pieces:
        for p in range(n):
            if not known[p]:
                parent[p] = n
    births = np.empty(n, np.int64)
    deaths = np.empty(n, np.int64)
    count = 0
    for i in range(n):
        p = order[i]
        if not known[p]:
            continue
        parent[p] = p
        root = p  # the oldest pixel of a piece is its root
        row, col = p // width, p % width
        for down in range(-1, 2):
            for right in range(-1, 2):
                if (down == 0 and right == 0) or (not pieces and down != 0 and right != 0):
                    continue
                r, c = row + down, col + right
                if 0 <= r < height and 0 <= c < width:
                    q = r * width + c
                elif pieces:
                    continue
                else:
                    q = n
                if parent[q] < 0:
                    continue
                while parent[q] != q:
                    parent[q] = parent[parent[q]]
                    q = parent[q]
                if q == root:
                    continue
                older, younger = (q, root) if rank[q] < rank[root] else (root, q)
                parent[younger] = older
                root = older
                if younger != p:
                    births[count] = younger
                    deaths[count] = p
                    count += 1
    if pieces:
        for p in range(n):
            if parent[p] == p:
                births[count] = p
                deaths[count] = -1
                count += 1
    return births[:count].copy(), deaths[:count].copy()
