"""A model for programs of bioimage.io: what it describes, done step by step by hand, gives what it says."""

import gc
import socket
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import tiny_onnx
import yaml

from segmetry.errors import OptionError, ReadError, WriteError
from segmetry.io.model_folder import read_card, read_model_folder, write_model_folder
from segmetry.segment.engine import load_model, normalise
from segmetry.segment.model_export import export_model
from segmetry.segment.network import temper

MEASURED = {"kind": "measured", "mean": [90.0, 20.0], "sd": [30.0, 4.0]}
MODELS = {
    "standardise": {},
    "clipped": {"normalisation": {"kind": "standardise", "clip": 0.5}},
    "unit": {"normalisation": {"kind": "unit"}, "channels": 3},
    "measured": {"normalisation": MEASURED, "channels": 2},
    "with place": {"normalisation": MEASURED | {"coordinates": True}, "channels": 4},
    "two classes": {"classes": ("rock", "crack"), "maps": ("crack",), "post": {"temperature": 1.6}},
    "three classes": {"classes": ("a", "b", "c"), "maps": ("a", "b", "c"), "post": {"temperature": 0.7}},
    "not calibrated": {"classes": ("a", "b", "c"), "maps": ("a", "b", "c")},
    "a map beside": {"classes": ("a", "b"), "maps": ("b", "distance")},
    "short name": {"name": "unet"},
}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def made(request, tmp_path):
    """Return the folders of a model and of what was exported of it."""
    changes = request.param
    kernel = tiny_onnx.weights(3, len(changes.get("maps", "ab")), changes.get("channels", 1))
    stride = 1 if "classes" in changes else 2
    card = tiny_onnx.tiny_card(kernel, stride=stride, **changes)
    write_model_folder(tmp_path / "m", card, tiny_onnx.tiny(kernel, stride=stride))
    export_model(tmp_path / "m", tmp_path / "out")
    return tmp_path / "m", tmp_path / "out"


def step(tensor, one):
    """Return a tensor (1, C, M, N) after one step of the format, as its specification defines it."""
    given = one.get("kwargs", {})
    match one["id"]:
        case "ensure_dtype":
            return tensor.astype(given["dtype"])
        case "scale_linear":
            return tensor * given["gain"]
        case "zero_mean_unit_variance":
            assert given["axes"] == ["channel", "y", "x"]
            return (tensor - tensor.mean()) / (tensor.std() + 1e-6)
        case "fixed_zero_mean_unit_variance":
            mean, std = (np.reshape(given[key], (1, -1, 1, 1)) for key in ("mean", "std"))
            return (tensor - mean) / std
        case "clip":
            return tensor.clip(given["min"], given["max"])
        case "sigmoid":
            return 1 / (1 + np.exp(-tensor))
        case "softmax":
            return np.exp(tensor) / np.exp(tensor).sum(axis=1, keepdims=True)
    raise AssertionError(one)


def test_its_steps_by_hand_give_its_test_tensor(made):
    out = made[1]
    said = yaml.safe_load((out / "rdf.yaml").read_text(encoding="utf-8"))
    (image,), (maps,) = said["inputs"], said["outputs"]
    tensor = np.load(out / image["test_tensor"]["source"])
    assert tensor.dtype.name == image["data"]["type"]
    assert tensor.shape[1] == len(image["axes"][1]["channel_names"])
    for one in image["preprocessing"]:
        tensor = step(tensor, one)
    session = onnxruntime.InferenceSession(out / said["weights"]["onnx"]["source"])
    assert [i.name for i in session.get_inputs()] == ["image"]
    (found,) = session.run(None, {"image": tensor.astype(np.float32)})
    for one in maps["postprocessing"]:
        found = step(found, one)
    wanted = np.load(out / maps["test_tensor"]["source"])
    assert wanted.std() > 0.01
    # The format divides by the deviation + 1e-6, and both sum in 32 bits.
    assert found == pytest.approx(wanted, abs=1e-5, rel=1e-5)


def test_it_is_a_model_of_ours_too(made):
    original, exported = (load_model(folder) for folder in made)
    assert not exported.card.can_sample
    wanted = {**original.card.as_dict(), "dropout": [], "sha256": exported.card.sha256}
    assert exported.card.as_dict() == wanted
    n = original.card.channels - 2 * original.card.with_coordinates
    image = normalise(original.card, np.random.default_rng(3).integers(0, 255, (n, 20, 24)).astype(np.uint8))
    assert np.array_equal(exported.maps(image), original.maps(image))


