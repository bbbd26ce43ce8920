"""The training of a network for classes as data: one record is the file, the command line and a part of the card."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segmetry.errors import OptionError, unknown_name
from segmetry.train.augment import AugmentOptions
from segmetry.train.options import FitOptions
from segmetry.train.recipe_file import RecipeFile, entries_of
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
    classes : tuple of str
        Names of the classes 0, 1, ...; numbers of the labels unless told.
    folds, fold : int
        Parts by group that the images are dealt into, and the one that is held out; None holds none out.
    """

    network: str = "unet"
    options: Mapping[str, Any] = field(default_factory=dict)
    loss: Mapping[str, Any] = field(default_factory=lambda: dict(EVERYDAY_LOSS))
    class_weights: str = ""
    pixel_weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    samples: SampleOptions = field(default_factory=SampleOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    fit: FitOptions = field(default_factory=FitOptions)
    classes: tuple[str, ...] = ()
    folds: int = 5
    fold: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(str(name) for name in self.classes))
        if self.class_weights and self.class_weights not in CLASS_WEIGHTS:
            raise unknown_name("rule for class weights", self.class_weights, CLASS_WEIGHTS)
        for name in self.pixel_weights:
            if name not in WEIGHT_MAPS:
                raise unknown_name("weight of pixels", name, WEIGHT_MAPS)
        if self.folds < 2 or (self.fold is not None and not 0 <= self.fold < self.folds):
            raise OptionError(f"train: fold must be from 0 to folds - 1, got {self.fold} of {self.folds}.")
        if len(set(self.classes)) != len(self.classes):
            raise OptionError(f"train: classes need names that differ, got {', '.join(self.classes)}.")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for YAML and JSON; `from_dict` takes it back."""
        data = dataclasses.asdict(self)
        data["classes"] = list(self.classes)
        data["augment"]["zoom"] = list(self.augment.zoom)
        return data

    @classmethod
    def from_dict(cls, data: Any, *, where: str = "recipe") -> ClassRecipe:
        """Return the recipe of a mapping; a misspelled name is an error that offers the near one."""
        values = entries_of(cls, data, where)
        parts: dict[str, Any] = {"samples": SampleOptions, "augment": AugmentOptions, "fit": FitOptions}
        for part, record in parts.items():
            if part in values:
                values[part] = record(**entries_of(record, values[part] or {}, f"{part} in {where}"))
        return cls(**values)
