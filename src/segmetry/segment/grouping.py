"""From maps that point every pixel to its particle's centre to numbered particles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.segment.objects import label_areas

CELL = 4
"""Side (map px) of the cells into which embeddings are sorted: a proposal looks only into those near its centre."""

FLOOR = 0.1
"""Map pixels with less seed probability belong to no particle, wherever they point: nothing taught them not to."""

LOG_RADIUS = (-4.0, 6.0)
"""Range of the log radius; the loss cuts it off in the same way."""

HOLE = 0.05
"""Holes up to this share of their particle are filled, unless another particle, or what is not valid, lies in them."""


@dataclass(frozen=True, eq=False)
class Grouped:
    """Particles found in maps.

    Parameters
    ----------
    labels : (M, N) array of int32
        0 background, 1..L particles, each in one piece (8 neighbours); the surest seed has number 1.
    score : (L,) array of float
        Mean seed probability over the particle.
    peak : (L,) array of float
        Seed probability of the pixel that proposed it.
    centre : (L, 2) array of float
        Where its pixels point to: row, column in px of `labels`.
    sigma : (L,) array of float
        Its radius of attraction in px of `labels`.
    seed : (L, 2) array of int
        Row and column, in px of `labels`, of the pixel that proposed it. Not always inside: a map pixel covers several.
    """

    labels: np.ndarray
    score: np.ndarray
    peak: np.ndarray
    centre: np.ndarray
    sigma: np.ndarray
    seed: np.ndarray

    @property
    def n(self) -> int:
        """Number of particles."""
        return self.score.size


@numba.njit(cache=True, nogil=True)
def _descending(value, least):
    """Return the places of values above `least`, largest first; of equals the first first (radix sort, stable)."""
    n = 0
    for i in range(value.size):
        if value[i] > least:
            n += 1
    order, other = np.empty(n, np.int32), np.empty(n, np.int32)
    n = 0
    for i in range(value.size):
        if value[i] > least:
            order[n] = i
            n += 1
    bits = value.view(np.uint32)
    for shift in (0, 11, 22):
        count = np.zeros(2049, np.int64)
        for k in range(n):
            count[_digit(bits[order[k]], shift) + 1] += 1
        for d in range(2048):
            count[d + 1] += count[d]
        for k in range(n):
            d = _digit(bits[order[k]], shift)
            other[count[d]] = order[k]
            count[d] += 1
        order, other = other, order
    return order


@numba.njit(inline="always")
def _digit(bits, shift):
    """Eleven bits of a key that grows as the float32 with these bits falls."""
    negative = (bits >> np.uint32(31)) == np.uint32(1)
    key = bits if negative else bits ^ np.uint32(0x7FFFFFFF)
    return np.int64((key >> np.uint32(shift)) & np.uint32(2047))


@numba.njit(inline="always")
def _cell(place, n):
    """Row or column of the cell of an embedding; beyond the maps, that at their border."""
    return min(max(math.floor(min(max(place, -1.0), 1e9) / CELL), 0), n - 1)


@numba.njit(inline="always")
def _home(maps, i, j, floor, cells):
    """Cell of a map pixel's embedding; -1 where it is no candidate."""
    row, col = i + maps[0, i, j], j + maps[1, i, j]
    if not (maps[3, i, j] >= floor and math.isfinite(row) and math.isfinite(col)):
        return -1
    return _cell(row, cells[0]) * cells[1] + _cell(col, cells[1])


@numba.njit(cache=True, nogil=True)
def _sort_embeddings(maps, floor, cells):
    """Return the places in the maps of all candidates, cell after cell of their embeddings, and where a cell starts."""
    m, n = maps.shape[1:]
    start = np.zeros(cells[0] * cells[1] + 2, np.int64)
    for i in range(m):
        for j in range(n):
            c = _home(maps, i, j, floor, cells)
            if c >= 0:
                start[c + 2] += 1
    for c in range(start.size - 1):
        start[c + 1] += start[c]
    item = np.empty(start[-1], np.int32)
    for i in range(m):
        for j in range(n):
            c = _home(maps, i, j, floor, cells)
            if c >= 0:
                item[start[c + 1]] = i * n + j
                start[c + 1] += 1
    return item, start[:-1]


