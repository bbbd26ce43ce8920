"""The methods paragraph that a result earns, ready for a paper, with the references it leans on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segmetry.report.text import (
    format_count,
    format_estimate,
    format_share,
    format_significant,
    plural,
    print_estimate,
    print_fraction,
)
from segmetry.types import Calibration, Estimate

if TYPE_CHECKING:
    from segmetry.gather import BatchResult
    from segmetry.measure.phases import Phase
    from segmetry.pipeline import Result


class Reference(NamedTuple):
    """A source that a methods paragraph cites."""

    text: str
    doi: str = ""


REFERENCES = {
    "otsu": Reference(
        "N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans. Syst. Man Cybern. 9 (1979) "
        "62–66.",
        "10.1109/TSMC.1979.4310076",
    ),
    "bradley": Reference(
        "D. Bradley, G. Roth, Adaptive thresholding using the integral image, J. Graph. Tools 12 (2007) 13–21.",
        "10.1080/2151237X.2007.10129236",
    ),
    "florin": Reference(
        "A. Shahbazi et al., Flexible learning-free segmentation and reconstruction of neural volumes, Sci. Rep. 8 "
        "(2018) 14247.",
        "10.1038/s41598-018-32628-3",
    ),
    "groom": Reference(
        "D. J. Groom, K. Yu, S. Rasouli, J. Polarinakis, A. C. Bovik, P. J. Ferreira, Automatic segmentation of "
        "inorganic nanoparticles in BF TEM micrographs, Ultramicroscopy 194 (2018) 25–34."
    ),
    "neven": Reference(
        "D. Neven, B. De Brabandere, M. Proesmans, L. Van Gool, Instance segmentation by jointly optimizing spatial "
        "embeddings and clustering bandwidth, CVPR (2019) 8837–8845.",
        "10.1109/CVPR.2019.00904",
    ),
    "yildirim": Reference(
        "B. Yildirim, J. M. Cole, Bayesian particle instance segmentation for electron microscopy image "
        "quantification, J. Chem. Inf. Model. 61 (2021) 1136–1149.",
        "10.1021/acs.jcim.0c01455",
    ),
    "miles": Reference(
        "R. E. Miles, The sampling, by quadrats, of planar aggregates, J. Microsc. 113 (1978) 257–267.",
        "10.1111/j.1365-2818.1978.tb00104.x",
    ),
    "iso13322": Reference("ISO 13322-1:2014, Particle size analysis: image analysis methods, part 1: static methods."),
    "iso9276": Reference("ISO 9276-1:1998 and ISO 9276-2:2014, Representation of results of particle size analysis."),
    "hutson": Reference(
        "A. D. Hutson, Calculating nonparametric confidence intervals for quantiles using fractional order statistics, "
        "J. Appl. Stat. 26 (1999) 343–353.",
        "10.1080/02664769922458",
    ),
    "efron": Reference(
        "B. Efron, Bootstrap methods: another look at the jackknife, Ann. Stat. 7 (1979) 1–26.",
        "10.1214/aos/1176344552",
    ),
    "lantuejoul": Reference(
        "C. Lantuéjoul, Ergodicity and integral range, J. Microsc. 161 (1991) 387–403.",
        "10.1111/j.1365-2818.1991.tb03138.x",
    ),
    "stoyan": Reference(
        "D. Stoyan, H. Stoyan, Improving ratio estimators of second order point process characteristics, Scand. J. "
        "Stat. 27 (2000) 641–656.",
        "10.1111/1467-9469.00213",
    ),
}
"""Every source that a paragraph can cite."""

_METHOD_SOURCES = {
    "otsu": "otsu",
    "multi-otsu": "otsu",
    "local": "bradley",
    "hybrid": "groom",
    "hybrid-literal": "groom",
    "ndnt": "florin",
    "particles": "neven",
    "bpartis": "yildirim",
}
_IN_THE_SPIRIT = ("hybrid", "hybrid-literal", "particles")
"""Methods that follow the idea of their source, not its letter."""

_WEIGHTS = {
    2: "WH/((W − 1 − Fx)(H − 1 − Fy)), which make up for the smaller chance of a large particle to lie whole inside "
    "the frame (W × H: frame, Fx × Fy: the particle’s box, in px; one that reaches the outermost pixels counts as cut; "
    "places where burned-in text would touch the box are taken off too)",
    3: "WHD/((W − 1 − Fx)(H − 1 − Fy)(D − 1 − Fz)), which make up for the smaller chance of a large particle to lie "
    "whole inside the frame (W × H × D: frame, Fx × Fy × Fz: the particle’s box, in px; one that reaches the outermost "
    "voxels counts as cut)",
}
_DIAMETER = {2: "diameter of the circle of equal area", 3: "diameter of the ball of equal volume"}
"""By the number of axes: the weights that `edge_weight` holds, and what the equivalent diameter is."""

_INTERVAL_SOURCES = {"order statistics": "hutson", "bootstrap": "efron"}
"""Words in an estimate's method, and the source of what they name."""


