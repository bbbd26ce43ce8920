"""Every method: the same promises for all of them, then a scene with known truth for each."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tiny_bpartis
from drawn_disks import CENTRES, RADII, disks

from segmetry import Image
from segmetry.errors import ImageError, OptionError
from segmetry.evaluate import average_precision
from segmetry.segment import METHODS, method_from, segment
from segmetry.types import Calibration

NEEDED = {"threshold": {"value": 105.0}}
"""Options without which a method cannot be built; `model_of_bpartis` adds those of that method."""

FINDERS = [name for name in METHODS if name not in ("auto", "cellpose", "stardist", "network", "pixels")]
"""Methods that find particles: `auto` only chooses one of them, two run a library that is not here."""

GO_ON = ("particles",)
"""Methods that let a particle go on below letters and broken pixels that cover a part of it, at most half."""


@pytest.fixture(scope="session", autouse=True)
def model_of_bpartis(tmp_path_factory):
    NEEDED["bpartis"] = {"model": str(tiny_bpartis.write(tmp_path_factory.mktemp("bpartis") / "model")), "samples": 0}


@pytest.mark.parametrize("name", FINDERS)
class TestEveryMethod:
    """What holds for every method, and for every one added later."""

    def run(self, name, pixels, **options):
        return segment(pixels, name, options=NEEDED.get(name, {}) | options)

    def test_labels_keep_the_shape_and_are_numbered_without_gaps(self, name):
        image, _ = disks(CENTRES, RADII)
        found = self.run(name, image)
        assert found.labels.shape == image.shape
        assert found.labels.dtype == np.int32
        assert np.unique(found.labels).tolist() == list(range(found.n_regions + 1))
        assert found.method["method"] == name

    def test_the_input_stays_and_the_answer_repeats(self, name):
        image, _ = disks(CENTRES, RADII)
        before = image.copy()
        first, second = self.run(name, image), self.run(name, image)
        np.testing.assert_array_equal(image, before)
        np.testing.assert_array_equal(first.labels, second.labels)
        image.setflags(write=False)
        self.run(name, image)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
    def test_the_number_type_does_not_matter(self, name, dtype):
        image, _ = disks(CENTRES, RADII)
        expected = self.run(name, image).labels
        np.testing.assert_array_equal(self.run(name, image.astype(dtype)).labels, expected)

    @pytest.mark.parametrize(
        "pixels",
        [
            np.zeros((20, 30)),
            np.full((20, 30), 200, np.uint8),
            np.full((9, 9), np.nan),
            np.full((9, 9), np.inf),
            np.ones((1, 1)),
            np.zeros((1, 40), bool),
        ],
        ids=["zeros", "constant", "nan", "infinite", "one pixel", "one row"],
    )
    def test_where_nothing_can_be_found_the_answer_is_empty_and_says_why(self, name, pixels):
        found = self.run(name, pixels)
        assert found.labels.shape == pixels.shape
        assert found.n_regions == 0
        assert any("nothing was found" in note for note in found.notes)

    @pytest.mark.parametrize("shape", [(1, 50), (50, 1), (2, 2), (3, 70)])
    def test_thin_images_do_not_fail(self, name, shape):
        image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
        assert self.run(name, image).labels.shape == shape

    def test_everything_ignored(self, name):
        image, _ = disks(CENTRES, RADII)
        found = self.run(name, Image(image, ignore=np.ones(image.shape, bool)))
        assert found.n_regions == 0
        assert any("ignored" in note for note in found.notes)

    def test_ignored_and_broken_pixels_hold_no_object(self, name):
        image, _ = disks(CENTRES, RADII)
        ignore = np.zeros(image.shape, bool)
        ignore[130:, :] = True
        ignore[90:100, 40:80] = True
        broken = image.astype(np.float32)
        broken[10:20, 20:40] = np.nan
        broken[0, 0] = np.inf
        found = self.run(name, Image(broken, ignore=ignore))
        hidden = ignore | ~np.isfinite(broken)
        if name in GO_ON:
            covered = [hidden[found.labels == k].mean() for k in range(1, found.n_regions + 1)]
            assert max(covered) <= 0.5
        else:
            assert not found.labels[hidden].any()
        assert any("not finite" in note for note in found.notes)
        assert found.n_regions > 0

    def test_what_lies_under_the_ignore_mask_does_not_matter(self, name):
        image, _ = disks(CENTRES, RADII)
        ignore = np.zeros(image.shape, bool)
        ignore[140:, 20:100] = True
        other = image.copy()
        other[ignore] = np.random.default_rng(1).integers(0, 255, int(ignore.sum()))
        a, b = (self.run(name, Image(pixels, ignore=ignore)) for pixels in (image, other))
        np.testing.assert_array_equal(a.labels, b.labels)

    def test_the_record_goes_to_json_and_back(self, name):
        record = method_from(name, NEEDED.get(name))
        again = method_from(json.loads(json.dumps(record.as_dict())))
        assert again == record

    def test_every_option_says_what_it_means(self, name):
        for field in dataclasses.fields(METHODS[name]):
            assert field.metadata["meaning"]
            assert field.metadata["kind"] in ("bool", "int", "float", "choice", "numbers", "text")
        assert METHODS[name].summary

    def test_a_misspelled_option_offers_the_near_name(self, name):
        option = dataclasses.fields(METHODS[name])[0].name
        with pytest.raises(OptionError, match=f"did you mean '{option}'"):
            method_from(name, {option[:-2] + option[-1] + option[-2]: 1})

    def test_colour_and_complex_pixels_are_refused(self, name):
        record = method_from(name, NEEDED.get(name))
        with pytest.raises(ImageError, match="more than space"):
            segment(Image(np.zeros((4, 4, 3)), axes="YXC"), record)
        with pytest.raises(ImageError):
            segment(np.zeros((4, 4), complex), record)
        with pytest.raises(ImageError):
            segment(np.zeros((2, 2, 2, 2)), record)


PARTICLE_METHODS = ["hybrid", "hybrid-literal", "threshold", "otsu", "local", "gmm"]
OVERLAP = {"local": 0.7, "hybrid-literal": 0.7, "gmm": 0.6}
"""A mean over a window that is mostly background lies near the background, and pixels of a blurred edge go to the wider
component: these draw particles too large."""


@pytest.mark.parametrize("name", PARTICLE_METHODS)
@pytest.mark.parametrize("polarity", ["auto", "given"])
def test_isolated_disks_are_found(name, polarity):
    for seed, dark in enumerate((True, False)):
        image, truth = disks(CENTRES, RADII, seed=seed)
        image = image if dark else 255 - image
        options = dict(NEEDED.get(name, {})) | ({"value": 105.0 if dark else 150.0} if name == "threshold" else {})
        if polarity == "given":
            options["polarity"] = "dark" if dark else "bright"
        found = segment(image, name, options=options)
        assert found.info["polarity"] == ("dark" if dark else "bright")
        assert average_precision(truth, found.labels, OVERLAP.get(name, 0.9)) == 1


@pytest.mark.parametrize("name", PARTICLE_METHODS)
@pytest.mark.parametrize("seed", range(3))
def test_an_inverted_image_with_the_other_polarity_gives_the_same_labels(name, seed):
    rng = np.random.default_rng(seed)
    image, _ = disks(rng.uniform(10, 150, (12, 2)), rng.uniform(4, 18, 12), noise=12, seed=seed)
    value = {"value": 100.0} if name == "threshold" else {}
    mirrored = {"value": 155.0} if name == "threshold" else {}
    dark = segment(image, name, options={"polarity": "dark"} | value)
    bright = segment(255 - image, name, options={"polarity": "bright"} | mirrored)
    np.testing.assert_array_equal(dark.labels, bright.labels)
    assert dark.n_regions > 3


def test_fixed_threshold_counted_on_paper():
    image = np.array([[9, 9, 1, 1], [9, 1, 1, 5], [1, 1, 5, 5]])
    bare = {"polarity": "bright", "min_size": 1, "split": False}
    found = segment(image, "threshold", options=bare | {"value": 4})
    np.testing.assert_array_equal(found.labels, [[1, 1, 0, 0], [1, 0, 0, 2], [0, 0, 2, 2]])
    dark = segment(image, "threshold", options=bare | {"value": 4, "polarity": "dark", "fill_holes": False})
    np.testing.assert_array_equal(dark.labels, [[0, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 0]])
    classes = segment(image, "threshold", options={"value": "4, 8"})
    assert classes.kind == "semantic"
    np.testing.assert_array_equal(classes.labels, [[2, 2, 0, 0], [2, 0, 0, 1], [0, 0, 1, 1]])


def test_threshold_refuses_values_that_make_no_sense():
    with pytest.raises(OptionError, match="value is missing"):
        method_from("threshold")
    with pytest.raises(OptionError, match="rise"):
        method_from("threshold", {"value": (5, 3)})
    with pytest.raises(OptionError, match="number"):
        method_from("threshold", {"value": "many"})


@pytest.mark.parametrize("seed", range(5))
def test_otsu_and_multi_otsu_agree_with_scikit_image(seed):
    from skimage.filters import threshold_multiotsu, threshold_otsu

    rng = np.random.default_rng(seed)
    image = np.concatenate([rng.normal(m, s, n) for m, s, n in ((60, 9, 5000), (120, 12, 3000), (200, 8, 2000))])
    image = np.clip(image, 0, 255).round().astype(np.uint8).reshape(100, 100)
    # Thresholds between the same two grey levels cut the image alike.
    ours = segment(image, "otsu", options={"polarity": "bright", "smoothing": 0}).info["threshold"]
    np.testing.assert_array_equal(image > ours, image > threshold_otsu(image))
    classes = segment(image, "multi-otsu", options={"classes": 3, "smoothing": 0})
    np.testing.assert_array_equal(classes.labels, np.digitize(image, threshold_multiotsu(image, 3), right=True))
    assert classes.classes == ("class 0", "class 1", "class 2")


def test_multi_otsu_gives_particles_of_the_outermost_class():
    image, truth = disks(CENTRES[:3], RADII[:3], particle=100)
    image2, truth2 = disks(CENTRES[3:], RADII[3:], particle=20)
    image = np.minimum(image, image2)
    found = segment(image, "multi-otsu", options={"output": "particles", "polarity": "dark"})
    assert average_precision(truth2, found.labels, 0.7) == 1
    assert not found.labels[truth > 0].any()


@pytest.mark.parametrize("name", ["otsu", "local", "ndnt", "threshold", "multi-otsu", "gmm"])
def test_volumes(name):
    z, y, x = np.mgrid[:40, :50, :60]
    volume = np.full(z.shape, 160.0)
    truth = np.zeros(z.shape, np.int32)
    for k, (c, r) in enumerate((((12, 14, 14), 8), ((26, 34, 40), 10), ((12, 36, 14), 7)), start=1):
        inside = (z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2 < r * r
        volume[inside], truth[inside] = 50, k
    volume += np.random.default_rng(0).normal(0, 4, volume.shape)
    options = {"polarity": "dark"} if name != "ndnt" else {"window": 25}
    options |= {"output": "particles", "classes": 2} if name == "multi-otsu" else {}
    options |= {"window": 41} if name == "local" else {}
    options |= {"smoothing": 0} if name == "gmm" else {}  # pixels of a blurred edge go to the wider component
    found = segment(volume, name, options=options | ({"value": 105.0} if name == "threshold" else {}))
    assert average_precision(truth, found.labels, 0.6 if name == "local" else 0.85) == 1


def test_two_dimensional_methods_refuse_volumes():
    for name in ("hybrid", "particles"):
        with pytest.raises(ImageError, match="takes 2D"):
            segment(np.random.default_rng(0).random((5, 6, 7)), name)


class TestAuto:
    def test_images_and_volumes_have_their_methods(self):
        image, _ = disks(CENTRES, RADII)
        volume = np.zeros((12, 20, 30), np.uint8)
        volume[3:9, 5:15, 6:20] = 200
        for pixels, name in ((image, "particles"), (volume, "otsu")):
            found, named = segment(pixels), segment(pixels, name)
            assert found.method == named.method == method_from(name).as_dict()
            np.testing.assert_array_equal(found.labels, named.labels)
            assert found.n_regions == {"particles": 5, "otsu": 1}[name]

    def test_it_says_which_without_an_image(self):
        auto = method_from("auto")
        assert [auto.for_ndim(n).name for n in (2, 3)] == ["particles", "otsu"]
        assert method_from("hybrid").for_ndim(2) == method_from("hybrid"), "others are themselves"
        with pytest.raises(ImageError, match="takes 2D or 3D"):
            auto.for_ndim(4)

    def test_options_are_those_of_particles(self):
        record = method_from("auto", {"samples": "8", "refine": "no"})
        assert (record.name, record.samples, record.refine) == ("particles", 8, False)
        with pytest.raises(OptionError, match="did you mean 'samples'"):
            method_from("auto", {"sampels": 8})

    def test_it_goes_to_data_and_back(self):
        assert method_from("auto").as_dict() == {"method": "auto"}
        assert method_from({"method": "auto"}) == method_from("auto")


def test_a_window_can_be_a_length():
    image = np.random.default_rng(0).random((8, 40, 40))
    calibrated = Image(image, calibration=Calibration((2.0, 0.5, 0.5), "µm"))
    found = segment(calibrated, "local", options={"window": 10, "window_unit": "calibrated"})
    assert found.info["window_px"] == [5, 21, 21]
    with pytest.raises(OptionError, match="pixel size is unknown"):
        segment(image, "ndnt", options={"window": 10, "window_unit": "calibrated"})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"min_size": 0}, "at least 1"),
        ({"min_size": 2.5}, "whole number"),
        ({"smoothing": float("nan")}, "finite"),
        ({"split": "perhaps"}, "true or false"),
        ({"polarity": "drak"}, "did you mean 'dark'"),
        ({"min_size": None}, "needs a value"),
    ],
)
def test_values_out_of_range_are_refused(options, text):
    with pytest.raises(OptionError, match=text):
        method_from("otsu", options)


def test_texts_become_values():
    record = method_from("otsu", {"min_size": "50", "split": "no", "smoothing": "1.5"})
    assert (record.min_size, record.split, record.smoothing) == (50, False, 1.5)
    with pytest.raises(OptionError, match="did you mean 'otsu'"):
        method_from("otzu")
