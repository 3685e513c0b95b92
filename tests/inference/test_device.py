from __future__ import annotations

import pytest

from visionkit.inference.device import pick_device


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_device(device: str) -> None:
    assert pick_device(device).type in ("cpu", "cuda")


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(ValueError, match="abacus"):
        pick_device("abacus")
