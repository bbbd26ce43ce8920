"""Masks to labels, and what one does to labels: number, renumber, keep, drop."""

from __future__ import annotations

from typing import Any

import numpy as np

from segmetry.errors import ImageError, LabelError, OptionError

_CONNECTIVITY: dict[int, tuple[int, ...]] = {2: (4, 8), 3: (6, 18, 26)}


def check_connectivity(connectivity: int | None, ndim: int) -> int:
    """Return the number of neighbours of a pixel (voxel); None gives all of them, 8 or 26.

    Raises
    ------
    OptionError
        If the number does not belong to the dimension.
    """
    known = _CONNECTIVITY[ndim]
    if connectivity is None:
        return known[-1]
    if connectivity not in known:
        raise OptionError(f"connectivity of a {ndim}D mask is one of {known}, got {connectivity!r}.")
    return int(connectivity)


def label(mask: np.ndarray, *, connectivity: int | None = None) -> np.ndarray:
    """Return the connected components of a mask as an int32 label image, numbered 1..L in raster order.

    Parameters
    ----------
    mask : (M, N) or (P, M, N) array of bool or int
        Everything that is not 0 is foreground.
    connectivity : {4, 8} in 2D, {6, 18, 26} in 3D, optional
        Neighbours of a pixel that belong to the same object; all of them by default.

    Raises
    ------
    ImageError
        If the mask is neither 2D nor 3D.
    OptionError
        If the connectivity does not belong to the dimension.

    Notes
    -----
    OpenCV labels images, connected-components-3d labels volumes: both were measured to be the fastest of their kind.

    Examples
    --------
    >>> label(np.array([[1, 0, 1], [0, 1, 0]]))
    array([[1, 0, 1],
           [0, 1, 0]], dtype=int32)
    >>> label(np.array([[1, 0, 1], [0, 1, 0]]), connectivity=4)
    array([[1, 0, 2],
           [0, 3, 0]], dtype=int32)
    """
    mask = np.asarray(mask)
    if mask.ndim not in _CONNECTIVITY:
        raise ImageError(f"label: a mask has 2 or 3 axes, got an array of shape {mask.shape}.")
    connectivity = check_connectivity(connectivity, mask.ndim)
    if mask.size == 0:
        return np.zeros(mask.shape, np.int32)
    foreground = np.ascontiguousarray(mask if mask.dtype == np.bool_ else mask != 0).view(np.uint8)
    if mask.ndim == 2:
        import cv2

        # The default algorithm of OpenCV 5 numbers in another order when it runs on several threads; this one does not.
        _, labels = cv2.connectedComponentsWithAlgorithm(foreground, connectivity, cv2.CV_32S, cv2.CCL_SAUF)
        return labels
    import cc3d

    return np.ascontiguousarray(
        cc3d.connected_components(foreground, connectivity=connectivity, out_dtype=np.uint32)
    ).view(np.int32)


def as_labels(labels: Any, *, name: str = "labels", signs: bool = True) -> np.ndarray:
    """Return a label image as a contiguous int32 array; a copy only where needed.

    Parameters
    ----------
    labels : array of int
        Label image, 2D or 3D.
    name : str
        What to call it in an error.
    signs : bool
        False where the caller finds negative int32 values itself: looking for them reads every pixel once.

    Raises
    ------
    LabelError
        If the values are not whole numbers from 0 to 2³¹-1, or the array is neither 2D nor 3D.
    """
    labels = np.asarray(labels)
    if labels.ndim not in _CONNECTIVITY:
        raise LabelError(f"{name} have 2 or 3 axes, got an array of shape {labels.shape}.")
    if labels.dtype == np.bool_:
        raise LabelError(f"{name} are a mask of True and False; number its objects first with label().")
    if not np.issubdtype(labels.dtype, np.integer):
        raise LabelError(f"{name} must be whole numbers, got {labels.dtype}; use labels.astype('int32').")
    if labels.size and labels.dtype.kind == "i" and (signs or labels.dtype != np.int32) and labels.min() < 0:
        raise LabelError(f"{name} must be >= 0, found {labels.min()}; set what is no object to 0.")
    if labels.dtype != np.int32:
        if labels.size and labels.dtype.itemsize >= 4 and labels.max() > np.iinfo(np.int32).max:
            raise LabelError(f"{name} reach {labels.max()}, more than int32 holds; use relabel() first.")
        labels = labels.astype(np.int32)
    return np.ascontiguousarray(labels)


