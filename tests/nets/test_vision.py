"""torchvision beside a torch that it was not compiled for: it imports, and says that its operators are not there."""

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from segmetry.nets.vision import import_torchvision  # noqa: E402


def test_it_says_whether_its_operators_can_run():
    try:
        whole = import_torchvision()
    except ImportError:
        pytest.skip("torchvision is not installed")
    from torchvision.ops import nms

    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2.1], [5, 5, 7, 7]]), torch.tensor([0.5, 0.9, 0.1]), 0.5
    if whole:
        assert nms(*boxes).tolist() == [1, 2]
    else:
        with pytest.raises(RuntimeError, match="Couldn't load custom C"):
            nms(*boxes)
    assert import_torchvision() is whole