@numba.njit(cache=True, nogil=True)
def _gather(maps, item, start, cells, row, col, square, found):
    """Write the candidates whose embeddings are nearer than `square` (squared) to a centre; return how many."""
    n = maps.shape[2]
    reach = math.sqrt(square)
    first, last = _cell(col - reach, cells[1]), _cell(col + reach, cells[1])
    count = 0
    for r in range(_cell(row - reach, cells[0]), _cell(row + reach, cells[0]) + 1):
        for k in range(start[r * cells[1] + first], start[r * cells[1] + last + 1]):
            p = item[k]
            i, j = p // n, p % n
            if (i + maps[0, i, j] - row) ** 2 + (j + maps[1, i, j] - col) ** 2 < square:
                found[count] = p
                count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _pieces(mark, shape, found, count, queue):
    """Sort places that are marked 1 into 8-connected pieces, one after another in `queue`, and mark them 2.

    Returns where the largest piece starts and ends; of equals that with the first place.
    """
    m, n = shape
    end, best, best_end, best_first = 0, 0, 0, 0
    for k in range(count):
        if mark[found[k]] != 1:
            continue
        begin = end
        mark[found[k]] = 2
        queue[end] = found[k]
        end += 1
        at, first = begin, found[k]
        while at < end:
            i, j = queue[at] // n, queue[at] % n
            first = min(first, queue[at])
            at += 1
            for r in range(max(i - 1, 0), min(i + 2, m)):
                for c in range(max(j - 1, 0), min(j + 2, n)):
                    if mark[r * n + c] == 1:
                        mark[r * n + c] = 2
                        queue[end] = r * n + c
                        end += 1
        larger = end - begin - (best_end - best)
        if larger > 0 or (larger == 0 and first < best_first):
            best, best_end, best_first = begin, end, first
    return best, best_end


@numba.njit(cache=True, nogil=True)
def _paint(phi, box, low, weight, begin, labels, valid, masked, patch):
    """Mark in `patch` the free pixels (1) where membership, interpolated, exceeds one half.

    Returns the number of pixels of the particle, and of those that are free.
    """
    top, left, bottom, right = box
    rows, cols, row_weight, col_weight = low[0], low[1], weight[0], weight[1]
    first, last, start, stop = begin
    n_all, n_free, width = 0, 0, stop - start
    line = np.empty(right - left + 1, np.float32)
    for i in range(first, last):
        a = rows[i] - top
        w = row_weight[i]
        for j in range(line.size):
            upper = phi[a, j] if a >= 0 else np.float32(0)
            lower = phi[a + 1, j] if a + 1 <= bottom - top else np.float32(0)
            line[j] = upper + w * (lower - upper)
        for j in range(start, stop):
            b = cols[j] - left
            here = line[b] if b >= 0 else np.float32(0)
            there = line[b + 1] if b + 1 <= right - left else np.float32(0)
            mine = here + col_weight[j] * (there - here) > np.float32(0.5)
            free = False
            if mine and not (masked and not valid[i, j]):
                n_all += 1
                free = labels[i, j] == 0
                n_free += free
            patch[(i - first) * width + j - start] = free
    return n_all, n_free


