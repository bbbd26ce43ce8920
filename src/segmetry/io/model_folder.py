"""A trained network as a folder: ``model.onnx`` and ``card.json``, which says all that is needed to run and judge it."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import segmetry
from segmetry.errors import OptionError, ReadError, SegmetryError, WriteError, unknown_name
from segmetry.io.atomic import write_error

FORMAT = 1
"""Number of the folder's format; a folder of a higher one is refused."""

TASKS = {
    "particles": "maps that point every pixel to its particle's centre, at half resolution",
    "bpartis": "the maps of the published particle network, at full resolution",
    "classes": "one score per class and pixel",
}
"""What the maps of a network are: name and meaning."""

NORMALISATIONS = {
    "standardise": ("clip",),
    "unit": (),
}
"""Kinds of normalisation of the input, and the numbers that each needs: see `Card`."""

ONNX, CARD = "model.onnx", "card.json"

_MAX_CARD = 2**22
_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Card:
    """What a trained network is, what it wants, and where it came from.

    Parameters
    ----------
    name, version : str
        Short name in lower case and version of the model.
    task : {"particles", "bpartis", "classes"}
        What the maps mean, see `TASKS`.
    maps : tuple of str
        Names of the network's output maps, in their order.
    stride : int
        Input pixels per output pixel along each axis.
    multiple : int
        The network takes images whose sides are multiples of this.
    receptive_radius : int or None
        No output pixel depends on input pixels farther than this, in px, from the ``stride`` x ``stride`` input pixels
        it stands for; None where each depends on the whole image.
    dropout : tuple of (int, float)
        Channels and rate of each place of dropout, in the order of the mask.
    architecture : str
        Name of the architecture in the table of networks.
    options : mapping
        Options that build the architecture.
    axes : str
        Spatial axes of the input: ``"YX"`` or ``"ZYX"``.
    channels : int
        Channels of the input.
    normalisation : mapping
        ``{"kind": "standardise", "clip": 5}``: (x - mean) / standard deviation over the valid pixels of the whole image,
        clipped to ±5. ``{"kind": "unit"}``: x in its full range (0..255, 0..65535) divided to [0, 1].
    classes : tuple of str
        Names of the classes of a network that tells classes apart.
    post : mapping
        Settings of what follows the network, and its calibration.
    size_range : (low, high) or None
        Size of the objects it was trained for, square root of the area in px.
    pixel_size_range : (low, high) or None
        Length of a pixel in nm in the training images; None where unknown.
    training : mapping
        Hash of the data, number of images and groups, recipe, seed, crops, seconds, machine.
    scores : mapping
        Scores on held-out groups, with how they were made.
    description, licence : str
        In words; SPDX name.
    authors, citations : tuple of str
        Who made it; what to cite.
    software : str
        Version of segmetry that wrote it.
    sha256 : str
        Hash of ``model.onnx``, hexadecimal; written by `write_model_folder`.

    Raises
    ------
    OptionError
        If a value cannot be.
    """

    name: str
    version: str
    task: str
    maps: tuple[str, ...]
    stride: int
    multiple: int
    receptive_radius: int | None
    dropout: tuple[tuple[int, float], ...] = ()
    architecture: str = ""
    options: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    axes: str = "YX"
    channels: int = 1
    normalisation: Mapping[str, Any] = field(
        default_factory=lambda: MappingProxyType({"kind": "standardise", "clip": 5.0})
    )
    classes: tuple[str, ...] = ()
    post: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    size_range: tuple[float, float] | None = None
    pixel_size_range: tuple[float, float] | None = None
    training: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    scores: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    description: str = ""
    licence: str = "MIT"
    authors: tuple[str, ...] = ("The segmetry developers",)
    citations: tuple[str, ...] = ()
    software: str = segmetry.__version__
    sha256: str = ""

    def __post_init__(self) -> None:
        for name in ("name", "version", "task", "architecture", "axes", "description", "licence", "software", "sha256"):
            _require(isinstance(getattr(self, name), str), name, "a text", getattr(self, name))
        _require(bool(self.name.strip()) and not set(self.name) & set("/\\"), "name", "a plain name", self.name)
        if self.task not in TASKS:
            raise unknown_name("task", self.task, TASKS)
        for name in ("maps", "classes", "authors", "citations"):
            object.__setattr__(self, name, _texts(name, getattr(self, name)))
        _require(0 < len(set(self.maps)) == len(self.maps), "maps", "names that differ", self.maps)
        for name in ("stride", "multiple", "channels"):
            _require(_is_count(getattr(self, name), 1), name, "a whole number from 1", getattr(self, name))
        _require(self.multiple % self.stride == 0, "multiple", f"a multiple of stride {self.stride}", self.multiple)
        radius = self.receptive_radius
        _require(radius is None or _is_count(radius, 0), "receptive_radius", "a whole number from 0, or null", radius)
        _require(self.axes in ("YX", "ZYX"), "axes", "YX or ZYX", self.axes)
        object.__setattr__(self, "dropout", _places(self.dropout))
        for name in ("options", "normalisation", "post", "training", "scores"):
            value = getattr(self, name)
            _require(isinstance(value, Mapping) and all(isinstance(k, str) for k in value), name, "a table", value)
            object.__setattr__(self, name, MappingProxyType(dict(value)))
        kind = self.normalisation.get("kind")
        if kind not in NORMALISATIONS:
            raise unknown_name("normalisation", kind, NORMALISATIONS)
        for key in NORMALISATIONS[kind]:
            value = self.normalisation.get(key)
            _require(_is_number(value) and value > 0, f"normalisation {key}", "a positive number", value)
        for name in ("size_range", "pixel_size_range"):
            object.__setattr__(self, name, _range(name, getattr(self, name)))

    @property
    def n_keep(self) -> int:
        """Length of a dropout mask: the channels of all places of dropout."""
        return sum(channels for channels, _ in self.dropout)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data: what the JSON file holds."""
        return {"format": FORMAT} | {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    def to_json(self) -> str:
        """Return the card as JSON text."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = CARD) -> Card:
        """Return the card in a JSON text.

        Raises
        ------
        ReadError
            If the text is no card, or of a newer format.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ReadError(f"{where}: is damaged, no JSON ({error}); get the model anew.") from None
        number = data.get("format") if isinstance(data, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            raise ReadError(f"{where}: is not the card of a model, it names no format; get the model anew.")
        if number > FORMAT:
            raise ReadError(
                f"{where}: made by a newer segmetry ({data.get('software', 'unknown')!s:.20}; format {number}, this one "
                f"reads up to {FORMAT}); update segmetry."
            )
        entries = {key: value for key, value in data.items() if key != "format"}
        known = [f.name for f in fields(cls)]
        try:
            for key in entries:
                if key not in known:
                    raise unknown_name("entry", key, known)
            missing = [name for name in known[:7] if name not in entries]
            if missing:
                raise OptionError(f"{', '.join(missing)} missing.")
            return cls(**entries)
        except SegmetryError as error:
            raise ReadError(f"{where}: cannot be used: {error}") from None


class ModelFolder(NamedTuple):
    """A model as read: its folder, its card, and the bytes of ``model.onnx``, which have the card's hash."""

    path: Path
    card: Card
    onnx: bytes


