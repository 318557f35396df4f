"""Looks at the whole line: traces a prediction, checks a home, shows its lights, administers access.

`taut status` is typed often and needs the lights alone, so each name brings its module along when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taut.govern.access_file import (
        Change,
        WantedAccess,
        WantedProject,
        WantedTrust,
        apply_access,
        plan_access,
    )
    from taut.govern.access_log import show_access_log
    from taut.govern.anchors import (
        Kept,
        Signed,
        anchor_ledger,
        erase_body,
        keep_checkpoint,
        kept_checkpoints,
        ledger_key,
        prove,
        prove_consistency,
        show_hand_overs,
        sign_checkpoint,
    )
    from taut.govern.backup import Manifest, back_up, read_manifest, restore
    from taut.govern.checkpoints import Rotated, rotate_ledger_key
    from taut.govern.clients import OidcClient, remove_client_secret, set_client_secret, show_clients
    from taut.govern.collecting import Collected, collect
    from taut.govern.deliveries import Tried, tell_webhooks, try_webhook
    from taut.govern.fsck import Health, Problem, check_home
    from taut.govern.grant_sets import (
        add_grant,
        assign_set,
        change_grant,
        change_set,
        create_set,
        get_set,
        holders_of,
        remove_grant,
        remove_set,
        sets_of,
        show_sets,
        unassign_set,
    )
    from taut.govern.history import (
        show_ledger,
    )
    from taut.govern.links import link_user, show_links, unlink_user
    from taut.govern.logins import (
        log_in,
        log_in_by_code,
        login_provider,
    )
    from taut.govern.members import (
        Explained,
        bind_role,
        explain_access,
        show_bindings,
        show_matrix,
        unbind_role,
    )
    from taut.govern.permissions import (
        Held,
        find_level,
        get_permission,
        grant_permission,
        list_permissions,
        revoke_permission,
    )
    from taut.govern.places import anchors_at, put_anchor
    from taut.govern.projects import (
        create_project,
        delete_project,
        describe_project,
        get_project,
        restore_project,
        show_projects,
    )
    from taut.govern.secrets import Resealed, rotate_secret_key
    from taut.govern.status import Line, Station, show_line
    from taut.govern.tokens import (
        NewToken,
        close_sessions,
        create_own_token,
        create_token,
        end_token,
        open_session,
        show_own_tokens,
        show_tokens,
    )
    from taut.govern.trace import Link, Reached, Trace, trace_prediction
    from taut.govern.trusts import Exchanged, add_trust, exchange_token, remove_trust, show_trusts
    from taut.govern.users import (
        create_user,
        delete_user,
        disable_user,
        get_user,
        set_admin,
        set_password,
        set_user_role,
        show_users,
    )
    from taut.govern.verify import Flaw, Verified, verify_home
    from taut.govern.webhooks import (
        Webhook,
        WebhookPage,
        create_webhook,
        delete_webhook,
        get_webhook,
        list_webhooks,
        seal_secrets,
        update_webhook,
    )

_PLACES = {
    "anchors": (
        "Kept",
        "Signed",
        "anchor_ledger",
        "erase_body",
        "keep_checkpoint",
        "kept_checkpoints",
        "ledger_key",
        "prove",
        "prove_consistency",
        "show_hand_overs",
        "sign_checkpoint",
    ),
    "backup": (
        "Manifest",
        "back_up",
        "read_manifest",
        "restore",
    ),
    "checkpoints": (
        "Rotated",
        "rotate_ledger_key",
    ),
    "clients": (
        "OidcClient",
        "remove_client_secret",
        "set_client_secret",
        "show_clients",
    ),
    "collecting": (
        "Collected",
        "collect",
    ),
    "access_log": ("show_access_log",),
    "access_file": (
        "Change",
        "WantedAccess",
        "WantedProject",
        "WantedTrust",
        "apply_access",
        "plan_access",
    ),
    "deliveries": (
        "Tried",
        "tell_webhooks",
        "try_webhook",
    ),
    "fsck": (
        "Health",
        "Problem",
        "check_home",
    ),
    "grant_sets": (
        "add_grant",
        "assign_set",
        "change_grant",
        "change_set",
        "create_set",
        "get_set",
        "holders_of",
        "remove_grant",
        "remove_set",
        "sets_of",
        "show_sets",
        "unassign_set",
    ),
    "history": (
        "show_ledger",
    ),
    "links": (
        "link_user",
        "show_links",
        "unlink_user",
    ),
    "logins": (
        "log_in",
        "log_in_by_code",
        "login_provider",
    ),
    "members": (
        "Explained",
        "bind_role",
        "explain_access",
        "show_bindings",
        "show_matrix",
        "unbind_role",
    ),
    "permissions": (
        "Held",
        "find_level",
        "get_permission",
        "grant_permission",
        "list_permissions",
        "revoke_permission",
    ),
    "places": ("anchors_at", "put_anchor"),
    "projects": (
        "create_project",
        "delete_project",
        "describe_project",
        "get_project",
        "restore_project",
        "show_projects",
    ),
    "secrets": (
        "Resealed",
        "rotate_secret_key",
    ),
    "status": (
        "Line",
        "Station",
        "show_line",
    ),
    "tokens": (
        "NewToken",
        "close_sessions",
        "create_own_token",
        "create_token",
        "end_token",
        "open_session",
        "show_own_tokens",
        "show_tokens",
    ),
    "trace": (
        "Link",
        "Reached",
        "Trace",
        "trace_prediction",
    ),
    "trusts": ("Exchanged", "add_trust", "exchange_token", "remove_trust", "show_trusts"),
    "users": (
        "create_user",
        "delete_user",
        "disable_user",
        "get_user",
        "set_admin",
        "set_password",
        "set_user_role",
        "show_users",
    ),
    "verify": ("Flaw", "Verified", "verify_home"),
    "webhooks": (
        "Webhook",
        "WebhookPage",
        "create_webhook",
        "delete_webhook",
        "get_webhook",
        "list_webhooks",
        "seal_secrets",
        "update_webhook",
    ),
}  # fmt: skip

__all__ = [
    "Change",
    "Collected",
    "Exchanged",
    "Explained",
    "Flaw",
    "Health",
    "Held",
    "Kept",
    "Line",
    "Link",
    "Manifest",
    "NewToken",
    "OidcClient",
    "Problem",
    "Reached",
    "Resealed",
    "Rotated",
    "Signed",
    "Station",
    "Trace",
    "Tried",
    "Verified",
    "WantedAccess",
    "WantedProject",
    "WantedTrust",
    "Webhook",
    "WebhookPage",
    "add_grant",
    "add_trust",
    "anchor_ledger",
    "anchors_at",
    "apply_access",
    "assign_set",
    "back_up",
    "bind_role",
    "change_grant",
    "change_set",
    "check_home",
    "close_sessions",
    "collect",
    "create_own_token",
    "create_project",
    "create_set",
    "create_token",
    "create_user",
    "create_webhook",
    "delete_project",
    "delete_user",
    "delete_webhook",
    "describe_project",
    "disable_user",
    "end_token",
    "erase_body",
    "exchange_token",
    "explain_access",
    "find_level",
    "get_permission",
    "get_project",
    "get_set",
    "get_user",
    "get_webhook",
    "grant_permission",
    "holders_of",
    "keep_checkpoint",
    "kept_checkpoints",
    "ledger_key",
    "link_user",
    "list_permissions",
    "list_webhooks",
    "log_in",
    "log_in_by_code",
    "login_provider",
    "open_session",
    "plan_access",
    "prove",
    "prove_consistency",
    "put_anchor",
    "read_manifest",
    "remove_client_secret",
    "remove_grant",
    "remove_set",
    "remove_trust",
    "restore",
    "restore_project",
    "revoke_permission",
    "rotate_ledger_key",
    "rotate_secret_key",
    "seal_secrets",
    "set_admin",
    "set_client_secret",
    "set_password",
    "set_user_role",
    "sets_of",
    "show_access_log",
    "show_bindings",
    "show_clients",
    "show_hand_overs",
    "show_ledger",
    "show_line",
    "show_links",
    "show_matrix",
    "show_own_tokens",
    "show_projects",
    "show_sets",
    "show_tokens",
    "show_trusts",
    "show_users",
    "sign_checkpoint",
    "tell_webhooks",
    "trace_prediction",
    "try_webhook",
    "unassign_set",
    "unbind_role",
    "unlink_user",
    "update_webhook",
    "verify_home",
]


def __getattr__(name: str) -> object:
    """A name of this room, from the module that holds it."""
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"taut.govern.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
