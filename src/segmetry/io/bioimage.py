"""A model's folder as other programs want it: the description of bioimage.io (``rdf.yaml``, model format 0.5)."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml

from segmetry.io.card import TASKS, Card
from segmetry.io.model_folder import ONNX

RDF_FORMAT = "0.5.4"
"""Version of the description: one that programs of several years read."""

RDF = "rdf.yaml"


def bioimage_files(
    card: Card, onnx: bytes, *, image: np.ndarray, keep: np.ndarray, maps: np.ndarray, opset: int
) -> dict[str, bytes]:
    """Return the files, name to content, that let programs of bioimage.io find, check and run a model.

    Parameters
    ----------
    card : Card
        What the model is.
    onnx : bytes
        The network.
    image, keep, maps : arrays of float32
        An input (1, C, ...), one dropout mask (1, K) and what the network makes of them (1, C', ...): the test that
        those programs run.
    opset : int
        Version of the network's operations.

    Notes
    -----
    The description says of the input what the format has words for: standardised over the image, then clipped. Masks
    of pixels that are not specimen, sizes chosen in two passes and all that follows the network are not in it.

    References
    ----------
    bioimage.io, specification of the model resource description, 0.5.
    """
    arrays = {"test_image.npy": image, "test_maps.npy": maps}
    if card.n_keep:
        arrays["test_keep.npy"] = keep
    files = {name: _npy(array) for name, array in arrays.items()}
    space = [{"Y": "y", "X": "x", "Z": "z"}[a] for a in card.axes]
    batch: dict[str, Any] = {"type": "batch"}
    inputs: list[dict[str, Any]] = [
        {
            "id": "image",
            "description": "one image, standardised",
            "axes": [
                batch,
                {"type": "channel", "channel_names": _names("channel", card.channels)},
                *({"type": "space", "id": a, "size": {"min": card.multiple, "step": card.multiple}} for a in space),
            ],
            "data": {"type": "float32"},
            "test_tensor": _file("test_image.npy", files),
            "preprocessing": _preprocessing(card, space),
        }
    ]
    if card.n_keep:
        inputs.append(
            {
                "id": "keep",
                "description": "dropout mask: what each channel is multiplied by; ones for none",
                "axes": [batch, {"type": "channel", "channel_names": _names("place", card.n_keep)}],
                "data": {"type": "float32"},
                "test_tensor": _file("test_keep.npy", files),
            }
        )
    outputs = [
        {
            "id": "maps",
            "description": TASKS[card.task],
            "axes": [
                batch,
                {"type": "channel", "channel_names": [_identifier(name) for name in card.maps]},
                *(
                    {
                        "type": "space",
                        "id": a,
                        "size": {"tensor_id": "image", "axis_id": a},
                        "scale": float(card.stride),
                    }
                    for a in space
                ),
            ],
            "data": {"type": "float32"},
            "test_tensor": _file("test_maps.npy", files),
        }
    ]
    description = {
        "type": "model",
        "format_version": RDF_FORMAT,
        "name": re.sub(r"[^\w +()-]", " ", card.name),
        "description": card.description or TASKS[card.task],
        "version": card.version,
        "authors": [{"name": author} for author in card.authors],
        "cite": [_citation(text) for text in card.citations],
        "license": card.licence,
        "tags": ["segmetry", card.task, "segmentation"],
        "inputs": inputs,
        "outputs": outputs,
        "weights": {
            "onnx": {"source": ONNX, "sha256": hashlib.sha256(onnx).hexdigest(), "opset_version": opset},
        },
        "config": {"segmetry": {"card": "card.json", "software": card.software}},
    }
    return {RDF: yaml.safe_dump(description, sort_keys=False, allow_unicode=True).encode(), **files}


def _preprocessing(card: Card, space: list[str]) -> list[dict[str, Any]]:
    if card.normalisation["kind"] != "standardise":
        return []
    clip = float(card.normalisation["clip"])
    return [
        {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", *space]}},
        {"id": "clip", "kwargs": {"min": -clip, "max": clip}},
    ]


def _names(word: str, n: int) -> list[str]:
    return [f"{word}{i}" for i in range(n)]


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _citation(text: str) -> dict[str, str]:
    """Return a citation; its DOI, which the format wants apart, is found in its text."""
    doi = re.search(r"\b10\.\d{4,9}/[^\s;,]*[^\s;,.)]", text)
    return {"text": text, "doi": doi[0]} if doi else {"text": text}


def _file(name: str, files: Mapping[str, bytes]) -> dict[str, str]:
    return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, dtype=np.float32), allow_pickle=False)
    return buffer.getvalue()
