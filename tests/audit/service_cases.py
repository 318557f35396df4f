"""Further cases of services: other frameworks, helpers, clusters, metrics, alerts and answers that hide a failure."""

from tests.audit.case import FLASK, FLASK_PLAIN, NOTHING, Case, image, served, trained
from tests.audit.repositories import DEPLOYMENT, HARDENED, LESSON, SERVE, TRAIN

SERVICE: dict[str, str | bytes] = {"app.py": SERVE}
STATEFUL = DEPLOYMENT.replace("kind: Deployment", "kind: StatefulSet")
JOB = (
    "apiVersion: batch/v1\nkind: Job\nspec:\n  template:\n    spec:\n      containers:\n"
    "        - {name: a, image: a:1}\n"
)
KSERVE = "apiVersion: serving.kserve.io/v1\nkind: InferenceService\nmetadata: {name: late}\n"
LITSERVE = "import litserve\n\n\nclass Api(litserve.LitAPI):\n    def predict(self, x):\n        return x\n"


def caught(answer: str, kind: str = "Exception") -> dict[str, str | bytes]:
    """A Flask service that answers a failure of some kind so."""
    lines = [
        "try:",
        "        return jsonify(model.predict(request.json))",
        f"    except {kind}".rstrip() + ":",
        f"        {answer}",
    ]
    return {"app.py": FLASK.replace("BODY", "\n".join(lines))}


def handler(*body: str) -> dict[str, str | bytes]:
    """The service with these lines before its answer."""
    return served("    return", "".join(f"    {line}\n" for line in body) + "    return")


