"""The card of a trained network: what it is, what it wants, and where it came from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import segmetry
from segmetry.errors import OptionError, ReadError, SegmetryError, unknown_name
from segmetry.io.json_file import plain

FORMAT = 1
"""Number of the folder's format; a folder of a higher one is refused."""

TASKS = {
    "particles": "maps that point every pixel to its particle's centre, at half resolution",
    "bpartis": "the maps of the published particle network, at full resolution",
    "classes": "one score per class and pixel",
    "image": "the image, filled in where patches of it are hidden: a start for training",
}
"""What the maps of a network are: name and meaning."""

NORMALISATIONS = {
    "standardise": ("clip",),
    "unit": (),
    "measured": (),
}
"""Kinds of normalisation of the input, and the numbers that each needs: see `Card`."""

_REQUIRED = ("name", "version", "task", "maps", "stride", "multiple", "receptive_radius", "sha256")
_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Card:
    """What a trained network is, what it wants, and where it came from.

    Parameters
    ----------
    name, version : str
        Short name in lower case and version of the model.
    task : {"particles", "bpartis", "classes", "image"}
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
    bytes_per_pixel : float
        Memory of the network's intermediate results, in bytes per input pixel and dropout mask.
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
        ``{"kind": "standardise", "clip": 5}``: (x - mean) / standard deviation over the valid pixels of the whole
        image, clipped to ±5. ``{"kind": "unit"}``: x in its full range (0..255, 0..65535) divided to [0, 1].
        ``{"kind": "measured", "mean": [...], "sd": [...]}``: (x - mean) / sd with those of each channel over the
        training images; with ``"coordinates": true`` two channels follow, row and column from -1 to 1.
    classes : tuple of str
        Names of the classes of a network that tells classes apart.
    post : mapping
        Settings of what follows the network, and its calibration.
    size_range : (low, high) or None
        Size of the objects it was trained for, square root of the area in px.
    pixel_size_range : (low, high) or None
        Length of a pixel in nm in the training images, 1st and 99th percentile; None where unknown.
    training : mapping
        Hashes of the data and of the synthetic scenes, number of images and groups, recipe, seed, crops, seconds,
        machine.
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
    bytes_per_pixel: float = 200.0
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
        size = self.bytes_per_pixel
        _require(_is_number(size) and size > 0, "bytes_per_pixel", "a positive number", size)
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
            number: Any = self.normalisation.get(key)
            _require(_is_number(number) and number > 0, f"normalisation {key}", "a positive number", number)
        if kind == "measured":
            self._check_measured()
        if "temperature" in self.post:
            heat = self.post["temperature"]
            _require(_is_number(heat) and heat > 0, "post temperature", "a positive number", heat)
        if self.task == "classes":
            _require(self.stride == 1, "stride", "1 for classes", self.stride)
        for name in ("size_range", "pixel_size_range"):
            object.__setattr__(self, name, _range(name, getattr(self, name)))

    @property
    def with_coordinates(self) -> bool:
        """Whether the last two channels of the input tell the place in the image."""
        return bool(self.normalisation.get("coordinates", False))

    @property
    def image_channels(self) -> int:
        """Channels of the input that are channels of an image: those that tell the place are not."""
        return self.channels - 2 * self.with_coordinates

    def _check_measured(self) -> None:
        n = self.image_channels
        for key, least in (("mean", -math.inf), ("sd", 0.0)):
            values: Any = self.normalisation.get(key)
            fits = n > 0 and _is_row(values) and len(values) == n and all(_is_number(v) and v > least for v in values)
            _require(fits, f"normalisation {key}", f"{max(n, 1)} numbers, one for each channel of the image", values)

    @property
    def n_keep(self) -> int:
        """Length of a dropout mask: the channels of all places of dropout."""
        return sum(channels for channels, _ in self.dropout)

    @property
    def can_sample(self) -> bool:
        """Whether Monte Carlo samples differ: a place of dropout has a rate above 0."""
        return any(rate > 0 for _, rate in self.dropout)

    @property
    def identity(self) -> dict[str, str]:
        """What tells the model from others, as plain data for a result."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}

    def as_dict(self) -> dict[str, Any]:
        """Return plain data: what the JSON file holds."""
        return {"format": FORMAT} | {f.name: plain(getattr(self, f.name)) for f in fields(self)}

    def to_json(self) -> str:
        """Return the card as JSON text."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = "card.json") -> Card:
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
        if not isinstance(data, dict) or not _is_count(data.get("format"), 1):
            raise ReadError(f"{where}: is not the card of a model, it names no format; get the model anew.")
        if (number := data["format"]) > FORMAT:
            raise ReadError(
                f"{where}: made by a newer segmetry ({data.get('software', 'unknown')!s:.20}; format {number}, "
                f"this one reads up to {FORMAT}); update segmetry."
            )
        entries = {key: value for key, value in data.items() if key != "format"}
        known = [f.name for f in fields(cls)]
        try:
            for key in entries:
                if key not in known:
                    raise unknown_name("entry", key, known)
            missing = [name for name in _REQUIRED if name not in entries]
            if missing:
                raise OptionError(f"{', '.join(missing)} missing.")
            return cls(**entries)
        except SegmetryError as error:
            raise ReadError(f"{where}: cannot be used: {error}") from None


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
    wanted = "two numbers, low <= high, or null"
    _require(_is_row(value) and len(value) == 2 and all(_is_number(v) for v in value), name, wanted, value)
    low, high = value
    _require(0 <= low <= high, name, wanted, value)
    return float(low), float(high)
