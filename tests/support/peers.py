"""Libraries that answers are held against."""

from contextlib import suppress

import pytest


def torchmetrics(part):
    """Return a module of torchmetrics, or skip; it imports torchvision, which need not fit the torch that is there."""
    pytest.importorskip("torch")
    from segmetry.nets.vision import import_torchvision

    with suppress(ImportError):
        import_torchvision()
    return pytest.importorskip(f"torchmetrics.{part}")
