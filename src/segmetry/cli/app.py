"""Every command and its options. The library is imported inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="From a scientific image to numbers that can be defended: every number with a unit and an interval.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
simulate_app = typer.Typer(help="Make synthetic images whose truth is known.", no_args_is_help=True)
app.add_typer(simulate_app, name="simulate")


class _Study(typer.core.TyperGroup):
    """The studies; a file after ``study`` is one of networks: ``segmetry study STUDY.yaml``."""

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> tuple:  # type: ignore[override]
        """Return the command that the words name."""
        is_file = args[0] not in self.commands and args[0].endswith((".yaml", ".yml"))
        return super().resolve_command(ctx, ["networks", *args] if is_file else args)


study_app = typer.Typer(
    help="Find out what a setting, or more training images, would bring. STUDY.yaml alone is a study of networks.",
    no_args_is_help=True,
    cls=_Study,
)
app.add_typer(study_app, name="study")
model_app = typer.Typer(help="Look at a model folder, check it, or export it.", no_args_is_help=True)
app.add_typer(model_app, name="model")

Inputs = Annotated[list[str], typer.Argument(help="Images: files, folders, or patterns such as 'day*/*.tif'.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made where it is not there.")]
Method = Annotated[
    str | None,
    typer.Option("--method", "-m", help="How to segment; see 'segmetry methods'. [default: particles; volumes: otsu]"),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="An option of the method or the statistics. May be repeated."),
]
PixelSize = Annotated[
    str | None,
    typer.Option(
        "--pixel-size",
        help="Length of a pixel, such as '0.52 nm' or '0.52 ± 0.01 nm', or one for each axis: '0.5 nm, 0.6 nm' (rows, "
        "columns; planes of a volume first); outranks the file.",
    ),
]
Scale = Annotated[
    str | None,
    typer.Option("--scale", help="Source of the pixel size: auto, metadata, bar or none. [default: auto]"),
]
Axes = Annotated[
    str | None,
    typer.Option("--axes", help="What the axes of a stack are, where the file cannot say: ZYX (volume), TYX, EYX."),
]
Page = Annotated[int | None, typer.Option("--page", help="One page of a file that has several, counted from 0.")]
RecipeFile = Annotated[
    Path | None, typer.Option("--recipe", help="A recipe.yaml of an earlier run; other options outrank its entries.")
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Images worked on at once. [default: all processors]")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Skip images whose whole result of the same recipe and input is there.")
]
Export = Annotated[
    list[str] | None,
    typer.Option("--export", metavar="FORMAT", help="Write also rois, coco, geojson or parquet. May be repeated."),
]
Number = Annotated[int, typer.Option("--number", "-n", min=1, help="How many images.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same images.")]
ModelName = Annotated[str, typer.Argument(help="A model folder, or 'particles', which comes along.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Ids = Annotated[Path | None, typer.Option("--ids", help="List of the images to judge: a name a line, or a CSV.")]
Groups = Annotated[
    Path | None,
    typer.Option("--groups", help="CSV of image and group (publication, specimen); intervals draw whole groups."),
]
Kind = Annotated[str, typer.Option("--kind", help="What labels are: instance (objects) or semantic (classes).")]
Classes = Annotated[
    str | None, typer.Option("--classes", help="Semantic classes, such as '0,1,2' or '0=matrix,1=carbide'.")
]
Ignore = Annotated[int | None, typer.Option("--ignore", help="A value of the truth that is not judged, such as 255.")]
Tolerance = Annotated[
    float, typer.Option("--tolerance", help="How far a boundary may be off in boundary F1 and surface Dice, in pixels.")
]


@app.command(no_args_is_help=True)
def measure(
    inputs: Inputs,
    out: Out,
    method: Method = None,
    set_: Set = None,
    pixel_size: PixelSize = None,
    scale: Scale = None,
    page: Page = None,
    axes: Axes = None,
    recipe: RecipeFile = None,
    jobs: Jobs = None,
    resume: Resume = False,
    export: Export = None,
    json_: Json = False,
) -> int:
    """Measure every particle: table, sizes with intervals, report.

    Writes OUT/NAME/ with labels.tif, regions.csv, summary.json, overlay.png and report.html for each image, and for
    all of them OUT/regions.csv, summary.json, report.html, recipe.yaml, run.json and failures.csv. Where labels are
    classes also phases.csv, in both, and OUT/phases_over_all.csv. With --export also OUT/NAME/rois.zip (ImageJ),
    coco.json, outlines.geojson (QuPath) or regions.parquet.
    """
    from segmetry.cli.batches import measure_images
    from segmetry.cli.options import exports_from, recipe_from

    exports = exports_from(export)
    chosen = recipe_from(recipe, method, set_, scale=scale, pixel_size=pixel_size, page=page, axes=axes)
    return measure_images(inputs, out, chosen, jobs=jobs, resume=resume, as_json=json_, exports=exports)


@app.command(no_args_is_help=True)
def segment(
    inputs: Inputs,
    out: Out,
    method: Method = None,
    set_: Set = None,
    pixel_size: PixelSize = None,
    scale: Scale = None,
    page: Page = None,
    axes: Axes = None,
    recipe: RecipeFile = None,
    jobs: Jobs = None,
    json_: Json = False,
) -> int:
    """Segment images: label images only, OUT/NAME.tif."""
    from segmetry.cli.batches import segment_images
    from segmetry.cli.options import recipe_from

    chosen = recipe_from(recipe, method, set_, scale=scale, pixel_size=pixel_size, page=page, axes=axes)
    return segment_images(inputs, out, chosen, jobs=jobs, as_json=json_)


@app.command(no_args_is_help=True)
def classify(
    inputs: Inputs,
    out: Out,
    scribbles: Annotated[
        Path, typer.Option("--scribbles", help="Label image of a few strokes of each class, or a folder of them.")
    ],
    ignore: Annotated[int, typer.Option("--ignore", help="Value of pixels that are not painted.")] = 0,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Names of the painted values, such as '1=pore,2=grain'.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the training: trees=50. May be repeated."),
    ] = None,
    pixel_size: PixelSize = None,
    scale: Scale = None,
    jobs: Jobs = None,
    json_: Json = False,
) -> int:
    """Train a classifier of pixels on a few scribbles, and measure images with it; no GPU, no labels.

    Images with scribbles of the same name are learned from; all images get what measure writes. The model is OUT/model,
    for -m of any command.
    """
    from segmetry.cli.classifier import classify_images

    return classify_images(
        inputs,
        scribbles,
        out,
        ignore=ignore,
        classes=classes,
        settings=set_,
        scale=scale,
        pixel_size=pixel_size,
        jobs=jobs,
        as_json=json_,
    )


@app.command(no_args_is_help=True)
def mesh(
    labels: Annotated[Path, typer.Argument(help="Label image of a volume.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .stl, .ply or .glb.")],
    chosen: Annotated[str | None, typer.Option("--labels", help="Labels to take, such as 1,3. [default: all]")] = None,
    smoothing: Annotated[
        int, typer.Option("--smoothing", min=0, help="Rounds that take the steps of voxels off; 0 keeps them.")
    ] = 20,
    pixel_size: PixelSize = None,
    json_: Json = False,
) -> int:
    """Write surfaces of labels as triangles in world units, and a picture of them from all sides beside the file.

    Area and volume are those of the smoothed surface. GLB needs a pixel size, as it is in metres.
    """
    from segmetry.cli.meshes import write_surfaces

    return write_surfaces(labels, out, chosen=chosen, smoothing=smoothing, pixel_size=pixel_size, as_json=json_)


@app.command(no_args_is_help=True)
def prepare(
    recipe: Annotated[Path, typer.Argument(help="A recipe with steps: prepare: [{step: smooth, sigma: 1}].")],
    inputs: Inputs,
    out: Out,
    pixel_size: PixelSize = None,
    scale: Scale = None,
    page: Page = None,
    axes: Axes = None,
    jobs: Jobs = None,
    json_: Json = False,
) -> int:
    """Prepare images by the steps of a recipe: OUT/NAME.tif, and OUT/recipe.yaml.

    The same recipe makes segment and measure prepare the images themselves. Steps: segmetry steps.
    """
    from segmetry.cli.batches import prepare_images
    from segmetry.cli.options import recipe_from

    chosen = recipe_from(recipe, None, None, scale=scale, pixel_size=pixel_size, page=page, axes=axes)
    return prepare_images(inputs, out, chosen, jobs=jobs, as_json=json_)


@app.command(no_args_is_help=True)
def evaluate(
    prediction: Annotated[Path, typer.Argument(help="Label image, or a folder of them; also a folder of measure.")],
    truth: Annotated[Path, typer.Argument(help="The right labels: a file, or a folder with the same stems.")],
    kind: Kind = "instance",
    ids: Ids = None,
    groups: Groups = None,
    second: Annotated[
        Path | None, typer.Option("--second", help="The labels of a second annotator, whose agreement is the ceiling.")
    ] = None,
    classes: Classes = None,
    ignore: Ignore = None,
    tolerance: Tolerance = 2.0,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Predictions are scores; from this value on a pixel is foreground."),
    ] = None,
    pixel_size: PixelSize = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for scores.csv, objects.csv and evaluation.json.")
    ] = None,
    json_: Json = False,
) -> int:
    """Judge label images against the truth: every score with its interval.

    PNG, TIFF, NPY and NIfTI; files of two folders belong together by their stem.
    """
    from segmetry.cli.judges import evaluate_paths, make_rules

    rules = make_rules(kind, tolerance, classes, ignore)
    return evaluate_paths(
        prediction,
        truth,
        rules,
        out=out,
        ids=ids,
        groups=groups,
        second=second,
        threshold=threshold,
        pixel_size=pixel_size,
        as_json=json_,
    )


@app.command(no_args_is_help=True)
def compare(
    methods: Annotated[
        list[str],
        typer.Argument(help="Methods (otsu, local:window=31), recipes (mine.yaml), folders of label images."),
    ],
    images: Annotated[Path, typer.Option("--images", help="Folder of images.")],
    truth: Annotated[Path, typer.Option("--truth", help="Folder of their right labels, with the same stems.")],
    out: Out,
    kind: Kind = "instance",
    ids: Ids = None,
    groups: Groups = None,
    classes: Classes = None,
    ignore: Ignore = None,
    tolerance: Tolerance = 2.0,
    properties: Annotated[
        Path | None,
        typer.Option("--properties", help="CSV of image and numbers (dose, tilt) that scores are set against."),
    ] = None,
    rank_by: Annotated[
        str | None,
        typer.Option("--rank-by", help="Score that ranks. [default: instance.ap50, or semantic.mean_iou]"),
    ] = None,
    pixel_size: PixelSize = None,
    scale: Scale = None,
    jobs: Jobs = None,
    resume: Resume = False,
    json_: Json = False,
) -> int:
    """Compare methods on labelled images: scores, ranks with paired intervals, report.

    Writes OUT/METHOD/ with a label image and the scores of each image, and for all of them OUT/report.html, scores.csv,
    objects.csv, comparison.json, run.json and failures.csv.
    """
    from segmetry.cli.judges import compare_methods, make_rules

    rules = make_rules(kind, tolerance, classes, ignore)
    return compare_methods(
        methods,
        images,
        truth,
        out,
        rules,
        ids=ids,
        groups=groups,
        properties=properties,
        rank_by=rank_by,
        pixel_size=pixel_size,
        scale=scale,
        jobs=jobs,
        resume=resume,
        as_json=json_,
    )


@app.command(no_args_is_help=True)
def info(
    inputs: Inputs,
    scale: Scale = None,
    pixel_size: PixelSize = None,
    page: Page = None,
    json_: Json = False,
) -> int:
    """Print what a file holds, its pixel size, and where from."""
    from segmetry.cli.look import show_info

    return show_info(inputs, scale=scale or "auto", pixel_size=pixel_size, page=page, as_json=json_)


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="One method, with its options.")] = None, json_: Json = False
) -> int:
    """List the methods of segmentation, or the options of one."""
    from segmetry.cli.look import show_methods

    return show_methods(name, as_json=json_)


@app.command()
def steps(
    name: Annotated[str | None, typer.Argument(help="One step, with its options.")] = None, json_: Json = False
) -> int:
    """List the steps of preparation that a recipe can name, or the options of one."""
    from segmetry.cli.look import show_steps

    return show_steps(name, as_json=json_)


@app.command()
def networks(
    name: Annotated[str | None, typer.Argument(help="One network, with its options.")] = None, json_: Json = False
) -> int:
    """List the networks for classes: parameters, how far they see, operations; or the options of one."""
    from segmetry.cli.look import show_networks

    return show_networks(name, as_json=json_)


@app.command(no_args_is_help=True)
def train(
    recipe: Annotated[
        Path | None,
        typer.Argument(help="A recipe of training (YAML), as an earlier run left it; it may name its data, too."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; the model comes to OUT/model.")] = Path(
        "run"
    ),
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of images, an nnU-Net data set, or a manifest (CSV, YAML).")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Folder of their right labels, with the same stems.")
    ] = None,
    groups: Annotated[
        Path | None, typer.Option("--groups", help="CSV of image and group; images of one group are held out together.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option("--net", "-n", help="particles, bpartis, or one of `segmetry networks`. [default: particles]"),
    ] = None,
    init: Annotated[
        Path | None, typer.Option("--init", metavar="MODEL", help="Begin with the weights of this model; for classes.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An entry of the recipe, such as steps=4000. May be repeated."),
    ] = None,
    fold: Annotated[
        int | None, typer.Option("--fold", min=0, help="Hold this fifth of the groups out. [default: see the recipe]")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.1, help="Plan the steps for so much time on this machine.")
    ] = None,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Search for the learning rate first; as --set learning_rate=0.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps; cuda:4 for four of them.")] = "auto",
    workers: Annotated[int | None, typer.Option("--workers", min=0, help="Processes that draw samples.")] = None,
    calibrate_with: Annotated[
        list[Path] | None,
        typer.Option(
            "--calibrate-with",
            metavar="RUN",
            help="A run of the same recipe with another --fold: promises rest on its images too. May be repeated.",
        ),
    ] = None,
    json_: Json = False,
) -> int:
    """Train a network on labelled images; a run that was stopped goes on where it was.

    Writes OUT/model (a model folder, for -m), report.html, scores.json, recipe.yaml, log.jsonl and last.npz, the
    checkpoint; of networks for classes also split.json and looks/.
    """
    from segmetry.cli.trainer import Data, RunOptions, train_network

    return train_network(
        recipe,
        Data(images, labels, groups, init),
        out,
        RunOptions(minutes, device, workers, calibrate_with or (), curves=not json_),
        network=network,
        settings=set_,
        fold=fold,
        find_rate=find_rate,
        as_json=json_,
    )


@app.command()
def measures(json_: Json = False) -> int:
    """List what is measured, with unit and meaning."""
    from segmetry.cli.look import show_measures

    return show_measures(as_json=json_)


@simulate_app.command()
def particles(out: Out, n: Number = 1, seed: Seed = 0) -> int:
    """Make micrographs of particles: images, labels and truth tables."""
    from segmetry.cli.simulations import simulate_particles

    return simulate_particles(out, n, seed)


@simulate_app.command()
def alloy(out: Out, n: Number = 1, seed: Seed = 0) -> int:
    """Make slices of an aluminium alloy: substrate, precipitates, inclusions."""
    from segmetry.cli.simulations import simulate_labelled

    return simulate_labelled("alloy", out, n, seed)


@simulate_app.command()
def somas(
    out: Out,
    n: Number = 1,
    seed: Seed = 0,
    vessels_as_class: Annotated[
        bool, typer.Option("--vessels-as-class", help="Give vessels a class of their own; else they are background.")
    ] = False,
) -> int:
    """Make slices of tissue with cell bodies and vessels."""
    from segmetry.cli.simulations import simulate_labelled

    return simulate_labelled("somas", out, n, seed, vessels_as_class=vessels_as_class)


@simulate_app.command()
def branching(
    out: Out,
    n: Number = 1,
    seed: Seed = 0,
    habit: Annotated[str, typer.Option("--habit", help="How it branches: roots or vessels.")] = "roots",
) -> int:
    """Make radiographs of roots in soil, or of vessels, with the graph of the branches in skeletons/."""
    from segmetry.cli.simulations import simulate_labelled

    return simulate_labelled("branching", out, n, seed, habit=habit)


@simulate_app.command()
def muscles(
    out: Out,
    n: Number = 1,
    seed: Seed = 0,
    only: Annotated[
        str | None, typer.Option("--only", help="Label one class alone: biceps, triceps, brachialis or bone.")
    ] = None,
) -> int:
    """Make MRI stacks of upper arms, 71 slices each: biceps, triceps, brachialis, bone."""
    from segmetry.cli.simulations import simulate_labelled

    return simulate_labelled("muscles", out, n, seed, only=only)


@study_app.command(no_args_is_help=True)
def threshold(
    method: Annotated[
        str, typer.Option("--method", "-m", help="A method with an option 'threshold', such as particles.")
    ],
    images: Annotated[Path, typer.Option("--images", help="Folder of images.")],
    truth: Annotated[Path, typer.Option("--truth", help="Folder of their right labels, with the same stems.")],
    out: Out,
    set_: Set = None,
    groups: Groups = None,
    ids: Ids = None,
    scale: Scale = None,
    jobs: Jobs = None,
    json_: Json = False,
) -> int:
    """Sweep the threshold on a particle's score: every score at each, the best one, promises, calibration.

    The method runs once per image and keeps every particle. Writes OUT/threshold.csv, study.json, study.html, run.json
    and failures.csv; OUT/work has what each image gave, so that the same command goes on where it was stopped.
    """
    from segmetry.cli.studies import study_thresholds

    return study_thresholds(
        method, set_, images, truth, out, groups=groups, ids=ids, scale=scale, jobs=jobs, as_json=json_
    )


@study_app.command(no_args_is_help=True)
def capacity(
    images: Annotated[Path, typer.Argument(help="Folder of images to learn from.")],
    truth: Annotated[Path, typer.Argument(help="Folder of their right labels, with the same stems.")],
    out: Out,
    sizes: Annotated[str, typer.Option("--sizes", help="Numbers of training images, rising, such as 50,100,200,366.")],
    groups: Groups = None,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Parts by group; each is held out in turn.")] = 5,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="A recipe.yaml of an earlier training run.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An entry of the recipe, such as steps=4000. May be repeated."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", min=0, metavar="MINUTES", help="Begin and go on with trainings so long.")
    ] = None,
    scale: Scale = None,
    workers: Annotated[int | None, typer.Option("--workers", min=0, help="Processes that draw samples.")] = None,
    jobs: Jobs = None,
    json_: Json = False,
) -> int:
    """Train on ever more images, judge each network on images held out, and say where it levels off.

    Writes OUT/capacity.csv, study.json, study.html and run.json; OUT/work has every training, so that the same command
    goes on where it was stopped. What was not run is said to be not run.
    """
    from segmetry.cli.studies import study_capacities

    return study_capacities(
        images,
        truth,
        out,
        sizes=sizes,
        n_folds=folds,
        groups=groups,
        recipe=recipe,
        settings=set_,
        budget=budget,
        scale=scale,
        workers=workers,
        jobs=jobs,
        as_json=json_,
    )


@study_app.command("networks", no_args_is_help=True)
def study_networks(
    file: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="A recipe, its data, and what to vary.")],
    out: Out,
    budget: Annotated[
        float | None, typer.Option("--budget", min=0, metavar="MINUTES", help="Begin and go on with runs so long.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps; cuda:4 for four of them.")] = "auto",
    workers: Annotated[int | None, typer.Option("--workers", min=0, help="Processes that draw samples.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Runs side by side.")] = 1,
    json_: Json = False,
) -> int:
    """Train with every setting of a recipe for classes, and compare them on the same held-out images.

    A grid or a list over anything that a recipe has, with seeds, folds, and numbers of training images. Writes
    OUT/runs.csv, table.csv, table.md, study.json, study.html and run.json; OUT/work has every run, so that the same
    command goes on where it was stopped. What was not run is said to be not run.
    """
    from segmetry.cli.network_study import study_settings
    from segmetry.cli.trainer import RunOptions

    options = RunOptions(device=device, workers=workers)
    return study_settings(file, out, options, budget=budget, jobs=jobs, as_json=json_)


@model_app.command("info", no_args_is_help=True)
def model_info(model: ModelName, json_: Json = False) -> int:
    """Print what the card of a model says: what it wants, what it learned from, how good it is."""
    from segmetry.cli.models import show_model

    return show_model(model, as_json=json_)


@model_app.command("check", no_args_is_help=True)
def model_check(model: ModelName, json_: Json = False) -> int:
    """Check that a model is whole and works here, with every engine that is installed.

    Its hash is right, maps are finite, tiles give what the whole image gives, and the same dropout mask the same
    sample. Prints time and memory.
    """
    from segmetry.cli.models import check

    return check(model, as_json=json_)


@model_app.command("export", no_args_is_help=True)
def model_export(
    model: ModelName,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write, or a .zip; a model there is replaced.")],
) -> int:
    """Write a model for programs of bioimage.io (format 0.5), with test and sample images.

    To them an input is an image, so dropout is left out. segmetry takes it too.
    """
    from segmetry.cli.models import export

    return export(model, out)


@app.command()
def demo(out: Out = Path("demo")) -> int:
    """Measure two images of known truth; print found beside true."""
    from segmetry.cli.demo import run_demo

    return run_demo(out)


def _version(wanted: bool) -> None:
    if wanted:
        import segmetry

        print(f"segmetry {segmetry.__version__} (Python {sys.version.split()[0]})")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
