"""Further cases of security and collaboration: secrets and what only looks so, loaders, users, permissions, litter."""

from tests.audit.case import FLASK, FLASK_PLAIN, Case, image, served
from tests.audit.repositories import DEPLOYMENT, HARDENED, LESSON, SERVE, TRAIN, WORKFLOW

CODE: dict[str, str | bytes] = {"a.py": "x = 1\n"}
GITHUB = ".github/workflows/a.yml"
MARKED = {
    "a token of GitHub": "ghp_" + "a1B2" * 9,
    "a token of GitLab": "glpat-" + "a1B2c3D4e5" * 2,
    "a token of Slack": "xoxb-" + "1a2b3c4d5e" * 2,
    "a live key of payments": "sk_live_" + "a1B2c3D4e5" * 2,
    "a token of a model hub": "hf_" + "aB1cD2eF3g" * 3,
    "a private key": "-----BEGIN RSA PRIVATE KEY-----",
    "a token of a lakehouse": "dapi" + "0123456789abcdef" * 2,
}
HARMLESS = {
    "a value from the environment": 'password = os.environ["PW"]',
    "a value from a prompt": "password = getpass()",
    "a placeholder to change": 'password = "changeme"',
    "a placeholder in brackets": 'api_key = "<your key>"',
    "an empty value": 'password = ""',
    "a name of a header": 'api_key = "X-API-Key"',
    "a sentence": 'password = "ask the team for it"',
    "a token of text": 'eos_token = "a1b2c3d4e5f6g7h8"',
    "a path to a secret": 'token = "/run/secrets/a1b2c3d4e5f6"',
    "a variable of the same name": "connect(password=password)",
    "a template": 'password = "{{ password }}"',
}
CHECKED = "import os\n{}\n\n\ndef check(api_key):\n{}\n"
LOADED = "import yaml\nx = yaml.load(open('a'){})\n"

SECRETS = [
    *(
        Case("SG01", f"{what} in code", "fail", {"a.py": f'x = "{mark}"\n'}, True, "a.py:1")
        for what, mark in MARKED.items()
    ),
    *(
        Case("SG01", f"{what} in configuration", "fail", {"a.ini": f"x = {mark}\n"}, True, "a.ini:1")
        for what, mark in MARKED.items()
    ),
    *(Case("SG01", f"{what} is none", "pass", {"a.py": f"{line}\n"}) for what, line in HARMLESS.items()),
    Case(
        "SG01",
        "a password in a dictionary",
        "fail",
        {"a.py": 'x = {\n    "password": "hunter22",\n}\n'},
        True,
        "a.py:2",
    ),
    Case("SG01", "a password of an attribute", "fail", {"a.py": 's.db_password = "hunter22"\n'}, True, "a.py:1"),
    Case("SG01", "a password under a key", "fail", {"a.py": 'c["password"] = "hunter22"\n'}, True, "a.py:1"),
    Case("SG01", "a password with a type", "fail", {"a.py": 'PASSWORD: str = "hunter22"\n'}, True, "a.py:1"),
    Case(
        "SG01",
        "a key of a notebook",
        "fail",
        {"a.ipynb": '{"cells": [\n{"cell_type": "code", "source": "api_key = \'8f3k29dkw0qlx81m\'"}]}'},
        True,
        "a.ipynb:2",
    ),
    Case(
        "SG01",
        "a picture in the outputs of a notebook",
        "pass",
        {"a.ipynb": '{"cells": [{"cell_type": "code", "source": "x = 1", "outputs": ["' + "ghp_x" * 30 + '"]}]}'},
    ),
    Case(
        "SG01", "an image with a password", "fail", image("FROM a:1\nENV DB_PASSWORD=hunter22\n"), True, "Dockerfile:2"
    ),
    Case("SG01", "an exported password", "fail", {"run.sh": "export DB_PASSWORD=hunter22\n"}, True, "run.sh:1"),
    Case("SG01", "a committed environment", "fail", {**CODE, ".env": "SECRET_KEY=8f3k29dkw0qlx81m\n"}, True, ".env:1"),
    Case("SG01", "the example of an environment", "pass", {**CODE, ".env.example": "PASSWORD=hunter22\n"}),
    Case("SG01", "variables of Terraform", "fail", {"a.tfvars": 'db_password = "hunter22"\n'}, True, "a.tfvars:1"),
    Case(
        "SG01",
        "a default of a well-known tool",
        "fail",
        {"compose.yaml": "services:\n  s3:\n    environment:\n      ROOT_PASSWORD: minioadmin\n"},
        True,
        "compose.yaml:4",
    ),
    Case("SG01", "a variable without default", "pass", {"compose.yaml": "a:\n  POSTGRES_PASSWORD: ${PW}\n"}),
    Case("SG01", "a secret of CI", "pass", {GITHUB: "env:\n  API_KEY: ${{ secrets.API_KEY }}\n"}),
    Case("SG01", "a password of a test", "pass", {**CODE, "tests/a.py": 'password = "hunter22"\n'}),
    Case("SG01", "an address without password", "pass", {"a.py": 'u = "postgresql://ann@db/late"\n'}),
    Case("SG01", "an address with a variable", "pass", {"a.py": 'u = "postgresql://ann:${PW}@db/late"\n'}),
    Case("SG01", "nothing shared", "na", {"a.bin": b"\0"}),
]

