"""Keys from a file, a variable and a transit engine: the right one opens a store, all others are told in one line."""

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from taut.data.store import create_store, file_key, keys_of, make_key_file, open_store, variable_key
from taut.data.store.keys import VARIABLE, LocalKey
from taut.data.store.transit import TransitKey
from taut.errors import Conflict, Corrupt, Denied, Invalid, NotFound, Unavailable, UsageError
from tests.data.store.scene import BAR, content, fetched, flipped, key_in, new_store, objects, overwrite

TOKEN = "hvs.right"


class Transit(BaseHTTPRequestHandler):
    """`encrypt`, `decrypt` and `rotate` of the documented transit engine, on real AES-256-GCM with versions of a key.

    No server of OpenBao or Vault can be had from the package registries of this project, so this one speaks their
    documented API over real HTTP: paths, the token's header, base64 fields, `vault:vN:` ciphertexts, error bodies.
    """

    versions: list[bytes]
    broken = 0

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"] or 0)
        asked = json.loads(self.rfile.read(length) or b"{}")
        if type(self).broken:
            type(self).broken -= 1
            return self.say(503, {"errors": ["Vault is sealed"]})
        if self.headers.get("X-Vault-Token") != TOKEN:
            return self.say(403, {"errors": ["permission denied"]})
        _, _, mount, verb, name = self.path.split("/")
        if mount != "transit":
            return self.say(404, {"errors": [f"no handler for route '{mount}/{verb}/{name}'"]})
        if name != "data":
            return self.say(400, {"errors": ["encryption key not found"]})
        context = base64.b64decode(asked["associated_data"])
        if verb == "encrypt":
            nonce = os.urandom(12)
            sealed = nonce + AESGCM(self.versions[-1]).encrypt(nonce, base64.b64decode(asked["plaintext"]), context)
            text = f"vault:v{len(self.versions)}:{base64.b64encode(sealed).decode()}"
            return self.say(200, {"data": {"ciphertext": text, "key_version": len(self.versions)}})
        _, version, text = asked["ciphertext"].split(":")
        sealed = base64.b64decode(text)
        try:
            plain = AESGCM(self.versions[int(version[1:]) - 1]).decrypt(sealed[:12], sealed[12:], context)
        except InvalidTag:
            return self.say(400, {"errors": ["cipher: message authentication failed"]})
        return self.say(200, {"data": {"plaintext": base64.b64encode(plain).decode()}})

    def say(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/transit/keys/data"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.setenv("BAO_TOKEN", TOKEN)
    handler = type("Engine", (Transit,), {"versions": [os.urandom(32)]})
    with served(handler) as url:
        yield handler, url


def test_a_new_key_is_its_owners_alone_and_never_replaced(tmp_path):
    key = make_key_file(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert file_key(tmp_path / "key").name == key.name
    with pytest.raises(Conflict, match="never replaced"):
        make_key_file(tmp_path / "key")
    with pytest.raises(Denied, match="cannot be made"):
        make_key_file(tmp_path / "no folder" / "key")


def test_a_key_that_others_may_read_is_refused_with_what_to_do(tmp_path):
    make_key_file(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(Denied, match="others may read") as told:
        file_key(tmp_path / "key")
    assert told.value.hint == f"chmod 600 {tmp_path / 'key'}"


@pytest.mark.parametrize("written", [b"", b"short", b"!" * 44, base64.b64encode(b"x" * 31)])
def test_a_file_without_a_key_is_told(tmp_path, written):
    (tmp_path / "key").write_bytes(written)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(Corrupt, match="does not hold 32 bytes in base64"):
        file_key(tmp_path / "key")


def test_a_key_comes_from_a_variable(monkeypatch):
    with pytest.raises(Unavailable, match="holds no key"):
        variable_key("NO_SUCH_KEY")
    monkeypatch.setenv(VARIABLE, base64.b64encode(b"k" * 32).decode())
    assert keys_of("env:").name == LocalKey(b"k" * 32).name == keys_of(f"env:{VARIABLE}").name


def test_a_setting_names_the_provider(tmp_path, monkeypatch):
    key = make_key_file(tmp_path / "key")
    assert keys_of(f"file:{tmp_path / 'key'}").name == key.name
    monkeypatch.setenv("BAO_TOKEN", "t")
    assert (
        "vault.example:8200/v1/transit/keys/k" in keys_of("transit:https://vault.example:8200/v1/transit/keys/k").name
    )
    for other in ("", "file:", "sesame", "transit:"):
        with pytest.raises(UsageError, match="no key is kept at"):
            keys_of(other)


def test_a_name_tells_nothing_of_the_key():
    key = LocalKey(b"k" * 32)
    assert b"k" * 8 not in key.name.encode()
    assert LocalKey(b"j" * 32).name != key.name


def test_a_secret_opens_only_for_its_store():
    key = LocalKey(b"k" * 32)
    wrapped = key.wrap(b"secret", b"store 1")
    assert key.unwrap(wrapped, b"store 1") == b"secret"
    with pytest.raises(Denied):
        key.unwrap(wrapped, b"store 2")
    with pytest.raises(Denied):
        key.unwrap(flipped(wrapped, 20), b"store 1")
    with pytest.raises(Denied):
        key.unwrap(b"", b"store 1")


def test_a_store_does_not_open_without_its_key_or_with_another(tmp_path):
    new_store(tmp_path)
    with pytest.raises(Denied, match=r"is encrypted with key [0-9a-f]{16}, and no key was given"):
        open_store(str(tmp_path / "store"))
    other = make_key_file(tmp_path / "other")
    with pytest.raises(Denied) as told:
        open_store(str(tmp_path / "store"), other)
    assert other.name in told.value.message
    assert "\n" not in told.value.message


def test_a_new_key_opens_all_and_the_old_one_nothing_and_no_data_is_rewritten(tmp_path):
    store = new_store(tmp_path)
    one = content(tmp_path / "files", b"data")
    store.push([one], BAR)
    before = {key: path.read_bytes() for key, path in objects(tmp_path).items()}
    new = make_key_file(tmp_path / "new")
    store.rotate(new)
    after = {key: path.read_bytes() for key, path in objects(tmp_path).items()}
    assert {key for key in after if after[key] != before.get(key)} == {"store.json", "store.copy.json"}
    assert fetched(open_store(str(tmp_path / "store"), new), [one.digest], tmp_path / "out")[one.digest] == b"data"
    with pytest.raises(Denied):
        open_store(str(tmp_path / "store"), file_key(tmp_path / "store.key"))


def test_a_rotation_killed_between_its_two_writes_is_done_again(tmp_path):
    store = new_store(tmp_path)
    old = (tmp_path / "store" / "store.json").read_bytes()
    new = make_key_file(tmp_path / "new")
    store.rotate(new)
    overwrite(tmp_path / "store" / "store.json", old)
    half = open_store(str(tmp_path / "store"), file_key(tmp_path / "store.key"))
    assert [damage.object for damage in half.fsck().damages] == ["store.copy.json"]
    half.rotate(new)
    assert open_store(str(tmp_path / "store"), new).fsck().damages == []


def test_a_plain_store_has_no_key_to_change(tmp_path):
    with pytest.raises(Invalid, match="is not encrypted"):
        new_store(tmp_path, is_plain=True).rotate(key_in(tmp_path))


def test_a_transit_engine_keeps_the_secret_of_a_store(tmp_path, engine):
    handler, url = engine
    store = create_store(str(tmp_path / "store"), TransitKey(url))
    one = content(tmp_path / "files", b"data")
    store.push([one], BAR)
    handler.versions.append(os.urandom(32))  # The engine rotates its key; old versions stay readable.
    assert fetched(open_store(str(tmp_path / "store"), TransitKey(url)), [one.digest], tmp_path / "a")
    store.rotate(TransitKey(url))
    assert b"vault:v2:" in base64.b64decode(json.loads((tmp_path / "store/store.json").read_bytes())["secret"])
    assert fetched(open_store(str(tmp_path / "store"), TransitKey(url)), [one.digest], tmp_path / "b")


def test_from_a_file_to_a_transit_engine(tmp_path, engine):
    _, url = engine
    store = new_store(tmp_path)
    one = content(tmp_path / "files", b"data")
    store.push([one], BAR)
    store.rotate(keys_of(f"transit:{url}"))
    assert fetched(open_store(str(tmp_path / "store"), TransitKey(url)), [one.digest], tmp_path / "out")


def test_a_transit_engine_that_refuses_is_told(engine):
    handler, url = engine
    key = TransitKey(url)
    wrapped = key.wrap(b"secret", b"store")
    with pytest.raises(Denied, match="message authentication failed"):
        key.unwrap(wrapped, b"another store")
    with pytest.raises(Denied, match="refused the token: 403, permission denied"):
        TransitKey(url, token="hvs.wrong").wrap(b"secret", b"store")
    with pytest.raises(NotFound, match="no handler for route"):
        TransitKey(url.replace("transit", "other")).wrap(b"secret", b"store")
    with pytest.raises(Denied, match="encryption key not found"):
        TransitKey(url.replace("keys/data", "keys/none")).wrap(b"secret", b"store")
    handler.broken = 2
    assert key.unwrap(wrapped, b"store") == b"secret"
    handler.broken = 100
    with pytest.raises(Unavailable, match="Vault is sealed"):
        key.unwrap(wrapped, b"store")


def test_a_transit_engine_that_is_not_there_is_told(monkeypatch, engine):
    _, url = engine
    with served(Transit) as gone:
        pass
    with pytest.raises(Unavailable, match="did not answer"):
        TransitKey(gone).wrap(b"secret", b"store")
    monkeypatch.delenv("BAO_TOKEN")
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    with pytest.raises(Unavailable, match="no token") as told:
        TransitKey(url)
    assert told.value.hint == "set BAO_TOKEN"


@pytest.mark.parametrize(
    "url", ["https://host/v1/transit", "ftp://host/v1/transit/keys/a", "https:///v1/t/keys/a", "x"]
)
def test_a_url_that_names_no_key_of_an_engine_is_told(url):
    with pytest.raises(UsageError, match="names no key of a transit engine"):
        TransitKey(url, token="t")