def read_card(path: str | Path) -> Card:
    """Return the card of a model folder without reading the network.

    Raises
    ------
    ReadError
        If there is no such folder, or its card is missing, damaged or of a newer format.
    """
    path = Path(path)
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
        A folder with ``model.onnx`` and ``card.json``.

    Raises
    ------
    ReadError
        If the folder or one of its files is missing, damaged, or made by a newer segmetry.
    """
    path = Path(path)
    card = read_card(path)
    onnx = _bytes(path / ONNX)
    if (sha256 := hashlib.sha256(onnx).hexdigest()) != card.sha256:
        raise ReadError(
            f"{path / ONNX}: is damaged: its SHA-256 begins {sha256[:12]}, its card says {card.sha256[:12] or 'none'}; "
            "get the model anew."
        )
    return ModelFolder(path, card, onnx)


def write_model_folder(path: str | Path, card: Card, onnx: bytes, *, extra: Mapping[str, bytes] = _EMPTY) -> Card:
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
    card = replace(card, sha256=hashlib.sha256(onnx).hexdigest())
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
        return path
    if path.name != str(name_or_path) or not shipped:
        raise ReadError(f"{path}: there is no such model folder; the models that come along: {_listed(shipped)}.")
    raise unknown_name("model", str(name_or_path), shipped)


def _listed(names: Mapping[str, Path]) -> str:
    return ", ".join(names) or "none"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ReadError(f"{path}: is missing, so {path.parent} is not a whole model; get the model anew.") from None
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror or error}).") from None


def _plain(value: Any) -> Any:
    """Return JSON data; mappings and sequences at any depth."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _require(holds: bool, name: str, wanted: str, value: object) -> None:
    if not holds:
        raise OptionError(f"{name} must be {wanted}, got {value!r:.80}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _is_row(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    _require(_is_row(value) and all(isinstance(v, str) for v in value), name, "a row of texts", value)
    return tuple(value)


def _places(value: Any) -> tuple[tuple[int, float], ...]:
    wanted = "rows of channels (from 1) and rate (0 <= rate < 1)"
    _require(_is_row(value) and all(_is_row(v) and len(v) == 2 for v in value), "dropout", wanted, value)
    _require(all(_is_count(c, 1) and _is_number(r) and 0 <= r < 1 for c, r in value), "dropout", wanted, value)
    return tuple((c, float(r)) for c, r in value)


def _range(name: str, value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    holds = _is_row(value) and len(value) == 2 and all(_is_number(v) for v in value) and 0 <= value[0] <= value[1]
    _require(holds, name, "two numbers, low <= high, or null", value)
    return float(value[0]), float(value[1])
