"""The frozen data classes that flow along the line: what one room hands to the next, and what every face shows."""

from taut.records.data import MD5_DIGITS, Column, ColumnProfile, DatasetVersion, TableProfile, TreeFile
from taut.records.deployments import Backend, Deployment, DeploymentState, Setting
from taut.records.models import Compilation, GateCheck, GateResult, ModelVersion
from taut.records.predictions import BatchJob, Prediction
from taut.records.runs import (
    Capture,
    Determinism,
    GitState,
    InputRead,
    Library,
    OutputWritten,
    OutsideReads,
    RemoteRead,
    Reproduction,
    Run,
    Seeding,
    Surroundings,
    Usage,
)
from taut.records.runs import Level as Level
from taut.records.runs import Sameness as Sameness
from taut.records.windows import Alert, Window

__all__ = [
    "MD5_DIGITS",
    "Alert",
    "Backend",
    "BatchJob",
    "Capture",
    "Column",
    "ColumnProfile",
    "Compilation",
    "DatasetVersion",
    "Deployment",
    "DeploymentState",
    "Determinism",
    "GateCheck",
    "GateResult",
    "GitState",
    "InputRead",
    "Library",
    "ModelVersion",
    "OutputWritten",
    "OutsideReads",
    "Prediction",
    "RemoteRead",
    "Reproduction",
    "Run",
    "Seeding",
    "Setting",
    "Surroundings",
    "TableProfile",
    "TreeFile",
    "Usage",
    "Window",
]
