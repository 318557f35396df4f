"""run -> model version: the registry, and the gate that a version passes before anybody relies on it."""

from typing import TYPE_CHECKING

from taut.ground.late import names_of

if TYPE_CHECKING:
    from taut.models.aliases import delete_alias, promote_model, set_alias
    from taut.models.approvals import (
        ApprovalPolicy,
        Promotion,
        approval_policy,
        decide_promotion,
        find_promotion,
        lower_approvals,
        must_be_approved,
        request_promotion,
        require_approvals,
    )
    from taut.models.card import model_card
    from taut.models.compilations import (
        ServedForm,
        compile_model,
        find_compilation,
        load_served,
        record_compilation,
        served_form,
        served_graph,
    )
    from taut.models.compiled.predictor import CompiledPredictor
    from taut.models.evidence import list_gates, newest_gate, record_gate
    from taut.models.gate import gate_model, scores_of
    from taut.models.importing import import_model, import_version, settle_imported_model
    from taut.models.keeping import (
        delete_model,
        delete_version,
        describe_model,
        describe_version,
        rename_model,
        set_stage,
        tag_model,
        tag_version,
    )
    from taut.models.made_up import made_up_rows
    from taut.models.package import fetch_model
    from taut.models.packed import packed_form
    from taut.models.predictor import Predictor, load_model
    from taut.models.registry import (
        create_model,
        deployments_of,
        find_model,
        list_models,
        list_versions,
        model_files,
        record_model,
        register_folder,
        register_model,
        show_model,
    )
    from taut.models.rows import LabelledRows, read_rows
    from taut.models.search import ModelPage, VersionPage, latest_versions, search_models, search_versions
    from taut.models.signature import Signature, SignatureColumn, check_names, parse_signature
    from taut.models.versions import CHAMPION, RegisteredModel

PLACES = {
    "aliases": (
        "delete_alias",
        "promote_model",
        "set_alias",
    ),
    "approvals": (
        "ApprovalPolicy",
        "Promotion",
        "approval_policy",
        "decide_promotion",
        "find_promotion",
        "lower_approvals",
        "must_be_approved",
        "request_promotion",
        "require_approvals",
    ),
    "card": ("model_card",),
    "compilations": (
        "ServedForm",
        "compile_model",
        "find_compilation",
        "load_served",
        "record_compilation",
        "served_form",
        "served_graph",
    ),
    "compiled.predictor": ("CompiledPredictor",),
    "evidence": (
        "list_gates",
        "newest_gate",
        "record_gate",
    ),
    "gate": (
        "gate_model",
        "scores_of",
    ),
    "importing": (
        "import_model",
        "import_version",
        "settle_imported_model",
    ),
    "keeping": (
        "delete_model",
        "delete_version",
        "describe_model",
        "describe_version",
        "rename_model",
        "set_stage",
        "tag_model",
        "tag_version",
    ),
    "made_up": ("made_up_rows",),
    "package": ("fetch_model",),
    "packed": ("packed_form",),
    "predictor": (
        "Predictor",
        "load_model",
    ),
    "registry": (
        "create_model",
        "deployments_of",
        "find_model",
        "list_models",
        "list_versions",
        "model_files",
        "record_model",
        "register_folder",
        "register_model",
        "show_model",
    ),
    "rows": (
        "LabelledRows",
        "read_rows",
    ),
    "search": (
        "ModelPage",
        "VersionPage",
        "latest_versions",
        "search_models",
        "search_versions",
    ),
    "signature": (
        "Signature",
        "SignatureColumn",
        "check_names",
        "parse_signature",
    ),
    "versions": (
        "CHAMPION",
        "RegisteredModel",
    ),
}

__all__ = [
    "CHAMPION",
    "ApprovalPolicy",
    "CompiledPredictor",
    "LabelledRows",
    "ModelPage",
    "Predictor",
    "Promotion",
    "RegisteredModel",
    "ServedForm",
    "Signature",
    "SignatureColumn",
    "VersionPage",
    "approval_policy",
    "check_names",
    "compile_model",
    "create_model",
    "decide_promotion",
    "delete_alias",
    "delete_model",
    "delete_version",
    "deployments_of",
    "describe_model",
    "describe_version",
    "fetch_model",
    "find_compilation",
    "find_model",
    "find_promotion",
    "gate_model",
    "import_model",
    "import_version",
    "latest_versions",
    "list_gates",
    "list_models",
    "list_versions",
    "load_model",
    "load_served",
    "lower_approvals",
    "made_up_rows",
    "model_card",
    "model_files",
    "must_be_approved",
    "newest_gate",
    "packed_form",
    "parse_signature",
    "promote_model",
    "read_rows",
    "record_compilation",
    "record_gate",
    "record_model",
    "register_folder",
    "register_model",
    "rename_model",
    "request_promotion",
    "require_approvals",
    "scores_of",
    "search_models",
    "search_versions",
    "served_form",
    "served_graph",
    "set_alias",
    "set_stage",
    "settle_imported_model",
    "show_model",
    "tag_model",
    "tag_version",
]

__getattr__ = names_of("taut.models", PLACES)
