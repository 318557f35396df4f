"""Reproducibility: can what ran be named, rebuilt and trusted? Code, dependencies, data, runs, chance, evaluation."""

import re
import sys

from taut.audit.check import Check, Outcome, failed, missing, not_applicable, passed, unknown
from taut.audit.code import Call, Source, is_constant, is_test_path
from taut.audit.evaluation import evaluated_on_training_rows, fitted_before_split
from taut.audit.files import File
from taut.audit.training import (
    DATA_SUFFIXES,
    data_reads,
    is_model_file,
    is_sample,
    says,
    tool_places,
    training_calls,
    training_places,
    training_sources,
)
from taut.audit.tree import mappings_of
from taut.audit.workflow import Workflow

GROWN_PROJECT_FILES = 12
"""So many source files in one commit were not written in one sitting: the history began after the work."""

DATA_IN_GIT_BYTES = 50_000
"""Tracked data of this size and above is more than a fixture."""

_TRACKERS = frozenset(
    [
        "mlflow",
        "wandb",
        "comet_ml",
        "neptune",
        "clearml",
        "aim",
        "dvclive",
        "sacred",
        "tensorboardX",
        "guild",
        "polyaxon",
        "taut",
        "trackio",
        "swanlab",
        "mlfoundry",
        "tensorboard",
        "torch.utils.tensorboard",
        "sagemaker.experiments",
    ]
)
_PIPELINE_PACKAGES = frozenset(
    [
        "kedro",
        "airflow",
        "prefect",
        "metaflow",
        "zenml",
        "kfp",
        "dagster",
        "luigi",
        "ploomber",
        "flytekit",
        "hamilton",
        "tfx",
    ]
)
_STEPS = re.compile(
    r"^(\d+[_-].*|(data_?)?(download|ingest\w*|prepare\w*|preprocess\w*|clean\w*|featuri[sz]e\w*|features?|"
    r"build_features|"
    r"make_dataset|split\w*|train\w*|fit\w*|evaluat\w*|test_model|predict\w*|score\w*|register\w*|export\w*)(_\w+)?)$"
)
_MANIFESTS = re.compile(
    r"^(requirements[^/]*\.(txt|in)|pyproject\.toml|setup\.(py|cfg)|pipfile|environment[^/]*\.ya?ml|conda[^/]*\.ya?ml|"
    r"pixi\.toml|mlproject)$"
)
_LOCKS = re.compile(
    r"^(poetry\.lock|uv\.lock|pdm\.lock|pipfile\.lock|pixi\.lock|conda-lock[^/]*\.ya?ml|requirements[^/]*\.lock|"
    r"pylock[^/]*\.toml|[^/]*lock[^/]*\.txt)$"
)
_SEED_HELPERS = re.compile(
    r"(^|\.)(set_?seeds?|seed_everything|fix_?seeds?|seed_all|set_random_seeds?|set_all_seeds|setup_seed|"
    r"init_seeds?|random_seed)$"
)
_STOCHASTIC = frozenset(
    [
        "RandomForestClassifier",
        "RandomForestRegressor",
        "ExtraTreesClassifier",
        "ExtraTreesRegressor",
        "MLPClassifier",
        "MLPRegressor",
        "SGDClassifier",
        "SGDRegressor",
        "KMeans",
        "MiniBatchKMeans",
        "IsolationForest",
        "BaggingClassifier",
        "BaggingRegressor",
    ]
)


def git_history(workflow: Workflow) -> Outcome:
    """RE01: git tracks the code, and from early on."""
    history = workflow.history
    places = [f"{file.path}:1" for file in workflow.files if file.suffix in {".py", ".ipynb"}]
    if history.state == "none":
        return failed("There is no git repository: the code has no history.", places[:3])
    if history.state == "unread":
        return unknown(f"The history could not be read: {history.reason}.")
    if history.state == "empty" or not history.tracked:
        return failed("There is a git repository, but none of these files was ever committed.", places[:3])
    if history.commits == 1 and history.shallow:
        return unknown("This is a shallow clone; how the history began cannot be seen.")
    written = sum(len(source.text) > 0 for source in workflow.sources)
    if history.commits == 1 and written >= GROWN_PROJECT_FILES:
        return failed(f"One commit brought in all {written} source files: what ran before it is lost.", places[:3])
    return passed(f"Git holds {history.commits} {'commit' if history.commits == 1 else 'commits'} of this folder.")


