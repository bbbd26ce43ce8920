"""A random forest as flat arrays: grown by scikit-learn, run by a compiled loop, checked before it is run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np

from segmetry.errors import ReadError

_AT_ONCE = 64
"""Pixels that go down a tree together: their features stay in the nearest cache. The loop counts on 64."""

_KINDS = [("<i4", 1), ("<i2", 1), ("<f4", 1), ("<i4", 1), ("<f4", 2)]
"""Type and number of axes of the arrays of a forest, in their order."""

MOST_FEATURES, _MOST_NODES = 2**10, 2**22
"""Of a pixel, and of a tree: what a packed node has room for."""


@dataclass(frozen=True, eq=False)
class Forest:
    """Decision trees, one after another, each breadth first: the two children of a node lie side by side behind it.

    A pixel goes to the left child where its feature is at most the threshold, else to the right one.

    Parameters
    ----------
    starts : (T + 1,) int32 array
        First node of each tree, and the number of nodes.
    feature : (N,) int16 array
        Feature that a node looks at; -1 for a leaf.
    threshold : (N,) float32 array
    child : (N,) int32 array
        Left child, counted from the first node of the tree; the right one follows. Of a leaf its row of `shares`.
    shares : (L, K) float32 array
        Share of each class in a leaf.
    n_features : int
        Features of a pixel.

    References
    ----------
    Breiman, Mach. Learn. 45, 5 (2001), doi:10.1023/A:1010933404324.
    """

    starts: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    child: np.ndarray
    shares: np.ndarray
    n_features: int

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.shares.shape[1]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each class, (K, n) float32: the mean over the trees.

        Parameters
        ----------
        features : (F, n) array of float32
            Finite.
        """
        out = np.empty((self.n_classes, features.shape[1]), np.float32)
        bits = np.ascontiguousarray(features, np.float32).view(np.int32)
        words, depths = self._packed
        _run(bits, self.starts, words, depths, self.child, self.shares, out)
        return out

    @cached_property
    def _packed(self) -> tuple[np.ndarray, np.ndarray]:
        """Each node in a word: threshold (32 bits), feature (10), left child (22); and the depth of each tree.

        A leaf leads to itself.
        """
        leaf, sizes = self.feature < 0, np.diff(self.starts)
        first = np.repeat(self.starts[:-1], sizes)
        limit = np.where(leaf, np.iinfo(np.int32).max, _ranks(self.threshold.view(np.int32)))
        words = limit.astype(np.int64) << 32
        words |= np.where(leaf, 0, self.feature.astype(np.int64)) << 22
        words |= np.where(leaf, np.arange(leaf.size) - first, self.child)
        level, front = np.zeros(leaf.size, np.int32), self.starts[:-1]
        while (front := front[~leaf[front]]).size:
            depth = level[front[0]] + 1
            front = (first + self.child)[front]
            front = np.concatenate([front, front + 1])
            level[front] = depth
        return words, np.maximum.reduceat(level, self.starts[:-1])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name: what a file holds."""
        return {name: getattr(self, name) for name in ("starts", "feature", "threshold", "child", "shares")}


def forest_from(grown: Any) -> Forest:
    """Return scikit-learn's forest (a fitted `RandomForestClassifier`) as flat arrays.

    Notes
    -----
    Thresholds become the largest float32 that is not above them, which sends every float32 feature the same way.
    """
    starts, feature, threshold, child, shares = [0], [], [], [], []
    n_leaves = 0
    for tree in (one.tree_ for one in grown.estimators_):
        order = _breadth_first(tree.children_left, tree.children_right)
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order))
        leaf = tree.children_left[order] < 0
        limit = tree.threshold[order].astype(np.float32)
        over = limit > tree.threshold[order]
        limit[over] = np.nextafter(limit[over], np.float32(-np.inf))
        down = np.where(leaf, n_leaves + np.cumsum(leaf) - 1, place[tree.children_left[order]])
        of_classes = tree.value[order][leaf, 0]
        starts.append(starts[-1] + len(order))
        feature.append(np.where(leaf, -1, tree.feature[order]))
        threshold.append(np.where(leaf, 0, limit))
        child.append(down)
        shares.append(of_classes / of_classes.sum(axis=1, keepdims=True))
        n_leaves += int(leaf.sum())
    return Forest(
        np.array(starts, np.int32),
        np.concatenate(feature).astype(np.int16),
        np.concatenate(threshold).astype(np.float32),
        np.concatenate(child).astype(np.int32),
        np.concatenate(shares).astype(np.float32),
        int(grown.n_features_in_),
    )


def check_forest(forest: Forest, *, where: str) -> Forest:
    """Return a forest whose every path ends in a leaf and whose every index is within its array.

    Raises
    ------
    ReadError
        If it is none; the line begins with `where`.
    """
    starts, feature, child, shares = forest.starts, forest.feature, forest.child, forest.shares
    n = len(feature)
    kinds = [(a.dtype.str, a.ndim) for a in forest.arrays().values()]
    if kinds != _KINDS:
        raise ReadError(f"{where}: is damaged, its arrays are of other types; get the model anew.")
    whole = len(starts) > 1 and starts[0] == 0 and starts[-1] == n and bool((np.diff(starts) > 0).all())
    if not whole or not len(forest.threshold) == len(child) == n or not shares.size:
        raise ReadError(f"{where}: is damaged, its arrays do not fit each other; get the model anew.")
    sizes = np.diff(starts)
    if not 0 < forest.n_features <= MOST_FEATURES or sizes.max() > _MOST_NODES or forest.n_classes < 2:
        raise ReadError(f"{where}: has too many nodes or features, or too few classes; get the model anew.")
    leaf = feature < 0
    own = np.arange(n) - np.repeat(starts[:-1], sizes)
    # A child lies behind its parent, so no path comes back; both children lie within their tree.
    fits = np.where(
        leaf,
        (feature == -1) & (child >= 0) & (child < len(shares)),
        (feature < forest.n_features) & (child > own) & (child < np.repeat(sizes, sizes) - 1),
    )
    sound = np.isfinite(forest.threshold).all() and (shares >= 0).all() and np.allclose(shares.sum(1), 1, atol=1e-3)
    if not (fits.all() and sound):
        raise ReadError(f"{where}: is damaged, a node leads nowhere or a share is none; get the model anew.")
    return forest


def _breadth_first(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the nodes of a tree in the order of their depth; children of one node stay side by side."""
    order = [np.zeros(1, np.intp)]
    while (parents := order[-1][left[order[-1]] >= 0]).size:
        order.append(np.stack([left[parents], right[parents]], axis=1).ravel())
    return np.concatenate(order)


