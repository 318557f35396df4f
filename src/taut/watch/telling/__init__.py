"""alert -> people: who is told of what becomes of an alert, each change once, whatever dies in between."""

from typing import TYPE_CHECKING

from taut.ground.late import names_of

if TYPE_CHECKING:
    from taut.watch.telling.delivery import Delivered, tell_receivers, try_receiver
    from taut.watch.telling.outbox import Notice, list_notices

PLACES = {"delivery": ("Delivered", "tell_receivers", "try_receiver"), "outbox": ("Notice", "list_notices")}

__all__ = ["Delivered", "Notice", "list_notices", "tell_receivers", "try_receiver"]

__getattr__ = names_of("taut.watch.telling", PLACES)
