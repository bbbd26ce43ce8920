"""The method `pixels`: a forest or nearest neighbours, trained on scribbles, give every pixel a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmetry.errors import OptionError
from segmetry.options import option
from segmetry.segment.forest_file import FORMAT, read_pixel_model
from segmetry.segment.methods import Method, Scene
from segmetry.segment.network import entropy_of
from segmetry.segment.pixel_model import PixelModel, predict_blocks
from segmetry.types import Segmentation


@dataclass(frozen=True, kw_only=True)
class Pixels(Method):
    """Class of every pixel, by a classifier that `train_on_scribbles` made. It needs no GPU.

    The class is the most probable one. Pixels that cannot be used get class 0, the probability 1 / K and the entropy
    log K: nothing is known of them. An image is done in blocks that give exactly what the whole gives.
    """

    name: ClassVar[str] = "pixels"
    summary: ClassVar[str] = "a forest or nearest neighbours from a few scribbles: the class of every pixel, 2D and 3D"
    ndims: ClassVar[tuple[int, ...]] = (2, 3)

    model: str = option("", "folder of the model", kind="text")

    def check(self) -> None:
        """Raise the error of a model that is missing or damaged."""
        self._loaded()

    @property
    def n_channels(self) -> int:
        """How many channels of an image the classifier looks at."""
        return self._loaded().channels

    def run(self, scene: Scene) -> Segmentation:
        """Return the classes of a scene."""
        return classify(self._loaded(), scene)

    def _loaded(self) -> PixelModel:
        if not self.model:
            raise OptionError("pixels: name the folder of a model: -m FOLDER, or --set model=FOLDER.")
        return read_pixel_model(self.model)


def classify(model: PixelModel, scene: Scene) -> Segmentation:
    """Return the classes that a model finds in a scene, with their probability and entropy (nats)."""
    shape, n_classes = scene.pixels.shape, len(model.classes)
    labels = np.empty(shape, np.int32)
    probability, entropy = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for place, chance in predict_blocks(model, scene.channels, spacing=scene.spacing):
        labels[place] = chance.argmax(axis=0)
        probability[place] = chance[1] if n_classes == 2 else chance.max(axis=0)
        entropy[place] = entropy_of(chance)
    if scene.valid is not None:
        labels[~scene.valid] = 0
        probability[~scene.valid] = 1 / n_classes
        entropy[~scene.valid] = np.log(n_classes)
    return Segmentation(
        labels,
        "semantic",
        classes=model.classes,
        info={
            "model": {
                "name": str(model.training.get("kind", Pixels.name)),
                "version": str(FORMAT),
                "sha256": model.sha256,
            },
            "values": list(model.values),
            "temperature": model.temperature,
            "scores": dict(model.scores),
        },
        probability=probability,
        uncertainty=entropy,
    )
