"""Centre lines as graphs: nodes and branches of roots, vessels and fibres, with lengths and radii."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numba
import numpy as np

from segmetry.errors import OptionError
from segmetry.measure.labelling import as_labels, label
from segmetry.measure.paths import path_length, smooth_path
from segmetry.measure.spacing import checked
from segmetry.types import Calibration

if TYPE_CHECKING:
    import pandas as pd

_LEAST_LOOP = 3
"""Pixels, besides the node, of the smallest ring: the four neighbours of a hole of one pixel."""
_STEP = 0.25
"""Step, in shortest sides of a pixel, in which the end of an object is looked for."""
_KINDS = ("between", "tip", "whole")
"""Kind of a branch by its number of free ends."""


@dataclass(eq=False)
class _Branch:
    """Two nodes and the pixels (n, ndim) between them, from start to end."""

    start: int
    end: int
    pixels: np.ndarray


@dataclass(eq=False)
class _Graph:
    """Nodes with their places (px), the branches between them, and which nodes (`alone`) never had one."""

    places: np.ndarray
    branches: dict[int, _Branch]
    at: list[set[int]] = field(init=False)
    alone: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.at = [set() for _ in self.places]
        for k, b in self.branches.items():
            self.at[b.start].add(k)
            self.at[b.end].add(k)
        self.alone = {n for n, near in enumerate(self.at) if not near}

    def degree(self, node: int) -> int:
        return sum(1 + (self.branches[k].start == self.branches[k].end) for k in self.at[node])

    def drop(self, k: int) -> None:
        b = self.branches.pop(k)
        self.at[b.start].discard(k)
        self.at[b.end].discard(k)

    def path(self, b: _Branch) -> np.ndarray:
        """Return the places along a branch, its nodes included, in px; at most a pixel apart."""
        first, last = self.places[b.start][None], self.places[b.end][None]
        if not len(b.pixels):
            return np.concatenate([first, _between(first, last), last])
        lead, trail = _between(first, b.pixels[:1]), _between(b.pixels[-1:], last)
        return np.concatenate([first, lead, b.pixels, trail, last])

    def join(self, node: int) -> None:
        """Turn a node between two branches into a part of one."""
        first, second = (self.branches[k] for k in sorted(self.at[node]))
        key = min(self.at[node])
        one = first if first.end == node else _Branch(first.end, node, first.pixels[::-1])
        two = second if second.start == node else _Branch(node, second.start, second.pixels[::-1])
        for k in list(self.at[node]):
            self.drop(k)
        # A pixel's own place is kept, that of a cluster too: the line runs through it.
        merged = _Branch(one.start, two.end, np.concatenate([one.pixels, self.places[node][None], two.pixels]))
        self.branches[key] = merged
        self.at[merged.start].add(key)
        self.at[merged.end].add(key)


@dataclass(frozen=True, eq=False)
class SkeletonGraph:
    """The centre lines of objects.

    Parameters
    ----------
    branches : pandas.DataFrame
        One row per branch, see `skeleton_graph`; ``branches.attrs["units"]`` has units.
    nodes : pandas.DataFrame
        One row per end, junction and closed ring.
    paths : tuple of (n, ndim) arrays
        Smoothed centre line of each branch in px, from its start to its end.
    """

    branches: pd.DataFrame
    nodes: pd.DataFrame
    paths: tuple[np.ndarray, ...]


def skeleton_graph(
    labels: np.ndarray, *, calibration: Calibration | None = None, prune: float = 1.0, smoothing: int = 8
) -> SkeletonGraph:
    """Return the centre lines of objects as a graph with lengths, radii, orders and branching points.

    Parameters
    ----------
    labels : (M, N) or (P, M, N) array of int or bool
        Objects, each thinned for itself; of a mask, those whose pixels join over corners.
    calibration : Calibration, optional
        Length of a pixel along each axis; lengths come in px without it.
    prune : float
        End branches go that are shorter than this many radii of the place they leave; 0 keeps them all.
    smoothing : int
        Half-width in pixels of the piece of a path that a cubic is fitted to; see `segmetry.measure.paths`.

    Returns
    -------
    graph : SkeletonGraph
        Branches have the columns label (the object), branch, start, end (nodes), kind (``tip``: one end free;
        ``between`` two junctions; ``whole``: no junction; ``ring``: closed), num_pixels, length
        (along the centre line; it ends at the centre of the last ball that fits, so from tip to tip is longer by the
        end's radius), distance (of its ends), tortuosity (length over distance, 1 or more; nan for rings), radius,
        radius_min, radius_max (mean, least, largest radius of the largest ball inside), order (Horton-Strahler: 1 for
        tips, one more where two of the highest order meet; nan for branches that close a loop), generation (1 for
        those at the root, one more at each junction from there). The root of a connected part is the free end of its
        thickest tip. Nodes have label, node, degree (branches that end there; 0 for a lone pixel), place (px) and
        radius.

    Raises
    ------
    LabelError
        If labels are negative or not whole numbers.
    ImageError, ShapeMismatchError
        If the array is neither 2D nor 3D, or empty, or the calibration has other axes.
    OptionError
        If `prune` is below 0.

    References
    ----------
    Lee, Kashyap, Chu, CVGIP 56, 462 (1994), doi:10.1006/cgip.1994.1042 (thinning in 3D, of scikit-image); Strahler,
    Trans. Am. Geophys. Union 38, 913 (1957), doi:10.1029/TR038i006p00913.

    Examples
    --------
    >>> cross = np.zeros((21, 21), bool)
    >>> cross[10, 1:20] = cross[1:20, 10] = True
    >>> graph = skeleton_graph(cross)
    >>> graph.branches["length"].round(2).tolist(), graph.nodes["degree"].tolist()
    ([9.0, 9.0, 9.0, 9.0], [1, 4, 1, 1, 1])
    """
    labels = np.asarray(labels)
    calibration = checked(labels, calibration, "skeleton_graph")
    if not prune >= 0:
        raise OptionError(f"prune must be at least 0, got {prune}.")
    labels = label(labels) if labels.dtype == bool else as_labels(labels)
    spacing = np.array(calibration.spacing)
    graph = _trace(skeleton(labels))
    radius = _radii(labels, calibration.spacing)
    _tidy(graph, radius, spacing, prune, smoothing)
    return _tables(graph, labels, radius, calibration, smoothing)


def skeleton(labels: np.ndarray) -> np.ndarray:
    """Return the labels of the centre lines alone: each object thinned for itself, also where two touch.

    Parameters
    ----------
    labels : (M, N) or (P, M, N) array of int32
    """
    from scipy.ndimage import find_objects
    from skimage.morphology import skeletonize

    lines = np.zeros(labels.shape, np.int32)
    for k, box in enumerate(find_objects(labels), start=1):
        if box is not None:
            thin = skeletonize(np.pad(labels[box] == k, 1))[(slice(1, -1),) * labels.ndim]
            lines[box][thin] = k
    return lines


def _radii(labels: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the distance of each pixel to the nearest one that is not of its object, in units of the spacing."""
    import edt

    return edt.edt(labels, anisotropy=spacing, parallel=1)


def _trace(lines: np.ndarray) -> _Graph:
    """Return the graph of centre lines one pixel wide."""
    wide = np.pad(lines, 1)
    flat = wide.ravel()
    at = np.flatnonzero(flat)
    steps = np.array([np.ravel_multi_index(o, wide.shape) for o in itertools.product(range(3), repeat=lines.ndim)])
    steps = np.delete(steps - steps[steps.size // 2], steps.size // 2)
    index = np.full(flat.size, -1, np.int32)
    index[at] = np.arange(at.size)
    places = np.stack(np.unravel_index(at, wide.shape), axis=1) - 1.0
    node, n_nodes, ends, bounds, pixels = _walk(flat, at, steps, index)
    at_node = node >= 0
    sums = np.stack([np.bincount(node[at_node], p[at_node], n_nodes) for p in places.T], axis=1)
    centres = sums / np.bincount(node[at_node], minlength=n_nodes)[:, None]
    branches = {
        k: _Branch(int(a), int(b), places[pixels[bounds[k] : bounds[k + 1]]])
        for k, (a, b) in enumerate(ends)
        if a != b or bounds[k + 1] - bounds[k] >= _LEAST_LOOP
    }
    return _Graph(centres, branches)


@numba.njit(cache=True, nogil=True)
def _walk(flat, at, steps, index):
    """Find nodes (clusters of pixels with other than two neighbours) and follow the lines between them."""
    n = at.size
    degree = np.zeros(n, np.int32)
    for i in range(n):
        for step in steps:
            degree[i] += flat[at[i] + step] == flat[at[i]]
    node = np.full(n, -1, np.int32)
    n_nodes = 0
    stack = np.empty(n, np.int64)
    for i in range(n):
        if degree[i] == 2 or node[i] >= 0:
            continue
        node[i] = n_nodes
        stack[0], top = i, 1
        while top and degree[i] > 2:
            top -= 1
            p = at[stack[top]]
            for step in steps:
                j = index[p + step]
                if j >= 0 and flat[p + step] == flat[p] and degree[j] > 2 and node[j] < 0:
                    node[j] = n_nodes
                    stack[top] = j
                    top += 1
        n_nodes += 1
    seen = np.zeros(n, np.bool_)
    ends, bounds = [(0, 0) for _ in range(0)], [0]
    pixels, n_pixels = np.empty(n, np.int64), 0  # a pixel between nodes is on one line
    for turn in range(2):  # lines from the nodes, then rings without one
        for i in range(n):
            if turn == 1 and node[i] < 0 and not seen[i]:
                node[i] = n_nodes
                n_nodes += 1
            elif turn == 1 or node[i] < 0:
                continue
            for first in steps:
                j = index[at[i] + first]
                if j < 0 or flat[at[j]] != flat[at[i]] or seen[j] or node[j] == node[i]:
                    continue
                if node[j] >= 0:
                    if i < j and not (degree[i] > 2 and degree[j] > 2):
                        ends.append((node[i], node[j]))
                        bounds.append(n_pixels)
                    continue
                before, here = np.int64(i), np.int64(j)
                while node[here] < 0:
                    seen[here] = True
                    pixels[n_pixels] = here
                    n_pixels += 1
                    after = np.int64(-1)
                    for step in steps:
                        k = np.int64(index[at[here] + step])
                        if k >= 0 and k != before and flat[at[k]] == flat[at[here]]:
                            after = k
                    before, here = here, after
                ends.append((node[i], node[here]))
                bounds.append(n_pixels)
    return node, n_nodes, ends, bounds, pixels


def _tidy(graph: _Graph, radius: np.ndarray, spacing: np.ndarray, prune: float, smoothing: int) -> None:
    """Join branches at nodes of two, and cut spurs shorter than the radius where they leave, the shortest first."""

    def spare(k: int, node: int) -> float:
        length = path_length(graph.path(graph.branches[k]) * spacing, half_width=smoothing)
        return length - prune * _largest_near(radius, np.round(graph.places[node]).astype(int))

    def join(node: int) -> None:
        if graph.degree(node) == 2 and len(graph.at[node]) == 2:
            graph.join(node)

    for node in range(len(graph.places)):
        join(node)
    todo = list(range(len(graph.places))) if prune else []
    while todo:
        node = todo.pop()
        tips = [k for k in graph.at[node] if _is_tip(graph, k)] if graph.degree(node) > 2 else []
        least, k = min(((spare(k, node), k) for k in tips), default=(0.0, -1))
        if least < 0:
            graph.drop(k)
            join(node)
            todo += {n for j in graph.at[node] for n in (graph.branches[j].start, graph.branches[j].end)} | {node}


def _between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return places between two, evenly apart and about a pixel from each other: from a cluster to what leaves it."""
    n = round(float(np.abs(b - a).max()))
    return a + (b - a) * (np.arange(1, n)[:, None] / max(n, 1))


def _ended(line: np.ndarray, labels: np.ndarray, spacing: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return a line, its first point free, so that it starts at the centre of the last ball that fits.

    Thinning stops short of that centre, or runs on into the round end. `line` is in px, `radii` are near that end.
    """
    away = (line[0] - line[min(len(line) - 1, 4)]) * spacing
    middle = float(np.median(radii))
    if not away.any() or middle < 1.5 * spacing.min():  # as thin as its pixels: they are where it ends
        return line
    unit = _STEP * spacing.min()
    step = unit * away / np.linalg.norm(away) / spacing
    own = labels[tuple(np.round(line[0]).astype(int))]
    n = 0
    while True:
        at = np.round(line[0] + (n + 1) * step).astype(int)
        if (at < 0).any() or (at >= labels.shape).any() or labels[tuple(at)] != own:
            break
        n += 1
    missing = n * unit - middle
    if missing >= 0:
        return np.concatenate([line[:1] + step * missing / unit, line])
    along = np.cumsum(np.linalg.norm(np.diff(line, axis=0) * spacing, axis=1))
    cut = min(-missing, 0.5 * float(along[-1]))
    k = int(np.searchsorted(along, cut))
    part = (along[k] - cut) / (along[k] - (along[k - 1] if k else 0.0))
    return np.concatenate([line[k + 1 : k + 2] + (line[k : k + 1] - line[k + 1 : k + 2]) * part, line[k + 1 :]])


def _is_tip(graph: _Graph, k: int) -> bool:
    b = graph.branches[k]
    return b.start != b.end and min(graph.degree(b.start), graph.degree(b.end)) == 1


def _largest_near(values: np.ndarray, place: np.ndarray) -> float:
    """Return the largest value at a pixel or next to it: thinned lines lie up to a pixel off the middle."""
    return float(values[tuple(slice(max(p - 1, 0), p + 2) for p in place)].max())


def _tables(
    graph: _Graph, labels: np.ndarray, radius: np.ndarray, calibration: Calibration, smoothing: int
) -> SkeletonGraph:
    import pandas as pd

    spacing, unit = np.array(calibration.spacing), calibration.unit
    keys = sorted(graph.branches)
    used = sorted({n for k in keys for n in (graph.branches[k].start, graph.branches[k].end)} | graph.alone)
    number = {n: i for i, n in enumerate(used, start=1)}
    rows, paths = [], []
    for k in keys:
        b = graph.branches[k]
        ring = b.start == b.end
        path = graph.path(b)
        inside = np.round(b.pixels if len(b.pixels) else path).astype(int)
        along = np.array([_largest_near(radius, p) for p in np.round(path).astype(int)])
        radii = along[1:-1] if len(b.pixels) else along
        line = smooth_path(path * spacing, half_width=smoothing, closed=ring) / spacing
        if not ring and graph.degree(b.start) == 1:
            line = _ended(line, labels, spacing, along[: 2 * smoothing + 1])
        if not ring and graph.degree(b.end) == 1:
            line = _ended(line[::-1], labels, spacing, along[-2 * smoothing - 1 :])[::-1]
        length = float(np.linalg.norm(np.diff(line, axis=0) * spacing, axis=1).sum())
        distance = float(np.linalg.norm((line[-1] - line[0]) * spacing))
        rows.append(
            {
                "label": int(labels[tuple(inside[len(inside) // 2])]),
                "start": number[b.start],
                "end": number[b.end],
                "kind": "ring" if ring else _KINDS[sum(graph.degree(n) == 1 for n in (b.start, b.end))],
                "num_pixels": len(path) - ring,
                "length": length,
                "distance": distance,
                "tortuosity": np.nan if ring else max(length / distance, 1.0),
                "radius": float(radii.mean()),
                "radius_min": float(radii.min()),
                "radius_max": float(radii.max()),
            }
        )
        paths.append(line)
    units = dict.fromkeys(("label", "start", "end", "kind", "num_pixels"), "")
    units |= {"length": unit, "distance": unit, "tortuosity": ""}
    units |= {"radius": unit, "radius_min": unit, "radius_max": unit}
    branches = pd.DataFrame(rows, columns=list(units))
    branches.insert(1, "branch", np.arange(1, len(branches) + 1))
    branches["order"], branches["generation"] = _orders(branches)
    branches.attrs["units"] = units | {"branch": "", "order": "", "generation": ""}

    places = np.array([graph.places[n] for n in used]).reshape(-1, labels.ndim)
    nearest = [tuple(p) for p in np.round(places).astype(int)]
    columns = {
        "label": np.array([labels[p] for p in nearest], int),
        "node": np.arange(1, len(used) + 1),
        "degree": np.array([graph.degree(n) for n in used], int),
        **{f"place-{axis}": places[:, axis] for axis in range(labels.ndim)},
        "radius": np.array([_largest_near(radius, np.array(p)) for p in nearest], float),
    }
    nodes = pd.DataFrame(columns)
    nodes.attrs["units"] = (
        dict.fromkeys(columns, "") | {f"place-{a}": "px" for a in range(labels.ndim)} | {"radius": unit}
    )
    return SkeletonGraph(branches, nodes, tuple(paths))


def _orders(branches: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the Horton-Strahler order (nan where a branch closes a loop) and the generation of each branch."""
    order, generation = np.full(len(branches), np.nan), np.zeros(len(branches), int)
    ends = branches[["start", "end"]].to_numpy()
    radius, kind = branches["radius"].to_numpy(), branches["kind"].to_numpy()
    at: dict[int, list[int]] = {}
    for k, pair in enumerate(ends):
        for node in dict.fromkeys(pair.tolist()):
            at.setdefault(node, []).append(k)
    # Roots first: tips of thick branches, and where a part has none, whatever is thickest.
    thick = sorted(range(len(branches)), key=lambda k: (kind[k] not in ("tip", "whole"), -radius[k]))
    seen: set[int] = set()
    for first in thick:
        root = min(ends[first].tolist(), key=lambda n: len(at[n]))
        if root in seen:
            continue
        seen.add(root)
        line = [(root, -1, 0)]
        down: dict[int, list[int]] = {}
        for node, above, depth in line:  # breadth first; the line grows while it is read
            for k in at[node]:
                if generation[k] == 0:
                    generation[k] = depth + 1
                    other = int(ends[k].sum()) - node
                    if other not in seen:
                        seen.add(other)
                        line.append((other, k, depth + 1))
                        down.setdefault(above, []).append(k)
        for _, k, _ in reversed(line[1:]):
            below = [order[j] for j in down.get(k, ())]
            order[k] = 1 if not below else max(below) + (below.count(max(below)) > 1)
    return order, generation
