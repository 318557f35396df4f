"""Cases of scalability, monitoring, security and collaboration: what becomes of a model that others ask."""

from tests.audit.case import FLASK, FLASK_PLAIN, NOTHING, Case, image, served, trained
from tests.audit.repositories import DEPLOYMENT, HARDENED, LESSON, SERVE, TAUT_YAML, TRAIN, WORKFLOW

SCALABILITY = [
    Case(
        "SC01",
        "loaded in the handler",
        "fail",
        served("    return", "    model = joblib.load('/srv/model.pkl')\n    return"),
        True,
        "app.py:10",
    ),
    Case(
        "SC01",
        "loaded by a helper",
        "fail",
        {
            "app.py": SERVE.replace("@app", "def get():\n    return joblib.load('m')\n\n\n@app").replace(
                "model.predict", "get().predict"
            )
        },
        True,
        "app.py:9",
    ),
    Case(
        "SC01",
        "loaded by a cached helper",
        "pass",
        {
            "app.py": SERVE.replace("@app", "@lru_cache\ndef get():\n    return joblib.load('m')\n\n\n@app").replace(
                "model.predict", "get().predict"
            )
        },
    ),
    Case("SC01", "loaded at the start", "pass", {"app.py": SERVE}),
    Case("SC01", "no service", "na", LESSON),
    Case("SC02", "predicts on the event loop", "fail", served("def predict", "async def predict"), True, "app.py:10"),
    Case(
        "SC02",
        "handed to a thread",
        "pass",
        {
            "app.py": SERVE.replace("def predict", "async def predict").replace(
                'model.predict([body["distance"]])', "await run_in_threadpool(model.predict, body)"
            )
        },
    ),
    Case("SC02", "a plain handler", "na", {"app.py": SERVE}),
    Case(
        "SC03",
        "the image starts Flask itself",
        "fail",
        {"app.py": FLASK_PLAIN, "Dockerfile": 'FROM python:3.11\nCMD ["python", "app.py"]\n'},
        True,
        "Dockerfile:2",
    ),
    Case(
        "SC03",
        "the image starts gunicorn",
        "pass",
        {"app.py": FLASK_PLAIN, "Dockerfile": 'FROM python:3.11\nCMD ["gunicorn", "app:app"]\n'},
    ),
    Case("SC03", "reloads in production", "fail", image("FROM python:3.11\nCMD uvicorn app:app --reload\n")),
    Case("SC03", "nothing says how it starts", "unknown", {"app.py": SERVE}),
    Case("SC03", "no service", "na", {"train.py": TRAIN}),
    Case("SC04", "no requests", "fail", {"k8s/a.yaml": DEPLOYMENT}, True, "k8s/a.yaml:9"),
    Case("SC04", "requests and limits", "pass", {"k8s/a.yaml": HARDENED}),
    Case("SC04", "no cluster", "na", LESSON),
    Case("SC05", "no probe", "fail", {"a.yaml": DEPLOYMENT}),
    Case("SC05", "a probe", "pass", {"a.yaml": HARDENED}),
    Case("SC05", "no cluster", "na", LESSON),
    Case("SC06", "one replica", "fail", {"a.yaml": DEPLOYMENT}),
    Case(
        "SC06",
        "scaled",
        "pass",
        {
            "a.yaml": DEPLOYMENT,
            "b.yaml": "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n"
            "spec: {scaleTargetRef: {name: late}}\n",
        },
    ),
    Case("SC06", "no cluster", "na", LESSON),
    Case(
        "SC07",
        "row by row",
        "fail",
        trained("print(", "for _, row in rows.iterrows():\n    pass\nprint("),
        True,
        "train.py:10",
    ),
    Case("SC07", "by columns", "pass", LESSON),
    Case("SC07", "no model", "na", NOTHING),
]