def _third_party(workflow: Workflow) -> dict[str, str]:
    """Imported packages that neither Python nor the workflow brings, each with the first file that imports it."""
    own = {part for source in workflow.sources for part in source.path.removesuffix(".py").split("/")}
    found: dict[str, str] = {}
    for source in workflow.sources:
        for name in source.imports:
            top = name.split(".")[0]
            if top and top not in sys.stdlib_module_names and top not in own:
                found.setdefault(top, f"{source.path}:1")
    return found


def _declares(file: File) -> bool:
    text = file.text or ""
    if not _MANIFESTS.match(file.name):
        return False
    if file.name == "pyproject.toml":
        return "dependencies" in text
    if file.name in {"setup.py", "setup.cfg"}:
        return "install_requires" in text
    return bool(text.strip())


def deps_declared(workflow: Workflow) -> Outcome:
    """RE02: a manifest, at any depth, names the packages that the code imports."""
    packages = _third_party(workflow)
    if not packages:
        return not_applicable("Nothing outside of Python's own library is imported.")
    manifests = [f"{file.path}:1" for file in workflow.files if _declares(file) or _LOCKS.match(file.name)]
    if manifests:
        return passed("The packages are declared.", manifests)
    names = ", ".join(sorted(packages)[:4])
    return failed(f"The code imports {names}, and no file says which packages it needs.", packages.values())


def deps_locked(workflow: Workflow) -> Outcome:
    """RE03: a lock file, or exact pins for every direct dependency."""
    locks = [f"{file.path}:1" for file in workflow.files if _LOCKS.match(file.name) or _holds_hashes(file)]
    if locks:
        return passed("A lock file pins the packages.", locks)
    loose: list[str] = []
    manifests = [file for file in workflow.files if _declares(file) and not is_sample(file.path)]
    if not manifests:
        return not_applicable("No packages are declared; that is a finding of its own.")
    for file in manifests:
        loose += [f"{file.path}:{line}" for line in _loose_lines(file)]
    if loose:
        return failed("Packages are declared without exact versions, and there is no lock file.", loose)
    return passed("Every declared package has an exact version.", [f"{file.path}:1" for file in manifests])


def _holds_hashes(file: File) -> bool:
    """Whether a file, whatever its name, lists packages with exact versions and the digests of their archives."""
    return file.suffix in {".txt", ".lock"} and bool(
        re.search(r"^[\w.\[\]-]+==\S+.*\\\n +--hash=", file.text or "", re.MULTILINE)
    )


def _loose_lines(file: File) -> list[int]:
    """The lines of a manifest that name a package without an exact version; a manifest of ranges gives its first."""
    if file.name.endswith(".txt"):
        return [
            number
            for number, line in file.lines()
            if re.match(r"\s*[A-Za-z]", line) and "==" not in line and " @ " not in line and "://" not in line
        ]
    if file.name.endswith((".yml", ".yaml")):
        return [
            number
            for number, line in file.lines()
            if re.match(r"\s*-\s*[A-Za-z][\w.-]*\s*([<>].*)?$", line)
            and not re.search(r"-\s*(pip|defaults|conda-forge)\b", line)
        ]
    found = [number for number, line in file.lines() if re.search(r"dependencies|install_requires|\[packages\]", line)]
    return found[:1] or [1]


