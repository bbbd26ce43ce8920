"""Windows of filters: from px or a length to odd numbers of pixels along each axis."""

from __future__ import annotations

from segmetry.errors import OptionError


def window_sides(
    window: float | None, unit: str, *, shape: tuple[int, ...], spacing: tuple[float, ...], calibrated: bool
) -> tuple[int, ...]:
    """Return the odd side of a window along each axis, in px, at least 3 (1 along an axis of one pixel).

    Parameters
    ----------
    window : float or None
        Side of the window; None is an eighth of the image along each axis.
    unit : {"px", "calibrated"}
        Whether `window` counts pixels or is a length in the unit of the image's pixel size.
    shape, spacing : tuples
        Pixels along each axis, and the length of one.
    calibrated : bool
        Whether the pixel size is known.

    Raises
    ------
    OptionError
        If a length is wanted but the pixel size is unknown.

    Examples
    --------
    >>> window_sides(10, "calibrated", shape=(40, 100, 100), spacing=(2, 0.5, 0.5), calibrated=True)
    (5, 21, 21)
    """
    if window is None:
        sides = [n / 8 for n in shape]
    elif unit == "px":
        sides = [float(window)] * len(shape)
    elif not calibrated:
        raise OptionError("the window is a length but the pixel size is unknown; give it, or use window_unit=px.")
    else:
        sides = [window / s for s in spacing]
    return tuple(1 if n == 1 else max(3, 2 * int(side / 2) + 1) for side, n in zip(sides, shape, strict=True))
