"""Pictures of where prediction and truth agree: by pixel in four colours, over several methods, and object by object.

Every picture is an RGB array of the size of the labels, and has a function that gives its key: samples and words with
counts. `with_key` puts both together at a size that can be read.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import cv2
import numpy as np

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.evaluate.pair import Pair, check_pair
from segmetry.report.legend import Swatch, with_strip
from segmetry.report.overlay import border_of
from segmetry.report.picture import stretch
from segmetry.report.text import format_count, format_share

if TYPE_CHECKING:
    import pandas as pd
    from PIL.ImageDraw import ImageDraw

Colour = tuple[int, int, int]
Palette = Literal["classic", "safe"]
Key = list[tuple[Swatch, str]]


class Paint(NamedTuple):
    """How an area is filled: a colour, and lines over it (``/``, ``\\``, ``-``, ``|``, or none).

    Without a colour of their own the lines have the full colour, and the ground between them is paler.
    """

    colour: Colour
    pattern: str = ""
    lines: Colour | None = None


CASES = ("true positive", "true negative", "false positive", "false negative", "not judged")
PALETTES: dict[str, tuple[Paint, ...]] = {
    "classic": (
        Paint((255, 255, 255)),
        Paint((0, 0, 0)),
        Paint((0, 200, 60)),
        Paint((255, 105, 180)),
        Paint((128, 128, 128)),
    ),
    "safe": (
        Paint((255, 255, 255)),
        Paint((0, 0, 0)),
        Paint((0, 76, 160)),
        Paint((255, 176, 0), "/", (150, 90, 0)),
        Paint((128, 128, 128)),
    ),
}
"""Colours of `CASES`. Those of ``"safe"`` differ in lightness by 20 CIELAB units at least, so they hold in grey too."""

OUTCOMES = {
    "found": (Paint((0, 130, 140)), "found"),
    "missed": (Paint((213, 94, 0), "/"), "missed"),
    "split": (Paint((120, 200, 245), "-"), "split into several"),
    "merged": (Paint((90, 50, 140), "|"), "merged with others"),
    "invented": (Paint((240, 228, 66), "\\"), "invented"),
}
"""Paint and words of what can become of an object; `invented` is said of found objects, the others of true ones."""

_IMAGE_SHARE = 0.4
_FILL = 0.45
_MAX_CLASSES = 8
READABLE_SIDE, MAX_SIDE, _MIN_WIDTH = 480, 900, 320


def four_colours(
    truth: Any,
    prediction: Any,
    *,
    ignore: int | np.ndarray | None = None,
    palette: Palette = "classic",
    image: np.ndarray | None = None,
) -> np.ndarray:
    """Return which pixels were found, left, invented and missed.

    ``"classic"``: white true positive, black true negative, green false positive, pink false negative. ``"safe"``:
    blue false positive, and amber with stripes false negative, which the colour-blind tell apart, in grey print too.
    Pixels that are not judged are grey.

    Parameters
    ----------
    truth, prediction : (M, N) arrays of int or bool
        Everything above 0 is positive; for one of several classes pass ``truth == k, prediction == k``.
    ignore : int or (M, N) bool array, optional
        What is not judged, as in `check_pair`.
    palette : {"classic", "safe"}, optional
    image : (M, N) array, optional
        Shines through the colours.

    Returns
    -------
    picture : (M, N, 3) array of uint8

    Raises
    ------
    ShapeMismatchError
        If the shapes differ or are not two-dimensional.

    Examples
    --------
    >>> import numpy as np
    >>> four_colours(np.array([[1, 0, 0, 1]]), np.array([[1, 0, 1, 0]])).tolist()
    [[[255, 255, 255], [0, 0, 0], [0, 200, 60], [255, 105, 180]]]
    """
    paints = _paints(palette)
    cases = _cases(_flat_pair(truth, prediction, ignore))
    picture = _painted(cases, paints)
    if image is not None:
        grey = _grey(image, cases.shape)
        picture = _blend(grey, picture, 1 - _IMAGE_SHARE)
    return picture


def four_colours_key(
    truth: Any, prediction: Any, *, ignore: int | np.ndarray | None = None, palette: Palette = "classic"
) -> Key:
    """Return samples and words of `four_colours`, with the number of pixels of each case."""
    paints = _paints(palette)
    counts = np.bincount(_cases(_flat_pair(truth, prediction, ignore)).ravel(), minlength=len(CASES))
    return [
        (_swatch(paint), f"{case} {format_count(int(n))} px")
        for case, paint, n in zip(CASES, paints, counts, strict=True)
        if n or case != "not judged"
    ]


def hits(truth: Any, predictions: Sequence[Any], *, ignore: int | np.ndarray | None = None) -> np.ndarray:
    """Return by how many predictions each pixel was found right; -1 where it is not judged.

    Right is positive where the truth is, or 0 where the truth is 0.

    Examples
    --------
    >>> import numpy as np
    >>> hits(np.array([[1, 0, 1]]), [np.array([[1, 0, 0]]), np.array([[2, 5, 0]])])
    array([[2, 1, 0]])
    """
    if not len(predictions):
        raise OptionError("hit map: give one prediction at least.")
    pairs = [_flat_pair(truth, prediction, ignore) for prediction in predictions]
    right = np.sum([(pair.truth > 0) == (pair.prediction > 0) for pair in pairs], axis=0)
    ignored = pairs[0].ignored
    return right if ignored is None else np.where(ignored, -1, right)


def hit_map(truth: Any, predictions: Sequence[Any], *, ignore: int | np.ndarray | None = None) -> np.ndarray:
    """Return how many of several predictions found each pixel right: dark blue none, yellow all.

    The borders of the true objects are black, pixels that are not judged grey.

    Parameters
    ----------
    truth : (M, N) array of int or bool
    predictions : sequence of (M, N) arrays
        One for each method.

    Returns
    -------
    picture : (M, N, 3) array of uint8
    """
    right = hits(truth, predictions, ignore=ignore)
    ramp = _ramp(len(predictions))
    picture = ramp[np.maximum(right, 0)]
    picture[right < 0] = PALETTES["safe"][-1].colour
    border = border_of(_flat_pair(truth, predictions[0], ignore).truth)
    picture[border & (right >= 0)] = 0
    return picture


def hit_map_key(truth: Any, predictions: Sequence[Any], *, ignore: int | np.ndarray | None = None) -> Key:
    """Return the scale of `hit_map` with the number of pixels of each step; many steps are taken together."""
    right = hits(truth, predictions, ignore=ignore)
    n = len(predictions)
    ramp = _ramp(n)
    counts = np.bincount(right[right >= 0], minlength=n + 1)
    total = max(int(counts.sum()), 1)
    key: Key = []
    for levels in np.array_split(np.arange(n + 1), min(n + 1, _MAX_CLASSES)):
        first, last = int(levels[0]), int(levels[-1])
        steps = str(first) if first == last else f"{first}–{last}"
        paint = Paint(_triple(ramp[round((first + last) / 2)]))
        share = format_share(int(counts[levels].sum()) / total)
        key.append((_swatch(paint), f"right in {steps} of {n}: {share} of pixels"))
    if (right < 0).any():
        key.append((_swatch(PALETTES["safe"][-1]), f"not judged {format_count(int((right < 0).sum()))} px"))
    key.append((_swatch(Paint((0, 0, 0))), "border of a true object"))
    return key


def outcome_map(
    outcomes: pd.DataFrame,
    truth: Any,
    prediction: Any,
    image: np.ndarray | None = None,
    *,
    ignore: int | np.ndarray | None = None,
) -> np.ndarray:
    """Return what became of every object, filled and outlined over the grey image.

    True objects carry the colour of their fate (found, missed, split, merged), invented objects their own; all kinds
    but `found` have stripes too. Thin white lines are the borders of what was found.

    Parameters
    ----------
    outcomes : DataFrame
        Columns ``truth`` and ``prediction`` (labels, 0 or nothing where there is none) and ``outcome``.
    truth, prediction : (M, N) arrays of int
    image : (M, N) array, optional
        Shown in grey below; a dark ground without.

    Returns
    -------
    picture : (M, N, 3) array of uint8

    Raises
    ------
    OptionError
        If an outcome is none of `OUTCOMES`.
    """
    pair = _flat_pair(truth, prediction, ignore)
    names = list(OUTCOMES)
    kinds = _kinds(outcomes)
    side = max(pair.truth.shape)
    thickness = 1 + side // 900
    fate = np.full(pair.truth.shape, -1, np.int64)
    edge = np.zeros(pair.truth.shape, bool)
    own = np.isin(kinds, names[:-1])
    for labels, column, rows in ((pair.truth, "truth", own), (pair.prediction, "prediction", kinds == "invented")):
        of_label = np.full(int(labels.max(initial=0)) + 1, -1)
        which = _labels(outcomes, column)[rows]
        places = np.array([names.index(k) for k in kinds[rows]], int)
        there = (which > 0) & (which < len(of_label))
        of_label[which[there]] = places[there]
        # An invented object may overlap a true one, whose own fate stays in sight.
        fate = np.where(fate < 0, of_label[labels], fate)
        edge |= border_of(labels, thickness) & (of_label[labels] >= 0)
    grey = np.full(pair.truth.shape, 60, np.uint8) if image is None else _grey(image, pair.truth.shape)
    picture = np.repeat(grey[..., None], 3, axis=-1)
    for index, (paint, _) in enumerate(OUTCOMES.values()):
        here = fate == index
        if not here.any():
            continue
        colour = np.array(paint.colour, float)
        picture[here] = np.rint((1 - _FILL) * picture[here] + _FILL * colour).astype(np.uint8)
        strong = here & (edge | _lines(paint.pattern, here.shape))
        picture[strong] = paint.colour
    borders = border_of(pair.prediction)
    picture[borders & ~edge] = 255
    if pair.ignored is not None:
        picture[pair.ignored & _lines("/", fate.shape)] = PALETTES["safe"][-1].colour
    return picture


def outcome_key(outcomes: pd.DataFrame) -> Key:
    """Return samples and words of `outcome_map`, with the number of objects of each fate."""
    kinds = _kinds(outcomes)
    return [
        (_swatch(Paint(paint.colour, paint.pattern)), f"{words} {format_count(int(np.sum(kinds == name)))}")
        for name, (paint, words) in OUTCOMES.items()
    ] + [(_swatch(Paint((255, 255, 255))), "border of what was found")]


def with_key(picture: np.ndarray, key: Key, *, max_side: int = MAX_SIDE) -> np.ndarray:
    """Return a picture at a size that can be read, with its key in a strip below.

    Small ones are enlarged by a whole factor, so that pixels stay pixels; large ones become smaller by averaging. Very
    narrow ones get a white margin at the right.
    """
    height, width = picture.shape[:2]
    side = max(height, width)
    if side > max_side:
        size = tuple(max(1, round(n * max_side / side)) for n in (width, height))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    elif side < READABLE_SIDE:
        factor = min(-(-READABLE_SIDE // side), max(1, max_side // side))
        picture = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    if key and picture.shape[1] < _MIN_WIDTH:  # room for the words
        picture = np.pad(picture, ((0, 0), (0, _MIN_WIDTH - picture.shape[1]), (0, 0)), constant_values=255)
    return with_strip(np.ascontiguousarray(picture), key)


def _flat_pair(truth: Any, prediction: Any, ignore: int | np.ndarray | None) -> Pair:
    pair = check_pair(truth, prediction, ignore=ignore)
    if pair.truth.ndim != 2:
        raise ShapeMismatchError(
            f"a picture shows (rows, columns), but the labels are {pair.truth.shape}; pass one plane of the stack."
        )
    return pair


def _cases(pair: Pair) -> np.ndarray:
    """Return for every pixel the place of its case in `CASES`."""
    true, found = pair.truth > 0, pair.prediction > 0
    cases = np.where(true, np.where(found, 0, 3), np.where(found, 2, 1)).astype(np.uint8)
    if pair.ignored is not None:
        cases[pair.ignored] = 4
    return cases


def _paints(palette: str) -> tuple[Paint, ...]:
    if palette not in PALETTES:
        raise OptionError(f"palette is one of {', '.join(PALETTES)}, got {palette!r}.")
    return PALETTES[palette]


def _painted(index: np.ndarray, paints: Sequence[Paint]) -> np.ndarray:
    picture = np.array([p.colour for p in paints], np.uint8)[index]
    for place, paint in enumerate(paints):
        if paint.pattern:
            picture[(index == place) & _lines(paint.pattern, index.shape)] = paint.lines or paint.colour
    return picture


def _lines(pattern: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return where the lines of a pattern lie: the same for all objects, and wider in large images."""
    thickness = 1 + max(shape) // 500
    if not pattern:
        return np.zeros(shape, bool)
    rows, cols = np.indices(shape, sparse=True)
    along = {"/": rows + cols, "\\": rows - cols, "-": rows + 0 * cols, "|": cols + 0 * rows}[pattern]
    return along % (6 * thickness) < thickness


