"""Tiles that give what the whole image gives: windows overlap by the network's reach, and only their cores are kept."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from segmetry.errors import OptionError


class Span(NamedTuple):
    """A window along one axis and its core, in px of the padded image: ``start <= first < last <= stop``."""

    start: int
    stop: int
    first: int
    last: int


class Reach(NamedTuple):
    """What tiles need to know of a network.

    Parameters
    ----------
    stride : int
        Input pixels per output pixel.
    multiple : int
        Sides of the input are multiples of this.
    radius : int or None
        Receptive radius in px, see `segmetry.io.model_folder.Card`; None where there is none.
    """

    stride: int
    multiple: int
    radius: int | None

    @property
    def halo(self) -> int:
        """Margin of a window that is not kept: the radius, rounded up to whole output pixels."""
        if self.radius is None:
            raise OptionError("this network looks at the whole image at once: it cannot be run in tiles.")
        return up_to(self.radius, self.stride)


def up_to(length: float, multiple: int) -> int:
    """Return the smallest multiple that is at least `length`."""
    return math.ceil(length / multiple) * multiple


def padded(shape: Sequence[int], multiple: int) -> tuple[int, ...]:
    """Return the shape of an image whose sides are padded up to multiples."""
    return tuple(up_to(n, multiple) for n in shape)


def spans(length: int, window: int, reach: Reach) -> list[Span]:
    """Return the windows along one axis, in order; their cores cover it without overlap.

    Parameters
    ----------
    length : int
        Length of the padded image, a multiple of ``reach.multiple``.
    window : int
        Length of a window in px; rounded down to a multiple. All windows are as long, unless the axis is shorter.
    reach : Reach
        The network's.

    Raises
    ------
    OptionError
        If the window leaves nothing between its two halos.

    Notes
    -----
    All windows lie within the padded image and those at its ends are shifted inwards, never padded anew: layers of a
    network add their own zeros at the border of what they are given, and these have to fall where they fall in the
    whole image. Starts are multiples of ``reach.multiple``, so strided layers sample the same pixels. A core is at
    least the receptive radius away from every end of its window that is no end of the image.

    Examples
    --------
    >>> for span in spans(64, 32, Reach(stride=2, multiple=4, radius=7)):
    ...     print(*span)
    0 32 0 24
    16 48 24 40
    32 64 40 64
    """
    if window >= length:
        return [Span(0, length, 0, length)]
    window -= window % reach.multiple
    halo = reach.halo
    step = (window - 2 * halo) // reach.multiple * reach.multiple
    if step < 1:
        least = up_to(2 * halo + reach.multiple, reach.multiple)
        raise OptionError(f"a tile of {window} px is too small for this network: it needs {least} px or more.")
    starts = [*range(0, length - window, step), length - window]
    cuts = [0, *(start + halo for start in starts[1:]), length]
    return [Span(s, s + window, a, b) for s, a, b in zip(starts, cuts[:-1], cuts[1:], strict=True)]


def windows(shape: Sequence[int], tile: Sequence[int], reach: Reach) -> Iterator[tuple[Span, ...]]:
    """Yield the windows of an image, row by row: one span for each axis.

    Parameters
    ----------
    shape : sequence of int
        Sides of the image in px, not padded.
    tile : sequence of int
        Sides of a window in px.
    reach : Reach
        The network's.
    """
    axes = [spans(n, t, reach) for n, t in zip(padded(shape, reach.multiple), tile, strict=True)]
    return itertools.product(*axes)


def tile_for(shape: Sequence[int], reach: Reach, most_pixels: float) -> tuple[int, ...]:
    """Return the sides of the window that does the least work among those of so many pixels.

    Parameters
    ----------
    shape : sequence of int
        Sides of the image in px.
    reach : Reach
        The network's.
    most_pixels : float
        Largest number of pixels of a window.

    Returns
    -------
    tile : tuple of int
        Sides in px; those of the padded image where it fits at once, or where the network cannot be run in tiles. Where
        no window is small enough, the smallest that works.

    Notes
    -----
    Long windows waste the least: a strip of the full width has no halo at its sides.
    """
    whole = padded(shape, reach.multiple)
    if reach.radius is None or math.prod(whole) <= most_pixels:
        return whole
    choices = [_choices(n, reach) for n in whole]
    tiles = list(itertools.product(*choices))
    fitting = [tile for tile in tiles if math.prod(w for w, _ in tile) <= most_pixels]
    if not fitting:
        return tuple(w for w, _ in min(tiles, key=lambda tile: math.prod(w for w, _ in tile)))
    best = min(fitting, key=lambda tile: (math.prod(w * n for w, n in tile), math.prod(n for _, n in tile)))
    return tuple(w for w, _ in best)


def _choices(length: int, reach: Reach) -> list[tuple[int, int]]:
    """Return lengths of windows along an axis, each with the number of windows: the shortest for every number."""
    found = {1: length}
    for window in range(length - reach.multiple, 2 * reach.halo + reach.multiple - 1, -reach.multiple):
        step = (window - 2 * reach.halo) // reach.multiple * reach.multiple
        found[1 + math.ceil((length - window) / step)] = window
    return [(window, n) for n, window in found.items()]
