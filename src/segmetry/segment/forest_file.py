"""A classifier of pixels as a folder: ``pixels.npz`` with its arrays, and ``card.json``. No pickle: it runs no code."""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import segmetry
from segmetry.errors import ReadError, SegmetryError, WriteError
from segmetry.io.atomic import atomic, write_error
from segmetry.io.json_file import plain, write_json
from segmetry.prepare.features import Features
from segmetry.segment.forest import Forest, check_forest
from segmetry.segment.neighbours import Neighbours, check_neighbours
from segmetry.segment.pixel_model import PixelModel

TASK = "pixels"
"""The task on the card, beside those of `segmetry.io.card.TASKS`."""

FORMAT = 1
"""Number of the folder's format; a folder of a higher one is refused."""

ARRAYS, CARD = "pixels.npz", "card.json"

_MAX_ARRAYS, _MAX_CARD = 2**30, 2**22
_KEYS = {
    "forest": ("starts", "feature", "threshold", "child", "shares"),
    "neighbours": ("table", "owner", "mean", "sd"),
}


def is_pixel_model(path: str | Path) -> bool:
    """Return whether a folder holds a classifier of pixels, whole or not."""
    return (Path(path) / ARRAYS).is_file()


def write_pixel_model(path: str | Path, model: PixelModel) -> Path:
    """Write a classifier of pixels as a folder, and return it.

    The same model gives the same bytes. A folder that holds such a model is written anew; any other that is not empty
    is left alone.

    Raises
    ------
    WriteError
        If the folder holds something else, or cannot be written.
    """
    path = Path(path)
    if path.exists() and not is_pixel_model(path) and (not path.is_dir() or any(path.iterdir())):
        raise WriteError(f"{path}: holds something that is no classifier of pixels; name a new folder.")
    buffer = io.BytesIO()
    np.savez(buffer, **model.classifier.arrays())  # type: ignore[arg-type]
    data = buffer.getvalue()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from None
    with atomic(path / ARRAYS) as temporary:
        temporary.write_bytes(data)
    write_json(path / CARD, _card(model) | {"sha256": hashlib.sha256(data).hexdigest()})
    return path


def hash_pixel_model(path: str | Path) -> str:
    """Return the SHA-256 of a classifier in a folder: of its card, which names that of the arrays."""
    return hashlib.sha256(_bytes(Path(path) / CARD, _MAX_CARD)).hexdigest()


def read_pixel_model(path: str | Path) -> PixelModel:
    """Return the classifier of pixels in a folder, checked so that running it ends and stays within its arrays.

    Raises
    ------
    ReadError
        If the folder or a file of it is missing, damaged, or made by a newer segmetry.
    """
    path = Path(path)
    card = _read_card(path / CARD)
    data = _bytes(path / ARRAYS, _MAX_ARRAYS)
    if hashlib.sha256(data).hexdigest() != card.get("sha256"):
        raise ReadError(f"{path / ARRAYS}: is damaged, its hash is not that of its card; get the model anew.")
    kind = card.get("kind")
    if kind not in _KEYS:
        raise ReadError(f"{path / CARD}: cannot be used: kind is forest or neighbours, got {kind!r:.40}.")
    arrays = _unpacked(data, _KEYS[kind], where=str(path / ARRAYS))
    try:
        return replace(_model(card, kind, arrays, where=str(path / ARRAYS)), sha256=hash_pixel_model(path))
    except ReadError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, SegmetryError) as error:
        raise ReadError(
            f"{path / CARD}: cannot be used: {type(error).__name__} {error!s:.80}; get the model anew."
        ) from None


def _card(model: PixelModel) -> dict[str, Any]:
    """Return all of a model but its arrays, as plain data."""
    own: dict[str, Any] = {"kind": "forest", "n_features": model.classifier.n_features}
    if isinstance(model.classifier, Neighbours):
        own = {"kind": "neighbours", "k": model.classifier.k}
    return {
        "format": FORMAT,
        "task": TASK,
        **own,
        "features": model.features.values(),
        "axes": model.axes,
        "channels": model.channels,
        "classes": list(model.classes),
        "values": list(model.values),
        "temperature": model.temperature,
        "training": plain(model.training),
        "scores": plain(model.scores),
        "notes": list(model.notes),
        "software": segmetry.__version__,
    }


def _model(card: Mapping[str, Any], kind: str, arrays: dict[str, np.ndarray], *, where: str) -> PixelModel:
    """Return the model of a card and arrays, all of it checked."""
    classes = tuple(str(name) for name in card["classes"])
    classifier: Forest | Neighbours
    if kind == "forest":
        classifier = check_forest(Forest(**arrays, n_features=int(card["n_features"])), where=where)
    else:
        classifier = check_neighbours(Neighbours(**arrays, k=int(card["k"]), n_classes=len(classes)), where=where)
    model = PixelModel(
        classifier,
        Features.from_options(card["features"]),
        str(card["axes"]),
        int(card["channels"]),
        classes,
        tuple(int(value) for value in card["values"]),
        float(card["temperature"]),
        dict(card["training"]),
        dict(card["scores"]),
        tuple(str(note) for note in card["notes"]),
    )
    heat = model.temperature
    fits = (
        model.axes in ("YX", "ZYX")
        and model.channels > 0
        and len(classes) == len(set(classes)) == len(model.values) == classifier.n_classes
        and len(model.feature_names) == classifier.n_features
        and math.isfinite(heat)
        and heat > 0
    )
    if not fits:
        raise ReadError(f"{where}: does not fit its card (axes, channels, classes or features); get the model anew.")
    return model


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(_bytes(path, _MAX_CARD).decode("utf-8"))
    except (ValueError, RecursionError):
        raise ReadError(f"{path}: is damaged, no JSON; get the model anew.") from None
    if not isinstance(card, dict) or card.get("task") != TASK or not isinstance(card.get("format"), int):
        raise ReadError(f"{path}: is not the card of a classifier of pixels; get the model anew.")
    if card["format"] > FORMAT:
        raise ReadError(f"{path}: made by a newer segmetry ({card.get('software')!s:.20}); update segmetry.")
    return card


def _unpacked(data: bytes, names: tuple[str, ...], *, where: str) -> dict[str, np.ndarray]:
    """Return arrays by name; what is packed may not unfold to more than `_MAX_ARRAYS` bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            if sum(part.file_size for part in packed.infolist()) > _MAX_ARRAYS:
                raise ReadError(f"{where}: unfolds to more than {_MAX_ARRAYS} bytes; get the model anew.")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: np.ascontiguousarray(arrays[name]) for name in names}
    except ReadError:
        raise
    except (ValueError, KeyError, OSError, EOFError, MemoryError, zipfile.BadZipFile, NotImplementedError):
        raise ReadError(f"{where}: is damaged, its arrays cannot be read; get the model anew.") from None


def _bytes(path: Path, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise ReadError(f"{path}: is too large ({path.stat().st_size} bytes, at most {most}).")
        return path.read_bytes()
    except FileNotFoundError:
        raise ReadError(f"{path}: is missing, so {path.parent} is not a whole model; get the model anew.") from None
    except ReadError:
        raise
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror or error}).") from None
