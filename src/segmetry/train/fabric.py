"""Lightning's Fabric, imported so that a torchvision that does not fit torch is no hindrance."""

from __future__ import annotations

import contextlib

from segmetry.nets.vision import import_torchvision

# Lightning imports torchvision where it is installed.
with contextlib.suppress(ImportError):
    import_torchvision()

from lightning.fabric import Fabric

__all__ = ["Fabric"]
