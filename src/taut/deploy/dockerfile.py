"""The Dockerfile of a served model, as text: packages in one layer, the model in the next, nobody is root."""

import json
from collections.abc import Mapping

PORT = 8080
# Numeric, for Kubernetes' runAsNonRoot cannot look names up; above what distributions give to accounts of their own.
USER = 10001
# No curl is in a slim image; Python is. It asks the readiness that the model server itself states.
PROBE = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{PORT}/v2/health/ready', timeout=3)"

TEMPLATE = """\
# {title}. Build it in this folder with: {build}
ARG BASE=python:{python}-slim

FROM ${{BASE}} AS packages
COPY packages/ /packages/
RUN {install_options}python -m venv --without-pip /opt/taut \\
    && python -m pip --python /opt/taut/bin/python install --no-cache-dir --no-compile \\
        {install} \\
    && PYTHONHASHSEED=0 python -m compileall -q -j 0 -x '/tests?/' \\
        --invalidation-mode unchecked-hash /opt/taut/lib

FROM ${{BASE}}
LABEL {labels}
ENV PATH=/opt/taut/bin:/usr/local/bin:/usr/bin:/bin \\
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \\
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \\
    HOME=/tmp XDG_CACHE_HOME=/tmp/cache XDG_STATE_HOME=/tmp/state
COPY --from=packages /opt/taut /opt/taut
COPY model/ /model/
USER {user}:{user}
WORKDIR /
EXPOSE {port}
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD {probe}
ENTRYPOINT ["python", "-m", "taut.serve"]
CMD {command}
"""
FROM_WHEELS = "--no-index --find-links /packages --require-hashes --requirement /packages/requirements.lock"
FROM_INDEX = "--requirement /packages/requirements.txt --constraint /packages/constraints.txt"
# The settings of a private index reach the build as a secret: a build argument would stay in the image's history.
INDEX_SETTINGS = "--mount=type=secret,id=pip,target=/etc/pip.conf "


def render_dockerfile(
    *, title: str, build: str, python: str, hermetic: bool, labels: Mapping[str, str], command: tuple[str, ...]
) -> str:
    """The Dockerfile: `hermetic` installs from the wheels beside it alone, else from the index of whoever builds.

    `command` are the arguments of the server, which whoever runs the image may replace. The virtual environment is
    compiled by the content of its files and not by their times, so that a read-only container starts fast and two
    builds give the same files.
    """
    return TEMPLATE.format(
        title=title,
        build=build,
        python=python,
        install_options="" if hermetic else INDEX_SETTINGS,
        install=FROM_WHEELS if hermetic else FROM_INDEX,
        labels=" \\\n    ".join(f"{name}={quoted(value)}" for name, value in sorted(labels.items())),
        user=USER,
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
