"""The kernel of all overlap scores: run lengths of equal label pairs, added into a hash table."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from segmetry.measure.runs import lowest_bit


def _pixels(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """Load 64 neighbours of a flat array as one vector."""
    item = context.get_value_type(kind.dtype)
    data = make_array(kind)(context, builder, array).data
    vector = ir.VectorType(item, 64)
    loaded = builder.load(builder.bitcast(cgutils.gep(builder, data, at), vector.as_pointer()))
    loaded.align = kind.dtype.bitwidth // 8
    return loaded


@intrinsic
def changes(typingctx, array, at):
    """Return 64 bits: bit b says whether pixel at + b of a flat array differs from the one before it."""

    def generate(context, builder, signature, args):
        before = builder.sub(args[1], ir.Constant(args[1].type, 1))
        here, there = (_pixels(context, builder, signature.args[0], args[0], i) for i in (args[1], before))
        return builder.bitcast(builder.icmp_unsigned("!=", here, there), ir.IntType(64))

    return types.uint64(array, types.int64), generate


_FREE = np.int64(1 << 31)  # key of a free slot: no pair has it, for labels are not negative
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: neighbouring keys go to far slots


def _empty(bits: int) -> np.ndarray:
    """Return a hash table with 2**bits slots: key, count, key, count, ..."""
    table = np.zeros(2 << bits, np.int64)
    table[::2] = _FREE
    return table


def count_pairs(truth: np.ndarray, prediction: np.ndarray, ignored: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys of all pairs, rising, and their pixels.

    Bit 63 says that the pixels are ignored, bits 32-62 are the label of the truth, bits 0-31 that of the prediction.
    """
    bits = min(max((truth.size // 512).bit_length(), 10), 15)
    table = _empty(bits)
    base, start = 1, 0
    while True:
        base, start = _fill(truth, prediction, ignored, base, start, table, np.uint64(64 - bits))
        if base > truth.size:
            key = _keys(table)
            key.sort()
            return key, _sizes(key, table, np.uint64(64 - bits))
        bits += 2
        larger = _empty(bits)
        _move(table, larger, np.uint64(64 - bits))
        table = larger


@njit(cache=True, nogil=True)
def _keys(table):
    n = 0
    for i in range(1, table.size, 2):
        n += table[i] != 0
    key = np.empty(n, np.int64)
    k = 0
    for i in range(0, table.size, 2):
        if table[i + 1] != 0:
            key[k] = table[i]
            k += 1
    return key


@njit(cache=True, nogil=True)
def _sizes(key, table, shift):
    last, one, two = np.uint64(table.size - 1), np.uint64(1), np.uint64(2)
    size = np.empty(key.size, np.int64)
    for k in range(key.size):
        s = ((np.uint64(key[k]) * _SPREAD) >> shift) << one
        while table[s] != key[k]:
            s = (s + two) & last
        size[k] = table[s + one]
    return size


@njit(cache=True, nogil=True)
def _move(table, larger, shift):
    last, one, two = np.uint64(larger.size - 1), np.uint64(1), np.uint64(2)
    for i in range(0, table.size, 2):
        if table[i + 1] != 0:
            s = ((np.uint64(table[i]) * _SPREAD) >> shift) << one
            while larger[s + one] != 0:
                s = (s + two) & last
            larger[s], larger[s + one] = table[i], table[i + 1]


@njit(cache=True, nogil=True, forceinline=True)
def _changed(truth, prediction, ignored, base):
    """Return which of 64 pixels differ from the one before in any of the images."""
    word = changes(truth, base) | changes(prediction, base)
    if ignored is not None:
        word |= changes(ignored, base)
    return word


@njit(cache=True, nogil=True, forceinline=True)
def _add(table, last, shift, truth, prediction, ignored, start, stop):
    """Add a run of pixels to the count of its pair; return 1 where the pair is new, else 0."""
    one, two = np.uint64(1), np.uint64(2)
    pair = np.int64(truth[start]) << 32 | (np.int64(prediction[start]) & np.int64(0xFFFFFFFF))
    if ignored is not None:
        pair |= np.int64(ignored[start]) << 63
    s = ((np.uint64(pair) * _SPREAD) >> shift) << one
    new = 0
    while table[s] != pair:
        if table[s + one] == 0:
            table[s] = pair
            new = 1
            break
        s = (s + two) & last
    table[s + one] += stop - start
    return new


@njit(cache=True, nogil=True)
def _fill(truth, prediction, ignored, base, start, table, shift):
    """Add runs to the table, from pixel `base` on, the first of them begun at `start`, until the end or half full.

    Returns where to go on with a larger table: `base`, more than the number of pixels if all is done, and `start`.
    """
    n = truth.size
    none, one = np.uint64(0), np.uint64(1)
    last = np.uint64(table.size - 1)
    room = table.size // 4
    for i in range(1, table.size, 2):
        room -= table[i] != 0
    following = none
    if base + 64 <= n:
        following = _changed(truth, prediction, ignored, base)
    while base + 128 <= n and room > 0:
        word = following
        # Read before it is needed: memory answers while the runs of this word are added. A quarter of the time.
        following = _changed(truth, prediction, ignored, base + 64)
        while word != none:
            stop = base + np.int64(lowest_bit(word))
            word &= word - one
            room -= _add(table, last, shift, truth, prediction, ignored, start, stop)
            start = stop
        base += 64
    if room <= 0:
        return base, start
    for stop in range(base, n + 1):  # fewer than 128 pixels, for which there are free slots
        ends = stop == n
        if not ends:
            ends = truth[stop] != truth[stop - 1] or prediction[stop] != prediction[stop - 1]
            if ignored is not None:
                ends = ends or ignored[stop] != ignored[stop - 1]
        if ends:
            _add(table, last, shift, truth, prediction, ignored, start, stop)
            start = stop
    return n + 1, start
