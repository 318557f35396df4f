"""Keys from a file, a variable and a transit engine: the right one opens a store, all others are told in one line."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from taut.data.store import create_store, file_key, keys_of, make_key_file, open_store, variable_key
from taut.data.store.keys import VARIABLE, LocalKey
from taut.data.store.transit import TransitKey
from taut.errors import Conflict, Corrupt, Denied, Invalid, NotFound, Unavailable, UsageError
from tests.data.store.scene import BAR, content, fetched, flipped, key_in, new_store, objects, overwrite
from tests.data.store.servers import ROOT_TOKEN, log_in, openbao


class Refusing(BaseHTTPRequestHandler):
    """A server that answers as a sealed one, a standby or no OpenBao at all does, so many times."""

    status, body, times = 503, b'{"errors": ["Vault is sealed"]}', 1000

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        kind = type(self)
        kind.times -= 1
        self.send_response(kind.status)
        self.send_header("Content-Length", str(len(kind.body)))
        self.end_headers()
        self.wfile.write(kind.body)

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


@pytest.fixture(scope="module")
def bao():
    with openbao() as running:
        yield running


@pytest.fixture
def engine(bao, monkeypatch):
    """A running OpenBao whose token and certificate this process has."""
    for name in ("VAULT_TOKEN", "BAO_NAMESPACE", "VAULT_NAMESPACE", "VAULT_CACERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BAO_TOKEN", ROOT_TOKEN)
    monkeypatch.setenv("BAO_CACERT", str(bao.ca))
    return bao


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


def test_who_mends_keeps_the_key_that_was_given(tmp_path):
    store = new_store(tmp_path)
    old = (tmp_path / "store" / "store.json").read_bytes()
    new = make_key_file(tmp_path / "new")
    store.rotate(new)
    overwrite(tmp_path / "store" / "store.json", old)  # Somebody puts an older copy back.
    now = open_store(str(tmp_path / "store"), new)
    assert [damage.object for damage in now.fsck().damages] == ["store.json"]
    assert now.repair(lambda digest: None).mended == ("store.json",)
    assert open_store(str(tmp_path / "store"), new).fsck().damages == []
    with pytest.raises(Denied):
        open_store(str(tmp_path / "store"), file_key(tmp_path / "store.key"))


def test_a_plain_store_has_no_key_to_change(tmp_path):
    with pytest.raises(Invalid, match="is not encrypted"):
        new_store(tmp_path, is_plain=True).rotate(key_in(tmp_path))


def line_of(told) -> str:
    """The message, which has one line."""
    assert "\n" not in told.value.message
    return told.value.message


def test_a_transit_engine_keeps_the_secret_of_a_store(tmp_path, engine):
    url = engine.make_key("kept")
    store = create_store(str(tmp_path / "store"), TransitKey(url))
    one = content(tmp_path / "files", b"data")
    store.push([one], BAR)
    engine.ask("transit/keys/kept/rotate")  # Old versions stay readable.
    assert fetched(open_store(str(tmp_path / "store"), TransitKey(url)), [one.digest], tmp_path / "a")
    store.rotate(TransitKey(url))
    assert b"vault:v2:" in base64.b64decode(json.loads((tmp_path / "store/store.json").read_bytes())["secret"])
    engine.ask("transit/keys/kept/config", {"min_decryption_version": 2})
    assert fetched(open_store(str(tmp_path / "store"), TransitKey(url)), [one.digest], tmp_path / "b")


def test_a_version_of_the_key_that_was_retired_too_early_is_told(tmp_path, engine):
    url = engine.make_key("retired")
    create_store(str(tmp_path / "store"), TransitKey(url))
    engine.ask("transit/keys/retired/rotate")
    engine.ask("transit/keys/retired/config", {"min_decryption_version": 2})
    with pytest.raises(Denied, match="too old") as told:
        open_store(str(tmp_path / "store"), TransitKey(url))
    line_of(told)
    assert told.value.hint == "lower its min_decryption_version"


def test_from_a_file_to_a_transit_engine_and_back(tmp_path, engine):
    url = engine.make_key("data")
    store = new_store(tmp_path)
    one = content(tmp_path / "files", b"data")
    store.push([one], BAR)
    store.rotate(keys_of(f"transit:{url}"))
    assert fetched(open_store(str(tmp_path / "store"), TransitKey(url)), [one.digest], tmp_path / "out")
    store.rotate(file_key(tmp_path / "store.key"))
    with pytest.raises(Denied, match="is encrypted with key"):
        open_store(str(tmp_path / "store"), TransitKey(url))


def test_what_one_store_wrapped_opens_for_no_other(engine):
    key = TransitKey(engine.make_key("bound"))
    wrapped = key.wrap(b"secret", b"store")
    assert key.unwrap(wrapped, b"store") == b"secret"
    with pytest.raises(Denied, match="message authentication failed"):
        key.unwrap(wrapped, b"another store")
    other = TransitKey(engine.make_key("other"))
    with pytest.raises(Denied):
        other.unwrap(wrapped, b"store")
    for changed in (b"", b"xx", b"vault:v1:", b"vault:v9:" + wrapped[9:], wrapped[:-5], b"\xff" + wrapped):
        with pytest.raises(Denied, match="does not open the secret of this store: 400") as told:
            key.unwrap(changed, b"store")
        line_of(told)


def test_a_key_that_is_not_there_is_not_made_by_a_typing_error(engine):
    with pytest.raises(NotFound, match="is not there: 404"):
        TransitKey(engine.url("tpyo")).wrap(b"secret", b"store")
    with pytest.raises(Denied, match="encryption key not found"):
        TransitKey(engine.url("tpyo")).unwrap(b"vault:v1:abcd", b"store")
    with pytest.raises(NotFound, match="no handler for route"):
        TransitKey(engine.url("data", "other")).wrap(b"secret", b"store")


@pytest.mark.parametrize("options", [{"type": "rsa-2048"}, {"type": "ed25519"}, {"derived": True}], ids=str)
def test_a_kind_of_key_that_cannot_bind_a_secret_is_told(engine, options):
    url = engine.make_key("".join(map(str, options.values())).replace("-", "").lower(), **options)
    with pytest.raises(Invalid, match="cannot wrap the secret of a store: 400") as told:
        TransitKey(url).wrap(b"secret", b"store")
    line_of(told)
    assert told.value.hint == "use a key of aes256-gcm96"


@pytest.mark.parametrize("kind", ["aes128-gcm96", "chacha20-poly1305", "xchacha20-poly1305"])
def test_other_ciphers_that_authenticate_do(engine, kind):
    key = TransitKey(engine.make_key(kind, type=kind))
    assert key.unwrap(key.wrap(b"secret", b"store"), b"store") == b"secret"


def test_a_token_that_may_not_or_has_expired_is_told(engine, monkeypatch):
    url = engine.make_key("ruled")
    wrapped = TransitKey(url).wrap(b"secret", b"store")
    engine.ask("sys/policies/acl/encrypts", {"policy": 'path "transit/encrypt/ruled" {capabilities=["update"]}'})
    asked = {"policies": ["encrypts"], "ttl": "1h", "renewable": True}
    token = engine.ask("auth/token/create", asked)["auth"]["client_token"]
    key = TransitKey(url, token=token)
    assert TransitKey(url).unwrap(key.wrap(b"secret", b"store"), b"store") == b"secret"  # It need not see the key.
    with pytest.raises(Denied, match=r"refused the token: 403, .*permission denied") as told:
        key.unwrap(wrapped, b"store")
    line_of(told)
    engine.ask("auth/token/renew", {"token": token, "increment": "1h"})
    assert key.wrap(b"secret", b"store")
    engine.ask("auth/token/revoke", {"token": token})  # As the server does when its time is over.
    with pytest.raises(Denied, match="permission denied") as told:
        key.wrap(b"secret", b"store")
    line_of(told)
    assert "expired" in told.value.hint


def test_a_namespace_is_one_of_its_own(engine, monkeypatch):
    engine.ask("sys/namespaces/team")
    engine.ask("sys/mounts/transit", {"type": "transit"}, namespace="team")
    engine.make_key("spaced", namespace="team")
    with pytest.raises(NotFound):
        TransitKey(engine.url("spaced")).wrap(b"secret", b"store")
    monkeypatch.setenv("VAULT_NAMESPACE", "team")
    key = TransitKey(engine.url("spaced"))
    assert key.unwrap(key.wrap(b"secret", b"store"), b"store") == b"secret"
    monkeypatch.setenv("BAO_NAMESPACE", "nobodys")
    with pytest.raises(NotFound, match="namespace not found"):
        key.wrap(b"secret", b"store")


def test_a_certificate_that_nobody_vouches_for_is_told(engine, monkeypatch, tmp_path):
    url = engine.make_key("certified")
    monkeypatch.delenv("BAO_CACERT")
    with pytest.raises(Unavailable, match="is not trusted") as told:
        TransitKey(url).wrap(b"secret", b"store")
    line_of(told)
    assert "BAO_CACERT" in told.value.hint
    monkeypatch.setenv("VAULT_CACERT", str(engine.ca))
    assert TransitKey(url).wrap(b"secret", b"store")
    (tmp_path / "none.pem").write_text("no certificate")
    for path in (tmp_path / "none.pem", tmp_path / "gone.pem"):
        monkeypatch.setenv("BAO_CACERT", str(path))
        with pytest.raises(Unavailable, match="holds no certificates") as told:
            TransitKey(url).wrap(b"secret", b"store")
        line_of(told)


def test_the_token_of_a_login_is_found(engine, monkeypatch, tmp_path):
    url = engine.make_key("logged")
    monkeypatch.delenv("BAO_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Unavailable, match="no token") as told:
        TransitKey(url)
    assert told.value.hint == "bao login, or set BAO_TOKEN"
    assert log_in(engine, tmp_path) == 0
    key = TransitKey(url)
    assert key.unwrap(key.wrap(b"secret", b"store"), b"store") == b"secret"


@pytest.mark.parametrize(
    ("status", "body", "match"),
    [
        (503, b'{"errors": ["Vault is sealed"]}', "did not do it: 503, Vault is sealed"),
        (500, b'{"errors": null}', "did not do it: 500$"),
        (502, b"<html>Bad Gateway</html>", "did not do it: 502$"),
        (307, b"", "is on a standby: 307"),
        (200, b"[1]", "did not do it: 200$"),
        (200, b'{"data": {"plaintext": 7}}', "did not do it: 200$"),
    ],
)
def test_a_server_that_cannot_is_told(monkeypatch, status, body, match):
    monkeypatch.setenv("BAO_TOKEN", "t")
    with (
        served(type("Engine", (Refusing,), {"status": status, "body": body})) as url,
        pytest.raises(Unavailable, match=match) as told,
    ):
        TransitKey(url).unwrap(b"vault:v1:", b"store")
    line_of(told)


def test_an_answer_that_is_not_base64_is_told(monkeypatch):
    monkeypatch.setenv("BAO_TOKEN", "t")
    handler = type("Engine", (Refusing,), {"status": 200, "body": b'{"data": {"plaintext": "!"}}'})
    with served(handler) as url, pytest.raises(Corrupt, match="not base64"):
        TransitKey(url).unwrap(b"vault:v1:", b"store")


def test_a_transit_engine_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv("BAO_TOKEN", "t")
    with served(Refusing) as gone:
        pass
    with pytest.raises(Unavailable, match="did not answer") as told:
        TransitKey(gone).wrap(b"secret", b"store")
    line_of(told)


@pytest.mark.parametrize(
    "url", ["https://host/v1/transit", "ftp://host/v1/transit/keys/a", "https:///v1/t/keys/a", "x"]
)
def test_a_url_that_names_no_key_of_an_engine_is_told(url):
    with pytest.raises(UsageError, match="names no key of a transit engine"):
        TransitKey(url, token="t")