LOADS = [
    *(
        Case(
            "SG04", f"read by {name}", "fail", {"a.py": f"import {name.split('.')[0]}\nx = {name}(f)\n"}, True, "a.py:2"
        )
        for name in (
            "pickle.load",
            "joblib.load",
            "dill.loads",
            "cloudpickle.load",
            "pandas.read_pickle",
            "shelve.open",
        )
    ),
    Case(
        "SG04",
        "a pickle by another name",
        "fail",
        {"a.py": "from joblib import load as get\nx = get('m')\n"},
        True,
        "a.py:2",
    ),
    Case(
        "SG04",
        "a digest before",
        "pass",
        {"a.py": "import hashlib, pickle\nassert hashlib.sha256(b).hexdigest() == D\nx = pickle.loads(b)\n"},
    ),
    Case(
        "SG04",
        "a digest in another function",
        "fail",
        {
            "a.py": "import hashlib, pickle\n\n\ndef a(b):\n    return hashlib.sha256(b)\n\n\n"
            "def c(b):\n    return pickle.loads(b)\n"
        },
        True,
        "a.py:9",
    ),
    Case(
        "SG04",
        "torch with weights_only off",
        "fail",
        {"a.py": "import torch\ntorch.load('m', weights_only=False)\n"},
        True,
        "a.py:2",
    ),
    Case(
        "SG04",
        "arrays with objects",
        "fail",
        {"a.py": "import numpy as np\nnp.load('a.npy', allow_pickle=True)\n"},
        True,
        "a.py:2",
    ),
    Case("SG04", "arrays of numbers", "na", {"a.py": "import numpy as np\nnp.load('a.npy')\n"}),
    Case(
        "SG04",
        "tensors alone",
        "pass",
        {"a.py": "from safetensors.torch import load_file\nload_file('m')\n"},
        True,
        "a.py:2",
    ),
    Case("SG04", "YAML without a loader", "fail", {"a.py": LOADED.format("")}, True, "a.py:2"),
    Case(
        "SG04", "YAML with the full loader", "fail", {"a.py": LOADED.format(", Loader=yaml.FullLoader")}, True, "a.py:2"
    ),
    Case("SG04", "YAML with the safe loader", "pass", {"a.py": LOADED.format(", Loader=yaml.SafeLoader")}),
    Case("SG04", "YAML with the fast safe loader in place", "pass", {"a.py": LOADED.format(", yaml.CSafeLoader")}),
    Case(
        "SG04",
        "YAML with a loader chosen by what is there",
        "pass",
        {"a.py": 'import yaml\nL = getattr(yaml, "CSafeLoader", yaml.SafeLoader)\nx = yaml.load(f, Loader=L)\n'},
    ),
    Case(
        "SG04",
        "YAML with a choice that may be unsafe",
        "fail",
        {"a.py": 'import yaml\nL = getattr(yaml, "CSafeLoader", yaml.Loader)\nx = yaml.load(f, Loader=L)\n'},
        True,
        "a.py:3",
    ),
    Case(
        "SG04",
        "YAML with a loader imported by another name",
        "pass",
        {"a.py": "import yaml\nfrom yaml import CSafeLoader as Loader\nx = yaml.load(f, Loader)\n"},
    ),
    Case(
        "SG04",
        "YAML with an unsafe one by another name",
        "fail",
        {"a.py": "import yaml\nfrom yaml import UnsafeLoader as SafeLoader\nx = yaml.load(f, SafeLoader)\n"},
        True,
        "a.py:3",
    ),
    Case(
        "SG04",
        "YAML with a class of a safe one",
        "pass",
        {"a.py": "import yaml\n\n\nclass Strict(yaml.SafeLoader):\n    pass\n\n\nx = yaml.load(f, Strict)\n"},
    ),
    Case(
        "SG04",
        "YAML with a loader that a function makes",
        "pass",
        {
            "a.py": 'import yaml\n\n\ndef made():\n    return type("L", (yaml.SafeLoader,), {})\n\n\n'
            "L = made()\nx = yaml.load(f, L)\n"
        },
    ),
    Case(
        "SG04",
        "YAML with a loader that is its own",
        "fail",
        {"a.py": "import yaml\nL = L\nx = yaml.load(f, L)\n"},
        True,
        "a.py:3",
    ),
    Case("SG04", "a pickle in a test", "na", {**CODE, "tests/a.py": "import pickle\npickle.load(f)\n"}),
]

