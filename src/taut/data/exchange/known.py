"""What a remote behind a network is known to hold, so that a push asks it for what is new and not for all there is.

Known are lists of folders that were pushed, or fetched, with all that they list. One is trusted as long as the remote
still has the list itself, which is asked for each time: whoever collects garbage there takes lists before files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from taut.data.exchange.remote import Remote
from taut.data.workspace.cache import Cache
from taut.data.workspace.index import open_index
from taut.data.workspace.listing import read_listing
from taut.errors import Corrupt, Invalid, NotFound

EARLIER_MAX = 8  # Lists beside those that are pushed whose files are trusted: of earlier versions, in most cases.


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one remote. `folder` is where the index lies; `name` is empty for one that is always asked."""

    folder: str
    name: str

    def missing(
        self, remote: Remote, cache: Cache, lists: Mapping[str, Iterable[str]], others: Iterable[str]
    ) -> set[str]:
        """What the remote lacks of lists of folders, of what they list, and of other contents.

        Where a list that it was known to have is gone, nothing that was known of it holds.
        """
        wanted = {digest for listed in lists.values() for digest in listed}.union(lists, others)
        if not self.name:
            return remote.missing(wanted)
        with open_index(self.folder) as index:
            pushed = index.pushed(self.name)
            trusted = [digest for digest in pushed if digest in lists]
            if len(trusted) < len(lists):
                trusted += islice((one for one in pushed if one not in lists and cache.has(one)), EARLIER_MAX)
            gone = remote.missing({*lists, *trusted})
            if not gone.isdisjoint(trusted):
                index.forget_pushed(self.name)
                trusted = []
        held = set(lists) - gone
        for digest in trusted:
            held.update(lists[digest] if digest in lists else _listed(cache, digest))
        return (gone & wanted) | remote.missing(wanted - held - gone)

    def keep(self, lists: Iterable[str]) -> None:
        """Remember lists of folders that the remote has with all that they list."""
        if self.name and (digests := set(lists)):
            with open_index(self.folder) as index:
                index.keep_pushed(self.name, digests)

    def forget(self) -> None:
        """Trust nothing of the remote: it lacks what it should have."""
        if self.name:
            with open_index(self.folder) as index:
                index.forget_pushed(self.name)


def _listed(cache: Cache, digest: str) -> set[str]:
    """What a list in the cache lists; nothing where it is not what it should be."""
    try:
        return {md5 for _, md5 in read_listing(cache, digest, cache.path_of(digest))}
    except (NotFound, Corrupt, Invalid):
        return set()
