"""The PyTorch flavour: a pickled module, TorchScript, or an exported program, asked without gradients."""

import importlib
import io
import os
from functools import partial
from typing import Any

from taut.errors import UsageError
from taut.models.flavours.code import add_code
from taut.models.flavours.pyfunc import load as load_pyfunc
from taut.models.flavours.saved import Loaded, Saved, loading

PICKLED, EXPORTED, PICKLED_BY = "model.pth", "model.pt2", "pickle_module_info.txt"
PICKLERS = {"pickle": "pickle", "cloudpickle": "pickle", "mlflow.pytorch.pickle_module": "pickle", "dill": "dill"}
"""By what wrote a pickle, what reads it: MLflow's own module and cloudpickle write what the standard library reads."""


def load(saved: Saved) -> Loaded:
    """A module in its mode for answers. A pickle may run anything: it was verified before."""
    data = saved.setting("model_data", "data")
    add_code(saved)
    exported = f"{data}/{EXPORTED}" in saved.files
    path = f"{data}/{EXPORTED if exported else PICKLED}"
    with loading(saved, path):
        import torch

        file = io.BytesIO(saved.read(path))
        if exported:
            module = torch.export.load(file).module()
        else:
            module = torch.load(file, pickle_module=_pickler(saved, data), weights_only=False)
            module.eval()
        device = _device(saved, torch)
        if not exported:
            module.to(device=device)
    if any(base.__module__.startswith("pytorch_forecasting.") for base in type(module).__mro__):
        return load_pyfunc(saved)  # It takes frames and answers by a method of its own.
    asked = partial(_ask, torch, module, device)
    return Loaded(module, asked, no_graph="a PyTorch module has no graph")


def _ask(torch: Any, module: Any, device: str, rows: Any, params: dict[str, Any]) -> Any:
    """The output for an array; a data frame goes in as float32 and comes out as a frame, as MLflow has it."""
    import numpy as np

    if isinstance(rows, dict):
        raise UsageError(
            "the model takes several tensors, which MLflow's PyTorch flavour does not give to a model",
            hint="wrap it in a mlflow.pyfunc.PythonModel",
        )
    array = rows if isinstance(rows, np.ndarray) else rows.to_numpy(dtype=np.float32)
    with torch.no_grad():
        answered = module(torch.from_numpy(array).to(device), **params)
    if not isinstance(answered, torch.Tensor):
        raise UsageError(
            f"the model answers {type(answered).__name__}; taut serves modules that answer one tensor",
            hint="wrap it in a mlflow.pyfunc.PythonModel",
        )
    made = answered.cpu().numpy()
    return made if rows is array or made.ndim > 2 else type(rows)(made)


def _pickler(saved: Saved, data: str) -> Any:
    """The module that pickled it, by the name in the model's own file. Raises UsageError for one that is not known."""
    name = saved.read(f"{data}/{PICKLED_BY}").decode().strip()
    if name not in PICKLERS:
        raise UsageError(f"this model was pickled by {name!r}; taut loads {', '.join(PICKLERS)}")
    return importlib.import_module(PICKLERS[name])


def _device(saved: Saved, torch: Any) -> str:
    """Where to compute: as the model or MLflow's own setting says, else the graphics card if there is one."""
    config = saved.model.flavours.get("python_function", {}).get("config") or {}
    said = config.get("device") or os.environ.get("MLFLOW_DEFAULT_PREDICTION_DEVICE")
    return str(said or ("cuda" if torch.cuda.is_available() else "cpu"))
