"""`segmetry classify`: a classifier of pixels from a few scribbles, and what it makes of images."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmetry.cli.batches import measure_images
from segmetry.cli.judges import parse_classes
from segmetry.cli.options import open_output, parse_settings
from segmetry.errors import OptionError
from segmetry.inputs import find_inputs
from segmetry.io.formats import stem_of
from segmetry.recipe import Recipe

if TYPE_CHECKING:
    from segmetry.segment.pixel_model import PixelModel

MODEL = "model"
"""Folder of the model in the output folder."""


def classify_images(
    inputs: list[str],
    scribbles: Path,
    out: Path,
    *,
    ignore: int,
    classes: str | None,
    settings: Iterable[str] | None,
    scale: str | None,
    pixel_size: str | None,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Train on the images that have scribbles, measure all images with the model, and return the exit code."""
    from segmetry.segment.forest_file import write_pixel_model
    from segmetry.segment.scribbles import Training, train_on_scribbles

    images = find_inputs(inputs)
    pairs = pair_scribbles(images, find_inputs([scribbles]), folder=scribbles.is_dir())
    plain = Recipe.build("otsu", scale=scale or "auto", pixel_size=pixel_size)  # type: ignore[arg-type]
    training = Training.from_options(parse_settings(settings or ()))
    named = parse_classes(classes) if classes is not None else None
    open_output(out)
    read_images = [_read(image, plain) for image, _ in pairs]
    painted = [_painted(path) for _, path in pairs]
    model = train_on_scribbles(read_images, painted, settings=training, ignore=ignore, classes=named)
    folder = write_pixel_model(out / MODEL, model)
    if not as_json:
        for line in said(model):
            print(line)
        print(f"model: {folder}")
    for note in model.notes:
        print(f"segmetry: {note}", file=sys.stderr)
    recipe = Recipe.build("pixels", options={"model": str(folder)}, scale=plain.scale, pixel_size=pixel_size)
    return measure_images(inputs, out, recipe, jobs=jobs, resume=False, as_json=as_json)


def pair_scribbles(images: Sequence[Path], scribbles: Sequence[Path], *, folder: bool) -> list[tuple[Path, Path]]:
    """Return each image that was painted on with its scribbles: the one image with the one file, else by their stems.

    Raises
    ------
    OptionError
        If scribbles have no image.
    """
    if not folder and len(scribbles) == len(images) == 1:
        return [(images[0], scribbles[0])]
    by_stem = {stem_of(image.name): image for image in images}
    pairs = []
    for path in scribbles:
        if (stem := stem_of(path.name)) not in by_stem:
            raise OptionError(f"{path}: no image is called {stem}; there are: {', '.join(by_stem)[:80]}.")
        pairs.append((by_stem[stem], path))
    return pairs


def said(model: PixelModel) -> list[str]:
    """Return how the training went, a line for each class."""
    counts, strokes = model.training["pixels"], model.training["strokes"]
    right = model.scores["other_strokes"]
    lines = [f"learned from {sum(counts.values())} painted pixels"]
    for name in model.classes:
        share = right.get(name, float("nan"))
        told = (
            f"{share:.0%} of those of other strokes told right" if share == share else "paint another stroke to judge"
        )
        n = strokes[name]
        lines.append(f"  {name}: {counts[name]} pixels in {n} stroke{'s' * (n > 1)}, {told}")
    return lines


def _read(path: Path, recipe: Recipe) -> Any:
    """Return an image with all its channels, its pixel size, and what is not specimen."""
    from segmetry.io import calibrate
    from segmetry.io.read import read_together

    image = read_together([path])
    if len(image.channels) == 1:
        image = image.replace(channels=None)
    return calibrate(image, scale=recipe.scale, pixel_size=recipe.pixel_size)[0]


def _painted(path: Path) -> Any:
    from segmetry.io import read_labels

    return read_labels(path).values