SCALING = [
    Case(
        "SC01",
        "fetched from a hub in the handler",
        "fail",
        handler("model = AutoModel.from_pretrained('late')"),
        True,
        "app.py:10",
    ),
    Case(
        "SC01",
        "loaded when it is missing",
        "pass",
        handler("global model", "if model is None:", "    model = joblib.load('m')"),
    ),
    Case(
        "SC01",
        "loaded into a cache of its own",
        "pass",
        handler("if 'm' not in CACHE:", "    CACHE['m'] = joblib.load('m')"),
    ),
    Case(
        "SC01",
        "loaded by a handler that reloads",
        "na",
        {"app.py": SERVE.replace('"/predict"', '"/reload"').replace("def predict", "def reload")},
    ),
    Case(
        "SC01",
        "loaded by a cached helper with brackets",
        "pass",
        {
            "app.py": SERVE.replace(
                "@app", "@lru_cache(maxsize=1)\ndef get():\n    return joblib.load('m')\n\n\n@app"
            ).replace("model.predict", "get().predict")
        },
    ),
    Case("SC01", "a table is read, not a model", "pass", handler("pd.read_csv('a.csv')")),
    Case(
        "SC02",
        "waits for another service",
        "fail",
        {
            "app.py": SERVE.replace("def predict", "async def predict").replace(
                'model.predict([body["distance"]])', "requests.get(body)"
            )
        },
        True,
        "app.py:10",
    ),
    Case(
        "SC02",
        "sleeps",
        "fail",
        {
            "app.py": SERVE.replace("def predict", "async def predict").replace(
                "    return", "    time.sleep(1)\n    return"
            )
        },
        True,
        "app.py:10",
    ),
    Case(
        "SC02",
        "awaits a model that is asynchronous",
        "pass",
        {"app.py": SERVE.replace("def predict", "async def predict").replace("model.predict", "await model.predict")},
    ),
    Case(
        "SC03",
        "a Procfile starts gunicorn",
        "pass",
        {"app.py": FLASK_PLAIN, "Procfile": "web: gunicorn app:app\n"},
        True,
        "Procfile:1",
    ),
    Case(
        "SC03",
        "compose starts Flask itself",
        "fail",
        {"app.py": FLASK_PLAIN, "compose.yaml": "services:\n  a:\n    command: flask run\n"},
        True,
        "compose.yaml:3",
    ),
    Case(
        "SC03",
        "a cluster starts Python itself",
        "fail",
        {"app.py": FLASK_PLAIN, "k.yaml": DEPLOYMENT + "          command: [python, app.py]\n"},
        True,
        "k.yaml:9",
    ),
    Case("SC03", "only its own server is known", "fail", {"app.py": FLASK_PLAIN}, True, "app.py:12"),
    Case("SC03", "a script starts uvicorn", "pass", {**SERVICE, "run.sh": "uvicorn app:app\n"}, True, "run.sh:1"),
    Case("SC03", "installing a server does not start it", "unknown", {**SERVICE, "run.sh": "pip install uvicorn\n"}),
    Case("SC03", "a server of models", "pass", {"serve.py": LITSERVE}, True, "serve.py:1"),
    Case(
        "SC03",
        "debug in the image",
        "fail",
        image("FROM python:3.11\nCMD uvicorn app:app --debug\n"),
        True,
        "Dockerfile:2",
    ),
    Case(
        "SC03",
        "a stage before may reload",
        "pass",
        image("FROM python:3.11 AS dev\nCMD uvicorn app:app --reload\nFROM python:3.11\nCMD uvicorn app:app\n"),
        True,
        "Dockerfile:4",
    ),
    Case(
        "SC04",
        "limits without requests",
        "fail",
        {"a.yaml": DEPLOYMENT + "          resources: {limits: {cpu: 1}}\n"},
        True,
        "a.yaml:9",
    ),
    Case("SC04", "a job", "fail", {"a.yaml": JOB}, True, "a.yaml:7"),
    Case(
        "SC04",
        "one of two containers",
        "fail",
        {"a.yaml": HARDENED + "        - {name: b, image: b:1}\n"},
        True,
        "a.yaml:17",
    ),
    Case("SC04", "two objects in one file", "fail", {"a.yaml": HARDENED + "---\n" + JOB}, True, "a.yaml:24"),
    Case(
        "SC04",
        "a template of Helm",
        "fail",
        {"chart/templates/a.yaml": DEPLOYMENT.replace("1.2", "{{ .Values.tag }}")},
        True,
        "chart/templates/a.yaml:9",
    ),
    Case("SC04", "compose is no cluster", "na", {"compose.yaml": "services: {a: {image: b}}\n"}),
    Case(
        "SC05",
        "a probe of the start",
        "pass",
        {"a.yaml": DEPLOYMENT + "          startupProbe: {httpGet: {path: /}}\n"},
    ),
    Case(
        "SC05",
        "alive is not ready",
        "fail",
        {"a.yaml": DEPLOYMENT + "          livenessProbe: {httpGet: {path: /}}\n"},
        True,
        "a.yaml:9",
    ),
    Case("SC05", "a stateful set listens as well", "fail", {"a.yaml": STATEFUL}, True, "a.yaml:9"),
    Case(
        "SC05",
        "a worker that does not listen",
        "na",
        {"a.yaml": DEPLOYMENT.replace("ports: [{containerPort: 8080}]", "tty: x")},
    ),
    Case(
        "SC06", "replicas are not said", "fail", {"a.yaml": DEPLOYMENT.replace("  replicas: 1\n", "")}, True, "a.yaml:1"
    ),
    Case("SC06", "three replicas", "pass", {"a.yaml": DEPLOYMENT.replace("replicas: 1", "replicas: 3")}),
    Case("SC06", "replicas of a template", "pass", {"a.yaml": DEPLOYMENT.replace("replicas: 1", "replicas: {{ .n }}")}),
    Case(
        "SC06",
        "another one is scaled",
        "fail",
        {
            "a.yaml": DEPLOYMENT,
            "b.yaml": "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n"
            "spec: {scaleTargetRef: {name: other}}\n",
        },
        True,
        "a.yaml:1",
    ),
    Case("SC06", "a stateful set is left alone", "na", {"a.yaml": STATEFUL}),
    Case(
        "SC07", "applied to each row", "fail", trained("print(", "rows.apply(len, axis=1)\nprint("), True, "train.py:10"
    ),
    Case("SC07", "applied to each column", "pass", trained("print(", "rows.apply(len, axis=0)\nprint(")),
    Case("SC07", "rows in a service", "fail", handler("frame.iterrows()"), True, "app.py:10"),
    Case("SC07", "rows in a report", "pass", {"train.py": TRAIN, "report.py": "rows.iterrows()\n"}),
]

