"""Boundaries as one bit a pixel: marking them, widening them, counting what lies near."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import intrinsic


@intrinsic
def _ones(typingctx, word):
    """Return the number of set bits of a uint64: one instruction of the processor."""

    def generate(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), generate


@njit(cache=True, nogil=True)
def pack(labels, value, objects, some_ignored):
    """Return the boundary of one class, or of all objects, as one bit per pixel: (rows, words) array of uint64."""
    n_planes, n_rows, n = labels.shape
    n_words = (n + 63) // 64
    words = np.empty((n_planes * n_rows, n_words), np.uint64)
    flags = np.zeros(n_words * 64, np.uint8)
    eights = flags.view(np.uint64)
    gather = np.uint64(0x0102040810204080)  # brings the lowest bits of eight bytes together in the top byte
    ignored = np.int32(-1)
    for z in range(n_planes):
        for y in range(n_rows):
            row = labels[z, y]
            above, below = labels[z, max(y - 1, 0)], labels[z, min(y + 1, n_rows - 1)]
            front, back = labels[max(z - 1, 0), y], labels[min(z + 1, n_planes - 1), y]
            if some_ignored:
                for j in range(n):
                    x, other = row[j], False
                    for near in (above[j], below[j], front[j], back[j], row[max(j - 1, 0)], row[min(j + 1, n - 1)]):
                        other |= (near != x) & (near != ignored)
                    flags[j] = ((x == value) ^ objects) & (x != ignored) & other
            else:
                for j in range(n):
                    flags[j] = (above[j] != row[j]) | (below[j] != row[j])
                if n_planes > 1:
                    for j in range(n):
                        flags[j] |= (front[j] != row[j]) | (back[j] != row[j])
                earlier, later = row[:-1], row[1:]
                first, second = flags[: n - 1], flags[1:n]
                for j in range(n - 1):
                    first[j] |= earlier[j] != later[j]
                for j in range(n - 1):
                    second[j] |= earlier[j] != later[j]
                for j in range(n):
                    flags[j] &= (row[j] == value) ^ objects
            line = words[z * n_rows + y]
            for k in range(n_words):
                word = np.uint64(0)
                for q in range(8):
                    word |= ((eights[8 * k + q] * gather) >> np.uint64(56)) << np.uint64(8 * q)
                line[k] = word
    return words


@njit(cache=True, nogil=True)
def _grown(words, n_planes, n_rows, plane, row, width):
    """Return all pixels within the disc or ball of a set one: each row, widened step by step, is laid on its rows."""
    n_lines, n = words.shape
    grown = np.zeros_like(words)
    pad = width[-1] // 64 + 1  # rising, so the last is the widest
    padded = np.zeros(n + 2 * pad, np.uint64)
    wide = np.empty(n, np.uint64)
    for line in range(n_lines):
        source = words[line]
        some = np.uint64(0)
        for k in range(n):
            some |= source[k]
        if some == 0:
            continue
        for k in range(n):
            padded[pad + k] = source[k]
            wide[k] = source[k]
        z, y = line // n_rows, line % n_rows
        done = 0
        for i in range(width.size):
            for step in range(done + 1, width[i] + 1):
                whole, bits = step // 64, np.uint64(step % 64)
                up, down = padded[pad - whole : pad - whole + n], padded[pad + whole : pad + whole + n]
                if bits == 0:
                    for k in range(n):
                        wide[k] |= up[k] | down[k]
                else:
                    carry = np.uint64(64) - bits
                    up1, down1 = padded[pad - whole - 1 :], padded[pad + whole + 1 :]
                    for k in range(n):
                        wide[k] |= (up[k] << bits) | (up1[k] >> carry) | (down[k] >> bits) | (down1[k] << carry)
            done = width[i]
            to_z, to_y = z + plane[i], y + row[i]
            if 0 <= to_z < n_planes and 0 <= to_y < n_rows:
                target = grown[to_z * n_rows + to_y]
                for k in range(n):
                    target[k] |= wide[k]
    return grown


@njit(cache=True, nogil=True)
def count_near(truth, prediction, n_planes, n_rows, plane, row, width):
    """Return how many bits are set in the truth, of them near the prediction, and the same the other way round."""
    near_truth = _grown(truth, n_planes, n_rows, plane, row, width).ravel()
    near_prediction = _grown(prediction, n_planes, n_rows, plane, row, width).ravel()
    t, p = truth.ravel(), prediction.ravel()
    n_t, n_t_near, n_p, n_p_near = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    for k in range(t.size):
        n_t += _ones(t[k])
        n_t_near += _ones(t[k] & near_prediction[k])
        n_p += _ones(p[k])
        n_p_near += _ones(p[k] & near_truth[k])
    return n_t, n_t_near, n_p, n_p_near
