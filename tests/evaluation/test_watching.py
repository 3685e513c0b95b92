from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from visionkit.evaluation.watching import Watched, heat_map, loss_chart, pictures_of, read_watched
from visionkit.files import write_json

SERIES: dict[str, Any] = {
    "steps": [0, 20],
    "layers": ["stem.weight", "<b>.weight"],
    "gradients": [[1.0, 0.1], [0.01, None]],
    "updates": [[0.0, 0.0], [0.0, 0.0]],
    "losses": [[0, 2.0], [1, 1.0], [2, 0.5]],
    "validation": [[2, 0.7]],
    "histograms": {"stem": [[], [0, 3, 1]]},
}
FINDING = {"rule": "dead_relu", "step": 1}


def test_nothing_was_watched(tmp_path: Path) -> None:
    assert read_watched(tmp_path / "run") is None
    assert pictures_of(None) == []
    assert heat_map([], [], []) == ""
    assert loss_chart([[0, 1.0]], [], []) == ""


def test_cells_are_as_dark_as_their_logarithm() -> None:
    drawn = heat_map(SERIES["layers"], SERIES["steps"], SERIES["gradients"])
    assert re.findall(r'opacity="([0-9.]+)"', drawn) == ["1.00", "0.53", "0.05"]
    assert "&lt;b&gt;.weight" in drawn
    assert "<b>" not in drawn


def test_pictures_of_which_nothing_was_seen_are_left_out(tmp_path: Path) -> None:
    write_json(tmp_path / "findings.json", [FINDING])
    write_json(tmp_path / "debugger.json", SERIES)
    watched = read_watched(tmp_path / "head")  # a head of several, trained in the folder above
    assert watched == Watched([FINDING], SERIES)
    names = [name for name, _, _ in pictures_of(watched)]
    assert names == ["Gradient flow", "Activations", "Loss and findings"]  # no step moved a weight


def test_a_finding_stands_where_it_began() -> None:
    drawn = loss_chart(SERIES["losses"], SERIES["validation"], [FINDING])
    assert 'x1="360.0"' in drawn  # step 1 of 0..2, from 40 to 680 px
    assert "dead_relu" in drawn
    assert drawn.count("<circle") == 1


def test_a_long_name_of_a_layer_keeps_its_end_and_shows_that_it_was_cut() -> None:
    name = "model.backbone.network.blocks.2.0.pw_exp.conv.weight"
    drawn = heat_map([name], [0], [[1.0]])
    assert ">…" + name[-31:] + "</text>" in drawn
    assert f"<title>{name}, step 0" in drawn