def data_not_in_git(workflow: Workflow) -> Outcome:
    """RE05: no data of size lies in git outside of test fixtures."""
    if not workflow.has_git:
        return not_applicable("Nothing is in git.")
    data = [file for file in workflow.files if file.suffix in DATA_SUFFIXES and file.tracked]
    large = [file for file in data if file.size_bytes >= DATA_IN_GIT_BYTES and not is_test_path(file.path)]
    if large:
        size = sum(file.size_bytes for file in large)
        return failed(
            f"{len(large)} data files with {size / 1e6:.1f} MB are tracked in git.", [f"{one.path}:1" for one in large]
        )
    if data or _reads(workflow):
        return passed("No data of size is tracked in git.")
    return not_applicable("There is no data here.")


def _reads(workflow: Workflow) -> list[tuple[Source, Call, str]]:
    """The data that training reads, and the steps around it in repositories that train."""
    training = {source.path for source in training_sources(workflow)}
    if not training:
        return []
    return [
        (source, call, path)
        for source in workflow.code
        if source.path in training or (not is_sample(source.path) and _is_step(source))
        for call, path in data_reads(source)
    ]


def data_versioned(workflow: Workflow) -> Outcome:
    """RE06: what training reads is named by a pointer, a hash or a snapshot, or lies in git itself."""
    reads = _reads(workflow)
    if not reads:
        return not_applicable("No training code that reads data from files was found.")
    pointers = _data_pointers(workflow)
    if pointers:
        return passed("The data is versioned.", pointers)
    tracked = {file.path.rpartition("/")[2] for file in workflow.files if file.tracked}
    loose = [
        source.place(call.line)
        for source, call, path in reads
        if path.rpartition("/")[2] not in tracked and call.keyword("revision") is None
    ]
    if not loose:
        return passed("What training reads is tracked in git or pinned where it is read.")
    return missing(workflow, "Training reads data that has no version: no pointer, hash or snapshot names it.", loose)


def _data_pointers(workflow: Workflow) -> list[str]:
    found = [f"{file.path}:1" for file in workflow.files if file.suffix == ".dvc" or file.name == "dvc.lock"]
    found += [f"{file.path}:1" for file in workflow.named(".gitattributes") if "filter=lfs" in (file.text or "")]
    for document in workflow.documents:
        if document.path.endswith("dvc.yaml"):
            found += [f"{document.path}:{one.key_lines['deps']}" for one in mappings_of(document.tree) if "deps" in one]
        if "catalog" in document.path:
            found += [
                f"{document.path}:{one.key_lines['versioned']}"
                for one in mappings_of(document.tree)
                if one.get("versioned") in {"true", "True"}
            ]
    for source in workflow.code:
        found += [
            source.place(call.line)
            for call in source.calls
            if call.last in {"use_artifact", "log_artifact_ref", "snapshot", "add_data", "log_input", "versionAsOf"}
            or call.name.startswith(("lakefs.", "dvc.api.", "quilt3.", "deltalake.", "mlflow.data."))
        ]
    return found


def model_not_in_git(workflow: Workflow) -> Outcome:
    """RE08: no serialised model is tracked in git."""
    models = [file for file in workflow.files if is_model_file(file) and not is_test_path(file.path)]
    tracked = [f"{file.path}:1" for file in models if file.tracked]
    if tracked:
        return failed("Serialised models are tracked in git, apart from the run that made them.", tracked)
    if not workflow.has_git or not (models or training_sources(workflow)):
        return not_applicable("Nothing is in git, or nothing here makes a model.")
    return passed("No serialised model is tracked in git.")


def track_experiments(workflow: Workflow) -> Outcome:
    """RE09: training records its runs with a tracker, or is run through one."""
    places = training_places(workflow)
    if not places:
        return not_applicable("No training code was found.")
    tracked = tool_places(workflow, _TRACKERS) + says(workflow, r"\b(taut run|dvc exp run|mlflow run|guild run)\b")
    for document in workflow.documents:
        if document.path.endswith("dvc.yaml"):
            tracked += [
                f"{document.path}:{one.key_lines['metrics']}"
                for one in mappings_of(document.tree)
                if "metrics" in one and "params" in one
            ]
    for source in workflow.code:
        tracked += [source.place(call.line) for call in source.calls if call.keyword("report_to") is not None]
    if tracked:
        return passed("Runs are recorded.", tracked)
    return missing(workflow, "Models are trained, and no run is recorded: no parameters, metrics or data.", places)


