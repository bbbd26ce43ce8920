"""Particles of any size in an image of any size: a network that is run at the zooms that suit what is in the image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numba
import numpy as np

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.segment.grouping import Grouped, group
from segmetry.segment.merging import Box, areas, fill, merge, select
from segmetry.segment.objects import typical_area

Run = Callable[[np.ndarray], np.ndarray]
"""Network: image (M, N) of float32, perhaps a view, with sides that are multiples of `GRAIN`, to maps (4, M / stride,
N / stride) of the same area."""

GRAIN = 4
"""Sides of images given to the network are multiples of this, so that maps cover them exactly at strides 1, 2 and 4."""

LIMIT = 5.0
"""Pixels are cut off at so many standard deviations from the mean."""

CONTEXT = 48
"""What the network is shown round a gap, in px of its input: it needs surroundings to know a particle."""

FEW = 3
"""Fewer small particles than this in the first pass may be specks: 14 of 183 micrographs had one or two, none had more.
"""

TURNS = ((0, False), (2, True), (1, False), (3, True), (2, False), (0, True), (3, False), (1, True))
"""Quarter turns, and whether the image is mirrored before: the order in which averaging takes them."""


@dataclass(frozen=True)
class Passes:
    """How an image is searched.

    Parameters
    ----------
    first : float
        Zoom of the first pass, which only asks how large particles are; images whose short side would fall below
        `short_side` are zoomed less, and large ones also searched at half, a quarter, ... of this zoom, until the
        short side is not above it.
    short_side : int
    first_seed : float
        Seed threshold of the first pass: only what is rather sure tells the size.
    side : float
        The second pass brings the typical particle to this side (root of the area; px of the network's input).
    zooms : (float, float)
        Range of the second pass. The lower end falls with the size of the image if its short side is over 512.
    closest : float
        Largest zoom, for particles that would have less than `small` px otherwise, and where none was seen.
    n_turns : int
        Flips and quarter turns (1 to 8) over which the second pass averages the maps.
    fill : int
        Gaps of the second pass are filled from so many finer zooms, each twice the one before, up to `finest`.
    finest : float
    sure : float
        Seed threshold of what fills gaps: finer zooms see particles in every texture.
    hint : float
        Gaps are only searched where a map of seeds has at least this probability; 0 searches everywhere.
    large : float
        Where particles of more than this side (px of the second pass) were seen, they are searched at a zoom of their
        own; of two findings of the same thing the one with the higher score stays.
    small : float
        Where `FEW` particles or more of less than this side (px of the second pass) were seen, a few huge ones set its
        zoom: they too are searched at a zoom of their own, beside what the second pass found larger than that.
    seed_threshold, free, min_area
        See `group`.
    """

    first: float = 0.5
    short_side: int = 256
    first_seed: float = 0.9
    side: float = 64.0
    zooms: tuple[float, float] = (0.2, 0.9)
    closest: float = 1.3
    n_turns: int = 2
    fill: int = 0
    finest: float = 2.0
    sure: float = 0.95
    hint: float = 0.15
    large: float = 192.0
    small: float = 12.0
    seed_threshold: float = 0.9
    free: float = 0.7
    min_area: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.n_turns <= len(TURNS):
            raise OptionError(f"n_turns is a number from 1 to {len(TURNS)}, got {self.n_turns}.")
        if not 0 < self.zooms[0] <= self.zooms[1]:
            raise OptionError(f"zooms have to be positive and in order, got {self.zooms}.")


def zoomed(pixels: np.ndarray, zoom: float) -> np.ndarray:
    """Return an image at another resolution: the mean over pixels down, linear interpolation up.

    Parameters
    ----------
    pixels : (M, N) array of float32
    zoom : float
        Sides are rounded to multiples of `GRAIN`, at least one.

    Returns
    -------
    image : array of float32
        Cut off at ±`LIMIT`.
    """
    rows, cols = (max(round(n * zoom / GRAIN), 1) * GRAIN for n in pixels.shape)
    shrinks = rows * cols < pixels.size
    image = cv2.resize(pixels, (cols, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.clip(image, -LIMIT, LIMIT, out=image)


def turned(image: np.ndarray, turn: tuple[int, bool]) -> np.ndarray:
    """Return a view of an image (M, N) mirrored left to right, if so asked, and then turned by quarters to the left."""
    quarters, mirrored = turn
    return np.rot90(image[:, ::-1] if mirrored else image, quarters)


def turned_back(maps: np.ndarray, turn: tuple[int, bool]) -> tuple[np.ndarray, ...]:
    """Return the four maps (m, n) of a turned image as those of the image: places go back, and so do directions."""
    quarters, mirrored = turn
    back = np.rot90(maps, -quarters, axes=(1, 2))
    row, col = back[0], back[1]
    for _ in range(quarters):  # a quarter turn to the right makes "down" of "right", and "left" of "down"
        row, col = col, -row
    if mirrored:
        back, row, col = back[:, :, ::-1], row[:, ::-1], -col[:, ::-1]
    return row, col, back[2], back[3]


def averaged(run: Run, image: np.ndarray, n_turns: int) -> np.ndarray:
    """Return the mean over the first `TURNS` of what the network says of an image, offsets turned along."""
    maps = run(turned(image, TURNS[0]))
    if n_turns == 1:
        return maps
    total = maps.copy()
    for turn in TURNS[1:n_turns]:
        del maps  # one more would be a lot of memory where the image is large
        maps = run(turned(image, turn))
        for one, back in zip(total, turned_back(maps, turn), strict=True):
            one += back
    total /= np.float32(n_turns)
    return total


def typical_side(area: np.ndarray) -> float:
    """Return the root of the area-weighted median of areas: half of all area is in particles not larger; nan if none.

    Examples
    --------
    >>> typical_side(np.array([4, 4, 4, 100, 64]))
    10.0
    """
    return math.sqrt(typical_area(area)) or math.nan


@dataclass(frozen=True, eq=False)
class Plan:
    """At which zooms an image is searched.

    Parameters
    ----------
    typical : float
        Side of the typical particle, root of the area, in px of the image; nan where none was seen.
    zoom : float
        Of the second pass.
    large : float or None
        Zoom of the search for particles far larger than the typical one.
    small : float or None
        Zoom of the search for particles too small for the second pass.
    seen : (m, n) array of float32
        Largest seed logit that the first pass saw, on a coarse grid.
    """

    typical: float
    zoom: float
    large: float | None
    small: float | None
    seen: np.ndarray


class Searched(NamedTuple):
    """Particles, and the seed logits (m, n) of the second pass that they come from."""

    particles: Grouped
    seed: np.ndarray


def plan_search(pixels: np.ndarray, valid: np.ndarray | None, run: Run, passes: Passes | None = None) -> Plan:
    """Return the zooms at which the particles of an image are best searched.

    Parameters
    ----------
    pixels : (M, N) array of float32
        Mean 0 and standard deviation 1 over what is valid; what is not is what the network shall see there.
    valid : (M, N) array of bool or None
        False on text, bars and footers: no particle is painted there.
    run : callable
        See `Run`.
    passes : Passes, optional

    Raises
    ------
    ShapeMismatchError
        If `valid` has not the shape of the image.

    Notes
    -----
    A network knows particles of the sizes it has learned. Pass 1 runs it at half resolution (and coarser on large
    images) to find the typical side; pass 2 (`search`) at the zoom that brings this side to 64 px, and what it finds is
    painted at full resolution. Particles far larger than the typical one, and those far smaller, are looked for at
    their own zoom, and gaps are filled from finer zooms, only in boxes about the places where a coarser map saw
    something that became no particle.
    """
    o = passes or Passes()
    pixels = _checked(pixels, valid)
    area, seen = _first_pass(pixels, valid, run, o)
    lowest, highest = o.zooms[0] * min(1.0, 512 / min(pixels.shape)), o.zooms[1]
    typical = typical_side(area)
    if typical > 0:
        zoom = float(np.clip(o.side / typical, lowest, max(highest, min(o.small / typical, o.closest))))
    else:
        zoom = o.closest
    huge = area[np.sqrt(area) * zoom > o.large]
    own = max(o.side / typical_side(huge), lowest) if huge.size and zoom > lowest else None
    tiny = area[(area > 0) & (np.sqrt(area) * zoom < o.small)]
    finer = min(o.side / typical_side(tiny), o.closest) if tiny.size >= FEW else 0.0
    return Plan(typical, zoom, own, finer if finer > zoom else None, seen)


def search(
    pixels: np.ndarray, valid: np.ndarray | None, run: Run, plan: Plan, passes: Passes | None = None
) -> Searched:
    """Return the particles of an image at the zooms of a plan; other parameters as of `plan_search`."""
    o = passes or Passes()
    pixels, seen, zoom = _checked(pixels, valid), plan.seen.copy(), plan.zoom
    found, seed = _search(pixels, valid, run, zoom, o, seen)
    if plan.large is not None:
        again, _ = _search(pixels, valid, run, plan.large, o, seen)
        again = select(again, np.sqrt(areas(again)) * zoom > o.large / 2)
        found = merge(found, again, free=o.free, min_area=o.min_area)
    if plan.small is not None:
        again, _ = _search(pixels, valid, run, plan.small, o, seen)
        again = select(again, np.sqrt(areas(again)) * zoom < 2 * o.small)
        visible = np.sqrt(areas(found)) * zoom >= o.small
        again = merge(select(found, ~visible), again, free=o.free, min_area=o.min_area)
        everywhere = (slice(0, pixels.shape[0]), slice(0, pixels.shape[1]))
        found = fill(select(found, visible), [(everywhere, again)], free=o.free, min_area=o.min_area)
    for _ in range(o.fill):
        if 1.5 * zoom > o.finest:
            break
        zoom = min(2 * zoom, o.finest)
        boxes = _gaps(found.labels, seen, zoom, o.hint)
        parts = ((box, _search_box(box, pixels, valid, run, zoom, o, seen)) for box in boxes)
        found = fill(found, parts, free=o.free, min_area=o.min_area)
    return Searched(found, seed)


def _checked(pixels: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    if valid is not None and valid.shape != pixels.shape:
        raise ShapeMismatchError(f"search: valid is {valid.shape}, the image {pixels.shape}.")
    return np.ascontiguousarray(pixels, np.float32)


def _first_pass(pixels: np.ndarray, valid: np.ndarray | None, run: Run, o: Passes) -> tuple[np.ndarray, np.ndarray]:
    """Return the areas (px) of the particles seen at coarse zooms, and the largest seed logit of all, on a grid."""
    short = min(pixels.shape)
    zoom = min(max(o.first, o.short_side / short), 1.0)
    found, seen, inside = None, None, None
    while True:
        maps = run(zoomed(pixels, zoom))
        if seen is None:
            seen = maps[3].copy()
            if valid is not None:
                inside = cv2.resize(valid.view(np.uint8), seen.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
        here = group(maps, shape=seen.shape, seed_threshold=o.first_seed, free=o.free, min_area=2, valid=inside)
        found = here if found is None else merge(found, here, free=o.free, min_area=2)
        if short * zoom <= o.short_side:
            break
        zoom /= 2
    return areas(found) * (pixels.size / seen.size), seen


def _search(
    pixels: np.ndarray, valid: np.ndarray | None, run: Run, zoom: float, o: Passes, seen: np.ndarray
) -> Searched:
    """Return the particles at one zoom, and note the seeds of its maps in `seen`."""
    maps = averaged(run, zoomed(pixels, zoom), o.n_turns)
    _note(maps[3], seen)
    found = group(
        maps, shape=pixels.shape, seed_threshold=o.seed_threshold, free=o.free, min_area=o.min_area, valid=valid
    )
    return Searched(found, maps[3].copy())  # not a view: the other maps go


@numba.njit(cache=True, nogil=True)
def _note(seed, seen):
    """Raise every pixel of a grid to the largest seed logit of the map pixels that it overlaps."""
    m, n = seen.shape
    height, width = seed.shape
    for i in range(m):
        for j in range(n):
            for r in range(i * height // m, -(-(i + 1) * height // m)):
                for c in range(j * width // n, -(-(j + 1) * width // n)):
                    seen[i, j] = max(seen[i, j], seed[r, c])


def _gaps(labels: np.ndarray, seen: np.ndarray, zoom: float, hint: float) -> list[Box]:
    """Return boxes round the places that look like a particle and have become none."""
    everything = (slice(0, labels.shape[0]), slice(0, labels.shape[1]))
    if hint <= 0:
        return [everything]
    share = cv2.resize((labels > 0).astype(np.float32), seen.shape[::-1], interpolation=cv2.INTER_AREA)
    taken = cv2.dilate((share > 0).view(np.uint8), np.ones((3, 3), np.uint8))  # the rim of a particle is no gap
    open_places = ((seen > math.log(hint / (1 - hint))) & (taken == 0)).view(np.uint8)
    scale = [a / b for a, b in zip(labels.shape, seen.shape)]
    reach = [max(1, math.ceil(CONTEXT / (zoom * s))) for s in scale]
    near = cv2.dilate(open_places, np.ones((2 * reach[0] + 1, 2 * reach[1] + 1), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(near, None, None, None, 8, cv2.CV_32S)
    if stats[1:, cv2.CC_STAT_WIDTH].astype(float) @ stats[1:, cv2.CC_STAT_HEIGHT] > 0.6 * seen.size:
        return [everything]
    boxes = []
    for left, top, width, height, _ in stats[1:].tolist():
        rows, cols = (
            slice(math.floor(a * s), min(math.ceil((a + n) * s), whole))
            for a, n, s, whole in zip((top, left), (height, width), scale, labels.shape)
        )
        boxes.append((rows, cols))
    return boxes


def _search_box(
    box: Box, pixels: np.ndarray, valid: np.ndarray | None, run: Run, zoom: float, o: Passes, seen: np.ndarray
) -> Grouped:
    """Return the particles of a box that its sides do not cut off from the image."""
    maps = run(zoomed(pixels[box], zoom))
    per_pixel = [a / b for a, b in zip(seen.shape, pixels.shape)]
    _note(maps[3], seen[tuple(slice(int(b.start * s), math.ceil(b.stop * s)) for b, s in zip(box, per_pixel))])
    found = group(
        maps,
        shape=pixels[box].shape,
        seed_threshold=o.sure,
        free=o.free,
        min_area=o.min_area,
        valid=None if valid is None else valid[box],
    )
    keep = np.ones(found.n + 1, np.bool_)
    for side, whole, edges in zip(box, pixels.shape, (found.labels, found.labels.T)):
        if side.start > 0:
            keep[edges[0]] = False
        if side.stop < whole:
            keep[edges[-1]] = False
    return select(found, keep[1:])