CALLERS = [
    Case(
        "SG05",
        "a header of a key",
        "pass",
        served("app = FastAPI()", 'app = FastAPI()\nkey = APIKeyHeader(name="k")'),
        True,
        "app.py:5",
    ),
    Case(
        "SG05",
        "a decorator",
        "pass",
        {"app.py": FLASK_PLAIN.replace("def predict", "@login_required\ndef predict")},
        True,
        "app.py:8",
    ),
    Case(
        "SG05",
        "middleware",
        "pass",
        served("app = FastAPI()", "app = FastAPI()\napp.add_middleware(AuthMiddleware)"),
        True,
        "app.py:5",
    ),
    Case(
        "SG05",
        "a dependency that asks nobody",
        "fail",
        served("body: dict", "body: dict, db=Depends(session)"),
        True,
        "app.py:9",
    ),
    Case(
        "SG05",
        "nginx in front",
        "pass",
        {"app.py": SERVE, "nginx.conf": "location / {\n  auth_basic on;\n}\n"},
        True,
        "nginx.conf:2",
    ),
    Case(
        "SG05",
        "a policy of the mesh",
        "pass",
        {"app.py": SERVE, "a.yaml": "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"},
        True,
        "a.yaml:1",
    ),
    Case(
        "SG06",
        "a comparison in constant time with a default",
        "fail",
        {"a.py": CHECKED.format('KEY = os.getenv("API_KEY", "dev")', "    return hmac.compare_digest(api_key, KEY)")},
        True,
        "a.py:2",
    ),
    Case(
        "SG06",
        "a comparison in constant time without one",
        "pass",
        {"a.py": CHECKED.format('KEY = os.getenv("API_KEY")', "    return hmac.compare_digest(api_key, KEY)")},
    ),
    Case(
        "SG06",
        "a key that must be set",
        "pass",
        {"a.py": CHECKED.format('KEY = os.environ["API_KEY"]', "    return api_key == KEY")},
    ),
    Case(
        "SG06",
        "asserted to be set",
        "pass",
        {"a.py": CHECKED.format('KEY = os.getenv("API_KEY")\nassert KEY', "    return api_key == KEY")},
    ),
    Case(
        "SG06",
        "environ.get",
        "fail",
        {"a.py": CHECKED.format('KEY = os.environ.get("API_KEY")', "    return api_key == KEY")},
        True,
        "a.py:2",
    ),
    Case(
        "SG06",
        "a session without verification",
        "fail",
        {"a.py": "import httpx\nhttpx.Client(verify=False)\n"},
        True,
        "a.py:2",
    ),
    Case(
        "SG06",
        "a signature that is not looked at",
        "fail",
        {"a.py": 'import jwt\njwt.decode(t, options={"verify_signature": False})\n'},
        True,
        "a.py:2",
    ),
    Case("SG06", "verification with a bundle", "na", {"a.py": 'import requests\nrequests.get(u, verify="ca.pem")\n'}),
    Case(
        "SG06",
        "a setting that is no secret",
        "na",
        {"a.py": 'import os\nLEVEL = os.getenv("LEVEL")\n\n\ndef f(x):\n    return x == LEVEL\n'},
    ),
    Case(
        "SG07",
        "a schema that is loaded",
        "pass",
        {
            "app.py": FLASK.replace("BODY", "return model.predict(S().load(request.get_json()))").replace(
                "from flask", "from marshmallow import S\nfrom flask"
            )
        },
        True,
        "app.py:8",
    ),
    Case(
        "SG07",
        "the body by its attribute",
        "fail",
        {"app.py": FLASK.replace("BODY", "return model.predict(request.json)")},
        True,
        "app.py:7",
    ),
    Case(
        "SG07",
        "a form",
        "fail",
        {"app.py": FLASK.replace("BODY", "return model.predict(request.form['a'])")},
        True,
        "app.py:7",
    ),
    Case(
        "SG07",
        "a question with numbers in its address",
        "na",
        {"app.py": 'import fastapi\n\n@app.get("/predict")\ndef predict(x: float):\n    return m.predict(x)\n'},
    ),
]