class Paragraph(NamedTuple):
    """A methods paragraph: its text with numbered citations, and the references in their order."""

    text: str
    references: tuple[Reference, ...]


class _Writer:
    """Collects sentences, and numbers the sources in the order in which they are cited."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.cited: list[str] = []

    def cite(self, *keys: str) -> str:
        for key in keys:
            if key not in self.cited:
                self.cited.append(key)
        return "[" + ", ".join(str(self.cited.index(k) + 1) for k in keys) + "]"

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence[0].upper() + sentence[1:])

    def done(self) -> Paragraph:
        return Paragraph(" ".join(self.sentences), tuple(REFERENCES[k] for k in self.cited))


def methods_paragraph(result: Result) -> Paragraph:
    """Return what was done to one image and what came out, in the past tense, from the result's own records."""
    write = _Writer()
    provenance = result.provenance
    shape = " × ".join(str(n) for n in result.image.spatial_shape[::-1])
    write.say(f"the image ({shape} px) was analysed with {provenance.software} {provenance.version}.")
    write.say(_pixel_sentence(result.image.calibration, result.annotations.scale_bar))
    _say_segmentation(write, result.segmentation.method, result.segmentation.info, classes=bool(result.phases))
    ignore = result.image.ignore
    if ignore is not None and ignore.any():
        write.say(f"burned-in text, scale bar and footer ({format_share(ignore.mean())} of the pixels) were left out.")
    ndim = len(result.image.spatial_shape)
    if result.phases:
        _say_phases(write, result.phases, f"the integral range of each phase in the image {write.cite('lantuejoul')}")
    else:
        _say_statistics(write, result.distributions, result.estimates, result.recipe.as_dict(), ndim)
    if result.radial is not None and result.radial.n > 1:
        write.say(
            f"the radial distribution function g(r) was estimated from {plural(result.radial.n, 'centre')} with exact "
            f"correction for the rectangular frame {write.cite('stoyan')}."
        )
    _say_recipe(write, provenance.as_dict())
    return write.done()


def batch_paragraph(batch: BatchResult) -> Paragraph:
    """Return what was done to all images of a batch and what came out over all of them."""
    write = _Writer()
    provenance = batch.provenance
    phased = [row for row in batch.rows if row.get("phases")]
    n = sum(row.get("n") or 0 for row in batch.rows if not row.get("phases"))
    failed = f"; {plural(len(batch.failures), 'more image')} could not be analysed" if batch.failures else ""
    what = f" with {plural(n, 'particle')}" if len(phased) < len(batch.rows) or not phased else ""
    write.say(
        f"{plural(len(batch.rows), 'image')}{what} {'was' if len(batch.rows) == 1 else 'were'} "
        f"analysed with {provenance.software} {provenance.version}{failed}."
    )
    write.say(_sources_sentence(batch.rows))
    for note in batch.notes:
        write.say(note)
    used = {r["recipe"]["segment"]["method"]: r["recipe"]["segment"] for r in batch.rows}
    for method in used.values() or (batch.recipe.as_dict()["segment"],):
        _say_segmentation(write, method, {}, classes=bool(phased))
    if batch.phases:
        n = next(iter(batch.phases[0].estimates.values())).n
        _say_phases(write, batch.phases, f"the differences between {n} images, as ASTM E562 takes fields of view")
    ndim = max((len(row["shape"]) for row in batch.rows), default=2)
    if len(phased) < len(batch.rows) or not phased:
        _say_statistics(write, batch.distributions, batch.estimates, batch.recipe.as_dict(), ndim, "these images")
    _say_recipe(write, provenance.as_dict())
    return write.done()