WATCHED = [
    *(
        Case(
            "MO01",
            f"a route {route}",
            "pass",
            {"app.py": SERVE + f'\n\n@app.get("{route}")\ndef well():\n    return 1\n'},
            True,
            "app.py:14",
        )
        for route in ("/health", "/ready", "/livez", "/ping", "/api/v1/status", "/health_check")
    ),
    Case(
        "MO01",
        "a route that only sounds so",
        "fail",
        {"app.py": SERVE + '\n\n@app.get("/already")\ndef a():\n    return 1\n'},
        True,
        "app.py:9",
    ),
    Case("MO01", "a check that is switched off", "fail", image("FROM python:3.11\nHEALTHCHECK NONE\n")),
    Case("MO01", "KServe", "pass", {"k.yaml": KSERVE}, True, "k.yaml:1"),
    Case(
        "MO02",
        "a route of metrics",
        "pass",
        {"app.py": SERVE + '\n\n@app.get("/metrics")\ndef metrics():\n    return 1\n'},
        True,
        "app.py:14",
    ),
    Case("MO02", "metrics of a cloud", "pass", handler("cloud.put_metric_data(1)"), True, "app.py:10"),
    Case("MO02", "metrics of a test alone", "fail", {**SERVICE, "tests/test_a.py": "import prometheus_client\n"}),
    Case("MO02", "a service that cannot be read whole", "unknown", {**SERVICE, "b.py": b"\xff"}, True, "b.py:1"),
    Case(
        "MO04",
        "logged with its answer",
        "pass",
        handler("result = 1", "logger.info('asked', result)"),
        True,
        "app.py:11",
    ),
    Case("MO04", "logged without it", "fail", handler("logger.info('asked')"), True, "app.py:9"),
    Case("MO04", "written with SQL", "pass", handler('db.execute("INSERT INTO asked VALUES (1)")'), True, "app.py:10"),
    Case("MO04", "read with SQL", "fail", handler('db.execute("SELECT 1")')),
    Case(
        "MO04",
        "kept by a helper",
        "pass",
        {
            "app.py": SERVE.replace("@app", "def keep(score):\n    db.insert(score)\n\n\n@app").replace(
                "    return {", "    keep(1)\n    return {"
            )
        },
        True,
        "app.py:9",
    ),
    Case("MO04", "the logger of KServe", "pass", {"k.yaml": KSERVE + "spec:\n  predictor:\n    logger: {mode: all}\n"}),
    Case(
        "MO05",
        "a test of statistics",
        "pass",
        {**SERVICE, "m.py": "from scipy.stats import ks_2samp\nks_2samp(a, b)\n"},
        True,
        "m.py:2",
    ),
    Case(
        "MO05",
        "a function of its own",
        "pass",
        {**SERVICE, "m.py": "def psi(a, b):\n    return sum(a) - sum(b)\n"},
        True,
        "m.py:1",
    ),
    Case(
        "MO05", "a function that gives up", "fail", {**SERVICE, "m.py": "def drift():\n    raise NotImplementedError\n"}
    ),
    Case("MO05", "a word that holds it", "fail", {**SERVICE, "m.py": "def epsilon():\n    return 1\n"}),
    Case("MO05", "drift in tests alone", "fail", {**SERVICE, "tests/test_a.py": "import evidently\n"}),
    Case(
        "MO06",
        "a route of outcomes",
        "pass",
        {"app.py": SERVE + '\n\n@app.post("/outcomes")\ndef keep(r: dict):\n    return 1\n'},
        True,
        "app.py:14",
    ),
    Case(
        "MO06",
        "a report on quality",
        "pass",
        {**SERVICE, "m.py": "from evidently import ClassificationPreset\nClassificationPreset()\n"},
        True,
        "m.py:2",
    ),
    Case(
        "MO06",
        "a report on drift alone",
        "fail",
        {**SERVICE, "m.py": "from evidently import DataDriftPreset\nDataDriftPreset()\n"},
    ),
    Case(
        "MO07",
        "rules of an operator",
        "pass",
        {**SERVICE, "a.yaml": "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n"},
        True,
        "a.yaml:1",
    ),
    Case(
        "MO07",
        "an alarm of a cloud",
        "pass",
        {**SERVICE, "alerts.tf": 'resource "aws_cloudwatch_metric_alarm" "late" {}\n'},
        True,
        "alerts.tf:1",
    ),
    Case(
        "MO07",
        "a function that tells a channel",
        "pass",
        {**SERVICE, "m.py": "def notify_slack():\n    post()\n"},
        True,
        "m.py:1",
    ),
    Case("MO07", "a hollow function", "fail", {**SERVICE, "m.py": "def send_alert():\n    pass\n"}),
    Case(
        "MO07",
        "rules that the configuration names and that are there",
        "pass",
        {
            **SERVICE,
            "prometheus.yml": "rule_files: [r/alerts.yml]\nscrape_configs: []\n",
            "r/alerts.yml": "groups:\n- rules:\n  - {alert: A, expr: up}\n",
        },
        True,
        "r/alerts.yml:3",
    ),
    Case(
        "MO07",
        "rules by a pattern",
        "fail",
        {**SERVICE, "prometheus.yml": "rule_files: ['*.rules']\nscrape_configs: []\n"},
        True,
        "app.py:9",
    ),
    Case("MO10", "a number", "fail", caught("return 0.0"), True, "app.py:11"),
    Case("MO10", "an empty list", "fail", caught("return []"), True, "app.py:11"),
    Case("MO10", "any kind at all", "fail", caught("return -1", ""), True, "app.py:11"),
    Case("MO10", "one of several kinds", "fail", caught("return 0.5", "(ValueError, Exception)"), True, "app.py:11"),
    Case("MO10", "a kind that is expected", "pass", caught("return 0.5", "KeyError")),
    Case("MO10", "raised again", "pass", caught("raise")),
    Case("MO10", "told with its status", "pass", caught("return {'statusCode': 500}")),
    Case("MO10", "words with a status in a keyword", "pass", caught("return JSONResponse({}, status_code=503)")),
    Case("MO10", "words without a status", "fail", caught("return JSONResponse({'error': 'no'})"), True, "app.py:11"),
    Case(
        "MO10",
        "a handler that predicts nothing",
        "na",
        {"app.py": 'from flask import Flask\n\n\n@app.route("/about")\ndef about():\n    return 1\n'},
    ),
]