def _grey(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if image.shape != shape:
        raise ShapeMismatchError(
            f"the image is {image.shape} but the labels are {shape}; pass one plane, the same window."
        )
    return stretch(image)


def _blend(grey: np.ndarray, colours: np.ndarray, share: float) -> np.ndarray:
    return np.rint((1 - share) * grey[..., None] + share * colours).astype(np.uint8)


def _ramp(n: int) -> np.ndarray:
    """Return the colours of 0..n hits, dark to light: the colour-blind and grey print keep their order."""
    from matplotlib import colormaps

    return np.rint(255 * colormaps["cividis"](np.linspace(0, 1, n + 1))[:, :3]).astype(np.uint8)


def _kinds(outcomes: pd.DataFrame) -> np.ndarray:
    kinds = outcomes["outcome"].to_numpy(dtype=object)
    if strange := sorted({str(k) for k in kinds} - set(OUTCOMES)):
        raise OptionError(f"outcomes are {', '.join(OUTCOMES)}; got {', '.join(strange)}.")
    return kinds


def _labels(outcomes: pd.DataFrame, column: str) -> np.ndarray:
    """Return labels as whole numbers, 0 where there is none."""
    return outcomes[column].astype("Float64").fillna(0).clip(lower=0).to_numpy(dtype=np.int64)


def _triple(colour: np.ndarray) -> Colour:
    red, green, blue = (int(c) for c in colour)
    return red, green, blue


def _swatch(paint: Paint) -> Swatch:
    return functools.partial(_filled_sample, paint)


def _filled_sample(paint: Paint, pen: ImageDraw, start: float, y: float, width: float, size: int) -> None:
    top, bottom = round(y - 0.45 * size), round(y + 0.45 * size)
    left, right = round(start), round(start + width)
    ground = paint.colour
    if paint.pattern and paint.lines is None:
        ground = _triple(np.rint(_FILL * np.array(ground) + (1 - _FILL) * 200))
    pen.rectangle((left, top, right, bottom), fill=ground, outline=(90, 90, 90))
    on = _lines(paint.pattern, (bottom - top - 1, right - left - 1))
    points = [(int(left + 1 + c), int(top + 1 + r)) for r, c in zip(*np.nonzero(on), strict=True)]
    if points:
        pen.point(points, fill=paint.lines or paint.colour)