def split_seeded(workflow: Workflow) -> Outcome:
    """RE12: every random split has a seed, or the chance of its file has one before it."""
    loose: list[str] = []
    splits = 0
    for source in workflow.code:
        for call in source.calls:
            if not _splits_at_random(call):
                continue
            splits += 1
            if source.parsed and not _is_seeded(call, source):
                loose.append(source.place(call.line))
    if not splits:
        return not_applicable("No random split was found.")
    if loose:
        return failed("Rows are split at random without a seed.", loose)
    return passed("Every random split is seeded.")


def _splits_at_random(call: Call) -> bool:
    if call.last in {"train_test_split", "random_split", "ShuffleSplit", "StratifiedShuffleSplit", "GroupShuffleSplit"}:
        return not is_constant(call.keyword("shuffle"), False)
    if call.last in {"KFold", "StratifiedKFold"}:
        return is_constant(call.keyword("shuffle"), True)
    return call.last == "randomSplit"


def _is_seeded(call: Call, source: Source) -> bool:
    for name in ("random_state", "generator", "seed"):
        given = call.keyword(name)
        if given is not None:
            return not is_constant(given, None)
    if call.unpacks() or (
        call.last in {"randomSplit", "random_split"}
        and len(call.arguments()) > (1 if call.last == "randomSplit" else 2)
    ):
        return True
    return any(
        other.line < call.line
        and (other.name in {"numpy.random.seed", "torch.manual_seed"} or _SEED_HELPERS.search(other.name))
        for other in source.calls
    )


def seed_all(workflow: Workflow) -> Outcome:
    """RE13: each source of chance that training uses has a seed somewhere in the code."""
    names = {call.name for source in workflow.code for call in source.calls}
    helper = any(_SEED_HELPERS.search(name) for name in names)
    places: list[str] = []
    lacking: set[str] = set()
    used: set[str] = set()
    for source in training_sources(workflow):
        for what, line, seeds, seeded_here in _chances(source):
            used.add(what)
            if not (helper or seeded_here or names & seeds):
                lacking.add(what)
                places.append(source.place(line))
    if not used:
        return not_applicable("No source of chance was found in the training code.")
    if lacking:
        return failed(f"Training uses the chance of {', '.join(sorted(lacking))} without a seed.", places)
    return passed(f"The chance of {', '.join(sorted(used))} is seeded.")


def _chances(source: Source) -> list[tuple[str, int, set[str], bool]]:
    """The chances that a training source takes: name, line, the calls that would seed it, and whether it is seeded."""
    numpy = {"numpy.random.seed"}
    found: list[tuple[str, int, set[str], bool]] = []
    first = training_calls(source)[0].line
    if source.imports_any(frozenset({"torch", "pytorch_lightning", "lightning"})):
        found.append(("torch", first, {"torch.manual_seed", "transformers.set_seed"}, False))
    if source.imports_any(frozenset({"tensorflow", "keras"})):
        seeds = {"tensorflow.random.set_seed", "keras.utils.set_random_seed", "tensorflow.keras.utils.set_random_seed"}
        found.append(("tensorflow", first, seeds, False))
    for call in source.calls:
        if call.last in _STOCHASTIC:
            given = call.keyword("random_state")
            seeded = call.unpacks() or (given is not None and not is_constant(given, None))
            found.append((call.last, call.line, numpy, seeded))
        elif call.name == "numpy.random.default_rng":
            found.append(("numpy", call.line, set(), bool(call.arguments() or call.keyword("seed") is not None)))
        elif call.name.startswith("numpy.random.") and call.last not in {
            "seed",
            "RandomState",
            "SeedSequence",
            "Generator",
        }:
            found.append(("numpy", call.line, numpy, False))
        elif call.name in {"random.shuffle", "random.random", "random.choice", "random.sample", "random.randint"}:
            found.append(("random", call.line, {"random.seed"}, False))
    return found


