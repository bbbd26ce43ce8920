"""Networks of other libraries as methods: a Cellpose or StarDist that the user has installed, with its own weights."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from segmetry.errors import ImageError, OptionError, ReadError, SegmetryError, unknown_name
from segmetry.options import option
from segmetry.segment.foreground import number_regions
from segmetry.segment.methods import Method, Scene
from segmetry.types import Segmentation, frame_of

TILE = 2048
"""StarDist gets images larger than so many pixels in tiles (it joins them itself)."""

CELLPOSE_NAMES = ("cpsam",)
"""Names of weights that Cellpose knows, where it does not tell them itself (before 4.2)."""

STARDIST_NAMES = ("2D_versatile_fluo", "2D_versatile_he", "2D_paper_dsb2018", "2D_demo")
"""Names of weights that StarDist knows, for the hint in an error."""


class Answer(NamedTuple):
    """What a library says of an image.

    Parameters
    ----------
    labels : (M, N) array of int
        0 background; numbers may have gaps.
    scores : array of float or None
        Confidence in [0, 1]; ``scores[i]`` belongs to label ``i + 1``.
    probability : (M, N) array of float32 or None
        Probability of foreground.
    """

    labels: np.ndarray
    scores: np.ndarray | None = None
    probability: np.ndarray | None = None


class Loaded(NamedTuple):
    """A network of a library, its library's version, and the hash of its weights ("" where there is no file)."""

    network: Any
    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class OtherNetwork(Method):
    """Base of the methods that another library computes: from a scene to what the library takes, and back.

    The library sees the image without its footer, and text filled with the grey around it, as every method does. A
    particle keeps the pixels that are specimen; it goes if fewer than `min_size` are left. The library is imported
    only when the method runs; nothing is downloaded here, but the library may fetch weights that it knows by name.
    """

    library: ClassVar[str] = ""
    install: ClassVar[str] = ""
    licence: ClassVar[str] = ""

    model: str = option("", "name of weights the library knows, or the path of your own", kind="text")
    min_size: int = option(15, "drop particles of fewer pixels", unit="px", low=1)

    @abstractmethod
    def load(self) -> Loaded:
        """Return the network, or raise the error that says what is missing."""

    @abstractmethod
    def predict(self, network: Any, pixels: np.ndarray, valid: np.ndarray | None) -> Answer:
        """Return what the network says of an (M, N) float32 image."""

    def run(self, scene: Scene) -> Segmentation:
        """Return the particles of a scene."""
        loaded = self.load()
        frame = tuple(
            slice(*ends) for ends in frame_of(None if scene.valid is None else ~scene.valid, scene.pixels.shape)
        )
        pixels = np.array(scene.pixels[frame])  # a copy: a library may write to its input
        valid = None if scene.valid is None else scene.valid[frame]
        try:
            # Both libraries print to where results go.
            with contextlib.redirect_stdout(io.StringIO()):
                answer = self.predict(loaded.network, pixels, valid)
        except SegmetryError:
            raise
        except Exception as error:  # whatever a library of others raises
            raise ImageError(f"{self.name}: {self.library} failed on this image ({_line(error)}).") from error
        found = np.asarray(answer.labels)
        if found.shape != pixels.shape:
            raise ImageError(f"{self.name}: {self.library} gave labels {found.shape} for an image {pixels.shape}.")
        if valid is not None:
            found = np.where(valid, found, 0)
        counts = np.bincount(found.ravel().astype(np.intp), minlength=1)
        keep = counts >= self.min_size
        labels = np.zeros(scene.pixels.shape, np.int32)
        labels[frame] = number_regions(found, keep)
        probability = None
        if answer.probability is not None:
            probability = np.zeros(scene.pixels.shape, np.float32)
            probability[frame] = answer.probability if valid is None else np.where(valid, answer.probability, 0)
        scores = None
        if answer.scores is not None:
            scores = np.clip(np.asarray(answer.scores, np.float64)[np.flatnonzero(keep[1:])], 0, 1)
        info = {
            "library": f"{self.library} {loaded.version}",
            "model": {"name": self.model, "sha256": loaded.sha256},
            "licence": self.licence,
            "n_before": int(np.count_nonzero(counts[1:])),
        }
        note = f"scores are those of {self.library}: they rank particles, they were not calibrated on your images"
        return Segmentation(
            labels,
            "instance",
            info=info,
            notes=() if scores is None else (note,),
            probability=probability,
            scores=scores,
        )