MONITORING = [
    Case("MO01", "no health route", "fail", {"app.py": SERVE}),
    Case(
        "MO01",
        "a health route",
        "pass",
        {"app.py": SERVE + '\n\n@app.get("/healthz")\ndef health():\n    return "ok"\n'},
    ),
    Case("MO01", "a health check of the image", "pass", image("FROM python:3.11\nHEALTHCHECK CMD curl -f localhost\n")),
    Case("MO01", "served by taut", "pass", {**LESSON, "taut.yaml": TAUT_YAML}),
    Case("MO01", "nothing served", "na", {"train.py": TRAIN}),
    Case("MO02", "no metrics", "fail", {"app.py": SERVE}),
    Case("MO02", "Prometheus", "pass", served("import joblib", "import joblib\nimport prometheus_client")),
    Case("MO02", "nothing served", "na", {"train.py": TRAIN}),
    Case("MO04", "nothing kept", "fail", {"app.py": SERVE}),
    Case(
        "MO04",
        "kept in a table",
        "pass",
        served("    return", "    prediction = 1\n    store.insert_one(prediction)\n    return"),
        True,
        "app.py:11",
    ),
    Case("MO04", "served by taut", "pass", {**LESSON, "taut.yaml": TAUT_YAML}),
    Case("MO04", "nothing served", "na", {"train.py": TRAIN}),
    Case("MO05", "nothing compared", "fail", LESSON),
    Case(
        "MO05",
        "evidently",
        "pass",
        {"app.py": SERVE, "monitor.py": "from evidently import Report\n"},
        True,
        "monitor.py:1",
    ),
    Case(
        "MO05",
        "a function that does nothing",
        "fail",
        {"app.py": SERVE, "monitor.py": "def detect_drift():\n    pass\n"},
    ),
    Case("MO05", "a monitor in taut.yaml", "pass", {**LESSON, "taut.yaml": TAUT_YAML}, True, "taut.yaml:6"),
    Case("MO05", "nothing served", "na", {"train.py": TRAIN}),
    Case("MO06", "no truth", "fail", {"app.py": SERVE}),
    Case(
        "MO06",
        "a route for feedback",
        "pass",
        {"app.py": SERVE + '\n\n@app.post("/feedback")\ndef keep(row: dict):\n    return db.save(row)\n'},
    ),
    Case("MO06", "a monitor in taut.yaml", "pass", {**LESSON, "taut.yaml": TAUT_YAML}),
    Case("MO06", "nothing served", "na", {"train.py": TRAIN}),
    Case("MO07", "no rules", "fail", LESSON),
    Case(
        "MO07",
        "rules that are not there",
        "fail",
        {"app.py": SERVE, "prometheus.yml": "rule_files: [alerts.yml]\nscrape_configs: []\n"},
        True,
        "prometheus.yml:1",
    ),
    Case(
        "MO07",
        "rules",
        "pass",
        {"app.py": SERVE, "rules.yml": "groups:\n- name: a\n  rules:\n  - alert: Errors\n    expr: up == 0\n"},
        True,
        "rules.yml:4",
    ),
    Case("MO07", "nothing served", "na", {"train.py": TRAIN}),
    Case(
        "MO10",
        "a made-up answer",
        "fail",
        {
            "app.py": FLASK.replace(
                "BODY",
                "try:\n        return jsonify(model.predict(request.json))\n    except Exception:\n"
                "        return jsonify(0.5)",
            )
        },
        True,
        "app.py:11",
    ),
    Case(
        "MO10",
        "an error with status 200",
        "fail",
        served(
            "    return {",
            "    try:\n        return model.predict(body)\n    except Exception as error:\n"
            '        return {"error": str(error)}\n    return {',
        ),
    ),
    Case(
        "MO10",
        "an error with status 500",
        "pass",
        {
            "app.py": FLASK.replace(
                "BODY",
                "try:\n        return jsonify(model.predict(request.json))\n    except Exception:\n"
                "        return jsonify('no'), 500",
            )
        },
    ),
    Case("MO10", "nothing is caught", "pass", {"app.py": SERVE}),
    Case("MO10", "nothing served", "na", {"train.py": TRAIN}),
]

