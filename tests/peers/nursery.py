"""A process that has imported the unchanged MLflow client and forks: each program begins where `import mlflow` ends.

The import is all that programs share; it takes 1.2 s of processor time, more than what most of them do afterwards. Run
as a script: an order is a line of JSON on stdin, its answer the exit status of the program, a line on stdout.
"""

import gc
import importlib
import json
import os
import sys
import types
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    importlib.import_module("mlflow")
gc.collect()
gc.freeze()

for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if not child:
        break
    sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
    sys.stdout.flush()
else:
    sys.exit()

# From here on this is the program's process: what `python -c PROGRAM` would have around it, to the orderly end.
os.environ.clear()
os.environ.update(order["environment"])
os.chdir(order["folder"])
places = ((0, os.devnull, os.O_RDONLY), (1, order["out"], os.O_WRONLY), (2, order["err"], os.O_WRONLY))
for descriptor, path, flags in places:
    opened = os.open(path, flags)
    os.dup2(opened, descriptor)
    os.close(opened)
sys.argv, sys.path[0] = ["-c"], ""
main = sys.modules["__main__"] = types.ModuleType("__main__")
exec(compile(order["program"], "<string>", "exec"), main.__dict__)
