"""The training debugger: watches a training and says what is wrong with it, where and why."""

from visionkit.training.debugger.callback import TrainingDebugger
from visionkit.training.debugger.findings import Finding, read_findings, write_findings
from visionkit.training.debugger.settings import DebuggerSettings
from visionkit.training.debugger.watch import TrainingWatch

__all__ = [
    "DebuggerSettings",
    "Finding",
    "TrainingDebugger",
    "TrainingWatch",
    "read_findings",
    "write_findings",
]
