"""A model's folder as other programs want it: the description of bioimage.io (``rdf.yaml``, model format 0.5)."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import yaml

from segmetry.errors import OptionError, WriteError
from segmetry.io.atomic import atomic
from segmetry.io.card import TASKS, Card
from segmetry.io.card_text import card_rows
from segmetry.io.model_folder import CARD, ONNX, named_by_hash, write_model_folder
from segmetry.io.onnx_bytes import opset_of

RDF_FORMAT = "0.5.5"
"""Version of the description: the first that has a word for softmax; later readers take it too."""

RDF, README = "rdf.yaml", "README.md"

_SMALLEST_SD = 1e-6
"""Smallest standard deviation that the format lets one divide by."""


def gives_probabilities(card: Card) -> bool:
    """Return whether the description says how maps become probabilities: every map is a class, or one of two."""
    n = len(card.classes)
    return card.task == "classes" and n > 1 and len(card.maps) == (1 if n == 2 else n)


def bioimage_files(card: Card, onnx: bytes, *, image: np.ndarray, maps: np.ndarray) -> dict[str, bytes]:
    """Return the files, name to content, that let programs of bioimage.io find, check and run a model.

    Parameters
    ----------
    card : Card
        What the model is. It takes no dropout masks: to other programs an input is an image.
    onnx : bytes
        The network.
    image : (1, C, ...) array of float32, or of uint8 where the whole range of numbers is the unit
        An input as it comes from a file; with place in the image as last channels where the network takes it.
    maps : (1, C', ...) array of float32
        What is made of it: probabilities where `gives_probabilities`, else the network's maps. Other programs compare.

    Raises
    ------
    OptionError
        If the format has no words for the model.

    Notes
    -----
    The description says of the input what the format has words for. Masks of pixels that are not specimen, sizes chosen
    in two passes and all that makes objects of maps are not in it.

    References
    ----------
    bioimage.io, specification of the model resource description, 0.5.
    """
    if card.n_keep:
        raise OptionError(f"{card.name}: bioimage.io programs know no dropout masks; fix them first.")
    files = {
        "test_image.npy": _npy(image),
        "sample_image.tif": _tiff(image),
        "test_maps.npy": _npy(maps),
        "sample_maps.tif": _tiff(maps),
        README: _documentation(card).encode(),
    }
    space = [{"Y": "y", "X": "x", "Z": "z"}[a] for a in card.axes]
    image_axes = _axes(
        _channels(card),
        {a: {"size": {"min": card.multiple, "step": card.multiple}} for a in space},
    )
    maps_axes = _axes(
        [re.sub(r"\W", "_", name) for name in card.maps],
        {a: {"size": {"tensor_id": "image", "axis_id": a}, "scale": float(card.stride)} for a in space},
    )
    description = {
        "type": "model",
        "format_version": RDF_FORMAT,
        "name": _name(card),
        "description": (card.description or TASKS[card.task])[:1024],
        **({"version": card.version} if re.fullmatch(r"\d+(\.\d+)*", card.version) else {}),
        "authors": [{"name": re.sub(r"[/\\]", " ", author)} for author in card.authors],
        "cite": [found for text in card.citations if (found := _citation(text))],
        "license": card.licence,
        "tags": ["segmetry", card.task, "segmentation", f"{len(space)}d"],
        "documentation": README,
        "attachments": [{"source": CARD}],
        "inputs": [
            {
                "id": "image",
                "description": "greys as they come from the file"
                + (", and row and column from -1 to 1" if card.with_coordinates else ""),
                "axes": image_axes,
                "data": {"type": image.dtype.name},
                "test_tensor": _file("test_image.npy", files),
                "sample_tensor": _file("sample_image.tif", files),
                "preprocessing": _preprocessing(card, space),
            }
        ],
        "outputs": [
            {
                "id": "maps",
                "description": "probability of each class" if gives_probabilities(card) else TASKS[card.task],
                "axes": maps_axes,
                "data": {"type": "float32"},
                "test_tensor": _file("test_maps.npy", files),
                "sample_tensor": _file("sample_maps.tif", files),
                "postprocessing": _postprocessing(card),
            }
        ],
        "weights": {
            "onnx": {
                "source": ONNX, "sha256": hashlib.sha256(onnx).hexdigest(), "opset_version": opset_of(onnx),
            },
        },
        "config": {"segmetry": {"card": CARD, "software": card.software}},
    }  # fmt: skip
    return {RDF: yaml.safe_dump(description, sort_keys=False, allow_unicode=True).encode(), **files}


def write_bioimage(path: Path, card: Card, onnx: bytes, *, image: np.ndarray, maps: np.ndarray) -> None:
    """Write a model of bioimage.io, which is a model folder of segmetry too: a folder, or a ``.zip`` of its files.

    Parameters
    ----------
    path : path
        Where to. A model there is replaced, anything else is left alone.
    card, onnx, image, maps
        As for `bioimage_files`.

    Raises
    ------
    OptionError, WriteError
        If the format has no words for the model, or the place holds something else or cannot be written.
    """
    files = bioimage_files(card, onnx, image=image, maps=maps)
    if path.suffix.lower() != ".zip":
        write_model_folder(path, card, onnx, extra=files)
        return
    if path.exists() and not _holds_a_model(path):
        raise WriteError(f"{path}: holds something that is no model; name a new file.")
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**files, ONNX: onnx, CARD: named_by_hash(card, onnx).to_json().encode()}.items():
            archive.writestr(name, content)


def _holds_a_model(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return RDF in archive.namelist()


def _preprocessing(card: Card, space: list[str]) -> list[dict[str, Any]]:
    """Return what the format calls the normalisation of `segmetry.segment.engine.normalise`."""
    how = card.normalisation
    if how["kind"] == "unit":
        return [
            {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
            {"id": "scale_linear", "kwargs": {"gain": 1 / 255}},
            {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
        ]
    if how["kind"] == "measured":
        if min(how["sd"]) < _SMALLEST_SD:
            raise OptionError(
                f"{card.name}: bioimage.io divides by {_SMALLEST_SD:g} at least, a channel of the training images has "
                f"the standard deviation {min(how['sd']):.2g}; train on images in a smaller unit."
            )
        place = [0.0, 0.0] * card.with_coordinates, [1.0, 1.0] * card.with_coordinates
        mean, std = ([float(v) for v in how[key]] + rest for key, rest in zip(("mean", "sd"), place, strict=True))
        return [{"id": "fixed_zero_mean_unit_variance", "kwargs": {"axis": "channel", "mean": mean, "std": std}}]
    clip = float(how["clip"])
    return [
        {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", *space]}},
        {"id": "clip", "kwargs": {"min": -clip, "max": clip}},
    ]


def _postprocessing(card: Card) -> list[dict[str, Any]]:
    if not gives_probabilities(card):
        return []
    temperature = float(card.post.get("temperature", 1.0))
    cool = [] if temperature == 1 else [{"id": "scale_linear", "kwargs": {"gain": 1 / temperature}}]
    if len(card.maps) == 1:
        return [*cool, {"id": "sigmoid"}]
    return [*cool, {"id": "softmax", "kwargs": {"axis": "channel"}}]


def _documentation(card: Card) -> str:
    rows = "\n".join(f"- {key}: {text}" for key, text in card_rows(card))
    return f"""# {card.name}

{rows}

## Use

In segmetry, with this folder: `segmetry segment IMAGES -m FOLDER -o OUT`. Other programs of bioimage.io give the maps;
what makes objects or classes of them is segmetry's.

## Validation

The scores above, with 95 % intervals, are of images that the network did not learn from. Judge it on your own labelled
images before you trust it: `segmetry evaluate PREDICTION TRUTH`.
"""


def _name(card: Card) -> str:
    """Return a name with the letters that the format allows, and as many as it wants."""
    name = re.sub(r"[^\w +()-]", " ", card.name, flags=re.ASCII)[:100]
    return name if len(name) > 4 else f"{name} ({card.task})"


def _axes(channels: list[str], space: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    along = [{"type": "space", "id": name, **facts} for name, facts in space.items()]
    return [{"type": "batch"}, {"type": "channel", "channel_names": channels}, *along]


def _channels(card: Card) -> list[str]:
    n = card.image_channels
    return [f"channel{i}" for i in range(n)] + ["row", "column"] * card.with_coordinates


def _citation(text: str) -> dict[str, str] | None:
    """Return a citation and its DOI, which the format insists on; one without is in the documentation."""
    doi = re.search(r"\b10\.\d{4,9}/[^\s;,]*[^\s;,.)]", text)
    return {"text": text, "doi": doi[0]} if doi else None


def _file(name: str, files: Mapping[str, bytes]) -> dict[str, str]:
    return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _tiff(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.squeeze(array), photometric="minisblack")
    return buffer.getvalue()