def _ranks(bits: np.ndarray) -> np.ndarray:
    """Return integers in the order of the float32 whose bits are given; -0 is 0."""
    ranks = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return np.where(ranks == -1, 0, ranks)


@numba.njit(cache=True, nogil=True)
def _run(features, starts, words, depths, rows, shares, out):
    n_classes, n = out.shape
    n_trees, n_features = starts.size - 1, features.shape[0]
    ranks = np.zeros(_AT_ONCE * n_features, np.int32)
    node = np.empty(_AT_ONCE, np.uint32)
    total = np.empty((_AT_ONCE, n_classes), np.float32)
    for first in range(0, n, _AT_ONCE):
        size = min(_AT_ONCE, n - first)
        for f in range(n_features):
            bits = features[f, first : first + size]
            row = ranks[_AT_ONCE * f :]
            for p in range(size):
                rank = bits[p] ^ ((bits[p] >> np.int32(31)) & np.int32(0x7FFFFFFF))
                row[p] = rank + np.int32(rank == -1)
        total[:] = 0
        for t in range(n_trees):
            tree, leaves = words[starts[t] : starts[t + 1]], rows[starts[t] : starts[t + 1]]
            # All begin at the root, then level by level and without a branch: no pixel waits for another. It ends where
            # all are in a leaf.
            root = tree[0]
            seen = ranks[np.uint32((root >> 16) & 0xFFC0) :]
            for p in range(_AT_ONCE):
                node[p] = np.uint32(root & 0x3FFFFF) + np.uint32(seen[p] > np.int32(root >> 32))
            for _ in range(1, depths[t]):
                moved = np.uint32(0)
                for p in range(_AT_ONCE):
                    at = node[p]
                    word = tree[at]
                    rank = ranks[np.uint32((word >> 16) & 0xFFC0) | np.uint32(p)]
                    down = np.uint32(word & 0x3FFFFF) + np.uint32(rank > np.int32(word >> 32))
                    moved |= at ^ down
                    node[p] = down
                if moved == 0:
                    break
            for p in range(size):
                leaf = np.uint32(leaves[node[p]])
                for k in range(n_classes):
                    total[p, k] += shares[leaf, k]
        part = np.float32(1) / np.float32(n_trees)
        for k in range(n_classes):
            for p in range(size):
                out[k, first + p] = total[p, k] * part
