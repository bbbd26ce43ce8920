"""What a model's card says, in words for a scientist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segmetry.errors import ReadError
from segmetry.io.card import TASKS, Card


def card_rows(card: Card) -> list[tuple[str, str]]:
    """Return what a card says as rows of name and text; what it does not say has no row.

    Raises
    ------
    ReadError
        If a free entry (training, scores, what follows the network) holds something of another kind than segmetry
        writes there.

    Examples
    --------
    >>> card = Card("cracks", "1", "classes", ("crack",), 1, 8, 20, classes=("rock", "crack"))
    >>> dict(card_rows(card))["input"]
    '1 channel, 2D; sides are padded to multiples of 8 px'
    """
    try:
        return [(key, text) for key, text in _rows(card) if text]
    except (TypeError, ValueError, LookupError, AttributeError):
        raise ReadError(
            f"{card.name}: its card holds entries that segmetry did not write; get the model anew."
        ) from None


def _rows(card: Card) -> list[tuple[str, str]]:
    post = card.post
    rows = [
        ("name", f"{card.name} {card.version}, made by segmetry {card.software}"),
        ("about", card.description),
        ("task", f"{card.task}: {TASKS[card.task]}"),
        ("classes", ", ".join(card.classes)),
        ("maps", f"{', '.join(card.maps)}; {_per_pixel(card)}"),
        ("network", " ".join([card.architecture, *(f"{key}={value}" for key, value in card.options.items())])),
        ("input", _input(card)),
        ("normalisation", _normalisation(card)),
        ("sees", _reach(card)),
        ("memory", f"{card.bytes_per_pixel:.0f} MB per megapixel for intermediate results"),
        ("dropout", _dropout(card)),
    ]
    if card.size_range:
        rows.append(("sizes", f"{card.size_range[0]:.0f} to {card.size_range[1]:.0f} px (root of the area)"))
    if card.pixel_size_range:
        rows.append(("pixel sizes", "{:g} to {:g} nm".format(*card.pixel_size_range)))
    if "temperature" in post:
        on = _counts(post.get("calibrated_on", {}))
        rows.append(("temperature", f"maps are divided by {post['temperature']:g}{f', fitted on {on}' if on else ''}"))
    if card.task == "particles":
        rows += _promises(post)
    rows += _training(card.training)
    rows += [("scores on" if name == "on" else name, _score(score)) for name, score in card.scores.items()]
    if not card.scores:
        rows.append(("scores", "the card states none"))
    rows += [
        ("authors", ", ".join(card.authors)),
        ("licence", card.licence),
        ("cite", "; ".join(card.citations)),
        ("sha256", card.sha256),
    ]
    return rows


def _score(score: object) -> str:
    """Return a score of a card as text: a number, or a value with its interval."""
    if isinstance(score, Mapping):
        score = [score[k] for k in ("value", "low", "high") if k in score] or [str(v) for v in score.values()]
    if isinstance(score, Sequence) and not isinstance(score, str):
        first, *interval = map(_score, score)
        if None in score[1:]:
            return f"{first}, without an interval: too few groups"
        return f"{first} [{', '.join(interval)}]" if interval else first
    return f"{score:.3f}" if isinstance(score, float) else str(score)


def _per_pixel(card: Card) -> str:
    if card.stride == 1:
        return "a value of each for every pixel"
    return f"a value of each for every {' × '.join([str(card.stride)] * len(card.axes))} px"


def _input(card: Card) -> str:
    n = card.image_channels
    place = " and the place in the image" if card.with_coordinates else ""
    sides = f"; sides are padded to multiples of {card.multiple} px" if card.multiple > 1 else ""
    return f"{n} channel{'s' if n > 1 else ''}{place}, {len(card.axes)}D{sides}"


def _normalisation(card: Card) -> str:
    how = card.normalisation
    if how["kind"] == "unit":
        return "the range of the file's numbers (0 to 255, or 0 to 65535) becomes 0 to 1"
    if how["kind"] == "measured":
        each = ", ".join(f"{mean:.4g} and {sd:.4g}" for mean, sd in zip(how["mean"], how["sd"], strict=True))
        return f"minus the mean, over the standard deviation of the training images: {each}"
    return f"minus the mean of the image, over its standard deviation; clipped to ±{how['clip']:g}"


def _reach(card: Card) -> str:
    if card.receptive_radius is None:
        return "the whole image at once; it cannot be run in tiles"
    return f"{card.receptive_radius} px around each value; tiles overlap by that and give what the whole image gives"


def _dropout(card: Card) -> str:
    if not card.can_sample:
        return "none; no Monte Carlo samples can be drawn"
    rates = " or ".join(f"{rate:g}" for rate in sorted({rate for _, rate in card.dropout}))
    n = len(card.dropout)
    return f"{n} place{'s' if n > 1 else ''}, rate {rates}: Monte Carlo samples can be drawn"


def _promises(post: Mapping[str, Any]) -> list[tuple[str, str]]:
    kept = [p for p in post.get("promises", ()) if p.get("threshold") is not None]
    on = _counts(post.get("promised_on", {}))
    rows = []
    for option, kind, what in (("false_share", "false", "false"), ("miss_rate", "missed", "missed")):
        alphas = [f"{100 * p['alpha']:g} %" for p in kept if p["kind"] == kind]
        text = f"promises at most {' or '.join(alphas)} {what}{f', on {on}' if on else ''}"
        rows.append((option, text if alphas else "promises nothing"))
    return rows


def _training(learned: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if counts := _counts(learned, "images", "groups", "particles"):
        held_out = f"; {learned['held_out']} images held out" if "held_out" in learned else ""
        rows.append(("trained on", f"{counts}{held_out}; data {str(learned.get('data_sha256', ''))[:12]}"))
    if "seconds" in learned:
        seconds = float(learned["seconds"])
        took = f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
        rows.append(("training took", f"{took}, {learned.get('machine', 'machine unknown')}"))
    return rows


def _counts(table: Mapping[str, Any], *names: str) -> str:
    return ", ".join(f"{table[name]} {name}" for name in names or ("images", "groups") if name in table)
