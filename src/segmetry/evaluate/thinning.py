"""Thinning of 2D masks to centre lines, where only the border that moves is looked at."""

from __future__ import annotations

import functools

import numpy as np
from numba import njit


def thinned(mask: np.ndarray) -> np.ndarray:
    """Return the centre lines of a 2D bool mask, one pixel wide; pieces and holes stay what they are.

    Work grows with the number of pixels removed, not with the image times the thickness of its thickest part.

    References
    ----------
    Guo, Hall, Commun. ACM 32, 359 (1989), doi:10.1145/62065.62074, algorithm A1.

    Examples
    --------
    >>> thinned(np.ones((3, 7), bool)).astype(int)
    array([[0, 0, 0, 0, 0, 0, 0],
           [0, 1, 1, 1, 1, 1, 0],
           [0, 0, 0, 0, 0, 0, 0]])
    """
    wide = np.pad(mask, 1).astype(np.uint8)
    _thin(wide, _rules())
    return wide[1:-1, 1:-1].astype(bool)


@functools.cache
def _rules() -> np.ndarray:
    """Return for each of the 256 neighbourhoods in which halves of a round the pixel goes: bit 0 and bit 1.

    Bit k of a neighbourhood is the neighbour k, the one above first, then clockwise.
    """
    rules = np.zeros(256, np.uint8)
    for code in range(256):
        up, up_right, right, down_right, down, down_left, left, up_left = (bool(code >> k & 1) for k in range(8))
        pieces = (
            (not up and (up_right or right))
            + (not right and (down_right or down))
            + (not down and (down_left or left))
            + (not left and (up_left or up))
        )
        one = (up_left or up) + (up_right or right) + (down_right or down) + (down_left or left)
        other = (up or up_right) + (right or down_right) + (down or down_left) + (left or up_left)
        if pieces == 1 and 2 <= min(one, other) <= 3:
            first = not ((up or up_right or not down_right) and right)
            second = not ((down or down_left or not up_left) and left)
            rules[code] = first + 2 * second
    return rules


@njit(cache=True, nogil=True)
def _thin(wide, rules):
    """Thin a mask with a margin of 1 in place. A pixel is looked at again only when a neighbour has gone."""
    pixels = wide.ravel()
    n = wide.shape[1]
    ring = np.array([-n, -n + 1, 1, n + 1, n, n - 1, -1, -n - 1])
    due = np.zeros(pixels.size, np.uint8)  # halves of a round that have to look at it: 1, 2; 4: it waits in the line
    line, gone = np.empty(pixels.size, np.int64), np.empty(pixels.size, np.int64)
    length = 0
    for k in range(pixels.size):
        if pixels[k]:
            for step in ring:
                if not pixels[k + step]:
                    due[k] = 7
                    line[length] = k
                    length += 1
                    break
    while length:
        for half in range(2):
            n_gone = 0
            for i in range(length):
                k = line[i]
                if pixels[k] and due[k] >> half & 1:
                    due[k] ^= 1 << half
                    code = 0
                    for bit in range(8):
                        code |= pixels[k + ring[bit]] << bit
                    if rules[code] >> half & 1:
                        gone[n_gone] = k
                        n_gone += 1
            for i in range(n_gone):  # all of a half go at once
                pixels[gone[i]] = 0
            for i in range(n_gone):
                for step in ring:
                    k = gone[i] + step
                    if pixels[k]:
                        if not due[k]:
                            line[length] = k
                            length += 1
                        due[k] = 7
        kept = 0
        for i in range(length):
            k = line[i]
            if pixels[k] and due[k] & 3:
                line[kept] = k
                kept += 1
            else:
                due[k] = 0
        length = kept
