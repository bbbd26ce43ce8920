"""A start without labels: a network learns to fill in what was hidden of an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segmetry.io.card import Card
from segmetry.io.model_folder import write_model_folder
from segmetry.nets.export import export
from segmetry.nets.table import build_network
from segmetry.segment.dropout import draw_keep
from segmetry.train.class_recipe import ClassRecipe
from segmetry.train.class_run import about, check_sides, claim_images
from segmetry.train.loop import fit
from segmetry.train.run_folder import MODEL, claim
from segmetry.train.running import PLAIN, Running
from segmetry.train.samples import Labelled, Normalisation, Samples

PATCH = 16
"""Side of what is hidden, in px: wider than the reach of noise and blur, from which it could be guessed."""

HIDDEN = 0.5
"""Share of the patches that is hidden."""


class ReconstructTask:
    """Images of which patches are hidden to a network that gives the whole image.

    Parameters
    ----------
    samples : Samples
        Classes have no part in it.
    network : str
        Name in `segmetry.nets.table.NETWORKS`.
    options : mapping
        Options of the network.

    Notes
    -----
    Hidden patches are 0, the mean of the training images. The loss is the mean squared difference in them, in variances
    of the training images: a network that says the mean everywhere has about 1. Channels for the place are never
    hidden, and not reconstructed.

    References
    ----------
    Pathak et al., CVPR 2016, doi:10.1109/CVPR.2016.278. What differs: small patches at random places, and no adversary.
    """

    def __init__(self, samples: Samples, *, network: str, options: Any = None) -> None:
        self.samples, self.network, self.options = samples, network, dict(options or {})
        self.n_image = len(samples.normalisation.mean)
        self.maps = tuple(f"channel-{i}" for i in range(self.n_image))
        self.channels = self.n_image + 2 * samples.options.coordinates
        built = self.build()
        self.multiple, self.dropout = built.multiple, built.dropout

    def build(self) -> Any:
        """Return a fresh network."""
        return build_network(self.network, channels=self.channels, maps=self.maps, options=self.options)

    def sample(self, number: int) -> dict[str, np.ndarray]:
        """Return training sample `number`: image with hidden patches, where they are, whole image, dropout mask."""
        whole = self.samples.draw(number).image
        rng = np.random.default_rng([self.samples.seed, 4, number])
        hidden = hide(whole.shape[1:], rng)
        image = whole.copy()
        image[: self.n_image, hidden] = 0
        keep = draw_keep(self.dropout, 1, int(rng.integers(2**63)))[0]
        return {"image": image, "hidden": hidden[None], "target": whole[: self.n_image], "keep": keep}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch; networks that are supervised at several places have the mean over these."""
        found = network(batch["image"], batch["keep"])
        maps = found if isinstance(found, tuple) else (found,)
        hidden = batch["hidden"].expand_as(batch["target"])
        losses = [nn.functional.mse_loss(m.float()[hidden], batch["target"][hidden]) for m in maps]
        return torch.stack(losses).mean(), {}

    def check(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return nothing: what counts is what other training gains."""
        return {}


def hide(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Return which pixels (*shape) of an image or a volume are hidden: at least one patch."""
    drawn = rng.random([-(-n // PATCH) for n in shape]) < HIDDEN
    drawn.flat[rng.integers(drawn.size)] = True
    for axis, n in enumerate(shape):
        drawn = drawn.repeat(PATCH, axis=axis).take(range(n), axis=axis)
    return drawn


def train_reconstruction(
    recipe: ClassRecipe, images: Sequence[Labelled], folder: Path, running: Running = PLAIN
) -> Path:
    """Train a network to fill in images, and return its model folder, ``folder/model``: a start for other training.

    Parameters
    ----------
    recipe : ClassRecipe
        Its network, options, samples, augmentation and fit.
    images : sequence of Labelled
        All of them train; their classes may all be 0. Keep images that will judge out of them.
    folder : Path
        Holds recipe, log, checkpoints and the model. A run that was stopped goes on if recipe and images are the same.
    running : Running

    Raises
    ------
    OptionError
        If the folder holds another run, or an option does not suit the images.
    """
    seed, n_axes = recipe.fit.seed, images[0].classes.ndim
    normalisation = Normalisation.measured(images)
    samples = Samples(images, normalisation, options=recipe.samples, augment=recipe.augment, seed=seed)
    task = ReconstructTask(samples, network=recipe.network, options=recipe.options)
    check_sides(recipe, task.multiple, n_axes)
    claim(folder, recipe)
    claim_images(folder, images, ["train"] * len(images))
    network = fit(task, recipe.fit, folder, running)
    exported = export(network.cpu(), channels=task.channels, n_axes=n_axes)
    card = Card(
        name=f"{recipe.network}-reconstruction",
        version="1",
        task="image",
        architecture=recipe.network,
        options=task.options,
        axes="YX" if n_axes == 2 else "ZYX",
        normalisation=normalisation.as_dict(coordinates=recipe.samples.coordinates),
        training=about(recipe, images, folder),
        **exported.facts,
    )
    write_model_folder(folder / MODEL, card, exported.onnx)
    return folder / MODEL
