from __future__ import annotations

from dataclasses import replace

import pytest

from visionkit.flywheel.catalog import Catalog, Model, open_catalog
from visionkit.flywheel.catalog.store import Table


def test_a_model_comes_back_with_what_it_was_made_of(catalog: Catalog) -> None:
    model = Model("m1", "/b", "m0", "v2", "c0ffee", "abc", "2026-01-01", {"ap50": 0.5})
    catalog.add_model(model)
    catalog.add_model(Model("m2", "/c"))
    found = open_catalog(catalog.uri).models()
    assert found[0] == model
    assert found[1].created
    assert replace(found[1], created="") == Model("m2", "/c")


def test_one_model_is_champion_and_the_old_one_retires(catalog: Catalog) -> None:
    for name in ("m1", "m2"):
        catalog.add_model(Model(name, f"/{name}"))
    catalog.add_model(Model("m3", "/m3", status="retired"))  # one that lost against the champion
    assert catalog.champion() is None
    assert catalog.promote("m1").status == "champion"
    assert catalog.promote("m2").status == "champion"
    assert catalog.promote("m2").status == "champion"
    for each in (catalog, open_catalog(catalog.uri)):
        champion = each.champion()
        assert champion is not None
        assert champion.name == "m2"
        assert {model.name: model.status for model in each.models()} == {
            "m1": "retired",
            "m2": "champion",
            "m3": "retired",
        }


def test_what_can_not_be_is_refused(catalog: Catalog) -> None:
    catalog.add_model(Model("m1", "/b", status="champion"))
    with pytest.raises(ValueError, match="must be its own, got 'm1'"):
        catalog.add_model(Model("m1", "/c"))
    with pytest.raises(ValueError, match="there is a champion"):
        catalog.add_model(Model("m2", "/c", status="champion"))
    with pytest.raises(KeyError, match=r"\(m1\), got 'm9'"):
        catalog.promote("m9")


def test_a_new_model_becomes_champion_in_one_write(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.add_model(Model("m1", "/b", status="champion"))
    written = []
    append = Table.append
    monkeypatch.setattr(
        Table,
        "append",
        lambda table, rows: (written.append(rows.num_rows), append(table, rows))[1],
    )
    found = catalog.promote(Model("m2", "/c", parent="m1"))
    assert written == [2]  # the new one, and the old one as it is now
    assert (found.name, found.status, found.parent) == ("m2", "champion", "m1")
    assert found.created
    statuses = {each.name: each.status for each in open_catalog(catalog.uri).models()}
    assert statuses == {"m1": "retired", "m2": "champion"}
    with pytest.raises(ValueError, match="must be its own, got 'm1'"):
        catalog.promote(Model("m1", "/d"))
    assert catalog.champion() == found