def relabel(labels: np.ndarray) -> np.ndarray:
    """Return labels renumbered 1..L without gaps, in the order of the old numbers; 0 stays 0.

    Examples
    --------
    >>> relabel(np.array([[7, 0, 3]]))
    array([[2, 0, 1]], dtype=int32)
    """
    labels = np.asarray(labels)
    if labels.size == 0:
        return np.zeros(labels.shape, np.int32)
    if labels.dtype.kind not in "iu":
        raise LabelError(f"labels must be whole numbers, got {labels.dtype}; use labels.astype('int32').")
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise LabelError(f"labels must be >= 0, found {low}; set what is no object to 0.")
    if high <= 4 * labels.size + 1024:
        present = np.zeros(high + 1, np.bool_)
        present[labels.ravel()] = True
        present[0] = False
        return _renumber(present)[labels]
    values, where = np.unique(labels, return_inverse=True)
    shift = 0 if values[0] == 0 else 1
    return (where.reshape(labels.shape) + shift).astype(np.int32)


def _renumber(keep: np.ndarray) -> np.ndarray:
    """Return the table old label -> new label, 0 for those that are not kept."""
    table = np.zeros(keep.size, np.int32)
    table[keep] = np.arange(1, np.count_nonzero(keep) + 1, dtype=np.int32)
    return table


def keep_labels(labels: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Return only some objects, renumbered 1..L without gaps.

    Parameters
    ----------
    labels : array of int
        Label image; 0 is background.
    keep : (K,) array of int, or (L + 1,) array of bool
        The labels to keep, or whether to keep the label that is its index (entry 0 is not looked at).

    Examples
    --------
    >>> keep_labels(np.array([[1, 2, 3]]), np.array([1, 3]))
    array([[1, 0, 2]], dtype=int32)
    """
    labels = as_labels(labels)
    n_labels = int(labels.max(initial=0)) + 1
    keep = np.asarray(keep)
    wanted = np.zeros(n_labels, np.bool_)
    if keep.dtype == np.bool_:
        if keep.ndim != 1 or keep.size < n_labels:
            raise LabelError(f"keep has {keep.size} entries for the labels 0..{n_labels - 1}; it needs {n_labels}.")
        wanted[:] = keep[:n_labels]
    elif keep.size:
        numbers = keep.astype(np.int64).ravel()
        wanted[numbers[(numbers > 0) & (numbers < n_labels)]] = True
    wanted[0] = False
    return _renumber(wanted)[labels]


def remove_small(labels: np.ndarray, min_size: int) -> np.ndarray:
    """Return the objects that have at least `min_size` pixels (voxels), renumbered 1..L without gaps.

    Examples
    --------
    >>> remove_small(np.array([[1, 0, 2, 2]]), 2)
    array([[0, 0, 1, 1]], dtype=int32)
    """
    labels = as_labels(labels)
    return keep_labels(labels, np.bincount(labels.ravel(), minlength=1) >= max(int(min_size), 1))


def connected_pieces(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the connected pieces of every label, and whose they are (8 neighbours, 26 in 3D).

    Parameters
    ----------
    labels : (M, N) or (P, M, N) array of int
        Objects or classes; 0 is background.

    Returns
    -------
    pieces : array of int32
        Pieces are numbered 1..L; 0 is background.
    owner : (L + 1,) array of int32
        The label that each piece is of; ``owner[0]`` is 0.

    Examples
    --------
    >>> pieces, owner = connected_pieces(np.array([[1, 0, 1, 2]]))
    >>> pieces.tolist(), owner.tolist()
    ([[1, 0, 2, 3]], [0, 1, 1, 2])
    """
    import cc3d

    labels = as_labels(labels)
    if not labels.size:
        return labels, np.zeros(1, np.int32)
    pieces, n_pieces = cc3d.connected_components(
        labels.view(np.uint32), connectivity=_CONNECTIVITY[labels.ndim][-1], return_N=True, out_dtype=np.uint32
    )
    owner = np.zeros(n_pieces + 1, np.int32)
    owner[pieces.ravel()] = labels.ravel()
    return np.ascontiguousarray(pieces.view(np.int32)), owner


def largest_pieces(labels: np.ndarray) -> np.ndarray:
    """Return labels of which every one keeps only its largest connected piece (8 neighbours, 26 in 3D).

    Of pieces of one size the first in raster order stays.

    Examples
    --------
    >>> largest_pieces(np.array([[1, 0, 1, 1, 2]]))
    array([[0, 0, 1, 1, 2]], dtype=int32)
    """
    labels = as_labels(labels)
    pieces, owner = connected_pieces(labels)
    if owner.size - 1 == np.unique(owner[1:]).size:
        return labels
    size = np.bincount(pieces.ravel(), minlength=owner.size)
    order = np.lexsort((np.arange(owner.size), -size, owner))
    first = np.append(True, owner[order][1:] != owner[order][:-1])
    kept = np.zeros(owner.size, np.int32)
    kept[order[first]] = owner[order[first]]
    return kept[pieces]
