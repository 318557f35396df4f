"""Workflows as people write of them: what must be concluded of each, and what must not."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Prose:
    """One described workflow with the answers that it deserves; a practice that is not named may be answered freely."""

    name: str
    text: str
    verdicts: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


WORKFLOWS = [
    Prose(
        "a bank with a strong release and no eye on production",
        "1. All code is in GitLab and every change needs a merge request.\n"
        "2. Datasets are versioned with DVC and runs are tracked in MLflow.\n"
        "3. The CI pipeline runs unit tests and deploys the image automatically to Kubernetes.\n"
        "4. After the release nobody looks at the model; there is no monitoring.\n",
        {"reproducibility": "present", "automation": "present", "monitoring": "violated", "security": "not shown"},
        {"MO05": "fail", "CO04": "pass", "SG05": "unknown"},
    ),
    Prose(
        "a startup that copies by hand",
        "Our data scientist works in a notebook on her laptop. The code is in GitHub. "
        "She sends the pickle file to operations. They copy it to the production server with scp. There are no tests.",
        {"automation": "violated"},
        {"RE01": "pass", "AU07": "fail", "AU02": "fail", "SG05": "unknown", "MO05": "unknown"},
    ),
    Prose(
        "a hospital that cares for privacy alone",
        "- Patient data is pseudonymised and encrypted.\n- Access is role-based through SSO.\n"
        "- An audit log is kept.\n",
        {"security": "present", "reproducibility": "not shown", "automation": "not shown", "monitoring": "not shown"},
        {"SG13": "pass", "SG05": "pass", "SG19": "pass"},
    ),
    Prose(
        "a shop whose data is open to all",
        "Everyone has admin access to the cluster. The database password is in the notebook. "
        "The endpoint is open to the internet.",
        {"security": "violated", "automation": "not shown"},
        {"SG05": "fail", "SG01": "fail"},
    ),
    Prose(
        "a plan is not a practice",
        "1. We plan to use MLflow.\n2. Drift monitoring is on the roadmap.\n3. We should write tests.\n"
        "4. Next year we want to deploy through a CI pipeline.\n",
        {"reproducibility": "violated", "automation": "violated", "monitoring": "violated"},
        {"RE09": "fail", "MO05": "fail", "AU02": "fail", "AU07": "fail"},
    ),
    Prose(
        "an overloaded machine",
        "The service runs on a single server. It crashes under load every Friday. Requests time out.",
        {"scalability": "violated", "monitoring": "not shown", "security": "not shown"},
        {"SC06": "fail"},
    ),
    Prose(
        "a team that watches the machine and not the model",
        "Prometheus scrapes latency and error counts, and alerts page the engineer on call.",
        {"monitoring": "partly shown"},
        {"MO02": "pass", "MO07": "pass", "MO05": "unknown"},
    ),
    Prose(
        "customers find the failures",
        "We have no dashboards. Customers complain when predictions are wrong.",
        {"monitoring": "violated"},
        {"MO07": "fail"},
    ),
    Prose(
        "one person who knows",
        "Only he knows how the model is trained, and nobody else understands the scripts. There is no documentation.",
        {"collaboration": "violated", "security": "not shown"},
        {"CO04": "fail", "CO03": "fail"},
    ),
    Prose(
        "a shared account",
        "All engineers use a shared account on the training machine.",
        {"security": "violated"},
        {"SG05": "fail"},
    ),
    Prose(
        "never by hand",
        "Releases are never deployed by hand; GitHub Actions deploys each tag after the tests passed.",
        {"automation": "present"},
        {"AU07": "pass", "AU02": "pass"},
    ),
    Prose(
        "a gate without tests",
        "Argo CD rolls out each release. A challenger replaces the champion only if it beats it on the holdout set.",
        {"automation": "present"},
        {"AU07": "pass", "AU12": "pass"},
    ),
    Prose(
        "results in a spreadsheet",
        "The code is in Git. Results are noted in a spreadsheet. Each run uses the latest csv from the share.",
        {"reproducibility": "violated"},
        {"RE01": "pass", "RE09": "fail", "RE06": "fail"},
    ),
    Prose(
        "a description of something else",
        "We bake bread each morning. Flour comes on Tuesdays. The oven is old but good.",
        dict.fromkeys(("reproducibility", "automation", "monitoring", "security"), "not shown"),
        {"RE01": "unknown", "AU07": "unknown", "SG05": "unknown"},
    ),
    Prose(
        "capitals and odd spaces",
        "1)   TRAINING RUNS WITHOUT VERSION   CONTROL\n2)   the MODEL is MANUALLY   DEPLOYED\n",
        {"reproducibility": "violated", "automation": "violated", "monitoring": "not shown"},
        {"RE01": "fail", "AU07": "fail"},
    ),
    Prose(
        "bullets that go on over lines",
        "* The model is trained\n  on a workstation and the code is kept\n  in Git.\n* It is copied to\n"
        "  the server.\n",
        {"automation": "violated"},
        {"RE01": "pass", "AU07": "fail"},
    ),
    Prose(
        "one step shows, another takes back",
        "1. Tests are run by CI.\n2. The feature code has no tests.\n",
        {"automation": "violated"},
        {"AU02": "fail"},
    ),
]

SENTENCES = [
    ("We keep the code in a Git repository.", "RE01", "pass"),
    ("There is no version control.", "RE01", "fail"),
    ("Nobody commits the notebooks.", "RE01", "fail"),
    ("The final script is called model_final.", "RE01", "fail"),
    ("Data is snapshotted before each training.", "RE06", "pass"),
    ("Datasets are not versioned.", "RE06", "fail"),
    ("Experiments are tracked with Weights & Biases.", "RE09", "pass"),
    ("No experiment tracking is used.", "RE09", "fail"),
    ("Metrics are pasted into Slack.", "RE09", "fail"),
    ("The model is uploaded manually.", "AU07", "fail"),
    ("An engineer logs in over SSH and restarts the service: she ssh-es in to replace the model.", "AU07", "fail"),
    ("Operations get the model on a USB stick.", "AU07", "fail"),
    ("Continuous deployment ships each change.", "AU07", "pass"),
    ("GitOps keeps the cluster as the repository says.", "AU07", "pass"),
    ("Unit tests and integration tests run on each commit.", "AU02", "pass"),
    ("Nothing is tested.", "AU02", "fail"),
    ("Testing is done by hand.", "AU02", "fail"),
    ("There's hardly any testing.", "AU02", "fail"),
    ("Data drift is checked daily.", "MO05", "pass"),
    ("Drift is not detected.", "MO05", "fail"),
    ("No alerts are sent.", "MO07", "fail"),
    ("An alert pages the team.", "MO07", "pass"),
    ("Traffic is served over TLS.", "SG13", "pass"),
    ("Artifacts are stored unencrypted.", "SG13", "fail"),
    ("Secrets are kept in Vault.", "SG01", "pass"),
    ("API keys are in the config file.", "SG01", "fail"),
    ("Customer data lies on laptops.", "SG19", "fail"),
    ("GDPR is observed.", "SG19", "pass"),
    ("Three replicas serve requests behind a load balancer.", "SC06", "pass"),
    ("The scoring takes all night.", "SC06", "fail"),
    ("Latency budgets are load-tested.", "SC10", "pass"),
    ("Pull requests are reviewed.", "CO04", "pass"),
    ("Nobody reviews changes.", "CO04", "fail"),
    ("Each model has a model card.", "CO03", "pass"),
    ("The handover is undocumented, without documentation.", "CO03", "fail"),
]

HARMLESS = [
    ("The laptop is replaced each year.", "RE01"),
    ("We deploy in Berlin.", "SG05"),
    ("The forecast runs at night.", "SC06"),
    ("The team is large.", "CO04"),
    ("Our customers are happy.", "MO07"),
    ("The model is accurate.", "MO05"),
    ("The room has a key.", "SG01"),
    ("The digital twin is a pipeline of pumps.", "AU07"),
    ("We use Python.", "AU02"),
    ("Bring your own lunch.", "SG19"),
    ("The legitimate owner agreed.", "RE01"),
    ("A contest is held in May.", "AU02"),
]
