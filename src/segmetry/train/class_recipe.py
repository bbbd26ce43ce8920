"""The training of a network for classes as data: one record is the file, the command line and a part of the card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from segmetry.errors import OptionError, unknown_name
from segmetry.train.augment import AugmentOptions
from segmetry.train.options import FitOptions
from segmetry.train.recipe_file import RecipeFile
from segmetry.train.samples import SampleOptions
from segmetry.train.weight_maps import CLASS_WEIGHTS, WEIGHT_MAPS

EVERYDAY_LOSS: Mapping[str, Any] = {"cross-entropy": 1.0, "dice": 1.0}


@dataclass(frozen=True)
class ClassRecipe(RecipeFile):
    """Everything that decides a trained network for classes, apart from the data.

    Parameters
    ----------
    network : str
        Name in `segmetry.nets.table.NETWORKS`.
    options : mapping
        Options of the network that differ from its own.
    loss : mapping
        Losses and their weights, see `segmetry.train.losses.Loss`.
    class_weights : str
        Rule in `CLASS_WEIGHTS`; empty weighs all classes alike.
    pixel_weights : mapping
        Name in `WEIGHT_MAPS` to its options.
    samples : SampleOptions
    augment : AugmentOptions
    fit : FitOptions
    classes : mapping of int to str
        Value in the label files to name, in the order of the classes; the values that occur unless told.
    ignore : int, optional
        Value of pixels that nobody labelled.
    foreground : bool
        Labels are numbers of objects: learn what is object and what is not.
    planes : bool
        Learn from the planes of volumes, each for itself.
    split : str
        What images train, check and test: a rule of `segmetry.train.splits.deal`.
    """

    network: str = "unet"
    options: Mapping[str, Any] = field(default_factory=dict)
    loss: Mapping[str, Any] = field(default_factory=lambda: dict(EVERYDAY_LOSS))
    class_weights: str = ""
    pixel_weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    samples: SampleOptions = field(default_factory=SampleOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    fit: FitOptions = field(default_factory=FitOptions)
    classes: Mapping[int, str] = field(default_factory=dict)
    ignore: int | None = None
    foreground: bool = False
    planes: bool = False
    split: str = "80/20"

    def __post_init__(self) -> None:
        if self.class_weights and self.class_weights not in CLASS_WEIGHTS:
            raise unknown_name("rule for class weights", self.class_weights, CLASS_WEIGHTS)
        for name in self.pixel_weights:
            if name not in WEIGHT_MAPS:
                raise unknown_name("weight of pixels", name, WEIGHT_MAPS)
        if len(set(self.classes.values())) != len(self.classes):
            raise OptionError(f"train: classes need names that differ, got {', '.join(self.classes.values())}.")

    def entry(self, name: str) -> Any:
        """Return the value of an entry; of an option that is not named, the network's own."""
        from segmetry.nets.table import NETWORKS  # imports torch

        network = NETWORKS.get(self.network)
        own = {f.name: f.default for f in fields(network.options)} if network else {}
        found = super().entry(name)
        return own.get(name) if found is None else found

    def _inside(self, data: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Options of the network count as entries, too."""
        from segmetry.nets.table import NETWORKS  # imports torch

        name = str(data["network"])
        if name not in NETWORKS:
            raise unknown_name("network", name, NETWORKS)
        return {f.name: data["options"] for f in fields(NETWORKS[name].options)} | super()._inside(data)
