"""A model's folder: the card both ways, whole or not at all, and one clear line for every damage."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import tiny_onnx
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import segmetry
from segmetry.errors import OptionError, ReadError, SegmetryError, WriteError
from segmetry.io import model_folder
from segmetry.io.bioimage import bioimage_files
from segmetry.io.card import FORMAT, TASKS, Card
from segmetry.io.model_folder import (
    model_beside,
    read_card,
    read_model_folder,
    resolve_model,
    shipped_models,
    write_model_folder,
)

CARD = Card(
    name="grains",
    version="1.2.0",
    task="particles",
    maps=("offset-0", "offset-1", "log_sigma", "seed"),
    stride=2,
    multiple=32,
    receptive_radius=306,
    bytes_per_pixel=52.5,
    dropout=((160, 0.15), (224, 0.5)),
    architecture="particles",
    options={"widths": [16, 32]},
    post={"seed": 0.8, "calibration": {"a": [1.5, -2.0]}},
    size_range=(9, 400),
    pixel_size_range=(0.1, 50),
    training={"n_images": 366, "sha256": "ab" * 32, "machine": "2 cores"},
    scores={"AP50": {"value": 0.87, "low": 0.84, "high": 0.9}},
    description="Particles in micrographs – größer 9 px",
    citations=("Somebody (2020), Pattern Recognition, 10.1000/xyz.123",),
)


def save(path, card=CARD, onnx=b"a network"):
    write_model_folder(path, card, onnx)
    return path


def edit(path, **changes):
    """Change entries of a card's file; None takes them away."""
    data = json.loads((path / "card.json").read_text(encoding="utf-8")) | changes
    (path / "card.json").write_text(json.dumps({k: v for k, v in data.items() if v is not None}), encoding="utf-8")


class TestCard:
    def test_json_both_ways(self):
        again = Card.from_json(CARD.to_json())
        assert again == CARD
        assert again.as_dict() == CARD.as_dict()
        assert {f.name: type(getattr(again, f.name)) for f in fields(again)} == {
            f.name: type(getattr(CARD, f.name)) for f in fields(CARD)
        }
        assert again.n_keep == 384

    def test_what_is_written_is_plain(self):
        data = json.loads(CARD.to_json())
        assert data["format"] == FORMAT
        assert data["dropout"] == [[160, 0.15], [224, 0.5]]
        assert data["normalisation"] == {"kind": "standardise", "clip": 5.0}
        assert data["size_range"] == [9, 400]
        assert data["software"] == segmetry.__version__

    def test_it_cannot_be_changed(self):
        options = {"widths": [1]}
        card = replace(CARD, options=options)
        options["widths"] = [2]
        assert card.options == {"widths": [1]}
        with pytest.raises(TypeError):
            card.post["seed"] = 0.1

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"task": "particels"}, "no task 'particels'; did you mean 'particles'"),
            ({"name": "../up"}, "name must be a plain name"),
            ({"name": " "}, "name must be"),
            ({"maps": ()}, "maps must be names that differ"),
            ({"maps": ("a", "a")}, "maps must be names that differ"),
            ({"maps": "abcd"}, "maps must be a row of texts"),
            ({"stride": 0}, "stride must be a whole number from 1, got 0"),
            ({"stride": 2.0}, "stride must be a whole number"),
            ({"multiple": 33}, "multiple must be a multiple of stride 2"),
            ({"receptive_radius": -1}, "receptive_radius must be"),
            ({"bytes_per_pixel": 0}, "bytes_per_pixel must be a positive number"),
            ({"dropout": ((3, 1.0),)}, "dropout must be rows of channels"),
            ({"dropout": (3, 0.5)}, "dropout must be rows of channels"),
            ({"axes": "XY"}, "axes must be YX or ZYX"),
            ({"normalisation": {"kind": "standardize", "clip": 5}}, "did you mean 'standardise'"),
            ({"normalisation": {"kind": "standardise"}}, "clip must be a positive number, got None"),
            ({"size_range": (5, 4)}, "size_range must be two numbers"),
            ({"pixel_size_range": ("a", "b")}, "pixel_size_range must be two numbers"),
            ({"training": ["x"]}, "training must be a table"),
            ({"version": 1}, "version must be a text"),
            ({"task": "classes"}, "stride must be 1 for classes, got 2"),
            ({"post": {"temperature": 0}}, "post temperature must be a positive number, got 0"),
        ],
    )
    def test_a_value_that_cannot_be(self, changes, says):
        with pytest.raises(OptionError, match=says):
            replace(CARD, **changes)
        data = CARD.as_dict() | changes
        with pytest.raises(ReadError, match=f"here: cannot be used: .*{says}"):
            Card.from_json(json.dumps(data), where="here")

    @settings(max_examples=40)
    @given(text=st.text() | st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists).map(json.dumps))
    def test_any_text_is_a_card_or_one_line_of_error(self, text):
        with pytest.raises(ReadError) as caught:
            Card.from_json(text, where="card.json")
        assert str(caught.value).startswith("card.json: ")

    @settings(max_examples=60)
    @given(
        key=st.sampled_from([f.name for f in fields(Card)] + ["format"]),
        value=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=5,
        ),
    )
    def test_any_value_in_any_entry_is_read_or_refused(self, key, value):
        text = json.dumps(CARD.as_dict() | {key: value})
        try:
            card = Card.from_json(text)
        except ReadError:
            return
        # Not-a-number is written as null, since JSON has no word for it; all else comes back.
        assert Card.from_json(card.to_json()).to_json() == card.to_json()

    def test_deep_nesting_is_no_crash(self):
        with pytest.raises(ReadError, match="damaged"):
            Card.from_json("[" * 200_000)


