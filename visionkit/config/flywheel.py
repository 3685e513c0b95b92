"""What the jobs of the flywheel are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from visionkit.config.limits import Fraction, Limits, SomePath


@dataclass
class ReviewConfig:
    """What `visionkit review` is told (conf/review.yaml)."""

    catalog: SomePath
    host: str
    port: Annotated[int, Limits(minimum=0, maximum=65535)]
    hosts: list[str]
    token: str | None
    reviewer: str | None
    twice_share: Fraction
    lease_seconds: Annotated[float, Limits(minimum=5)]
    refresh_seconds: Annotated[float, Limits(minimum=1)]
    debug: bool
