"""Looks at the whole line: traces a prediction, checks a home, shows its lights, administers access."""

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
from taut.govern.history import show_ledger
from taut.govern.permissions import (
    Held,
    find_level,
    get_permission,
    grant_permission,
    list_permissions,
    revoke_permission,
)
from taut.govern.status import Line, Station, show_line
from taut.govern.tokens import NewToken, create_token, end_token, show_tokens
from taut.govern.trace import Link, Reached, Trace, trace_prediction
from taut.govern.users import (
    create_user,
    delete_user,
    get_user,
    set_admin,
    set_password,
    set_user_role,
    show_users,
)

__all__ = [
    "Health",
    "Held",
    "Line",
    "Link",
    "NewToken",
    "Problem",
    "Reached",
    "Station",
    "Trace",
    "add_grant",
    "assign_set",
    "change_grant",
    "change_set",
    "check_home",
    "create_set",
    "create_token",
    "create_user",
    "delete_user",
    "end_token",
    "find_level",
    "get_permission",
    "get_set",
    "get_user",
    "grant_permission",
    "holders_of",
    "list_permissions",
    "remove_grant",
    "remove_set",
    "revoke_permission",
    "set_admin",
    "set_password",
    "set_user_role",
    "sets_of",
    "show_ledger",
    "show_line",
    "show_sets",
    "show_tokens",
    "show_users",
    "trace_prediction",
    "unassign_set",
]