def pixel_words(calibration: Calibration) -> str:
    """Return a pixel size with its uncertainty, such as ``0.520 nm ± 0.4 %``; unequal sides as x, y, z."""
    if not calibration.known:
        return "unknown"
    uncertain = f" ± {format_share(calibration.rel_uncertainty)}" if calibration.rel_uncertainty else ""
    return f"{_sizes(calibration)}{uncertain}"


def _sizes(calibration: Calibration) -> str:
    """Return the sides of a pixel; where they differ across, down, and between planes, as the image's own size is."""
    sizes = [format_significant(s, 4) for s in reversed(calibration.spacing)]
    if len(set(sizes)) == 1:
        return f"{sizes[0]} {calibration.unit}"
    return f"{' × '.join(sizes)} {calibration.unit} ({' × '.join('xyz'[: len(sizes)])})"


def _pixel_sentence(calibration: Calibration, bar: Any) -> str:
    if not calibration.known:
        return "no pixel size was known, so all lengths are in pixels."
    sizes = _sizes(calibration)
    uncertain = (
        f"relative standard uncertainty {format_share(calibration.rel_uncertainty)}"
        if calibration.rel_uncertainty
        else "no uncertainty known"
    )
    where = {
        "metadata": "was taken from the metadata of the file",
        "scale bar": "was read from the burned-in scale bar",
        "user": "was given by the user",
        "none": "is of unknown origin",
    }[calibration.source]
    detail = ""
    if calibration.source == "scale bar" and bar is not None:
        detail = f" of {bar.value:g} {bar.unit} ({bar.length_px:.1f} px)"
    return f"the pixel size, {sizes} ({uncertain}), {where}{detail}."


