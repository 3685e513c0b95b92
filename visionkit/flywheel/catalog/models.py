"""The models of a catalog, and what each was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import pyarrow as pa

from visionkit.flywheel.catalog.schema import MODELS
from visionkit.flywheel.catalog.store import Store
from visionkit.flywheel.clock import utc_now

Status = Literal["champion", "challenger", "retired"]


@dataclass(frozen=True)
class Model:
    """A bundle and what it was made of.

    Attributes:
        name: unique within the catalog.
        bundle: its folder.
        parent: name of the model that it was trained from; "" for none.
        version: of the catalog that it was trained on; "" for none.
        config_hash: of the config that it was trained by.
        code: version of visionkit, or commit.
        created: ISO 8601 time; set by the catalog where it is "".
        metrics: figures, as JSON values.
        status: champion (in use, at most one), challenger or retired.
    """

    name: str
    bundle: str
    parent: str = ""
    version: str = ""
    config_hash: str = ""
    code: str = ""
    created: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    status: Status = "challenger"


class ModelTable:
    """The models by name, in the order they came."""

    def __init__(self, store: Store) -> None:
        self._table = store.table("models", MODELS)
        self.by_name: dict[str, Model] = {}

    @property
    def last(self) -> int:
        """The number of the last entry about a model; -1 before the first."""
        return self._table.last

    def follow(self) -> None:
        """Takes in what was added by anybody."""
        self._take(self._table.fresh())

    def champion(self) -> Model | None:
        """The model in use, or None before one was promoted."""
        return next((each for each in self.by_name.values() if each.status == "champion"), None)

    def add(self, model: Model) -> None:
        """Adds a model; while `Store.writing` is held and all was followed.

        Raises:
            ValueError: its name is taken or empty, its status is none, or there is a champion.
        """
        if model.status not in get_args(Status):
            raise ValueError(
                f"status must be one of {', '.join(get_args(Status))}, got {model.status!r}"
            )
        new = self._new(model)
        if model.status == "champion" and self.champion() is not None:
            raise ValueError("there is a champion; add the model as challenger and promote it")
        self._append([new])

    def promote(self, model: str | Model) -> Model:
        """Makes a model the champion and retires the old one, in one step, as a new one comes.

        Raises:
            KeyError: there is no model of that name.
            ValueError: the name of a new one is taken or empty.
        """
        found = self._new(model) if isinstance(model, Model) else self._known(model)
        old = self.champion()
        retired = [] if old is None or old.name == found.name else [replace(old, status="retired")]
        self._append([*retired, replace(found, status="champion")])
        return self.by_name[found.name]

    def _known(self, name: str) -> Model:
        if name not in self.by_name:
            names = ", ".join(self.by_name) or "none yet"
            raise KeyError(f"the model must be one of the catalog's ({names}), got {name!r}")
        return self.by_name[name]

    def _new(self, model: Model) -> Model:
        """The model with the time at which it came."""
        if not model.name.strip() or model.name in self.by_name:
            raise ValueError(
                f"the name of a model must be its own, got {model.name!r}; choose another"
            )
        return replace(model, created=model.created or utc_now())

    def _append(self, models: list[Model]) -> None:
        rows = [
            {**vars(model), "metrics": json.dumps(dict(model.metrics), allow_nan=False)}
            for model in models
        ]
        self._take(self._table.append(pa.Table.from_pylist(rows, schema=MODELS)))

    def _take(self, rows: pa.Table) -> None:
        for row in rows.select(MODELS.names).to_pylist():
            self.by_name[row["name"]] = Model(**{**row, "metrics": json.loads(row["metrics"])})