SECURITY = [
    Case(
        "SG01", "a password in the code", "fail", {"a.py": 'connect(user="ann", password="hunter22")\n'}, True, "a.py:1"
    ),
    Case(
        "SG01",
        "a default in compose",
        "fail",
        {"compose.yaml": "services:\n  db:\n    environment:\n      POSTGRES_PASSWORD: ${PW:-postgres}\n"},
        True,
        "compose.yaml:4",
    ),
    Case("SG01", "a key by its mark", "fail", {"conf.yaml": "key: AKIA" + "ABCDEFGH12345678\n"}, True, "conf.yaml:1"),
    Case("SG01", "a password in an address", "fail", {"a.py": 'url = "postgresql://ann:s3cr3tpw@db/late"\n'}),
    Case(
        "SG01",
        "read from the environment",
        "pass",
        {"a.py": 'import os\npassword = os.environ["PW"]\n', "c.yaml": "password: ${PW}\n"},
    ),
    Case(
        "SG01",
        "names that are no secrets",
        "pass",
        {"a.py": 'f(api_key=api_key, pad_token="<pad>", token="access_token")\n'},
    ),
    Case(
        "SG01",
        "only in a file that git ignores",
        "pass",
        {"a.py": "", ".gitignore": ".env\n", ".env": "PASSWORD=hunter22\n"},
    ),
    Case("SG01", "the text of the README", "pass", {"a.py": "", "README.md": "password: hunter22\n"}),
    Case("SG04", "a pickle from elsewhere", "fail", {"app.py": SERVE}, True, "app.py:5"),
    Case("SG04", "torch without weights_only", "fail", {"a.py": "import torch\nm = torch.load('m.pt')\n"}),
    Case(
        "SG04", "torch with weights_only", "pass", {"a.py": "import torch\nm = torch.load('m.pt', weights_only=True)\n"}
    ),
    Case(
        "SG04",
        "written in the same file",
        "pass",
        {"a.py": "import joblib\njoblib.dump(m, 'm.joblib')\nm = joblib.load('m.joblib')\n"},
    ),
    Case("SG04", "nothing is loaded", "na", LESSON),
    Case("SG05", "open to all", "fail", {"app.py": SERVE}, True, "app.py:9"),
    Case("SG05", "a dependency asks", "pass", served("body: dict", "body: dict, user=Depends(current_user)")),
    Case(
        "SG05",
        "the ingress asks",
        "pass",
        {
            "app.py": SERVE,
            "i.yaml": "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  annotations:\n"
            "    nginx.ingress.kubernetes.io/auth-url: x\n",
        },
    ),
    Case("SG05", "no service", "na", LESSON),
    Case(
        "SG06",
        "unset opens",
        "fail",
        {
            "a.py": 'import os\nKEY = os.getenv("API_KEY")\n\n\ndef check(api_key):\n'
            "    if api_key != KEY:\n        raise Denied\n"
        },
        True,
        "a.py:2",
    ),
    Case(
        "SG06",
        "a default that all can read",
        "fail",
        {
            "a.py": 'import os\nKEY = os.getenv("API_KEY", "dev")\n\n\ndef check(api_key):\n'
            "    if not KEY:\n        raise Denied\n    return api_key == KEY\n"
        },
    ),
    Case(
        "SG06",
        "unset stops",
        "pass",
        {
            "a.py": 'import os\nKEY = os.getenv("API_KEY")\nif not KEY:\n    raise SystemExit\n\n\n'
            "def check(api_key):\n    return api_key == KEY\n"
        },
    ),
    Case(
        "SG06",
        "certificates unverified",
        "fail",
        {"a.py": 'import requests\nrequests.get("https://a", verify=False)\n'},
        True,
        "a.py:2",
    ),
    Case("SG06", "no check", "na", LESSON),
    Case("SG07", "raw JSON", "fail", {"app.py": FLASK_PLAIN}),
    Case("SG07", "a typed body", "pass", served("body: dict", "body: Rows")),
    Case("SG07", "a dict is no schema", "fail", {"app.py": SERVE}),
    Case("SG07", "no service", "na", LESSON),
    Case("SG08", "root", "fail", image("FROM python:3.11\n"), True, "Dockerfile:1"),
    Case("SG08", "back to root", "fail", image("FROM python:3.11\nUSER app\nUSER root\n"), True, "Dockerfile:3"),
    Case("SG08", "a user", "pass", image("FROM python:3.11\nUSER app\n")),
    Case("SG08", "no image", "na", LESSON),
    Case("SG09", "no context", "fail", {"a.yaml": DEPLOYMENT}),
    Case(
        "SG09",
        "the host's files",
        "fail",
        {"a.yaml": HARDENED + "      volumes: [{name: a, hostPath: {path: /}}]\n"},
        True,
        "a.yaml:17",
    ),
    Case("SG09", "a context", "pass", {"a.yaml": HARDENED}),
    Case("SG09", "no cluster", "na", LESSON),
    Case(
        "SG10",
        "no permissions",
        "fail",
        {".github/workflows/a.yml": WORKFLOW.replace("permissions: {contents: read}\n", "")},
    ),
    Case("SG10", "permissions", "pass", {".github/workflows/a.yml": WORKFLOW}),
    Case("SG10", "no workflow", "na", LESSON),
    Case(
        "SG12",
        "fetched and run",
        "fail",
        image("FROM python:3.11\nRUN curl -sSL https://a.example/x.sh | sudo bash\n"),
        True,
        "Dockerfile:2",
    ),
    Case("SG12", "fetched", "pass", image("FROM python:3.11\nRUN curl -sSLo x https://a.example/x\n")),
    Case("SG12", "no image", "na", LESSON),
]

COLLABORATION = [
    Case("CO01", "no README", "fail", LESSON),
    Case("CO01", "a README that says nothing", "fail", {**LESSON, "README.md": "# Late\n"}),
    Case("CO01", "a README in odd spelling", "pass", {**LESSON, "ReadMe.md": "pip install -r requirements.txt\n"}),
    Case("CO02", "no licence", "fail", LESSON),
    Case("CO02", "a licence in British", "pass", {**LESSON, "LICENCE": "MIT\n"}),
    Case("CO03", "no card", "fail", {"app.py": SERVE}),
    Case("CO03", "a card", "pass", {"app.py": SERVE, "MODEL_CARD.md": "# Late\n"}),
    Case("CO03", "no model served", "na", {"train.py": TRAIN}),
    Case("CO05", "litter", "fail", {**LESSON, ".DS_Store": b"\0"}, True, ".DS_Store:1"),
    Case("CO05", "tidy", "pass", LESSON),
    Case("CO05", "no git", "na", LESSON, False),
]
