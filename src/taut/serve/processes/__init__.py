"""Models that are not compiled, each in processes of its own: foreign code may raise, hang, crash or eat memory there.

A zygote loads the model and forks; the processes answer calls over sockets; the pool gathers requests into calls, and
divides a call that fails so that only the guilty request is told so.
"""

from taut.serve.processes.failures import ModelDied, ModelFailed
from taut.serve.processes.pool import ModelProcesses, Sizes

__all__ = ["ModelDied", "ModelFailed", "ModelProcesses", "Sizes"]