@numba.njit(cache=True, nogil=True)
def _group(maps, order, item, start, cells, low, weight, begin, labels, valid, masked, floor, free, min_area):
    """Write the particles into `labels`; return per particle score, seed logit, centre, log radius, seed's place."""
    _, m, n = maps.shape
    used, mark = np.zeros(m * n, np.bool_), np.zeros(m * n, np.uint8)
    found, queue = np.empty(item.size, np.int32), np.empty(item.size, np.int32)
    phi = np.empty((1, 1), np.float32)
    patch, pixels, pixel_queue = np.empty(1, np.uint8), np.empty(1, np.int32), np.empty(1, np.int32)
    out = np.empty((64, 6))
    n_found = 0
    for seed in order:
        if used[seed]:
            continue
        used[seed] = True
        i, j = seed // n, seed % n
        row, col, log_radius = i + maps[0, i, j], j + maps[1, i, j], maps[2, i, j]
        if not (math.isfinite(row) and math.isfinite(col) and math.isfinite(log_radius)):
            continue
        log_radius = min(max(log_radius, LOG_RADIUS[0]), LOG_RADIUS[1])
        half = math.exp(-2.0 * log_radius) / 2
        count = _gather(maps, item, start, cells, row, col, math.log(2.0) / half, found)
        if count == 0:  # a seed that is no candidate
            continue
        for k in range(count):
            mark[found[k]] = 1
            used[found[k]] = True
        a, b = _pieces(mark, (m, n), found, count, queue)
        for k in range(count):
            mark[found[k]] = 0
        top, left, bottom, right, total = m, n, 0, 0, 0.0
        for k in range(a, b):
            p = queue[k]
            mark[p] = 1
            top, bottom = min(top, p // n), max(bottom, p // n)
            left, right = min(left, p % n), max(right, p % n)
            total += 1 / (1 + math.exp(-maps[3, p // n, p % n]))
        # begin[k + 1] is the first pixel that lies at or after map pixel k.
        first, last = begin[0][top], begin[0][bottom + 2]
        begin_col, end_col = begin[1][left], begin[1][right + 2]
        top, left, bottom, right = max(top - 1, 0), max(left - 1, 0), min(bottom + 1, m - 1), min(right + 1, n - 1)
        if phi.shape[0] <= bottom - top or phi.shape[1] <= right - left:
            phi = np.empty((max(phi.shape[0], 2 * (bottom - top)), max(phi.shape[1], 2 * (right - left))), np.float32)
        for i in range(top, bottom + 1):
            for j in range(left, right + 1):
                value = math.exp(-half * ((i + maps[0, i, j] - row) ** 2 + (j + maps[1, i, j] - col) ** 2))
                inside = mark[i * n + j] == 1
                phi[i - top, j - left] = value if inside or (value <= 0.5 and maps[3, i, j] >= floor) else 0
        for k in range(a, b):
            mark[queue[k]] = 0
        size = (last - first) * (end_col - begin_col)
        if patch.size < size:
            patch = np.empty(2 * size, np.uint8)
        n_all, n_free = _paint(
            phi,
            (top, left, bottom, right),
            low,
            weight,
            (first, last, begin_col, end_col),
            labels,
            valid,
            masked,
            patch,
        )
        if n_free < max(min_area, 1) or n_free <= free * n_all:
            continue
        if pixels.size < n_free:
            pixels, pixel_queue = np.empty(2 * n_free, np.int32), np.empty(2 * n_free, np.int32)
        k = 0
        for p in range(size):
            if patch[p]:
                pixels[k] = p
                k += 1
        width = end_col - begin_col
        c, d = _pieces(patch, (last - first, width), pixels, k, pixel_queue)
        if d - c < min_area:
            continue
        if n_found == out.shape[0]:
            grown = np.empty((2 * n_found, 6))
            grown[:n_found] = out
            out = grown
        out[n_found, 0], out[n_found, 1] = total / (b - a), maps[3, seed // n, seed % n]
        out[n_found, 2], out[n_found, 3], out[n_found, 4], out[n_found, 5] = row, col, log_radius, seed
        n_found += 1
        for k in range(c, d):
            labels[first + pixel_queue[k] // width, begin_col + pixel_queue[k] % width] = n_found
    return out[:n_found]


@numba.njit(cache=True, nogil=True)
def _fill_small_holes(labels, valid, masked, limit):
    """Fill every hole (4-connected) of at most limit[k] pixels that only particle k surrounds."""
    height, width = labels.shape
    stack = np.empty(max(limit.max(), 1), np.int64)
    for i in range(1, height - 1):
        for j in range(1, width - 1):
            k = labels[i, j - 1]
            # The first pixel of a hole has its particle above and on the left.
            if labels[i, j] != 0 or k <= 0 or labels[i - 1, j] != k or limit[k] == 0:
                continue
            labels[i, j] = -2  # in this hole; -1: in one that was found open
            stack[0] = i * width + j
            at, n, closed = 0, 1, True
            while at < n and closed:
                r, c = stack[at] // width, stack[at] % width
                at += 1
                if r == 0 or c == 0 or r == height - 1 or c == width - 1 or (masked and not valid[r, c]):
                    closed = False
                    break
                for step in range(4):
                    r2, c2 = r + (step == 0) - (step == 1), c + (step == 2) - (step == 3)
                    other = labels[r2, c2]
                    if other == 0 and n < limit[k]:
                        labels[r2, c2] = -2
                        stack[n] = r2 * width + c2
                        n += 1
                    elif other != k and other != -2:
                        closed = False
                        break
            for s in range(n):
                labels[stack[s] // width, stack[s] % width] = k if closed else -1
    for i in range(height):
        for j in range(width):
            labels[i, j] = max(labels[i, j], 0)


def _axis(n_maps: int, n_pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how pixels lie between map pixels along an axis.

    The map pixel before each pixel, the share of the next one, and the first pixel that map pixel k has a share of.
    """
    place = np.clip((np.arange(n_pixels) + 0.5) * (n_maps / n_pixels) - 0.5, 0, n_maps - 1)
    before = np.minimum(place.astype(np.int32), max(n_maps - 2, 0)).astype(np.int32)
    begin = np.searchsorted(before, np.arange(-1, n_maps + 1)).astype(np.int64)
    return before, (place - before).astype(np.float32), begin


def group(
    maps: np.ndarray,
    *,
    shape: tuple[int, int] | None = None,
    seed_threshold: float = 0.8,
    free: float = 0.7,
    min_area: int = 9,
    valid: np.ndarray | None = None,
) -> Grouped:
    """Return the particles that maps point to.

    Parameters
    ----------
    maps : (4, m, n) array of float32
        Offset to the particle's centre (row, column) and logarithm of its radius of attraction, in map px, and logit of
        the seed map.
    shape : (M, N), optional
        Pixels of the image on which particles are painted; it covers the same area as the maps, at any zoom. That of
        the maps by default.
    seed_threshold : float
        Seed probability above which a map pixel proposes a particle.
    free : float
        A proposal becomes a particle if more than this share of its pixels is not taken yet; it gets those.
    min_area : int
        Least area of a particle in px of the image.
    valid : (M, N) array of bool, optional
        False where no particle is painted.

    Raises
    ------
    ShapeMismatchError
        If the maps are not four, or `valid` has not the shape of the image.
    OptionError
        If a share is not between 0 and 1.

    Notes
    -----
    The surest map pixel that no proposal holds yet proposes the particle with centre ``c`` (its place plus its offset)
    and log radius ``s``: all map pixels with seed probability above `FLOOR` whose embedding ``e`` has
    ``phi = exp(-|e - c|^2 / (2 exp(2 s))) > 0.5``, and of these the largest connected piece. Its outline on the image
    is where ``phi``, interpolated between map pixels, is one half. Interpolating the embeddings instead would draw
    touching particles apart: half way between two of them an embedding points to neither. Embeddings are sorted into a
    grid, so that a proposal looks only at those near its centre and still at all of them, wherever they come from.
    Of equally sure pixels the first in reading order proposes first. In the end small holes are filled (`HOLE`).

    References
    ----------
    Neven, De Brabandere, Proesmans and Van Gool, CVPR 2019, 10.1109/CVPR.2019.00904; Yildirim and Cole, J. Chem. Inf.
    Model. 2021, 10.1021/acs.jcim.0c01455. Different here: the grid, the connected piece, the interpolated membership
    at the resolution of the image, particles of any size, and that a particle takes nothing from one found before.
    """
    maps = np.ascontiguousarray(maps, np.float32)
    if maps.ndim != 3 or maps.shape[0] != 4:
        raise ShapeMismatchError(f"group: there have to be 4 maps (4, m, n), got an array of shape {maps.shape}.")
    m, n = maps.shape[1:]
    height, width = (m, n) if shape is None else shape
    if valid is not None and valid.shape != (height, width):
        raise ShapeMismatchError(
            f"group: valid is {valid.shape} but the image is {(height, width)}; they have to match."
        )
    for name, share in (("seed_threshold", seed_threshold), ("free", free)):
        if not 0 < share < 1:
            raise OptionError(f"group: {name} is a share between 0 and 1, got {share}.")
    labels = np.zeros((height, width), np.int32)
    if not labels.size or not m * n:
        return _as_grouped(labels, np.empty((0, 6)), n, (1.0, 1.0))
    masked = valid is not None
    mask = np.ascontiguousarray(valid, np.bool_) if valid is not None else np.ones((1, 1), np.bool_)
    floor = np.float32(math.log(FLOOR / (1 - FLOOR)))
    least = np.float32(max(math.log(seed_threshold / (1 - seed_threshold)), float(floor)))
    order = _descending(maps[3].ravel(), least)
    if order.size == 0:
        return _as_grouped(labels, np.empty((0, 6)), n, (1.0, 1.0))
    cells = (m // CELL + 1, n // CELL + 1)
    item, start = _sort_embeddings(maps, floor, cells)
    rows, cols = _axis(m, height), _axis(n, width)
    low, weight, begin = zip(rows, cols, strict=True)
    found = _group(
        maps, order, item, start, cells, low, weight, begin, labels, mask, masked, floor, float(free), int(min_area)
    )
    limit = (label_areas(labels, len(found)) * HOLE).astype(np.int64)
    _fill_small_holes(labels, mask, masked, limit)
    return _as_grouped(labels, found, n, (height / m, width / n))


def _as_grouped(labels: np.ndarray, found: np.ndarray, n: int, zoom: tuple[float, float]) -> Grouped:
    """Return what the kernel found, in px of the labels."""
    score, logit, row, col, log_radius, seed = found.T
    place = np.column_stack([seed // n, seed % n])
    return Grouped(
        labels=labels,
        score=score,
        peak=1 / (1 + np.exp(-logit)),
        centre=(np.column_stack([row, col]) + 0.5) * zoom - 0.5,
        sigma=np.exp(log_radius) * math.sqrt(zoom[0] * zoom[1]),
        seed=np.clip(np.round((place + 0.5) * zoom - 0.5), 0, np.maximum(np.array(labels.shape) - 1, 0)).astype(int),
    )