def test_probabilities_are_those_that_segmetry_gives(tmp_path):
    kernel = tiny_onnx.weights(3, 3)
    card = tiny_onnx.tiny_card(kernel, stride=1, **MODELS["three classes"])
    write_model_folder(tmp_path / "m", card, tiny_onnx.tiny(kernel, stride=1))
    export_model(tmp_path / "m", tmp_path / "out")
    raw, wanted = (np.load(tmp_path / "out" / f"test_{name}.npy")[0] for name in ("image", "maps"))
    assert temper(load_model(tmp_path / "m"), normalise(card, raw), 1) == pytest.approx(wanted, abs=1e-6)
    assert wanted.sum(axis=0) == pytest.approx(1, abs=1e-6)


@pytest.fixture
def spec(monkeypatch):
    """Return the library of the format, which nothing lets into the network."""
    import bioimageio.spec  # takes a second

    asked = []

    def refuse(*where, **_):
        asked.append(where)
        raise OSError("no network in tests")

    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    yield bioimageio.spec
    gc.collect()  # the library leaves files open: say so here, where nobody listens
    assert not asked


def said_of(model):
    """Return what the library says of a model: its status ("passed" takes a run by bioimageio.core), and the errors."""
    summary = model.validation_summary
    return summary.status, [error.msg for detail in summary.details for error in detail.errors]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_library_of_the_format_accepts_it(made, spec):
    out = made[1]
    model = spec.load_description(out / "rdf.yaml", format_version="discover", perform_io_checks=True)
    assert said_of(model) == ("valid-format", [])
    assert isinstance(model, spec.model.v0_5.ModelDescr)
    for arrays, name in ((model.get_input_test_arrays(), "image"), (model.get_output_test_arrays(), "maps")):
        (array,) = arrays
        assert np.array_equal(array, np.load(out / f"test_{name}.npy"))
        sample = spec.utils.load_image(out / f"sample_{name}.tif")
        assert np.array_equal(np.squeeze(sample), np.squeeze(array))
    assert model.weights.onnx.get_reader().read() == (out / "model.onnx").read_bytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_library_of_the_format_takes_the_model_that_ships_as_a_zip_and_no_other_tensors(tmp_path, spec):
    export_model("particles", tmp_path / "particles.zip")
    assert said_of(spec.load_description(tmp_path / "particles.zip", perform_io_checks=True)) == ("valid-format", [])
    export_model("particles", tmp_path / "particles")
    maps = np.load(tmp_path / "particles/test_maps.npy")
    np.save(tmp_path / "particles/test_maps.npy", maps + 1)
    status, errors = said_of(spec.load_description(tmp_path / "particles/rdf.yaml", perform_io_checks=True))
    assert status == "failed"
    assert any("test_maps.npy" in text and "SHA256" in text.upper() for text in errors), errors


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_program_of_the_format_runs_it(made):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        core = pytest.importorskip("bioimageio.core")
        summary = core.test_model(made[1] / "rdf.yaml")
    assert summary.status == "passed", summary.details


def test_a_zip_holds_the_same(tmp_path):
    export_model("particles", tmp_path / "particles")
    export_model("particles", tmp_path / "particles.zip")
    with zipfile.ZipFile(tmp_path / "particles.zip") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    assert held == {p.name: p.read_bytes() for p in (tmp_path / "particles").iterdir()}


def test_what_is_there_is_kept(tmp_path):
    kernel = tiny_onnx.weights()
    model = tmp_path / "m"
    write_model_folder(model, tiny_onnx.tiny_card(kernel), tiny_onnx.tiny(kernel))
    with pytest.raises(OptionError, match="is the model itself"):
        export_model(model, tmp_path / "." / "m")
    assert read_card(model).can_sample
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("holiday.jpg", b"mine")
    with pytest.raises(WriteError, match="holds something that is no model"):
        export_model(model, tmp_path / "photos.zip")
    with zipfile.ZipFile(tmp_path / "photos.zip") as archive:
        assert archive.namelist() == ["holiday.jpg"]
    export_model(model, tmp_path / "again.zip")
    export_model(model, tmp_path / "again.zip")


def test_a_damaged_model_is_not_exported(tmp_path):
    kernel = tiny_onnx.weights()
    write_model_folder(tmp_path / "m", tiny_onnx.tiny_card(kernel), tiny_onnx.tiny(kernel))
    onnx = read_model_folder(tmp_path / "m").onnx
    (tmp_path / "m/model.onnx").write_bytes(onnx[:-1])
    with pytest.raises(ReadError, match="is damaged"):
        export_model(tmp_path / "m", tmp_path / "out")
    card = replace(tiny_onnx.tiny_card(kernel), normalisation={"kind": "measured", "mean": [0.0], "sd": [1e-9]})
    write_model_folder(tmp_path / "n", card, onnx)
    with pytest.raises(OptionError, match="smaller unit"):
        export_model(tmp_path / "n", tmp_path / "out")
    assert not (tmp_path / "out").exists()