PLATFORM = [
    Case("SG08", "user zero", "fail", image("FROM a:1\nUSER 0:0\n"), True, "Dockerfile:2"),
    Case("SG08", "a number that is not zero", "pass", image("FROM a:1\nUSER 1000\n")),
    Case(
        "SG08",
        "a user of an earlier stage alone",
        "fail",
        image("FROM a:1 AS b\nUSER app\nFROM c:1\n"),
        True,
        "Dockerfile:3",
    ),
    Case(
        "SG08", "a stage that goes on from one with a user", "pass", image("FROM a:1 AS b\nUSER app\nFROM b\nRUN ls\n")
    ),
    Case("SG08", "a base that is not root", "pass", image("FROM gcr.io/distroless/python3:nonroot\n")),
    Case("SG08", "a user on a continued line", "pass", image("FROM a:1\nRUN useradd app \\\n  && ls\nUSER app\n")),
    Case("SG08", "a user in a comment", "fail", image("FROM a:1\n# USER app\n"), True, "Dockerfile:1"),
    Case(
        "SG09",
        "privileged",
        "fail",
        {"a.yaml": HARDENED + "          securityContext: {privileged: true}\n"},
        True,
        "a.yaml:10",
    ),
    Case(
        "SG09",
        "a context of the container",
        "pass",
        {"a.yaml": DEPLOYMENT + "          securityContext: {runAsUser: 7}\n"},
    ),
    Case(
        "SG09",
        "a job of the cluster",
        "fail",
        {"a.yaml": DEPLOYMENT.replace("Deployment", "DaemonSet")},
        True,
        "a.yaml:9",
    ),
    Case(
        "SG10",
        "permissions of each job",
        "pass",
        {GITHUB: "on: push\njobs:\n  a:\n    permissions: {contents: read}\n    steps: []\n"},
    ),
    Case(
        "SG10",
        "permissions of one of two jobs",
        "fail",
        {GITHUB: "on: push\njobs:\n  a:\n    permissions: {}\n  b:\n    steps: []\n"},
        True,
        f"{GITHUB}:1",
    ),
    Case(
        "SG10",
        "all permissions",
        "fail",
        {GITHUB: WORKFLOW.replace("{contents: read}", "write-all")},
        True,
        f"{GITHUB}:2",
    ),
    Case("SG10", "another vendor", "na", {".gitlab-ci.yml": "a: {script: [ls]}\n"}),
    *(
        Case("SG12", f"piped in way {number}", "fail", image(f"FROM a:1\nRUN {command}\n"), True, "Dockerfile:2")
        for number, command in enumerate(
            [
                "curl https://a.example/x | sh",
                "wget -qO- https://a.example/x | bash -s",
                'bash -c "$(curl -fsSL https://a.example/x)"',
                "bash <(curl https://a.example/x)",
                "curl -L https://a.example/x | sudo /bin/bash",
            ],
            start=1,
        )
    ),
    Case(
        "SG12",
        "in CI",
        "fail",
        {**LESSON, GITHUB: WORKFLOW.replace("pip install pytest && pytest", "curl https://a.example | sh")},
        True,
        f"{GITHUB}:7",
    ),
    Case(
        "SG12",
        "fetched and checked",
        "pass",
        image("FROM a:1\nRUN curl -o x https://a.example && sha256sum -c x.sum && sh x\n"),
    ),
    Case("SG12", "piped to another program", "pass", image("FROM a:1\nRUN curl https://a.example/x | tar xz\n")),
]

