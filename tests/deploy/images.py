"""A model of a few bytes in a home: all that images and manifests are made of, without training anything."""

from pathlib import Path

from taut.ground.access import Actor
from taut.ground.clock import SetClock
from taut.home import Home, open_home
from taut.models import register_folder
from taut.records import Deployment, ModelVersion

MLMODEL = """\
flavors:
  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.7}
  sklearn: {pickled_model: model.skops, serialization_format: skops, sklearn_version: 1.6.1}
signature:
  inputs: '[{"type": "double", "name": "a", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
"""
REQUIREMENTS = "mlflow==3.7.0\nscikit-learn==1.6.1\npandas>=2\n"


def model_folder(tmp_path: Path, *, mlmodel: str = MLMODEL, requirements: str = REQUIREMENTS) -> Path:
    """An MLflow model folder whose model is not one; nobody loads it here."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text(mlmodel)
    (folder / "model.skops").write_bytes(b"not a model")
    if requirements:
        (folder / "requirements.txt").write_text(requirements)
    return folder


def home_of(project: Path) -> Home:
    """The opened project, on a clock that stands."""
    return open_home(project, actor=Actor("ada", "owner"), clock=SetClock(1_700_000_000_000))


def version_in(home: Home, tmp_path: Path, *, name: str = "late") -> ModelVersion:
    """The model, registered."""
    return register_folder(home, name, model_folder(tmp_path))


def deployment_of(version: ModelVersion, *, revision: int = 1, target: str = "docker") -> Deployment:
    """The wish to serve the version as `late`."""
    return Deployment("late", revision, version.name, version.number, target, {}, "manual", 0, "ada")
