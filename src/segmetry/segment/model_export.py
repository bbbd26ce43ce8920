"""A model of our own as programs of bioimage.io take it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from segmetry.errors import OptionError
from segmetry.io.bioimage import gives_probabilities, write_bioimage
from segmetry.io.model_folder import ModelFolder, read_model_folder, resolve_model
from segmetry.io.onnx_bytes import with_constant
from segmetry.segment.engine import Model, normalise
from segmetry.segment.model_check import SMALL, example_image, example_sides
from segmetry.segment.network import probabilities
from segmetry.segment.network_input import coordinates
from segmetry.segment.runtime import start


def export_model(name_or_path: str | Path, out: Path) -> None:
    """Write a model for programs of bioimage.io: a folder, or a ``.zip`` of its files.

    The dropout masks are fixed to ones: to other programs an input is an image. What is written is a model folder of
    segmetry too; for Monte Carlo samples take the original.

    Parameters
    ----------
    name_or_path : str or path
        A model's folder, or the name of one that comes with the package.
    out : path
        Folder or file to write; a model there is replaced.

    Raises
    ------
    ReadError, OptionError, WriteError
        If the model cannot be used, described in the format, or written.
    """
    folder = read_model_folder(resolve_model(name_or_path))
    if out.resolve() == folder.path.resolve():
        raise OptionError(f"{out}: is the model itself; name another folder, since dropout is left out.")
    onnx = with_constant(folder.onnx, "keep", np.ones((1, folder.card.n_keep), np.float32))
    card = replace(folder.card, dropout=())
    engine, run = start(ModelFolder(folder.path, card, onnx), 1, "cpu")
    raw = example_image(card, example_sides(card, SMALL[len(card.axes)]))
    maps = Model(card, folder.path, engine, run).maps(normalise(card, raw))
    if gives_probabilities(card):
        maps = probabilities(maps / np.float32(card.post.get("temperature", 1.0)))[-len(card.maps) :]
    if card.with_coordinates:
        rows, columns = (np.arange(n, dtype=np.float32) for n in raw.shape[-2:])
        raw = np.concatenate([raw, coordinates(rows[:, None], columns, raw.shape[-2:], raw.shape[1:])])
    write_bioimage(out, card, onnx, image=raw[np.newaxis], maps=maps[np.newaxis])
