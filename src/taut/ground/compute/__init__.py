"""Where work runs: processes of this machine, told apart for good by process id and start time."""

from taut.ground.compute.processes import handle_of, is_alive, start_detached, stop_process

__all__ = ["handle_of", "is_alive", "start_detached", "stop_process"]
