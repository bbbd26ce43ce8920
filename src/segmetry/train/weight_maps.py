"""Weights made from labels: of pixels, in the data worker, and of classes, from the counts of a training set.

No torch here: a worker that reads and cuts images needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cc3d
import edt
import numpy as np
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from segmetry.errors import LabelError, unknown_name
from segmetry.evaluate.topology import skeleton
from segmetry.measure.labelling import label

IGNORE = -1
"""Class number of pixels that nobody labelled."""

REACH = 6.0
"""Standard deviations beyond which a border weighs nothing: ``exp(-18)`` is 1.5e-8."""


def objects(target: np.ndarray) -> np.ndarray:
    """Return the objects of a map of classes as labels 1..L: pieces of one class that hang together over sides.

    Examples
    --------
    >>> objects(np.array([[1, 1, 0, 2], [0, 0, 1, 2], [-1, 0, 1, 2]])).tolist()
    [[1, 1, 0, 2], [0, 0, 3, 2], [0, 0, 3, 2]]
    """
    out = cc3d.connected_components(np.maximum(target, 0).astype(np.int32), connectivity=2 * target.ndim)
    return np.asarray(out, np.int32)


def border_weight(
    labels: np.ndarray, *, w0: float = 10.0, sigma: float = 5.0, spacing: Sequence[float] | None = None
) -> np.ndarray:
    """Return ``1 + w0 exp(-(d1 + d2)^2 / (2 sigma^2))`` on the background: narrow gaps weigh most.

    Parameters
    ----------
    labels : (M, N) or (P, M, N) array of int
        0 background, every other number an object, `IGNORE` unknown. Of a map of classes: `objects` of it.
    w0 : float
        Weight added in a gap of no width.
    sigma : float
        Width of the gaps that matter, in pixels or in the unit of `spacing`.
    spacing : sequence of float, optional
        Length of a pixel along each axis; 1 by default.

    Returns
    -------
    weight : array of float32
        1 on objects and on what is unknown.

    Notes
    -----
    d1 and d2 are the distances of a pixel's centre to the nearest pixels of the nearest and second nearest object.
    Where their sum is beyond `REACH` sigma, 0 stands for an addend of less than 1.6e-8 w0. Objects that touch have no
    background between them: open a gap in the truth first, as the source does.

    References
    ----------
    Ronneberger et al., MICCAI 2015, 10.1007/978-3-319-24574-4_28, equation 2, with w0 = 10 and sigma about 5 px.
    There the class weight is an addend; here the loss multiplies by it.
    """
    spacing = tuple(spacing or (1.0,) * labels.ndim)
    compact, old = np.unique(labels, return_inverse=True)
    # Numbers without gaps, for find_objects; what is not an object is 0.
    number = np.where(compact > 0, np.cumsum(compact > 0), 0).astype(np.int32)[old].reshape(labels.shape)
    nearest = np.full(labels.shape, np.inf, np.float32)
    second = np.full(labels.shape, np.inf, np.float32)
    # Only distances up to the reach matter: an object does in its box and that far around.
    margin = [int(np.ceil(REACH * sigma / s)) for s in spacing]
    for k, box in enumerate(ndimage.find_objects(number), start=1):
        window = tuple(slice(max(0, b.start - m), b.stop + m) for b, m in zip(box, margin, strict=True))
        away = edt.edt(number[window] != k, anisotropy=spacing, black_border=False)
        one, two = nearest[window], second[window]
        np.minimum(two, np.maximum(one, away), out=two)
        np.minimum(one, away, out=one)
    out = np.ones(labels.shape, np.float32)
    near = (labels == 0) & (nearest + second <= REACH * sigma)
    out[near] += w0 * np.exp(-((nearest[near] + second[near]) ** 2) / (2 * sigma**2))
    return out


def boundary_weight(
    target: np.ndarray, *, strength: float = 10.0, spacing: Sequence[float] | None = None
) -> np.ndarray:
    """Return ``1 + strength d / max(d)``, d the distance inside the object: the middle of thick parts weighs most.

    Parameters
    ----------
    target : (M, N) or (P, M, N) array of int
        Class numbers: 0 background, `IGNORE` unknown.
    strength : float
        Weight added at the deepest pixel of the image.
    spacing : sequence of float, optional

    Returns
    -------
    weight : array of float32
        1 on the background and on what is unknown.

    Notes
    -----
    The neutron lecture of Kaestner (2021) names it after the boundary, from which d is measured; see `depth`. It shows
    the map only: the 1 that keeps the background in the loss, and the scale, are ours.
    """
    return _spread(depth(target, spacing=spacing), strength)


def branching_weight(
    target: np.ndarray, *, strength: float = 10.0, spacing: Sequence[float] | None = None
) -> np.ndarray:
    """Return ``1 + strength g / max(g)``, g the way along the root from its thickest point: tips weigh most.

    Parameters
    ----------
    target : (M, N) or (P, M, N) array of int
        Class numbers: 0 background, `IGNORE` unknown; all other classes are root.
    strength : float
        Weight added at the farthest tip of the image.
    spacing : sequence of float, optional

    Returns
    -------
    weight : array of float32
        1 on the background and on what is unknown.

    Notes
    -----
    See `way_from_thickest`. The lecture of Kaestner (2021) says "distance along the root from its thickest
    point"; the skeleton, the neighbours and the scale are ours.
    """
    return _spread(way_from_thickest(target > 0, spacing=spacing), strength)


def depth(target: np.ndarray, *, spacing: Sequence[float] | None = None) -> np.ndarray:
    """Return the distance of each pixel of an object to the nearest known pixel that is not of its class; float32.

    The frame and what is unknown are no border. 0 on the background, and for a class that fills all that is known.

    Examples
    --------
    >>> depth(np.array([[0, 1, 1, 1, 2, 2, -1]])).tolist()
    [[0.0, 1.0, 2.0, 1.0, 1.0, 2.0, 0.0]]
    """
    out = np.zeros(target.shape, np.float32)
    spacing = tuple(spacing or (1.0,) * target.ndim)
    for k in np.unique(target[target > 0]):
        mine = target == k
        inside = mine | (target == IGNORE)
        if not inside.all():
            out[mine] = edt.edt(inside, anisotropy=spacing, black_border=False)[mine]
    return out


def way_from_thickest(mask: np.ndarray, *, spacing: Sequence[float] | None = None) -> np.ndarray:
    """Return how far each pixel's place on the skeleton is from the thickest point of its piece, along the skeleton.

    Parameters
    ----------
    mask : (M, N) or (P, M, N) array of bool
        Pieces hang together over corners.
    spacing : sequence of float, optional

    Returns
    -------
    way : array of float32
        0 outside of the mask.

    Notes
    -----
    1. Each piece is thinned to its skeleton (`segmetry.evaluate.topology.skeleton`).
    2. Its thickest point is the pixel of the skeleton that lies deepest in the mask; of several, the first in raster
       order.
    3. The way to every other pixel of the skeleton is the shortest over skeleton pixels that touch, corners included,
       each step by its length.
    4. Every pixel of the mask has the value of the skeleton pixel that is nearest to it by a way inside the mask, so
       nothing crosses the gap between roots that run side by side.
    """
    out = np.zeros(mask.shape, np.float32)
    if not mask.any():
        return out
    spacing = tuple(spacing or (1.0,) * mask.ndim)
    thin = skeleton(mask)[mask]
    inside = edt.edt(mask, anisotropy=spacing, black_border=False)[mask]
    piece = label(mask)[mask]
    start, end, length = _steps(mask, spacing)
    n = int(np.count_nonzero(mask))
    # Deepest first, in each piece; lexsort is stable, so the first in raster order among equals.
    by_depth = np.lexsort((-np.where(thin, inside, -np.inf), piece))
    thickest = by_depth[np.flatnonzero(np.diff(piece[by_depth], prepend=0))]
    on_line = thin[start] & thin[end]
    line, whole = (csr_array((length[used], (start[used], end[used])), shape=(n, n)) for used in (on_line, slice(None)))
    way = dijkstra(line, indices=thickest, min_only=True)
    _, _, nearest = dijkstra(whole, indices=np.flatnonzero(thin), min_only=True, return_predecessors=True)
    out[mask] = way[nearest]
    return out


def distance_target(target: np.ndarray, *, spacing: Sequence[float] | None = None) -> np.ndarray:
    """Return what a distance head learns: `depth` over its largest value in each object; float32 in [0, 1].

    Objects are those of `objects`. 0 on the background and on what is unknown, which takes no part in the loss.
    """
    deep = depth(target, spacing=spacing)
    pieces = objects(target)
    most = np.zeros(int(pieces.max(initial=0)) + 1, np.float32)
    np.maximum.at(most, pieces.ravel(), deep.ravel())
    return deep / np.where(most > 0, most, 1)[pieces]


@dataclass(frozen=True)
class WeightMap:
    """One way to weigh pixels.

    Parameters
    ----------
    name : str
        As recipes say it.
    compute : callable
        A map of classes to weights.
    summary : str
    source : str
    """

    name: str
    compute: Callable[..., np.ndarray]
    summary: str
    source: str


def _border_of_classes(target: np.ndarray, **own: float) -> np.ndarray:
    return border_weight(np.where(target == IGNORE, IGNORE, objects(target)), **own)  # type: ignore[arg-type]


WEIGHT_MAPS = {
    m.name: m
    for m in (
        WeightMap(
            "border",
            _border_of_classes,
            "gaps between objects, by w0 and sigma (px)",
            "Ronneberger et al. 2015, 10.1007/978-3-319-24574-4_28",
        ),
        WeightMap("boundary", boundary_weight, "distance inside the object, by strength", "Kaestner 2021 (lecture)"),
        WeightMap(
            "branching",
            branching_weight,
            "way along the root from its thickest point, by strength",
            "Kaestner 2021 (lecture)",
        ),
    )
}
"""Every map of weights by its name."""


def count_classes(target: np.ndarray, n_classes: int) -> np.ndarray:
    """Return how many pixels of a map of classes are of each; unknown ones do not count.

    Examples
    --------
    >>> count_classes(np.array([[0, 2, 2], [-1, 0, 2]]), 3)
    array([2, 0, 3])
    """
    return np.bincount(target[target != IGNORE].ravel(), minlength=n_classes)


def inverse_frequency(counts: np.ndarray) -> np.ndarray:
    """Return class weights ``N / (K n)``: every class weighs the same in all, and the mean pixel 1.

    See `class_weights`.

    Examples
    --------
    >>> inverse_frequency(np.array([[60, 20, 0], [0, 10, 10]]))
    array([0.55555556, 1.11111111, 3.33333333])
    """
    n = _totals(counts)
    return n.sum() / (n.size * n)


def median_frequency(counts: np.ndarray) -> np.ndarray:
    """Return class weights ``median(f) / f``: f is a class's share of the known pixels of the images that have it.

    See `class_weights`.

    References
    ----------
    Eigen and Fergus, ICCV 2015, 10.1109/ICCV.2015.304, section 6.3.2.

    Examples
    --------
    >>> median_frequency(np.array([[60, 20, 0], [0, 10, 10]]))  # f: 60 / 80, 30 / 100, 10 / 20
    array([0.66666667, 1.66666667, 1.        ])
    """
    n = _totals(counts)
    counts = np.atleast_2d(counts)
    f = n / ((counts > 0) * counts.sum(axis=1, keepdims=True)).sum(axis=0)
    return np.median(f) / f


CLASS_WEIGHTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "inverse": inverse_frequency,
    "median": median_frequency,
}
"""Every rule for class weights by its name."""


def class_weights(name: str, counts: np.ndarray) -> np.ndarray:
    """Return class weights (K,) by a rule in `CLASS_WEIGHTS`.

    Parameters
    ----------
    name : str
    counts : (I, K) array of int
        Pixels of each class in each image: `count_classes`.

    Raises
    ------
    OptionError
        If there is no such rule.
    LabelError
        If a class never occurs.
    """
    if name not in CLASS_WEIGHTS:
        raise unknown_name("rule for class weights", name, CLASS_WEIGHTS)
    return CLASS_WEIGHTS[name](counts)


def _totals(counts: np.ndarray) -> np.ndarray:
    """Return pixels of each class, over all images."""
    n = np.atleast_2d(counts).sum(axis=0)
    if missing := np.flatnonzero(n == 0).tolist():
        raise LabelError(
            f"class weights: class {', '.join(map(str, missing))} never occurs in the training labels; "
            "drop it, or label some of it."
        )
    return n


def _spread(value: np.ndarray, strength: float) -> np.ndarray:
    """Return ``1 + strength value / max(value)``."""
    most = value.max(initial=0)
    return (1 + value * (strength / most if most > 0 else 0.0)).astype(np.float32)


def _steps(mask: np.ndarray, spacing: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the steps between neighbouring pixels of a mask, both ways: from, to (numbers in raster order), length."""
    number = np.full(mask.shape, -1, np.int64)
    number[mask] = np.arange(np.count_nonzero(mask))
    half = [o for o in np.ndindex(*(3,) * mask.ndim) if o > (1,) * mask.ndim]
    starts, ends, lengths = [], [], []
    for offset in (np.array(o) - 1 for o in half):
        here = number[tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, mask.shape, strict=True))]
        there = number[tuple(slice(max(0, o), n + min(0, o)) for o, n in zip(offset, mask.shape, strict=True))]
        both = (here >= 0) & (there >= 0)
        starts.append(here[both])
        ends.append(there[both])
        lengths.append(np.full(starts[-1].size, np.sqrt(((offset * spacing) ** 2).sum())))
    start, end, length = (np.concatenate(a) for a in (starts, ends, lengths))
    return np.concatenate([start, end]), np.concatenate([end, start]), np.concatenate([length, length])