@dataclass(frozen=True, kw_only=True)
class Cellpose(OtherNetwork):
    """Cellpose 4 or newer, as installed: each pixel flows to the centre of its object.

    Notes
    -----
    A particle's score is the mean of the logistic function of Cellpose's cell-probability map over its pixels. Cellpose
    itself drops what covers more than 40 % of the image.

    References
    ----------
    Pachitariu, Rariden & Stringer, bioRxiv 2025, doi:10.1101/2025.04.28.651001 (Cellpose-SAM); Stringer et al., Nat.
    Methods 18, 100 (2021), doi:10.1038/s41592-020-01018-x.
    """

    name: ClassVar[str] = "cellpose"
    summary: ClassVar[str] = "your own Cellpose, if it is installed (weights are not part of this package)"
    library: ClassVar[str] = "cellpose"
    install: ClassVar[str] = "pip install 'cellpose>=4'"
    licence: ClassVar[str] = (
        "library and weights BSD-3-Clause; some of the images behind the weights are non-commercial"
    )

    model: str = option("cpsam", "name of weights that Cellpose knows, or the file of your own", kind="text")
    diameter: float | None = option(
        None,
        "typical diameter; the image is then resized to bring it to 30 px",
        unit="px",
        kind="float",
        low=1,
        high=1e4,
    )
    flow_threshold: float = option(0.4, "drop objects whose flow is off by more than this; 0 keeps all", low=0, high=10)
    cellprob_threshold: float = option(
        0.0, "logit above which a pixel is foreground; lower finds more", low=-20, high=20
    )

    def load(self) -> Loaded:
        """Return the network, kept for the next image."""
        return _cellpose(self.model)

    def predict(self, network: Any, pixels: np.ndarray, valid: np.ndarray | None) -> Answer:
        """Return Cellpose's masks and the probability behind them."""
        labels, flows, *_ = network.eval(
            pixels,
            diameter=self.diameter,
            flow_threshold=self.flow_threshold,
            cellprob_threshold=self.cellprob_threshold,
            min_size=self.min_size,
        )
        labels = np.asarray(labels).reshape(pixels.shape).astype(np.int64)  # sides of 1 px are squeezed away
        logit = np.asarray(flows[2], np.float64).reshape(pixels.shape)
        probability = 0.5 * (1 + np.tanh(0.5 * logit))
        counts = np.bincount(labels.ravel())
        sums = np.bincount(labels.ravel(), weights=probability.ravel())
        return Answer(labels, sums[1:] / np.maximum(counts[1:], 1), probability.astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class Stardist(OtherNetwork):
    """StarDist in 2D, as installed: a star-convex polygon for each object.

    Notes
    -----
    Greys are scaled so that the 1st and 99.8th percentile of the specimen become 0 and 1, as StarDist's own examples
    do; a network for three channels gets the same grey three times. A particle's score is StarDist's object
    probability.

    References
    ----------
    Schmidt, Weigert, Broaddus & Myers, MICCAI 2018, doi:10.1007/978-3-030-00934-2_30.
    """

    name: ClassVar[str] = "stardist"
    summary: ClassVar[str] = "your own StarDist, if it is installed (weights are not part of this package)"
    library: ClassVar[str] = "stardist"
    install: ClassVar[str] = "pip install stardist tensorflow"
    licence: ClassVar[str] = "library BSD-3-Clause; weights: see where they come from"

    model: str = option(
        "2D_versatile_fluo", "name of weights that StarDist knows, or the folder of your own", kind="text"
    )
    prob_thresh: float | None = option(
        None, "smallest object probability; the model's own unless told", kind="float", low=0, high=1
    )
    nms_thresh: float | None = option(
        None, "overlap from which two polygons are one object; the model's own unless told", kind="float", low=0, high=1
    )
    invert: bool = option(False, "turn dark into bright first: networks for fluorescence expect bright particles")

    def load(self) -> Loaded:
        """Return the network, kept for the next image."""
        return _stardist(self.model)

    def predict(self, network: Any, pixels: np.ndarray, valid: np.ndarray | None) -> Answer:
        """Return StarDist's labels and object probabilities."""
        low, high = np.percentile(pixels if valid is None else pixels[valid], (1, 99.8))
        image = (pixels - np.float32(low)) / np.float32(high - low if high > low else 1)
        if self.invert:
            image = 1 - image
        axes, n_channels = "YX", int(network.config.n_channel_in)
        tiles = tuple(-(-n // TILE) for n in image.shape)
        if n_channels == 3:
            axes, image, tiles = "YXC", np.repeat(image[..., None], 3, axis=2), (*tiles, 1)
        elif n_channels != 1:
            raise OptionError(f"stardist: the model {self.model} wants {n_channels} channels; segmetry has one grey.")
        labels, details = network.predict_instances(
            image,
            axes=axes,
            prob_thresh=self.prob_thresh,
            nms_thresh=self.nms_thresh,
            n_tiles=tiles,
            show_tile_progress=False,
        )
        # A polygon that lies under others leaves no pixel; its probability keeps its place.
        scores = np.asarray(details["prob"], np.float64)
        return Answer(np.asarray(labels).astype(np.int64), scores[: int(np.max(labels, initial=0))])


def _library(method: type[OtherNetwork], module: str) -> Any:
    """Return a module of a library, or raise the error that says how to install it."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return importlib.import_module(module)
    except Exception as error:  # StarDist raises a RuntimeError where TensorFlow is missing
        raise OptionError(
            f"{method.name} needs the library {method.library}, which cannot be imported ({_line(error)}); "
            f"install it: {method.install}"
        ) from error


@lru_cache(maxsize=1)
def _cellpose(model: str) -> Loaded:
    version = str(getattr(_library(Cellpose, "cellpose"), "version", "unknown"))
    if version.partition(".")[0].isdigit() and int(version.partition(".")[0]) < 4:
        raise OptionError(f"cellpose {version} is too old; install 4 or newer: {Cellpose.install}")
    models = _library(Cellpose, "cellpose.models")
    path = Path(model).expanduser()
    # Cellpose takes its default weights where it does not find those that were asked for.
    if not path.is_file():
        known = [*getattr(models, "MODEL_NAMES", CELLPOSE_NAMES), *models.get_user_models()]
        if model not in known:
            raise unknown_name("file, nor weights of Cellpose,", model, known)
    name = str(path) if path.is_file() else model
    network = _load(Cellpose, model, lambda: models.CellposeModel(gpu=True, pretrained_model=name))
    return Loaded(network, version, _hash(Path(str(network.pretrained_model))))


@lru_cache(maxsize=1)
def _stardist(model: str) -> Loaded:
    version = str(getattr(_library(Stardist, "stardist"), "__version__", "unknown"))
    models = _library(Stardist, "stardist.models")
    path = Path(model).expanduser()
    if path.is_dir():
        path = path.resolve()
        if not any(path.glob("*.h5")) and not any(path.glob("*.hdf5")):
            # StarDist would go on with random weights.
            raise ReadError(f"{model}: the folder holds no weights (*.h5) of a StarDist model.")
        network = _load(Stardist, model, lambda: models.StarDist2D(None, name=path.name, basedir=str(path.parent)))
        return Loaded(network, version, _hash(path))
    network = _load(Stardist, model, lambda: models.StarDist2D.from_pretrained(model))
    if network is None:
        raise unknown_name("folder, nor weights of StarDist,", model, STARDIST_NAMES)
    return Loaded(network, version, "")


def _load(method: type[OtherNetwork], model: str, make: Any) -> Any:
    """Return the network that `make` builds, or raise the error that says why it cannot be had."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return make()
    except Exception as error:  # no network, a damaged file, a file of another network: each library has its own
        raise ReadError(
            f"{method.name}: the weights {model} cannot be loaded ({_line(error)}); fetch them with {method.library} "
            "where there is a network connection, or give the path of your own with --set model=PATH."
        ) from error


def _hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of the files of a folder in the order of their names; "" where there is none."""
    total = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.glob("*") if p.is_file())
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    return total.hexdigest() if files else ""


def _line(error: Exception) -> str:
    """Return the first line of an error, shortened."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{lines[0]:.200}"