def pipeline(workflow: Workflow) -> Outcome:
    """RE15: where training takes several steps, something written down runs them in order."""
    steps = [source for source in workflow.code if not is_sample(source.path) and _is_step(source)]
    if len(steps) < 2 or not training_sources(workflow):
        return not_applicable("Training is one script, or there is none.")
    defined = tool_places(workflow, _PIPELINE_PACKAGES)
    for file in workflow.files:
        if file.name in {"dvc.yaml", "snakefile", "mlproject", "pipeline_registry.py"}:
            defined.append(f"{file.path}:1")
    if workflow.taut.stages:
        defined.append(workflow.taut.place(workflow.taut.stages))
    defined += [f"{one.path}:1" for one in workflow.manifests("Workflow", "PipelineRun", "CronWorkflow")]
    defined += _runs_the_steps(workflow, steps)
    if defined:
        return passed("The steps are run in order by a definition.", defined)
    return missing(
        workflow,
        f"Training takes {len(steps)} scripts, and nothing says in which order they run.",
        [f"{source.path}:1" for source in steps],
    )


def _is_step(source: Source) -> bool:
    """Whether a source goes by the name of a step of training: `prepare.py`, `01_clean.py`, `make_dataset.ipynb`."""
    return bool(_STEPS.match(source.path.rpartition("/")[2].rpartition(".")[0].lower()))


def _runs_the_steps(workflow: Workflow, steps: list[Source]) -> list[str]:
    """Scripts, Makefiles or modules that name at least two of the steps."""
    names = {source.path.rpartition("/")[2].rpartition(".")[0] for source in steps}
    hits: dict[str, set[str]] = {}
    for command in workflow.scripts:
        for name in names:
            if re.search(rf"\bpython\S*\s.*\b{re.escape(name)}\b", command.text):
                hits.setdefault(command.path, set()).add(name)
    for source in workflow.code:
        imported = {part for name in source.imports for part in name.split(".")}
        hits.setdefault(source.path, set()).update(names & imported)
    return [f"{path}:1" for path, called in hits.items() if len(called) > 1]


_HOME_PATH = re.compile(
    r"^(?:/Users/(?!Shared)[^/\s]+/|/home/(?!jovyan|app|airflow|user\b|\{)[^/\s]+/|[A-Za-z]:[\\/]+(?:Users|Documents))"
)


def no_absolute_paths(workflow: Workflow) -> Outcome:
    """RE17: no path in the code leads into one person's home folder; outputs of notebooks do not count."""
    if not workflow.code:
        return not_applicable("There is no code.")
    found = [source.place(line) for source in workflow.code for line, text in source.strings if _HOME_PATH.match(text)]
    if found:
        return failed("Paths in the code lead into one person's home folder.", found)
    return passed("No path in the code leads into somebody's home folder.")


def holdout(workflow: Workflow) -> Outcome:
    """RE21: the score of a model comes from rows that it was not fitted on."""
    bad: list[str] = []
    seen = 0
    for source in workflow.code:
        same, other = evaluated_on_training_rows(source)
        seen += len(same) + len(other)
        if same and not other and not _evaluated_in_another_file(workflow, source):
            bad += [source.place(line) for line in same]
    if bad:
        return failed("The only score of the model is computed on the rows that it was fitted on.", bad)
    if not seen:
        return not_applicable("No score of a model was found.")
    return passed("Models are scored on rows that they were not fitted on.")


def _evaluated_in_another_file(workflow: Workflow, source: Source) -> bool:
    return any(
        other is not source
        and re.search(r"eval|valid|test", other.path.rpartition("/")[2].lower())
        and evaluated_on_training_rows(other)[1]
        for other in workflow.code
    )


def fit_before_split(workflow: Workflow) -> Outcome:
    """RE22: scalers, imputers and the like learn from the training rows alone."""
    bad: list[str] = []
    seen = 0
    for source in workflow.code:
        leaks, fits = fitted_before_split(source)
        seen += len(fits)
        bad += [source.place(line) for line in leaks]
    if bad:
        return failed("A transformer is fitted on all rows before they are split.", bad)
    if not seen:
        return not_applicable("No transformer is fitted.")
    return passed("No transformer is fitted on rows that are split afterwards.")


