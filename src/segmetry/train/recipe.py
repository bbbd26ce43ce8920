"""A training run as data: the same record is the file, the command line and a part of the model's card."""

from __future__ import annotations

from dataclasses import dataclass, field

from segmetry.errors import OptionError, unknown_name
from segmetry.train.crops import CropOptions
from segmetry.train.options import FitOptions, check_shares, published_fit
from segmetry.train.recipe_file import RecipeFile

ARCHITECTURES = {
    "particles": "residual U-Net at half resolution that points to particle centres",
    "bpartis": "ERFNet with two decoders, as published (Yildirim and Cole 2021)",
}
"""What can be trained: name and summary."""


@dataclass(frozen=True)
class TrainRecipe(RecipeFile):
    """Everything that decides a trained model, apart from the data.

    Parameters
    ----------
    network : str
        Name in `ARCHITECTURES`.
    widths : tuple of int
        Channels at each level of the particle network; empty for its own.
    fit : FitOptions
        How long and how it is fitted.
    crops : CropOptions
        How crops are drawn (particle network).
    scenes : int
        Synthetic scenes (`segmetry.synth.scenes`, seed `scenes_seed`).
    hard_scenes : int
        Further ones of what is hard: long rods that cross, and chains of particles, half of each.
    scenes_seed : int
    scenes_share : float
        Share of synthetic crops after the first part of the run.
    scenes_first : float
        Part of the run, at its beginning, in which half of the crops are synthetic.
    folds : int
        Parts by group that the data is dealt into.
    fold : int or None
        The part that is held out; None trains on all.
    """

    network: str = "particles"
    widths: tuple[int, ...] = ()
    fit: FitOptions = field(default_factory=FitOptions)
    crops: CropOptions = field(default_factory=CropOptions)
    scenes: int = 500
    hard_scenes: int = 0
    scenes_seed: int = 100
    scenes_share: float = 0.15
    scenes_first: float = 0.15
    folds: int = 5
    fold: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(int(w) for w in self.widths))
        if self.network not in ARCHITECTURES:
            raise unknown_name("network", self.network, ARCHITECTURES)
        check_shares("train", self, "scenes_share", "scenes_first")
        if min(self.scenes, self.hard_scenes) < 0 or self.folds < 2:
            raise OptionError(
                f"train: scenes and hard_scenes must be >= 0 and folds >= 2, got {self.scenes}, {self.hard_scenes} and "
                f"{self.folds}."
            )
        if self.fold is not None and not 0 <= self.fold < self.folds:
            raise OptionError(f"train: fold must be from 0 to {self.folds - 1}, got {self.fold}.")

    @classmethod
    def default(cls, network: str) -> TrainRecipe:
        """Return the everyday recipe of a network; BPartIS is fitted as published, for 300 epochs of 366 images."""
        if network == "bpartis":
            return cls(network=network, fit=published_fit(366), scenes=0)
        return cls(network=network)
