"""A trained network as a folder: ``model.onnx``, and ``card.json`` that says all that is needed to run and judge it."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import segmetry
from segmetry.errors import ReadError, WriteError, unknown_name
from segmetry.io.atomic import write_error
from segmetry.io.card import Card

__all__ = [
    "Card",
    "ModelFolder",
    "read_card",
    "read_model_folder",
    "resolve_model",
    "shipped_models",
    "write_model_folder",
]

ONNX, CARD = "model.onnx", "card.json"

_MAX_CARD = 2**22
_NONE: Mapping[str, bytes] = MappingProxyType({})


class ModelFolder(NamedTuple):
    """A model as read: its folder, its card, and the bytes of ``model.onnx``, which have the card's hash."""

    path: Path
    card: Card
    onnx: bytes


def read_card(path: str | Path) -> Card:
    """Return the card of a model folder, or of that in a training run's folder, without reading the network.

    Raises
    ------
    ReadError
        If there is no such folder, or its card is missing, damaged or of a newer format.
    """
    path = _of_run(Path(path))
    if not path.is_dir():
        what = "is a file, not a model's folder; name the folder that holds it" if path.exists() else "does not exist"
        raise ReadError(f"{path}: {what}.")
    card = path / CARD
    if card.is_file() and card.stat().st_size > _MAX_CARD:
        raise ReadError(f"{card}: is too large for a card ({card.stat().st_size} bytes).")
    try:
        return Card.from_json(_bytes(card).decode("utf-8"), where=str(card))
    except UnicodeDecodeError:
        raise ReadError(f"{card}: is damaged, no text; get the model anew.") from None


def read_model_folder(path: str | Path) -> ModelFolder:
    """Return the model in a folder, its bytes checked against the hash in its card.

    Nothing in the folder is executed: the card is data, and the network a graph of known operations.

    Parameters
    ----------
    path : path
        A folder with ``model.onnx`` and ``card.json``, or that of the training run which has it as ``model``.

    Raises
    ------
    ReadError
        If the folder or one of its files is missing, damaged, or made by a newer segmetry.
    """
    path = _of_run(Path(path))
    card = read_card(path)
    onnx = _bytes(path / ONNX)
    if (sha256 := hashlib.sha256(onnx).hexdigest()) != card.sha256:
        raise ReadError(
            f"{path / ONNX}: is damaged: its SHA-256 begins {sha256[:12]}, its card says {card.sha256[:12] or 'none'}; "
            "get the model anew."
        )
    return ModelFolder(path, card, onnx)


def write_model_folder(path: str | Path, card: Card, onnx: bytes, *, extra: Mapping[str, bytes] = _NONE) -> Card:
    """Write a model's folder, whole or not at all, and return its card with the hash of the network.

    Parameters
    ----------
    path : path
        The folder to make. One that holds a model is replaced; any other that is not empty is left alone.
    card : Card
        Its `sha256` is set here.
    onnx : bytes
        The network.
    extra : mapping of str to bytes
        Further files, name to content: the description that other programs read, see `bioimage_files`.

    Raises
    ------
    WriteError
        If the folder holds something else, or cannot be written.
    """
    path = Path(path)
    card = named_by_hash(card, onnx)
    if path.exists() and not (path / CARD).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise WriteError(f"{path}: holds something that is no model; name a new folder.")
    files = {ONNX: onnx, CARD: card.to_json().encode(), **extra}
    work: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}-", dir=path.parent))
        new = work / "new"
        new.mkdir()  # not `work` itself: mkdtemp makes a folder that only its owner may read
        for name, content in files.items():
            (new / name).write_bytes(content)
        if path.exists():
            path.rename(work / "old")
        try:
            new.rename(path)
        except OSError:
            with suppress(OSError):
                (work / "old").rename(path)
            raise
    except OSError as error:
        raise write_error(path, error) from None
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
    return card


def named_by_hash(card: Card, onnx: bytes) -> Card:
    """Return a card with the hash of its network."""
    return replace(card, sha256=hashlib.sha256(onnx).hexdigest())


def shipped_models() -> dict[str, Path]:
    """Return the models that come with the package: name to folder."""
    home = Path(segmetry.__file__).parent / "models"
    return {p.name: p for p in sorted(home.glob("*")) if (p / CARD).is_file()}


def resolve_model(name_or_path: str | Path) -> Path:
    """Return the folder of a model named by its path, or by its name if it comes with the package.

    Raises
    ------
    ReadError
        If a path leads nowhere.
    OptionError
        If no model has that name; the nearest is offered.
    """
    path = Path(name_or_path)
    shipped = shipped_models()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    if path.exists():
        return _of_run(path)
    if path.name != str(name_or_path) or not shipped:
        raise ReadError(f"{path}: there is no such model folder; the models that come along: {_listed(shipped)}.")
    raise unknown_name("model", str(name_or_path), shipped)


def model_beside(named: str | Path, folder: Path) -> Path:
    """Return the folder of a model that a file in `folder` names: a path from there, or a model that comes along.

    Raises
    ------
    ReadError, OptionError
        As for `resolve_model`.
    """
    beside = (folder / named).resolve()
    return resolve_model(beside if beside.exists() or Path(named).name != str(named) else named)


def _of_run(path: Path) -> Path:
    """Return the folder of the model in a training run's folder; any other as it is."""
    inner = path / "model"
    return inner if (inner / CARD).is_file() and not (path / CARD).exists() else path


def names_folder(text: str) -> bool:
    """Return whether a text is a path, there or not, and not a plain name."""
    return "/" in text or "\\" in text or Path(text).is_dir()


def _listed(names: Mapping[str, Path]) -> str:
    return ", ".join(names) or "none"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ReadError(f"{path}: is missing, so {path.parent} is not a whole model; get the model anew.") from None
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror or error}).") from None