def _sources_sentence(rows: list[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        pixel = row.get("pixel_size") or {}
        source = pixel.get("source", "none") if pixel.get("value") else "none"
        counts[source] = counts.get(source, 0) + 1
    words = {
        "metadata": "came from the metadata of the file for {}",
        "scale bar": "was read from the burned-in scale bar for {}",
        "user": "was given by the user for {}",
        "none": "was not known for {}",
    }
    parts = [words[source].format(plural(n, "image")) for source, n in sorted(counts.items(), key=lambda kv: -kv[1])]
    return f"the pixel size {_and(parts)}." if parts else "no image gave a result."


def _say_phases(write: _Writer, phases: Sequence[Phase], whence: str) -> None:
    fraction = next(iter(phases[0].estimates))
    shares = [f"{p.name} {print_fraction(p.estimates[fraction].as_dict())}" for p in phases]
    write.say(
        f"the {fraction.replace('_', ' ')}s were {_and(shares)}; brackets hold "
        f"{format_share(phases[0].estimates[fraction].level)} intervals for the material, from {whence}."
    )
    chords = [(p.name, p.estimates["mean_chord"]) for p in phases]
    said = [f"{name} {format_estimate(e.value, e.low, e.high, e.unit)}" for name, e in chords if np.isfinite(e.value)]
    if said:
        write.say(f"mean intercept lengths were {_and(said)}.")


def _say_segmentation(
    write: _Writer, method: Mapping[str, Any], info: Mapping[str, Any], *, classes: bool = False
) -> None:
    from segmetry.segment import METHODS

    name = str(method.get("method", "unknown"))
    summary = str(getattr(METHODS.get(name), "summary", "")).partition(";")[0]
    how = f"by the method “{name}”" + (f" ({summary})" if summary else "")
    if name in _METHOD_SOURCES:
        spirit = ", in the spirit of" if name in _IN_THE_SPIRIT else ""
        how += f"{spirit} {write.cite(_METHOD_SOURCES[name])}"
    polarity = {"dark": "dark particles on a brighter ground", "bright": "bright particles on a darker ground"}
    what = "phases" if classes else polarity.get(str(info.get("polarity", "")), "particles")
    write.say(f"{what} were segmented {how}; all parameters stand in the recipe.")
    model, contours, promise = (info.get(k) or {} for k in ("model", "contours", "promise"))
    if "version" in model:
        names = [f"{m['name']} {m['version']} (SHA-256 {m['sha256'][:12]}…)" for m in info.get("ensemble", (model,))]
        mean = f"s, whose maps were averaged, were {_and(names)}" if len(names) > 1 else f" was {names[0]}"
        # A network has an engine; a forest or a table of neighbours has none.
        write.say(f"the network{mean}, run by {info['engine']}." if "engine" in info else f"the classifier{mean}.")
    if contours.get("on_edge"):
        n = contours["on_edge"] + contours["as_labelled"]
        write.say(
            f"the contours of {contours['on_edge']} of {plural(n, 'particle')} were placed where a model of a blurred "
            "edge fits the grey across them; the others have no clear edge and stay as drawn."
            if contours["as_labelled"]
            else "contours were placed where a model of a blurred edge fits the grey across them."
        )
    if promise:
        what = "false" if promise["kind"] == "false" else "missed"
        write.say(
            f"particles below the score that promises at most {format_share(promise['alpha'])} {what} particles were "
            f"left out ({promise['how']}; calibrated on {promise['n_groups']} {promise['unit']}s)."
        )
    picking = info.get("picking") or {}
    before, kept = picking.get("n_before"), picking.get("n_kept")
    if before and kept is not None and kept < before:
        rule = {
            "inside": "only those that do not touch the frame",
            "isolated": "only those that stand alone and are compact",
        }.get(picking.get("rule", ""), "those above the speck size")
        write.say(f"of the {plural(before, 'particle')} found, {rule} were kept ({format_count(kept)}).")


def _say_statistics(
    write: _Writer,
    distributions: Mapping[str, Any],
    estimates: Mapping[str, Estimate],
    recipe: Mapping[str, Any],
    ndim: int,
    here: str = "this image",
) -> None:
    number = distributions.get("number")
    if number is None or number.n == 0:
        write.say("no particle was left to count, so there are no statistics.")
        return
    settings = recipe.get("statistics") or {}
    who = f"the {plural(number.n, 'particle')}"
    if settings.get("edge_correction", True):
        if number.n_dropped:
            were = "was" if number.n_dropped == 1 else "were"
            cut = "that the frame cuts, or burned-in text may hide in part,"
            who = f"{plural(number.n_dropped, 'particle')} {cut} {were} left out; the other {who[4:]}"
        write.say(f"{who} entered with Miles–Lantuéjoul weights {_WEIGHTS[ndim]} {write.cite('miles', 'iso13322')}.")
    else:
        cut = ", those that touch the frame among them," if (recipe.get("segment") or {}).get("pick") == "all" else ""
        write.say(f"{who}{cut} entered with equal weights: the frame’s bias against large particles was not corrected.")
    shown = [(k, estimates[k]) for k in ("d10", "d50", "d90") if k in estimates and np.isfinite(estimates[k].value)]
    if not shown:
        return
    d50 = estimates.get("d50", shown[0][1])
    values = [f"{key.upper()} = {format_estimate(e.value, e.low, e.high, e.unit)}" for key, e in shown]
    size = {"equivalent_diameter": _DIAMETER[ndim]}.get(number.measure, number.measure.replace("_", " "))
    write.say(f"the number-weighted {size} had {_and(values)} {write.cite('iso9276')}.")
    shares = [f"{cause} {format_share(s)}" for cause, s in d50.contributions.items() if np.isfinite(s) and s > 0.0005]
    if np.isfinite(d50.low) and np.isfinite(d50.high):
        keys = [key for word, key in _INTERVAL_SOURCES.items() if word in d50.method]
        how = f" ({d50.method})" + (f" {write.cite(*keys)}" if keys else "") if d50.method else ""
        write.say(
            f"brackets hold {format_share(d50.level)} intervals for the population that the particles were drawn "
            f"from{how}."
        )
        if shares:
            write.say(f"the variance behind the interval of D50 is due to {_and(shares)}.")
        if "segmentation" not in d50.contributions:
            less = ", apart from a shift that all outlines share," if "border" in d50.contributions else ""
            write.say(f"how sure the segmentation is{less} was not known, and is not part of it.")
    own = d50.this_image
    if own is not None and np.isfinite(own.low) and np.isfinite(own.high):
        narrow = print_estimate(d50.value, own.low, own.high, d50.unit).interval
        write.say(f"for the particles of {here} alone, without the chance of counting, D50 lies in {narrow}.")


def _say_recipe(write: _Writer, provenance: Mapping[str, Any]) -> None:
    write.say(
        f"the analysis can be repeated from its recipe (SHA-256 {provenance['recipe_sha256'][:12]}…, seed "
        f"{provenance['seed']})."
    )


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