TOGETHER = [
    *(
        Case(
            "CO01",
            f"starts with {line.split()[0]}",
            "pass",
            {**LESSON, "README.md": f"# Late\n\n    {line}\n"},
            True,
            "README.md:3",
        )
        for line in (
            "docker compose up",
            "make train",
            "uv sync",
            "poetry install",
            "conda env create",
            "python train.py",
            "./run.sh",
        )
    ),
    Case("CO01", "another format", "pass", {**LESSON, "README.rst": "pip install late\n"}, True, "README.rst:1"),
    Case("CO01", "in a folder below", "pass", {**LESSON, "late/readme.md": "make all\n"}, True, "late/readme.md:1"),
    *(
        Case("CO02", f"a licence as {path}", "pass", {**LESSON, path: text}, True, place)
        for path, text, place in (
            ("LICENSE.md", "MIT\n", "LICENSE.md:1"),
            ("license", "MIT\n", "license:1"),
            ("COPYING", "GPL\n", "COPYING:1"),
            ("UNLICENSE", "free\n", "UNLICENSE:1"),
            ("LICENCE.txt", "MIT\n", "LICENCE.txt:1"),
            ("pyproject.toml", "[project]\nlicense = 'MIT'\n", "pyproject.toml:2"),
            ("setup.cfg", "[metadata]\nlicense = MIT\n", "setup.cfg:2"),
        )
    ),
    Case(
        "CO03",
        "a chapter of the README",
        "pass",
        {"app.py": SERVE, "README.md": "# Late\n\n## Intended use\n"},
        True,
        "README.md:3",
    ),
    Case(
        "CO03",
        "a card in another spelling",
        "pass",
        {"app.py": SERVE, "docs/model-card.md": "# Late\n"},
        True,
        "docs/model-card.md:1",
    ),
    Case(
        "CO03",
        "registered without one",
        "fail",
        {"r.py": "import mlflow\nmlflow.register_model(u, 'late')\n"},
        True,
        "r.py:2",
    ),
    Case("CO03", "pushed to a hub without one", "fail", {"r.py": "model.push_to_hub('late')\n"}, True, "r.py:1"),
    *(
        Case("CO05", f"litter: {path}", "fail", {**LESSON, path: b"x"}, True, f"{path}:1")
        for path in (
            "a.pyc",
            "late/__pycache__/a.cpython-311.pyc",
            "mlruns/0/meta.yaml",
            "Thumbs.db",
            "mlflow.db",
            ".a.py.swp",
            ".ipynb_checkpoints/a-checkpoint.ipynb",
        )
    ),
    Case("CO05", "litter that git ignores", "pass", {**LESSON, ".gitignore": "*.pyc\n", "a.pyc": b"x"}),
    Case("CO05", "a folder that only sounds so", "pass", {"train.py": TRAIN, "runs/mlruns.md": "x\n"}),
]

SECURITY_VARIANTS = [*SECRETS, *LOADS, *CALLERS, *PLATFORM, *TOGETHER]
