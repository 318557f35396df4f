"""The words of workflows: what each practice is called when it is there, when it is missing, and when it is broken."""

from dataclasses import dataclass

from taut.audit.check import Principle


@dataclass(frozen=True, slots=True)
class Concept:
    """One practice as people write of it.

    `shown` matches the words for it; denied ("no tests") they say that it is missing. `denied` are further words that
    count only when denied ("no monitoring" denies drift detection as well). `broken` matches the words for its
    opposite ("copied by hand"); denied ("never by hand") they say that it is there. `id` is that of the check whose
    risk and remedy are told; a practice without a check in folders brings its own.
    """

    id: str
    principle: Principle
    question: str
    shown: str
    denied: str = ""
    broken: str = ""
    key: str = ""
    weight: int = 5
    promise: str = ""
    risk: str = ""
    remedy: str = ""
    command: str = ""


CONCEPTS: tuple[Concept, ...] = (
    Concept(
        "RE01", "reproducibility", "Is the code under version control?",
        r"version(ed)?[- ]control(led)?|source control|\bgit\b|github|gitlab|bitbucket|\bcommit(s|ted)?\b|"
        r"code is versioned|versions? (of )?(the )?code",
        denied=r"\bversion(ing|s|ed)?\b",
        broken=r"(model|train|notebook|final)_?(v\d|final)|on (his|her|their|a|my) laptop only|"
            r"overwrit\w+ the (script|notebook|code)",
    ),
    Concept(
        "RE06", "reproducibility", "Does a version name the data of each training?",
        r"\bdvc\b|lakefs|delta lake|git lfs|(data(sets?)?|table)s?\b.{0,30}\b(version\w*|snapshot\w*|hash\w*|digest)|"
        r"(version\w*|snapshot\w*|hash\w*|digest)\b.{0,30}\bdata(sets?)?\b|taut data",
        broken=r"(latest|whatever|newest) (csv|data|file|export)|overwrit\w+ the (data|csv|file)",
    ),
    Concept(
        "RE09", "reproducibility", "Are parameters and results of each training recorded?",
        r"mlflow|weights (&|and) biases|wandb|neptune\.ai|\bcomet\b|clearml|taut run|(experiment|run|training|"
        r"parameter|hyperparameter|metric|result)s?\b"
        r".{0,30}\b(track\w*|logg?ed|record\w*)|(track|log|record)\w*\b.{0,30}\b(experiment|run|training|"
        r"hyperparameter|parameter|metric)s?",
        broken=r"(results?|metrics?|parameters?)\b.{0,30}\b(spreadsheet|excel|notebook|memory|chat|slack|e-?mail)",
    ),
    Concept(
        "AU07", "automation", "Does a machine deliver releases?",
        r"ci/cd|continuous (delivery|deployment)|\bcd pipeline|deploy(s|ed|ment)?\b.{0,40}\b(automatic(ally)?|"
        r"by (a |the )?(ci|pipeline|workflow|github|"
        r"gitlab|jenkins|argo)|through (a |the )?(ci|pipeline))|automat\w+\b.{0,30}\b(deploy\w*|release\w*|"
        r"roll\w*)|(pipeline|workflow|jenkins|github actions|argo ?cd|"
        r"ci)\b.{0,60}\b(deploys|releases|ships|rolls out|publishes)|gitops|argo ?cd|taut (deploy|apply)",
        broken=r"manual(ly)?\b.{0,40}\b(deploy\w*|cop(y|ied|ies|ying)|upload\w*|release\w*|install\w*)|"
            r"(deploy\w*|releas\w*|upload\w*|ships?|shipped)\b.{0,40}\b"
        r"(manual(ly)?|by hand)|cop(y|ied|ies|ying)\b.{0,50}\b(server|machine|host|vm|production)|\b(scp|rsync|"
        r"ftp|usb( stick)?)\b|"
        r"(e-?mail|send)s?\b.{0,30}\b(model|pickle|file)\b|(logs in|ssh(es)?)\b.{0,40}\b(restart|replac|pull|"
        r"cop|deploy)\w*|by hand\b",
    ),
    Concept(
        "AU02", "automation", "Are there automated tests?",
        r"\b(unit|integration|automated|smoke|regression|data|model)[- ]tests?\b|\btest(s|ed|ing)\b|\bpytest\b|"
        r"test suite",
        broken=r"(test|check)(s|ed|ing)?\b.{0,30}\b(by hand|manual(ly)?|by eye|when (they|there|he|she))",
    ),
    Concept(
        "AU12", "automation", "Is a model compared with a bound before it goes live?",
        r"\bgate(s|d)?\b|(beats?|better than|outperforms?|compared (with|to|against))\b.{0,40}\b(current|"
        r"production|previous|champion|baseline|old)|"
        r"champion|challenger|\bthreshold\b|quality check|must (pass|reach|meet)|only if\b.{0,40}\b(better|"
        r"accuracy|auc|passes)",
        broken=r"(newest|latest|new|last) (model|one)\b.{0,30}\b(always|replaces|straight|directly)|"
            r"without (any )?(validation|evaluation|comparison)",
    ),
    Concept(
        "MO02", "monitoring", "Are errors and latency of the service watched?",
        r"\bmonitor(s|ed|ing)?\b|prometheus|grafana|datadog|cloudwatch|new relic|dashboards?\b.{0,40}\b(latency|"
        r"errors?|traffic|requests?|uptime|cpu)|uptime",
        broken=r"(customers?|users?) (complain|call|notice|report|tell|find)\w*",
    ),
    Concept(
        "MO05", "monitoring", "Is live data, or live quality, compared with what the model was trained on?",
        r"\bdrift\w*|distribution shifts?|population stability|\bpsi\b|evidently|nannyml|(accuracy|auc|quality|"
        r"performance|error|predictions?)\b.{0,40}\b(over time|in production|"
        r"live|each (day|week)|daily|weekly|(compared|joined) with (the )?(truth|labels?|outcomes?))|"
        r"monitor\w*\b.{0,30}\b(predictions?|accuracy|features?|data|inputs?)|taut watch",
        denied=r"\bmonitor(s|ed|ing)?\b",
        broken=r"(never|not) (been )?(retrained|looked at again|checked again)|decay\w* (silently|unnoticed)",
    ),
    Concept(
        "MO07", "monitoring", "Does somebody get an alert?",
        r"\balert(s|ed|ing)?\b|\balarms?\b|pagerduty|opsgenie|on[- ]call|\bpage(s|d)\b",
        denied=r"\bmonitor(s|ed|ing)?\b",
        broken=r"(customers?|users?) (complain|call|notice|report|tell|find)\w*",
    ),
    Concept(
        "SG05", "security", "Who may train, approve, deploy and ask?",
        r"\brbac\b|role[- ]based|\broles?\b|access control|\bsso\b|oauth|oidc|\bauthenticat\w+|\bauthori[sz]\w+|"
        r"\biam\b|least privilege|permissions?\b|\btokens?\b|\blogins?\b",
        broken=r"(everyone|everybody|all|anyone|anybody)\b.{0,30}\b(admin|root|access|can (read|write|change|"
            r"deploy|see|call))|shared (account|password|login|credentials?|key)|"
        r"(open|exposed|reachable) (to|on|from) the (whole )?(internet|world|public)|public(ly)? (bucket|"
        r"endpoint|accessible|readable)",
    ),
    Concept(
        "SG13", "security", "Are data and models encrypted where they lie and travel?",
        r"\bencrypt\w*|\btls\b|https|\bkms\b",
        broken=r"(plain|clear)[- ]?text|unencrypted|plain http",
        key="sec.storage_encrypted", promise="stores and transport are encrypted",
        risk="Whoever gets the disk or the wire reads data and models.", remedy="Encrypt the store and the transport.",
        command="taut init --encrypt",
    ),
    Concept(
        "SG01", "security", "Where are the secrets kept?",
        r"secret(s)? (store|manager|management)|\bvault\b|secrets? (are|is) kept",
        broken=r"(passwords?|credentials?|secrets?|api keys?|tokens?)\b.{0,30}\b(in (the |a )?(code|repo\w*|"
            r"notebook|script|config|file|git|wiki|chat))|hard-?coded",
        weight=8,
    ),
    Concept(
        "SG19", "security", "Are privacy laws kept, and is there a trail of who did what?",
        r"\bgdpr\b|\bhipaa\b|anonymi[sz]\w*|pseudonymi[sz]\w*|audit (log|trail)|retention|consent|data privacy|"
        r"complian(t|ce)|signed (model|image|artifact)s?",
        broken=r"(customer|personal|patient|private)\b.{0,20}\b(data|records?|names?)\b.{0,40}\b(laptops?|"
            r"e-?mail\w*|shared (drive|folder)|usb|everyone)",
        key="gov.data_doc", weight=3, promise="personal data has a purpose and an end, and changes leave a trail",
        risk="A law is broken, and nobody can say who did what.",
        remedy="Say what personal data is used for and when it goes; keep an audit log.",
        command="write DATA_SHEET.md",
    ),
    Concept(
        "SC06", "scalability", "What happens with more load or more data?",
        r"\breplicas?\b|auto-?scal\w*|kubernetes|\bk8s\b|\bspark\b|\bray\b|\bdask\b|batch(es|ed)?\b|parallel\w*|"
        r"load[- ]balanc\w*|distributed|cluster|serverless|multiple (servers|nodes|workers|gpus)",
        broken=r"(single|one|same) (machine|server|vm|process|thread|laptop|core)\b|times? out|(crash|fall|"
            r"slow)\w* (over |down )?(under|with|when|at) .{0,30}(load|traffic|peak|rows|data|users)|"
        r"out of memory|cannot (handle|keep up)|one (row|record|request) at a time|takes (all night|days|hours)",
    ),
    Concept(
        "SC10", "scalability", "Is it known how much the service can take?",
        r"load[- ]test\w*|stress[- ]test\w*|latency (budget|target|slo)|throughput|\bslos?\b|p9[59]|benchmark\w*",
        key="perf.tested", weight=1, promise="capacity is measured",
        risk="Capacity is unknown until it is exceeded.", remedy="Measure latency and throughput before customers do.",
        command="taut status",
    ),
    Concept(
        "CO04", "collaboration", "Does a second person look at changes?",
        r"pull requests?|merge requests?|code reviews?|\breview(s|ed)?\b|\bapprov(e|es|ed|al)\b|pair program\w*|"
        r"two (people|persons|engineers)",
        broken=r"(only|just) (he|she|one (person|engineer)|the data scientist) (knows|understands|can)|"
            r"nobody else (knows|understands|can)|single person",
        key="collab.review", weight=1, promise="a second person looks at changes",
        risk="Mistakes pass unseen, and knowledge sits in one head.", remedy="Ask for a review of each change.",
        command="write .github/CODEOWNERS",
    ),
    Concept(
        "CO03", "collaboration", "Is it written down what the model is for and how it is run?",
        r"model cards?|\bdocument(s|ed|ation)\b|run ?books?|\bwiki\b|shared (dashboard|registry|workspace)|"
        r"model registry|handbook",
        weight=3,
    ),
)  # fmt: skip
"""Every practice that a description may show, deny or break."""

PRESENT_WHEN: dict[Principle, tuple[tuple[str, ...], ...]] = {
    "reproducibility": (("RE01",), ("RE06", "RE09")),
    "automation": (("AU07",), ("AU02", "AU12")),
    "scalability": (("SC06", "SC10"),),
    "monitoring": (("MO05",),),
    "security": (("SG05", "SG13"),),
    "collaboration": (("CO03", "CO04"),),
}
"""A principle is present when one practice of each group is shown and none is missing or broken."""
