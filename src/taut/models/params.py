"""The params of a request, held against those of the signature: defaults filled in, types as MLflow converts them."""

import difflib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taut.errors import Invalid
from taut.models.nested import Wrong, checked_value
from taut.models.signature import Param, Signature, Type
from taut.models.values import shown


def checked_params(signature: Signature, params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Every param of the signature, as given or by its default; empty for a model that takes none.

    Whole numbers are taken for floats and texts in ISO 8601 for times. Raises Invalid for a param that is not known
    (MLflow leaves it out silently, so that a typo steers nothing) and for one of another type, naming both.
    """
    given = params or {}
    known = {param.name: param for param in signature.params}
    if unknown := sorted(set(given) - set(known)):
        if not known:
            raise Invalid(f"the model takes no params; the request has {', '.join(unknown)}")
        near = difflib.get_close_matches(unknown[0], known, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise Invalid(f"the model takes no param {unknown[0]!r}{meant}; it takes {', '.join(known)}")
    return {name: _checked(param, given.get(name, param.default)) for name, param in known.items()}


def _checked(param: Param, value: Any) -> Any:
    wanted = Type(param.kind, fields=param.fields)
    if value is None:
        return None  # As MLflow: a param may always be null, and often is by default.
    if param.is_list:
        wanted = Type("array", wanted)
    try:
        found = checked_value(wanted, value, "")
    except Wrong as problem:
        at = f" at {problem.path}" if problem.path else ""
        expected = f"list of {param.kind}" if param.is_list and not problem.path else problem.expected
        raise Invalid(f"param {param.name!r} takes {expected}{at}; found {shown(problem.value)}") from None
    if param.kind == "object":
        return value  # As MLflow: checked, and given as it came.
    return _as_day(found, value) if isinstance(found, datetime) else found


def _as_day(found: datetime, written: object) -> Any:
    """A date where only a date was written, as numpy reads it."""
    return found.date() if isinstance(written, str) and len(written) == len("2013-01-01") else found
