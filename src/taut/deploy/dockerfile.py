"""The Dockerfile of a served model, as text: packages, server and model in a layer each, and nobody is root."""

import json
from collections.abc import Mapping

PORT = 8080
# Numeric, for Kubernetes' runAsNonRoot cannot look names up; above what distributions give to accounts of their own.
USER = 10001
# What was answered and not yet sent to the home's server: more than the memory behind /tmp, and it outlives a kill.
PREDICTIONS = "/predictions"
# No curl is in a slim image; Python is. It asks the readiness that the model server itself states.
PROBE = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{PORT}/v2/health/ready', timeout=3)"

TEMPLATE = """\
# {title}. Build it in this folder with: {build}
ARG BASE=python:{python}-slim

FROM ${{BASE}} AS packages
COPY packages/ /packages/
RUN {install_options}python -m venv --without-pip /opt/packages \\
    && python -m pip --python /opt/packages/bin/python install --no-cache-dir --no-compile \\
        {install} \\
    && {compile} /opt/packages/lib

FROM packages AS server
COPY server/ /server/
RUN python -m pip install --no-cache-dir --no-compile --no-deps --no-index --target /opt/server /server/{wheel} \\
    && {compile} /opt/server

FROM ${{BASE}}
ENV PATH=/opt/packages/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/opt/server \\
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \\
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \\
    HOME=/tmp XDG_CACHE_HOME=/tmp/cache XDG_STATE_HOME=/tmp/state TAUT_PREDICTIONS={predictions}
COPY --from=packages /opt/packages /opt/packages
COPY --from=server /opt/server /opt/server
COPY model/ /model/
{graph}RUN mkdir --mode 700 {predictions} && chown {user}:{user} {predictions}
LABEL {labels}
USER {user}:{user}
WORKDIR /
EXPOSE {port}
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD {probe}
ENTRYPOINT ["python", "-m", "taut.serve"]
CMD {command}
"""
# By the content of the files and not by their times; the tests that packages bring along are not worth the minute.
COMPILE = "PYTHONHASHSEED=0 python -m compileall -q -j 0 -x '/tests?/' --invalidation-mode unchecked-hash"
FROM_WHEELS = "--no-index --find-links /packages --require-hashes --requirement /packages/requirements.lock"
FROM_INDEX = "--requirement /packages/requirements.txt --constraint /packages/constraints.txt"
# The settings of a private index reach the build as a secret: a build argument would stay in the image's history.
INDEX_SETTINGS = "--mount=type=secret,id=pip,target=/etc/pip.conf "


def render_dockerfile(
    *,
    title: str,
    build: str,
    python: str,
    wheel: str,
    hermetic: bool,
    compiled: bool = False,
    labels: Mapping[str, str],
    command: tuple[str, ...],
) -> str:
    """The Dockerfile: `hermetic` installs from the wheels beside it alone, else from the index of whoever builds.

    `compiled` says that a graph lies beside the model. `command` are the arguments of the server, which whoever runs
    the image may replace. Packages, server and model are layers of their own, so that each changes alone; packages and
    server are compiled, for a read-only container could not keep what it compiles.
    """
    return TEMPLATE.format(
        title=title,
        build=build,
        python=python,
        wheel=wheel,
        compile=COMPILE,
        install_options="" if hermetic else INDEX_SETTINGS,
        install=FROM_WHEELS if hermetic else FROM_INDEX,
        graph="COPY graph/ /graph/\n" if compiled else "",
        labels=" \\\n    ".join(f"{name}={quoted(value)}" for name, value in sorted(labels.items())),
        user=USER,
        predictions=PREDICTIONS,
        port=PORT,
        probe=json.dumps(["python", "-c", PROBE]),
        command=json.dumps(command),
    )


def quoted(value: str) -> str:
    r"""A value of a LABEL as one word: quoted, on one line, with nothing that a Dockerfile would put something in for.

    >>> print(quoted('5 $HOME "x"'))
    "5 \$HOME \"x\""
    """
    line = " ".join(value.split())
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
