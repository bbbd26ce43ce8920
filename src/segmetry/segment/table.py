"""The table of methods: a new one costs a file, a line here, and a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segmetry.errors import OptionError, unknown_name
from segmetry.io.model_folder import names_folder, read_card
from segmetry.segment.auto import Auto
from segmetry.segment.bpartis import Bpartis
from segmetry.segment.florin import Florin
from segmetry.segment.forest_file import is_pixel_model
from segmetry.segment.gmm import Gmm
from segmetry.segment.hybrid import Hybrid
from segmetry.segment.hybrid_literal import HybridLiteral
from segmetry.segment.local import Local
from segmetry.segment.methods import Method
from segmetry.segment.ndnt import Ndnt
from segmetry.segment.network import Network
from segmetry.segment.others import Cellpose, Stardist
from segmetry.segment.otsu import MultiOtsu, Otsu
from segmetry.segment.particles import Particles
from segmetry.segment.persistence import Persistence
from segmetry.segment.pixel_clusters import Kmeans
from segmetry.segment.pixels import Pixels
from segmetry.segment.threshold import Threshold
from segmetry.segment.vessels import Vessels

METHODS: dict[str, type[Method]] = {
    m.name: m
    for m in (
        Auto,
        Particles,
        Hybrid,
        HybridLiteral,
        Threshold,
        Otsu,
        MultiOtsu,
        Local,
        Ndnt,
        Gmm,
        Kmeans,
        Persistence,
        Vessels,
        Florin,
        Bpartis,
        Network,
        Pixels,
        Cellpose,
        Stardist,
    )
}
"""Every method by its name."""

METHOD_OF = {"particles": "particles", "bpartis": "bpartis", "classes": "network"}
"""The method that runs a trained model, by the task on its card."""


def method_from(name: str | Mapping[str, Any] | Method, options: Mapping[str, Any] | None = None) -> Method:
    """Return the record of a method by its name and options.

    Parameters
    ----------
    name : str, mapping or Method
        A name of `METHODS`, or the folder of a trained model; or a record as data, ``{"method": "otsu", "min_size":
        50}``; or a record.
    options : mapping, optional
        Options that differ from the defaults; texts such as ``"0.5"`` are read as the option's type.

    Raises
    ------
    OptionError
        If the method or an option does not exist (the near name is offered), or a value is out of range.

    Examples
    --------
    >>> method_from("otsu", {"min_size": "50"}).as_dict()["min_size"]
    50
    """
    if isinstance(name, Method):
        if not options:
            return name
        data = name.as_dict()
    elif isinstance(name, Mapping):
        data = dict(name)
        if "method" not in data:
            raise OptionError("a method as data needs its name: {'method': 'hybrid', ...}.")
    else:
        data = {"method": name}
    method, model = method_named(str(data.pop("method")))
    return method.from_options(data | model | dict(options or {}))


def method_named(name: str) -> tuple[type[Method], dict[str, str]]:
    """Return a method by its name, or by the folder of a trained model, which is then an option of it."""
    if name in METHODS:
        return METHODS[name], {}
    if not names_folder(name):
        raise unknown_name("method", name, METHODS)
    if is_pixel_model(name):
        return Pixels, {"model": name}
    task = read_card(name).task
    if task not in METHOD_OF:
        raise OptionError(f"{name}: is a model for {task}, a start for training: segmetry train --init {name}.")
    return METHODS[METHOD_OF[task]], {"model": name}