class TestReading:
    def test_both_ways(self, tmp_path):
        card = write_model_folder(tmp_path / "m", CARD, b"a network")
        found = read_model_folder(tmp_path / "m")
        assert found == (tmp_path / "m", card, b"a network")
        assert found.card == replace(CARD, sha256=hashlib.sha256(b"a network").hexdigest())

    def test_a_training_run_is_its_model(self, tmp_path):
        save(tmp_path / "run/model")
        found = read_model_folder(tmp_path / "run")
        assert (found.path, found.onnx) == (tmp_path / "run/model", b"a network")
        assert read_card(tmp_path / "run") == found.card
        assert resolve_model(tmp_path / "run") == tmp_path / "run/model"

    def test_not_there(self, tmp_path):
        with pytest.raises(ReadError, match="nowhere: does not exist"):
            read_model_folder(tmp_path / "nowhere")
        (tmp_path / "file").touch()
        with pytest.raises(ReadError, match="is a file, not a model's folder"):
            read_model_folder(tmp_path / "file")
        (tmp_path / "empty").mkdir()
        with pytest.raises(ReadError, match=r"card\.json: is missing"):
            read_model_folder(tmp_path / "empty")

    def test_missing_and_damaged_network(self, tmp_path):
        path = save(tmp_path / "m")
        (path / "model.onnx").write_bytes(b"a netwerk")
        with pytest.raises(ReadError, match=r"model.onnx: is damaged: its SHA-256 begins \w{12}, its card says \w{12}"):
            read_model_folder(path)
        assert read_card(path).name == "grains"
        (path / "model.onnx").unlink()
        with pytest.raises(ReadError, match=r"model\.onnx: is missing"):
            read_model_folder(path)

    def test_damaged_card(self, tmp_path):
        path = save(tmp_path / "m")
        text = (path / "card.json").read_bytes()
        for damage, says in (
            (text[: len(text) // 2], "card.json: is damaged, no JSON"),
            (b"\xff\xfe\x00", "card.json: is damaged, no text"),
            (b"[1, 2]", "not the card of a model"),
            (b" " * (2**22 + 1), "too large"),
        ):
            (path / "card.json").write_bytes(damage)
            with pytest.raises(ReadError, match=says):
                read_model_folder(path)

    def test_newer_older_and_odd_formats(self, tmp_path):
        path = save(tmp_path / "m")
        edit(path, format=FORMAT + 1, software="9.1", stride="what a newer format may mean")
        with pytest.raises(ReadError, match=r"made by a newer segmetry \(9.1; format 2.*update"):
            read_card(path)
        for odd in (0, "1", True, 1.0, {}):
            edit(path, format=odd)
            with pytest.raises(ReadError, match="not the card of a model"):
                read_card(path)

    def test_entries_missing_or_unknown(self, tmp_path):
        path = save(tmp_path / "m")
        edit(path, multiple=None, task=None)
        with pytest.raises(ReadError, match="task, multiple missing"):
            read_card(path)
        path = save(tmp_path / "m2")
        edit(path, recptive_radius=3)
        with pytest.raises(ReadError, match="no entry 'recptive_radius'; did you mean 'receptive_radius'"):
            read_card(path)


class TestWriting:
    def test_a_model_is_replaced_and_nothing_else_is(self, tmp_path):
        path = save(tmp_path / "deep" / "m")
        (path / "old.npy").touch()
        save(path, onnx=b"another")
        assert sorted(p.name for p in path.iterdir()) == ["card.json", "model.onnx"]
        assert read_model_folder(path).onnx == b"another"
        assert [p.name for p in path.parent.iterdir()] == ["m"]
        other = tmp_path / "holiday"
        other.mkdir()
        save(other)
        shutil.rmtree(other)
        other.mkdir()
        (other / "photo.jpg").touch()
        with pytest.raises(WriteError, match="holds something that is no model"):
            save(other)
        (tmp_path / "file").write_text("mine")
        with pytest.raises(WriteError, match="no model"):
            save(tmp_path / "file")
        assert [p.name for p in other.iterdir()] == ["photo.jpg"]
        assert (tmp_path / "file").read_text() == "mine"

    @pytest.mark.parametrize("kind", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_whole_or_not_at_all(self, tmp_path, monkeypatch, kind):
        path = save(tmp_path / "m")
        real = Path.write_bytes

        def full(self, data):
            if self.name == "card.json":
                raise kind
            return real(self, data)

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises((WriteError, KeyboardInterrupt)):
            save(path, onnx=b"another")
        with pytest.raises((WriteError, KeyboardInterrupt)):
            save(tmp_path / "new")
        monkeypatch.undo()
        assert read_model_folder(path).onnx == b"a network"
        assert [p.name for p in tmp_path.iterdir()] == ["m"]

    def test_the_old_model_comes_back_if_the_new_cannot_take_its_place(self, tmp_path, monkeypatch):
        path = save(tmp_path / "m")
        real = Path.rename

        def refuse(self, target):
            if self.name == "new":
                raise OSError(1, "not permitted")
            return real(self, target)

        monkeypatch.setattr(Path, "rename", refuse)
        with pytest.raises(WriteError, match="not permitted"):
            save(path, onnx=b"another")
        monkeypatch.undo()
        assert read_model_folder(path).onnx == b"a network"
        assert [p.name for p in tmp_path.iterdir()] == ["m"]

    @pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
    def test_others_may_read_it(self, tmp_path):
        mask = os.umask(0o022)
        try:
            path = save(tmp_path / "m")
        finally:
            os.umask(mask)
        assert path.stat().st_mode & 0o777 == 0o755
        assert (path / "model.onnx").stat().st_mode & 0o777 == 0o644


class TestNames:
    @pytest.fixture
    def shipped(self, tmp_path, monkeypatch):
        folders = {name: save(tmp_path / "models" / name) for name in ("particles", "bpartis")}
        monkeypatch.setattr(model_folder, "shipped_models", lambda: folders)
        return folders

    def test_by_name_and_by_path(self, shipped, tmp_path):
        assert resolve_model("particles") == shipped["particles"]
        mine = save(tmp_path / "mine")
        assert resolve_model(mine) == resolve_model(str(mine)) == mine

    def test_wrong_names(self, shipped, tmp_path):
        with pytest.raises(OptionError, match="no model 'particels'; did you mean 'particles'"):
            resolve_model("particels")
        with pytest.raises(ReadError, match="no such model folder; the models that come along: particles, bpartis"):
            resolve_model(tmp_path / "nowhere")

    def test_what_a_file_names_is_beside_it_or_comes_along(self, shipped, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert model_beside("particles", tmp_path) == shipped["particles"]
        mine = save(tmp_path / "studies/particles")
        assert model_beside("particles", tmp_path / "studies") == mine
        assert model_beside("../studies/particles", Path("studies")) == mine
        with pytest.raises(OptionError, match="did you mean 'particles'"):
            model_beside("particels", tmp_path)
        with pytest.raises(ReadError, match="elsewhere/m: there is no such model folder"):
            model_beside("../elsewhere/m", tmp_path / "studies")

    def test_every_model_that_ships_is_whole(self):
        for name, path in shipped_models().items():
            found = read_model_folder(path)
            assert found.card.name == name
            assert len(found.onnx) <= 8e6


class TestBioimage:
    """What `segmetry.segment.model_export` makes of whole models is in its tests."""

    @staticmethod
    def described(**changes):
        card = replace(CARD, dropout=(), **changes)
        image, maps = np.ones((1, card.channels, 32, 32), np.float32), np.ones((1, len(card.maps), 16, 16), np.float32)
        onnx = tiny_onnx.tiny(tiny_onnx.weights(n_maps=4))
        files = bioimage_files(card, onnx, image=image, maps=maps)
        return yaml.safe_load(files["rdf.yaml"]), files

    def test_what_it_says(self):
        said, files = self.described()
        assert said["format_version"].startswith("0.5.")
        assert said["weights"]["onnx"]["opset_version"] == 17
        assert said["cite"] == [{"text": CARD.citations[0], "doi": "10.1000/xyz.123"}]
        for tensor in (*said["inputs"], *said["outputs"]):
            for kind in ("test_tensor", "sample_tensor"):
                file = tensor[kind]
                assert hashlib.sha256(files[file["source"]]).hexdigest() == file["sha256"]
            assert len(tensor["axes"]) == 4

    def test_a_citation_without_doi_is_only_in_the_text(self):
        said, files = self.described(citations=("Somebody, in a drawer",))
        assert said["cite"] == []
        assert "Somebody, in a drawer" in files["README.md"].decode()

    def test_names_are_long_and_plain_enough(self):
        assert self.described(name="unet")[0]["name"] == "unet (particles)"
        assert self.described(name="körner!")[0]["name"] == "k rner "
        assert self.described(version="1.2")[0]["version"] == "1.2"
        assert "version" not in self.described(version="my best")[0]

    def test_every_task_has_words(self):
        for task in TASKS:
            said, _ = self.described(task=task, stride=1)
            assert said["outputs"][0]["description"] == TASKS[task]

    def test_what_the_format_has_no_words_for(self):
        with pytest.raises(OptionError, match="dropout masks"):
            bioimage_files(CARD, b"", image=np.ones((1, 1, 8, 8)), maps=np.ones((1, 4, 4, 4)))
        with pytest.raises(OptionError, match=r"standard deviation 1e-09; train on images in a smaller unit"):
            self.described(normalisation={"kind": "measured", "mean": [0.0], "sd": [1e-9]})


@pytest.mark.slow
def test_reading_a_card_loads_no_engine(tmp_path):
    path = save(tmp_path / "m")
    code = (
        "import sys; from segmetry.io.model_folder import read_card; "
        f"read_card({str(path)!r}); print('onnxruntime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"


def test_errors_are_ours():
    assert issubclass(ReadError, SegmetryError)