CHECKS: tuple[Check, ...] = (
    Check(
        "RE01", "git.history", "reproducibility", 5, "git tracks the code, and from early on",
        "Nobody can say which code made the model; it is lost with the laptop.",
        "Commit the code from the first run.", "git init && git add . && git commit -m 'Start the history'",
        git_history,
    ),
    Check(
        "RE02", "deps.declared", "reproducibility", 5, "a manifest names the packages that the code imports",
        "The code does not install next year, or on the next machine.",
        "Write the imported packages into requirements.txt or pyproject.toml.", "pip freeze > requirements.txt",
        deps_declared,
    ),
    Check(
        "RE03", "deps.locked", "reproducibility", 3, "a lock file or exact pins fix every package",
        "The same commit trains a different model when a package changes.",
        "Write a lock file and install from it.", "uv pip compile requirements.txt -o requirements.lock",
        deps_locked,
    ),
    Check(
        "RE05", "data.not_in_git", "reproducibility", 3, "data of size lies outside of git",
        "Clones grow slow, and private data stays in the history for ever.",
        "Snapshot the data and leave a small pointer in git.", "taut data add data/",
        data_not_in_git,
    ),
    Check(
        "RE06", "data.versioned", "reproducibility", 5, "a pointer, hash or snapshot names the data of each training",
        "Results cannot be rebuilt: nobody knows which rows the model learned from.",
        "Snapshot what training reads.", "taut data add data/",
        data_versioned,
    ),
    Check(
        "RE08", "model.not_in_git", "reproducibility", 3, "models live in a registry, not in git",
        "Model and code drift apart, and no run says where the model came from.",
        "Register the model with the run that made it.", "taut model register",
        model_not_in_git,
    ),
    Check(
        "RE09", "track.experiments", "reproducibility", 5, "every training is recorded with parameters and metrics",
        "The best result is folklore: nobody knows what made it.",
        "Run training through a tracker.", "taut run -- python train.py",
        track_experiments,
    ),
    Check(
        "RE12", "repro.split_seeded", "reproducibility", 3, "random splits have a seed",
        "The metrics change with every run, whatever the change was.",
        "Give each split a seed.", "train_test_split(..., random_state=0)",
        split_seeded,
    ),
    Check(
        "RE13", "repro.seed_all", "reproducibility", 3, "every source of chance in training has a seed",
        "Two runs of the same commit give two models.",
        "Seed every library whose chance is used.", "torch.manual_seed(0), numpy.random.seed(0), random_state=0",
        seed_all,
    ),
    Check(
        "RE15", "repro.pipeline", "reproducibility", 3, "a definition runs the steps of training in order",
        "Steps are forgotten or run in the wrong order.",
        "Write the steps down with what they read and write.", "write dvc.yaml with one stage for each script",
        pipeline,
    ),
    Check(
        "RE17", "repro.no_abs_paths", "reproducibility", 3, "paths do not lead into a person's home folder",
        "The code runs on one laptop only.",
        "Use paths relative to the project, or read them from configuration.", "Path(__file__).parent / 'data'",
        no_absolute_paths,
    ),
    Check(
        "RE21", "eval.holdout", "reproducibility", 8, "models are scored on rows they were not fitted on",
        "The score is fiction: it measures memory, not skill.",
        "Hold rows out of the fit and score on those.", "train_test_split(X, y, random_state=0)",
        holdout,
    ),
    Check(
        "RE22", "leak.fit_before_split", "reproducibility", 8, "transformers learn from training rows alone",
        "The score is too high, and falls in production.",
        "Split first, and fit transformers inside a Pipeline on the training rows.",
        "make_pipeline(StandardScaler(), model)",
        fit_before_split,
    ),
)  # fmt: skip
"""The rows of this principle."""
