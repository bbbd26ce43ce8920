"""`import segmetry` is quick and light, and its names answer in whatever order modules are loaded."""

import subprocess
import sys

import pytest

import segmetry

HEAVY = (
    "torch",
    "pandas",
    "matplotlib",
    "numba",
    "scipy",
    "skimage",
    "cv2",
    "rapidocr",
    "onnxruntime",
    "jinja2",
    "PIL",
)


def fresh(code: str) -> str:
    """Return what code prints in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import segmetry",
        "import segmetry, segmetry.errors, segmetry.types, segmetry.units",
        "import segmetry; dir(segmetry), segmetry.__version__, segmetry.Calibration, segmetry.SegmetryError",
        "import segmetry.segment.methods",
        "from segmetry.io.card import Card",
        "from segmetry.cli import main; main(['--help'])",
        "from segmetry.cli import main; main(['measure', '--help'])",
        "from segmetry.cli import main; main(['networks', '--help'])",
        "from segmetry.cli import main; main(['train', '--help'])",
        "from segmetry.cli import main; main(['--version'])",
    ],
)
def test_what_must_be_light_loads_nothing_heavy(code):
    end = f"import sys; print('|', *[m for m in {HEAVY} if m in sys.modules])"
    assert fresh(f"{code}\n{end}").rpartition("|")[2].strip() == ""


@pytest.mark.slow
@pytest.mark.torch
def test_networks_and_training_load_what_they_build_and_run_with_only_then():
    pytest.importorskip("torch")
    late = ("torchvision", "timm", "segmentation_models_pytorch", "lightning_fabric", "torchmetrics", "onnx")
    code = "import sys, segmetry.nets.table, segmetry.train.run, segmetry.train.class_task"
    assert fresh(f"{code}\nprint(*[m for m in {late} if m in sys.modules])") == ""


def test_every_public_name_is_there():
    assert {"read", "segment", "measure", "distribution", "radial_distribution", "simulate", "report"} <= set(
        dir(segmetry)
    )
    for name in segmetry.__all__:
        assert getattr(segmetry, name) is not None


def test_a_name_that_does_not_exist():
    with pytest.raises(AttributeError, match="measur"):
        _ = segmetry.measur


LABELS = "import numpy as np; labels = np.array([[1, 1, 0], [0, 0, 2]])"
CALLS = {
    "measure": "assert len(segmetry.measure(labels)) == 2",
    "segment": "assert segmetry.segment(np.zeros((9, 9)), 'otsu').n_regions == 0",
    "report": "import pytest\nwith pytest.raises(segmetry.SegmetryError): segmetry.report([], 'nowhere.html')",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "imports",
    [
        "import segmetry",
        "import segmetry.{name}; import segmetry",
        "import segmetry.{name} as folder; import segmetry",
        "from segmetry.{name} import {name} as function; import segmetry",
        "import segmetry; segmetry.{name}; import segmetry.{name}",
        "import segmetry; first = segmetry.{name}; import segmetry.pipeline; assert callable(first)",
        "import segmetry.pipeline, segmetry.report, segmetry.gather, segmetry.cli.batches; import segmetry",
        "from segmetry import {name}; import segmetry; assert callable({name})",
        "import segmetry.cli.app; import segmetry",
    ],
)
def test_a_folder_and_a_function_share_a_name(name, imports):
    fresh("\n".join((imports.format(name=name), LABELS, "import segmetry", CALLS[name])))


@pytest.mark.slow
def test_the_door_keeps_help_and_signature():
    for name in CALLS:
        door = fresh(
            f"import inspect, segmetry.{name} as m; import segmetry; print(inspect.signature(segmetry.{name}))"
        )
        home = fresh(
            f"import inspect, importlib; print(inspect.signature(importlib.import_module('segmetry.{name}').{name}))"
        )
        assert door == home
    assert callable(segmetry.read)
    fresh("import segmetry.io.read, segmetry; assert callable(segmetry.read) and callable(segmetry.io.read)")
