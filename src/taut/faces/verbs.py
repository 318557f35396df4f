"""THE table of verbs: what every face may call, by name. Adding one costs a function in its room and a row here."""

from importlib import import_module
from types import MappingProxyType
from typing import Any

from taut.errors import NotFound
from taut.home import Verb

# Name -> where its function is; imported when it is called, so that no command pays for another's packages.
VERBS: MappingProxyType[str, str] = MappingProxyType(
    {
        "home.fsck": "taut.govern.fsck:check_home",
        "home.status": "taut.govern.status:show_line",
        "ledger.show": "taut.govern.history:show_ledger",
        "prediction.why": "taut.govern.trace:trace_prediction",
        "token.create": "taut.govern.tokens:create_token",
        "token.list": "taut.govern.tokens:show_tokens",
        "token.revoke": "taut.govern.tokens:end_token",
    }
)


def load_verb(name: str) -> Verb[..., Any]:
    """The verb of that name. Raises NotFound."""
    if name not in VERBS:
        raise NotFound(f"this server has no verb {name!r}", hint="use the same version of taut on both sides")
    module, _, function = VERBS[name].partition(":")
    verb = getattr(import_module(module), function)
    assert isinstance(verb, Verb), VERBS[name]
    assert verb.name == name, (verb.name, name)
    return verb
