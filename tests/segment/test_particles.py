"""The method `particles` with the model that comes along: laws, samples, promises, and input of every bad kind."""

from __future__ import annotations

import dataclasses
import json
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from drawn_disks import CENTRES, RADII, disks

from segmetry import Image
from segmetry.batch import _same_model
from segmetry.errors import OptionError, ReadError
from segmetry.evaluate import average_precision
from segmetry.evaluate.count_doubt import CountDoubt
from segmetry.io.model_folder import read_card, read_model_folder, shipped_models, write_model_folder
from segmetry.recipe import Recipe
from segmetry.segment import method_from, segment
from segmetry.segment.particles import _sampled_runs, border_on_edge
from segmetry.segment.pyramid import TURNS, turned
from segmetry.segment.refine import refine_contours
from segmetry.synth import simulate
from segmetry.types import Calibration
from unlike_pictures import ELSE


@pytest.fixture(scope="module")
def scene():
    return disks(CENTRES, RADII)


@pytest.fixture(scope="module")
def plain(scene):
    """What the defaults find in the disks."""
    return segment(scene[0], "particles")


def right(found):
    """Return the share of the particles that the method expects to be right."""
    return found.info["expected_right"]


class TestFinds:
    @pytest.mark.parametrize("seed", range(2))
    def test_isolated_disks(self, seed):
        for inverted in (False, True):
            image, truth = disks(CENTRES, RADII, seed=seed)
            found = segment(255 - image if inverted else image, "particles")
            assert average_precision(truth, found.labels, 0.9) == 1
            assert found.scores.shape == (5,)
            assert right(found) > 0.9
            assert found.notes == ()
            assert right(found) == pytest.approx(found.scores.mean(), abs=1e-4)

    def test_the_number_has_the_doubt_of_all_candidates(self, scene, plain, folder):
        every = segment(scene[0], "particles", options={"threshold": 0.0}).scores
        post = json.loads((folder / "card.json").read_text(encoding="utf-8"))["post"]
        expected = CountDoubt.from_dict(post["count"]).sd(every, plain.scores.size)
        assert 0 < plain.info["count_sd"] == pytest.approx(expected, abs=1e-4)
        # Of those that lie inside nobody knows how many of the missed ones do; nor does an old card say anything.
        assert segment(scene[0], "particles", options={"pick": "inside"}).info["count_sd"] is None
        TestBadModel().change(folder, post={k: v for k, v in post.items() if k != "count"})
        assert segment(scene[0], "particles", options={"model": str(folder)}).info["count_sd"] is None

    @pytest.mark.parametrize("turn", TURNS[1:])
    def test_a_turned_image_gives_turned_particles(self, scene, plain, turn):
        """A network keeps this law only about: what it has learned is not the same in every direction."""
        found = segment(turned(scene[0], turn).copy(), "particles")
        assert average_precision(turned(plain.labels, turn).copy(), found.labels, 0.93) == 1

    @pytest.mark.parametrize("kind", ["bf-tem", "sem"])
    def test_laws_of_irregular_particles(self, kind):
        """Other scales, mirrored and turned, as the network draws contours: none is lost, and outlines agree to an IoU
        of .75 (scale) and .85; at half the scale, where particles are 16 px across, one of 16 may be lost."""
        drawn = simulate(kind, seed=5, frame_shape=(320, 320), n=16, pixel_size=1.0, median_diameter=32.0, gsd=1.2,
                         shapes={"irregular": 1.0}, arrangement="isolated", bar="none", footer="none")  # fmt: skip
        pixels = drawn.image.pixels.astype(np.float32)
        usual = segment(pixels, "particles", options={"refine": False}).labels
        assert average_precision(drawn.labels, usual, 0.5) == 1
        for scale in (0.5, 2.0):
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            found = segment(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=how), "particles",
                            options={"refine": False})  # fmt: skip
            expected = cv2.resize(usual, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
            assert average_precision(expected, found.labels, 0.75) >= (15 / 16 if scale < 1 else 1), scale
        for turn in ((1, False), (0, True)):
            found = segment(turned(pixels, turn).copy(), "particles", options={"refine": False})
            assert average_precision(turned(usual, turn).copy(), found.labels, 0.85) == 1, turn

    def test_gain_and_offset_do_not_matter(self, scene, plain):
        for pixels in (scene[0] * np.float32(1e9), scene[0] * np.float32(1e-30), scene[0] * 0.01 + 3e4):
            found = segment(pixels.astype(np.float32), "particles")
            assert average_precision(plain.labels, found.labels, 0.97) == 1
        sixteen = (30000 + scene[0].astype(int) // 12).astype(np.uint16)  # a range of 20 grey levels
        assert average_precision(scene[1], segment(sixteen, "particles").labels, 0.85) == 1

    def test_contours_move_to_the_edge_unless_told(self, scene, plain):
        drawn = segment(scene[0], "particles", options={"refine": False})
        assert plain.info["contours"]["on_edge"] == 5
        assert "contours" not in drawn.info
        assert plain.info["border_sd_px"] < drawn.info["border_sd_px"]
        true = np.bincount(scene[1].ravel())[1:].sum()
        assert abs((plain.labels > 0).sum() - true) < abs((drawn.labels > 0).sum() - true)
        assert plain.on_edge.all()
        assert not drawn.on_edge.any()
        assert drawn.on_edge.size == drawn.n_regions

    @pytest.mark.parametrize("pick", ["all", "inside"])
    def test_each_contour_says_whether_it_moved(self, monkeypatch, pick):
        """Numbers are those of the labels, also after picking has dropped one: here, the large ones have moved."""

        def refine(grey, labels, valid):
            large = np.bincount(labels.ravel())[1:] > 800
            return refine_contours(grey, labels, valid=valid)._replace(labels=labels, moved=large)

        monkeypatch.setattr("segmetry.segment.particles.refine_contours", refine)
        image, _ = disks([(2, 30), *CENTRES[1:]], RADII)
        found = segment(image, "particles", options={"pick": pick})
        areas = np.bincount(found.labels.ravel())[1:]
        assert found.n_regions == (5 if pick == "all" else 4)
        assert found.on_edge.tolist() == (areas > 800).tolist()
        assert right(found) == pytest.approx(found.scores.mean(), abs=5.1e-5), "of those that are left"
        assert 0 < found.on_edge.sum() < found.n_regions

    def test_the_border_of_small_particles_is_less_sure(self):
        sd = border_on_edge(np.array([6.0, 10, 15, 20, 24, 100]))
        assert (np.diff(sd) < 0).all()
        # What small ones add: root mean squares of half the bias in the cells of docs/studies/borders.md.
        added = np.sqrt(sd[:4] ** 2 - sd[-1] ** 2)
        assert added == pytest.approx([0.44, 0.33, 0.21, 0.11], abs=0.06)

    def test_one_that_fills_most_of_the_frame(self):
        i, j = np.mgrid[:400, :400]
        noise = np.random.default_rng(0).normal(0, 4, i.shape)
        truth = (np.hypot(i - 200, j - 200) < 150).astype(np.int32)
        found = segment(np.where(truth, 60, 200) + noise, "particles")
        assert average_precision(truth, found.labels, 0.9) == 1
        # Where no background is left to tell it from, the network does not see it, and says so.
        for radius in (198, 270):
            found = segment(np.where(np.hypot(i - 200, j - 200) < radius, 60, 200) + noise, "particles")
            assert (
                (found.labels > 0).mean() > 0.9
                or any("no particle" in n or "is unsure" in n or "none is seen whole" in n for n in found.notes)
                or right(found) < 0.9
            )

    @pytest.mark.slow
    def test_a_size_far_from_what_it_learned_is_a_warning(self):
        i, j = np.mgrid[:2600, :2600]
        pixels = np.where(np.hypot(i - 1300, j - 1300) < 1200, 60, 200).astype(np.float32)
        pixels += np.random.default_rng(0).normal(0, 4, pixels.shape).astype(np.float32)
        found = segment(pixels, "particles")
        assert found.n_regions == 1
        # Its contour was drawn in an image 29 times smaller, to about a pixel of that, 1 % of its diameter.
        assert (found.labels > 0).sum() == pytest.approx(np.pi * 1200**2, rel=0.04)
        assert any(n.startswith("WARNING: the typical particle is 2") and "learned from" in n for n in found.notes)

    @pytest.mark.slow
    def test_ten_thousand_of_five_pixels(self):
        """Far below what it can see: next to none are found, and what is found is doubted."""
        pixels = np.full((1000, 1000), 200.0)
        at = np.arange(5, 1000, 10)
        for down, across in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            pixels[np.ix_(at + down, at + across)] = 60
        pixels += np.random.default_rng(0).normal(0, 3, pixels.shape)
        found = segment(pixels, "particles")
        assert any("no particle was found" in n for n in found.notes) == (found.n_regions == 0)
        assert found.n_regions < 1000
        doubtful = segment(pixels, "particles", options={"min_size": 1})
        assert doubtful.n_regions == 0 or right(doubtful) < 0.8


class TestSmallest:
    def tiny(self, radius):
        centres = [(row, column) for row in range(15, 150, 18) for column in range(15, 190, 18)]
        return disks(centres, [radius] * len(centres))

    def test_most_are_smaller_than_asked_for(self):
        """Eighty disks of 9 px, as sampled, where 20 are asked for."""
        image, truth = self.tiny(1.5)
        found = segment(image, "particles")
        assert found.n_regions < 40
        (note,) = [n for n in found.notes if "min_size=20 px" in n]
        dropped, seen = (int(word) for word in note.split()[:3:2])
        assert (seen - dropped, truth.max()) == (found.n_regions, 80)
        kept = segment(image, "particles", options={"min_size": 5})
        assert kept.n_regions == seen
        assert not any("min_size" in n for n in kept.notes)

    def test_few_are(self, plain):
        assert not any("min_size" in n for n in plain.notes)
        assert not any("min_size" in n for n in segment(self.tiny(3)[0], "particles").notes)


class TestSamples:
    def test_they_are_labels_and_carry_doubt(self, scene, plain):
        found = segment(scene[0], "particles", options={"samples": 3})
        np.testing.assert_array_equal(found.labels, plain.labels)
        assert len(found.samples) == 3
        for sample in found.samples:
            assert average_precision(scene[1], sample, 0.75) == 1
        assert found.epistemic.min() >= 0
        assert (found.epistemic <= found.uncertainty + 1e-6).all(), "a part of the whole"
        assert found.uncertainty.max() <= np.log(2) + 1e-6
        # Doubt lies at the contours.
        edge = cv2.dilate((scene[1] > 0).astype(np.uint8), np.ones((5, 5))) - cv2.erode(
            (scene[1] > 0).astype(np.uint8), np.ones((5, 5))
        )
        assert found.uncertainty[edge > 0].mean() > 5 * found.uncertainty[edge == 0].mean()

    def test_one_cannot_disagree(self, scene):
        found = segment(scene[0], "particles", options={"samples": 1, "refine": False})
        assert (len(found.samples), found.epistemic) == (1, None)

    def test_a_seed_gives_its_samples(self, scene):
        first, again, other = (
            segment(scene[0], "particles", options={"samples": 2, "seed": s, "refine": False}) for s in (1, 1, 2)
        )
        for a, b in zip(first.samples, again.samples, strict=True):
            np.testing.assert_array_equal(a, b)
        assert any((a != b).any() for a, b in zip(first.samples, other.samples, strict=True))

    def test_maps_are_kept_within_a_limit(self):
        """Of the first image the maps of all masks are made and kept; there is no room for those of a second."""
        asked = []

        def maps(image, keep):
            asked.append((int(image[0, 0]), np.ndim(keep)))
            return np.zeros((*np.shape(keep)[:-1], 4, 20, 30), np.float32) + image[0, 0]

        model = SimpleNamespace(card=SimpleNamespace(maps="abcd", stride=2), maps=maps)
        images = [np.full((40, 60), k, np.float32) for k in (1, 2)]
        for run in _sampled_runs(model, np.ones((3, 7), np.float32), 1.5 * 3 * 40 * 60 * 4):
            assert [run(image)[0, 0, 0] for image in images] == [1, 2]
        assert asked == [(1, 2), (2, 1), (2, 1), (2, 1)]


@pytest.fixture(scope="module")
def perturbed(tmp_path_factory):
    """Two models that differ from the one that comes along by a tenth of each weight, at random."""
    onnx = pytest.importorskip("onnx")
    home = tmp_path_factory.mktemp("models")
    folders = []
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        read = read_model_folder(shipped_models()["particles"])
        graph = onnx.load_model_from_string(read.onnx)
        for weight in graph.graph.initializer:
            values = onnx.numpy_helper.to_array(weight)
            if values.dtype.kind == "f" and values.ndim == 4:
                changed = values * (1 + 0.1 * rng.standard_normal(values.shape))
                weight.CopyFrom(onnx.numpy_helper.from_array(changed.astype(values.dtype), weight.name))
        folders.append(str(home / f"model-{seed}"))
        write_model_folder(folders[-1], read.card, graph.SerializeToString())
    return folders


class TestEnsemble:
    def test_the_mean_is_between_its_models(self, scene, perturbed):
        """All offsets of a particle lead to the mean of the models' centres, so it stays one particle."""
        each = [segment(scene[0], "particles", options={"model": m}) for m in perturbed]
        found = segment(scene[0], "particles", options={"model": ",".join(perturbed)})
        assert average_precision(scene[1], found.labels, 0.85) == 1
        assert [m["sha256"] for m in found.info["ensemble"]] == [e.info["model"]["sha256"] for e in each]
        assert found.info["model"] == found.info["ensemble"][0]
        assert any("2 models were averaged" in n and perturbed[0] in n for n in found.notes)
        chances = np.array([e.scores.mean() for e in each])
        assert chances.min() - 0.05 < found.scores.mean() < chances.max() + 0.05

    def test_one_named_twice_is_itself(self, scene, plain):
        found = segment(scene[0], "particles", options={"model": "particles, particles"})
        np.testing.assert_array_equal(found.labels, plain.labels)

    def test_samples_take_turns_and_disagreement_is_epistemic(self, scene, perturbed):
        options = {"samples": 4, "refine": False}
        alone = [segment(scene[0], "particles", options=options | {"model": m}) for m in perturbed]
        both = segment(scene[0], "particles", options=options | {"model": ", ".join(perturbed)})
        assert len(both.samples) == 4
        assert both.epistemic.mean() > 1.5 * max(a.epistemic.mean() for a in alone)
        for sample in both.samples:
            assert average_precision(scene[1], sample, 0.75) == 1

    def test_a_promise_of_one_is_none_of_the_mean(self, scene, perturbed):
        found = segment(scene[0], "particles", options={"model": ",".join(perturbed), "miss_rate": 0.2})
        assert any(n.startswith("WARNING: 2 models") and "promise" in n for n in found.notes)

    def test_models_that_do_not_fit_are_refused(self, scene, folder, perturbed):
        TestBadModel().change(folder, normalisation={"kind": "unit"})
        with pytest.raises(OptionError, match="differ in their normalisation"):
            segment(scene[0], "particles", options={"model": f"{perturbed[0]},{folder}"})
        with pytest.raises(ReadError, match="no such model folder"):
            method_from("particles", {"model": f"{perturbed[0]},nowhere/at-all"}).check()

    def test_a_batch_knows_all_its_models(self, perturbed):
        recipe = Recipe.build("particles", options={"model": ",".join(perturbed)})
        made = [{"name": "particles", "version": "1", "sha256": read_card(m).sha256} for m in perturbed]
        assert _same_model({"model": made[0], "ensemble": made}, recipe)
        assert not _same_model({"model": made[0], "ensemble": made[::-1]}, recipe)
        assert not _same_model({"model": made[0]}, recipe)


class TestThreshold:
    def test_it_drops_what_has_a_lower_score(self):
        rng = np.random.default_rng(3)
        texture = cv2.GaussianBlur(rng.normal(0, 1, (400, 400)), (0, 0), 4)
        low, high = (segment(texture, "particles", options={"threshold": t, "refine": False}) for t in (0, 0.6))
        assert 0 < high.n_regions < low.n_regions
        assert low.scores.min() < 0.6 <= high.scores.min()
        assert high.n_regions == (low.scores >= 0.6).sum()

    def test_a_promise_is_kept_or_refused(self, scene):
        card = read_card(shipped_models()["particles"])
        given = [p for p in card.post["promises"] if p["kind"] == "false"]
        for promise in given:
            options = {"false_share": promise["alpha"]}
            if promise["threshold"] is None:
                with pytest.raises(OptionError, match="No threshold promises"):
                    segment(scene[0], "particles", options=options)
                with pytest.raises(OptionError, match="No threshold promises"):
                    method_from("particles", options).check()
                continue
            found = segment(scene[0], "particles", options=options)
            assert found.info["promise"]["alpha"] == promise["alpha"]
            score = found.info["promise"]["threshold"]
            assert any("false particles" in n and f"a score of {score:.4g} or more" in n for n in found.notes)
            assert found.scores.min(initial=1) >= score - 1e-9, "in the scale of the table"
        assert any(p["threshold"] is not None for p in given), "some can be given"

    def test_a_promise_that_other_models_made_is_said_to_be(self, scene, folder):
        """What promises rest on counts, which may be more than the map of scores; an older card has one for both."""
        card = read_card(folder)
        own, two = [card.sha256], ["a" * 64, "b" * 64]
        for calibrated, promised, said in (
            (own, None, ""),
            (two, None, "2 models (others)"),
            (own, two, "2 models (others)"),
            (two, own, ""),
            (own, [*own, "a" * 64], "2 models (this one and 1 more)"),
        ):
            post = {k: v for k, v in card.post.items() if k != "promised_on"}
            post |= {"calibrated_on": {"models": calibrated}} | (
                {"promised_on": {"models": promised}} if promised else {}
            )
            TestBadModel().change(folder, post=post)
            found = segment(scene[0], "particles", options={"model": str(folder), "miss_rate": 0.2})
            notes = [note for note in found.notes if "was proved for" in note]
            assert len(notes) == bool(said)
            assert all(said in note for note in notes)

    @pytest.mark.parametrize("other", [{"turns": 1}, {"min_size": 30}, {"pick": "inside"}])
    def test_a_promise_for_other_options_is_no_promise(self, scene, other):
        """Scores of other flips, and some of the particles only, are not what was calibrated."""
        asked = {"miss_rate": 0.2}
        usual, found = (segment(scene[0], "particles", options=o) for o in (asked, asked | other))
        ((name, value),) = other.items()
        assert not any("need not hold" in note for note in usual.notes)
        assert any(f"with {name}={value} it need not hold" in note for note in found.notes)


@pytest.mark.parametrize("name", ELSE)
def test_an_image_of_something_else_is_doubted(name):
    """Nothing is found, or a warning says that the network is unsure; so it does on 5 of 74 held-out micrographs."""
    found = segment(ELSE[name](), "particles", options={"refine": False})
    if found.n_regions == 0:
        assert any("no particle was found" in n for n in found.notes)
    else:
        assert any("the network is unsure" in n for n in found.notes)


class TestBadPixels:
    @pytest.mark.parametrize("shape", [(1, 2), (2, 2), (1, 50), (3, 200), (31, 33)])
    def test_tiny_images(self, shape):
        pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
        found = segment(pixels, "particles", options={"samples": 2})
        assert found.labels.shape == found.uncertainty.shape == shape
        assert found.n_regions == 0

    def test_saturated_and_two_valued_images(self, scene):
        for pixels in (np.clip(scene[0].astype(int) * 3, 0, 255).astype(np.uint8), scene[0] > 105):
            assert average_precision(scene[1], segment(pixels, "particles").labels, 0.75) == 1
        one = np.full((80, 90), 100, np.uint16)
        one[40, 50] = 65535
        assert segment(one, "particles").n_regions == 0

    def test_broken_pixels(self, scene):
        broken = scene[0].astype(np.float32)
        broken[60:70, 90:130] = np.nan
        broken[0, 0] = -np.inf
        found = segment(broken, "particles")
        assert average_precision(scene[1], found.labels, 0.8) == 1
        assert any("401 pixels are not finite" in n for n in found.notes)

    def test_a_footer_is_left_out(self, scene):
        footer = np.full((30, scene[0].shape[1]), 255, np.uint8)
        cv2.putText(footer, "20 nm  HV 80 kV", (5, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 2)
        pixels = np.vstack([scene[0], footer])
        ignore = np.zeros(pixels.shape, bool)
        ignore[-30:] = True
        found = segment(Image(pixels, ignore=ignore), "particles")
        assert found.labels.shape == found.uncertainty.shape == pixels.shape
        assert not found.labels[-30:].any()
        assert average_precision(scene[1], found.labels[:-30], 0.9) == 1


@pytest.fixture
def folder(tmp_path):
    """A copy of the model that comes along."""
    return shutil.copytree(shipped_models()["particles"], tmp_path / "model")


class TestBadModel:
    def change(self, folder, **values):
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        (folder / "card.json").write_text(json.dumps(card | values), encoding="utf-8")

    def test_a_copy_is_as_good(self, scene, plain, folder):
        found = segment(scene[0], "particles", options={"model": str(folder)})
        np.testing.assert_array_equal(found.labels, plain.labels)

    def test_damaged_newer_missing_or_of_another_kind(self, folder, tmp_path):
        def refuse(error, text, model=folder):
            with pytest.raises(error, match=text):
                method_from("particles", {"model": str(model)}).check()

        refuse(ReadError, "no such model folder", tmp_path / "none")
        refuse(OptionError, "did you mean 'particles'", "particels")
        self.change(folder, format=99)
        refuse(ReadError, "newer")
        self.change(folder, format=1, task="classes")
        refuse((OptionError, ReadError), "classes|particles")
        self.change(folder, task="particles")
        (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:-100])
        refuse(ReadError, "damaged")
        (folder / "card.json").write_text("{", encoding="utf-8")
        refuse(ReadError, "card.json")

    def test_samples_that_would_all_be_the_same_are_refused(self, scene, folder):
        """An ensemble's samples differ without dropout, too."""
        dropout = read_card(folder).dropout
        self.change(folder, dropout=[(channels, 0.0) for channels, _ in dropout])
        one = {"model": str(folder), "samples": 2}
        with pytest.raises(OptionError, match="has no dropout to draw samples from"):
            segment(scene[0], "particles", options=one)
        method_from("particles", one | {"samples": 0}).check()
        method_from("particles", one | {"model": f"{folder},particles"}).check()

    def test_one_that_was_not_calibrated_promises_nothing(self, scene, folder):
        self.change(folder, post={})
        found = segment(scene[0], "particles", options={"model": str(folder)})
        assert found.n_regions >= 5
        with pytest.raises(OptionError, match="not calibrated"):
            segment(scene[0], "particles", options={"model": str(folder), "miss_rate": 0.2})

    def test_none_came_along(self, monkeypatch):
        monkeypatch.setattr("segmetry.segment.particles.shipped_models", dict)
        with pytest.raises(OptionError, match=r"make model.*-m hybrid"):
            method_from("particles").check()


class TestPixelSize:
    def warned(self, scene, folder, size):
        calibration = Calibration.from_text(size) if size else Calibration.unknown()
        found = segment(Image(scene[0], calibration=calibration), "particles", options={"model": str(folder)})
        return [n for n in found.notes if "pixel" in n]

    def test_far_from_what_it_learned_is_a_warning(self, scene, folder):
        TestBadModel().change(folder, pixel_size_range=(0.1, 20))
        assert self.warned(scene, folder, "0.1 mm") == [
            "WARNING: a pixel is 100 µm long, the network learned from 0.1 nm to 20 nm: check the pixel size; if it is "
            "right, the image may be of another kind, so look at the overlay."
        ]
        assert self.warned(scene, folder, "0.3 Å")
        for near in ("0.34 Å", "1 nm", "0.059 µm", ""):
            assert not self.warned(scene, folder, near)

    def test_a_model_that_does_not_know_its_own_says_nothing(self, scene, folder):
        TestBadModel().change(folder, pixel_size_range=None)
        assert not self.warned(scene, folder, "1 km")


def test_the_record_says_what_it_takes():
    with pytest.raises(OptionError, match="in \\[0, 1\\]"):
        method_from("particles", {"false_share": 5})
    record = method_from("particles", {"samples": 8})
    assert dataclasses.replace(record, samples=0) == method_from("particles")