FRAMEWORKS = [
    *(
        Case("SG05", f"a service of {name}", "fail", {"app.py": text}, True, f"app.py:{line}")
        for name, line, text in (
            (
                "Starlette",
                4,
                'from starlette import x\n\n@app.route("/p", methods=["POST"])\ndef p(r):\n    return m.predict(1)\n',
            ),
            ("a router", 4, 'import fastapi\n\n@router.post("/score")\ndef score(x: Row):\n    return 1\n'),
            (
                "a class of views",
                4,
                "import flask_restful\n\nclass P:\n    def post(self):\n        return m.predict(1)\n",
            ),
            ("BentoML", 4, "import bentoml\n\n@bentoml.api\ndef classify(self, x):\n    return m.predict(x)\n"),
        )
    ),
    Case(
        "SG05",
        "a form that answers no model",
        "na",
        {"app.py": 'import flask\n\n@app.get("/")\ndef home():\n    return 1\n'},
    ),
    Case(
        "SG05",
        "a page named predict that takes nothing",
        "na",
        {"app.py": 'import flask\n\n@app.get("/predict")\ndef page():\n    return "form"\n'},
    ),
    Case("SG05", "code that imports no web", "na", {"app.py": '@app.post("/p")\ndef p(x):\n    return m.predict(x)\n'}),
    Case("SG05", "a service in a test", "na", {"tests/app.py": SERVE}),
    Case("SG05", "nothing", "na", NOTHING),
    Case("MO01", "a model copied by hand is served as well", "fail", LESSON, True, "deploy.sh:2"),
]

SERVICE_VARIANTS = [*SCALING, *WATCHED, *FRAMEWORKS]
