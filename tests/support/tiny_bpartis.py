"""A model folder for the method `bpartis` that needs no training: dark is particle, however far apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_onnx import model, node, tensor, value

from segmetry.io.model_folder import Card, write_model_folder

REACH = 14
"""Pixels of 512 that a particle reaches around its surest pixel."""


def write(folder: Path) -> Path:
    """Write a network of one convolution: no offset, one sigma for all, and a seed where the mean grey is below 0.4."""
    sigma = np.log(np.log(2) * 511**2 / REACH**2) / 10  # exp(-d^2 exp(10 sigma)) = 1/2 at the reach
    kernel = np.zeros((5, 3, 1, 1), np.float32)
    kernel[4] = -40 / 3
    bias = np.array([0, 0, sigma, sigma, 16], np.float32).reshape(1, 5, 1, 1)
    nodes = [
        node("Conv", ["image", "w"], "c", kernel_shape=[1, 1]),
        node("Add", ["c", "b"], "d"),
        node("Unsqueeze", ["keep", "axes"], "k"),
        node("Mul", ["d", "k"], "maps"),
    ]
    onnx = model(
        nodes,
        [tensor("w", kernel), tensor("b", bias), tensor("axes", np.array([2, 3]))],
        [value("image", ["batch", 3, "h", "v"]), value("keep", ["n", 5])],
        [value("maps", ["s", 5, "r", "q"])],
    )
    card = Card(
        name="tiny", version="1", task="bpartis", maps=("x", "y", "sigma-x", "sigma-y", "seed"), stride=1, multiple=8,
        receptive_radius=0, dropout=((5, 0.1),), channels=3, normalisation={"kind": "unit"},
    )  # fmt: skip
    write_model_folder(folder, card, onnx)
    return folder
