"""What a store says of itself in the open: its version, and its secret, wrapped by whoever keeps the key.

It lies twice. A new key wraps the same secret again: two small objects are rewritten and no other.
"""

import base64
import binascii
import hashlib
import os

import msgspec

from taut.data.store.codec import Bytes
from taut.data.store.keys import KeyProvider
from taut.data.store.places import GONE, Place, read_either
from taut.data.store.roots import VERSION, Root, new_secret, root_of
from taut.errors import Conflict, Corrupt, Denied, Invalid, NotFound

FORMAT, COPY = "store.json", "store.copy.json"
KIND = "taut data store"
VERSIONS = (1, VERSION)  # Those that are read. A store keeps the one that it was made with.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)  # The second of a name that is not UTF-8.
NEWER = "a newer version wrote it"


class Format(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The object as it is written; `secret` is wrapped where `encrypted`, `check` is over all else."""

    kind: str
    version: int
    id: str
    encrypted: bool
    key: str
    secret: str
    check: str = ""

    @property
    def context(self) -> bytes:
        """What the secret is wrapped for."""
        return f"{KIND} {self.id}".encode()

    def checked(self) -> "Format":
        """The same with its checksum."""
        bare = msgspec.structs.replace(self, check="")
        return msgspec.structs.replace(bare, check=hashlib.sha256(msgspec.json.encode(bare)).hexdigest())


class _Head(msgspec.Struct, frozen=True):
    """What every version says."""

    kind: str
    version: int


def create_format(place: Place, keys: KeyProvider | None) -> Root:
    """Make a store at an empty place, without encryption where there are no keys. Raises Conflict where one is."""
    secret = new_secret()
    told = _wrapped(os.urandom(8).hex(), secret, keys)
    if next(iter(place.found("index/")), None) is not None or not place.create(FORMAT, msgspec.json.encode(told)):
        raise Conflict(f"there is a store at {place.url} already")
    place.put(COPY, msgspec.json.encode(told))
    return root_of(secret, is_encrypted=told.encrypted)


def open_format(place: Place, keys: KeyProvider | None) -> Root:
    """The root of the store at a place.

    Raises NotFound where there is none, Denied without the key or with another, Corrupt where both copies are damaged,
    Invalid where a newer taut made it.
    """
    told, secret = _opened(place, keys)
    return root_of(secret, is_encrypted=told.encrypted, version=told.version)


def rewrap(place: Place, keys: KeyProvider | None, new_keys: KeyProvider) -> None:
    """Have another key keep the secret; the old one opens nothing any more. A kill half way leaves the old one valid.

    Raises as `open_format`, and Invalid for a store without encryption.
    """
    told, secret = _opened(place, keys)
    if not told.encrypted:
        raise Invalid(f"{place.url} is not encrypted, so it has no key", hint="push to a new store, which is")
    data = msgspec.json.encode(_wrapped(told.id, secret, new_keys, told.version))
    place.put(COPY, data)
    place.put(FORMAT, data)


def damaged_copies(place: Place, keys: KeyProvider | None) -> dict[str, str]:
    """Which copies of the format are not what they should be, and why."""
    return _judged(place, keys)[1]


def mend_format(place: Place, keys: KeyProvider | None) -> list[str]:
    """Write the damaged copies again, from the one that `keys` opens; returns their keys."""
    good, bad = _judged(place, keys)
    for key in bad:
        place.put(key, msgspec.json.encode(good))
    return sorted(bad)


def _opened(place: Place, keys: KeyProvider | None) -> tuple[Format, bytes]:
    found, bad = _copies(place)
    if not found:
        if all(reason == GONE for reason in bad.values()):
            raise NotFound(f"there is no store at {place.url}", hint="create it first")
        if set(bad.values()) == {NEWER}:
            raise Invalid(f"{place.url} has a newer format, and this taut reads {VERSION}", hint="update taut")
        raise Corrupt(f"{FORMAT} in {place.url} is damaged, and so is its copy")
    refusal: Denied | None = None
    for told in found.values():
        try:
            return told, _unwrapped(place, told, keys)
        except Denied as problem:
            refusal = refusal or problem
    assert refusal is not None
    raise refusal


def _judged(place: Place, keys: KeyProvider | None) -> tuple[Format, dict[str, str]]:
    """The copy that counts, and what is wrong with the others: damaged, or of another key.

    Two keys are there after a rotation that was killed between its two writes, or where somebody put an older copy
    back. The one that was given to us decides, or who mends would lock out whoever has the newer.
    """
    found, bad = _copies(place)
    good, _ = _opened(place, keys)
    for key, told in found.items():
        if told != good:
            bad[key] = f"it differs from {COPY if key == FORMAT else FORMAT}"
    return good, bad


def _copies(place: Place) -> tuple[dict[str, Format], dict[str, str]]:
    found: dict[str, Format] = {}
    bad: dict[str, str] = {}
    for key, data, reason in read_either(place, (FORMAT, COPY)):
        if data is None:
            bad[key] = reason
            continue
        try:
            told = msgspec.json.decode(data, type=Format)
        except UNREADABLE as problem:
            bad[key] = NEWER if _is_newer(data) else f"it does not read as a format: {problem}"
            continue
        # Byte for byte, for JSON has many ways to say the same.
        if told.kind == KIND and told.version in VERSIONS and msgspec.json.encode(told.checked()) == data:
            found[key] = told
        else:
            bad[key] = NEWER if _is_newer(data) else "its checksum differs"
    return found, bad


def _is_newer(data: Bytes) -> bool:
    """Whether a version after this one wrote it; of a single copy it may be the damage that says so."""
    try:
        head = msgspec.json.decode(data, type=_Head)
    except UNREADABLE:
        return False
    return head.kind == KIND and head.version > VERSION


def _wrapped(store_id: str, secret: bytes, keys: KeyProvider | None, version: int = VERSION) -> Format:
    bare = Format(KIND, version, store_id, keys is not None, keys.name if keys else "", "")
    packed = keys.wrap(secret, bare.context) if keys else secret
    return msgspec.structs.replace(bare, secret=base64.b64encode(packed).decode()).checked()


def _unwrapped(place: Place, told: Format, keys: KeyProvider | None) -> bytes:
    try:
        packed = base64.b64decode(told.secret, validate=True)
    except binascii.Error:
        raise Corrupt(f"{FORMAT} in {place.url} is damaged") from None
    if not told.encrypted:
        return packed
    if keys is None:
        raise Denied(
            f"{place.url} is encrypted with {told.key}, and no key was given", hint="name where its key is kept"
        )
    try:
        return keys.unwrap(packed, told.context)
    except Denied as problem:
        raise Denied(f"{place.url} is encrypted with {told.key}: {problem.message}", hint=problem.hint) from None
