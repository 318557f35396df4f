"""Where artifacts lie: as a path says, as a URL says, below another folder since, in a bucket; or nowhere."""

import os
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from taut.errors import NotFound
from taut.faces.moving.buckets import bucket_files, open_bucket_file
from taut.faces.moving.client import Client, artifact_path, quoted
from taut.faces.moving.places import Places, scheme_of
from taut.faces.moving.source import File

RUN = "1/0123456789abcdef0123456789abcdef/artifacts"
MODEL = "1/models/m-0123456789abcdef0123456789abcdef/artifacts"


def written(place: Path, **files: bytes) -> Path:
    place.mkdir(parents=True)
    for name, data in files.items():
        (place / name).write_bytes(data)
    return place


def names(places: Places, location: str) -> list[tuple[str, int]]:
    return [(file.path, file.size_bytes) for file in places.files(location)]


@pytest.mark.parametrize("inside", [RUN, MODEL, f"{RUN}/model", f"{MODEL}/deep/er"])
@pytest.mark.parametrize("write", ["{}", "file://{}"], ids=["path", "url"])
def test_files_are_found_where_the_store_says(tmp_path: Path, inside: str, write: str):
    written(tmp_path / inside, b=b"12", a=b"1")
    location = write.format(tmp_path / inside)
    assert names(Places(), location) == [("a", 1), ("b", 2)]
    with Places().open(location, "b") as stream:
        assert stream.read() == b"12"


def test_a_relative_location_is_beside_the_store(tmp_path: Path):
    written(tmp_path / "mlruns" / RUN, a=b"1")
    assert names(Places(beside=tmp_path), f"./mlruns/{RUN}") == [("a", 1)]
    assert names(Places(beside=tmp_path), f"mlruns/{RUN}") == [("a", 1)]


def test_a_url_with_a_blank_is_a_path_with_a_blank(tmp_path: Path):
    written(tmp_path / "my runs" / RUN, a=b"1")
    assert names(Places(), f"file://{tmp_path}/my%20runs/{RUN}") == [("a", 1)]


@pytest.mark.parametrize("inside", [RUN, MODEL, f"{RUN}/model"])
@pytest.mark.parametrize(
    "root", ["/gone/mlruns", "file:///gone/mlruns", "mlflow-artifacts:", "mlflow-artifacts://host"]
)
def test_files_that_were_moved_are_found_below_another_folder(tmp_path: Path, inside: str, root: str):
    written(tmp_path / "now" / inside, a=b"1")
    places = Places((tmp_path / "now",))
    assert names(places, f"{root}/{inside}") == [("a", 1)]
    with places.open(f"{root}/{inside}", "a") as stream:
        assert stream.read() == b"1"


def test_files_of_a_deleted_experiment_are_found_in_the_trash(tmp_path: Path):
    written(tmp_path / ".trash" / RUN, a=b"1")
    assert names(Places((tmp_path,)), f"{tmp_path}/{RUN}") == [("a", 1)]


def test_a_place_that_is_there_comes_before_one_that_could_be_it(tmp_path: Path):
    written(tmp_path / "said" / RUN, a=b"1")
    written(tmp_path / "other" / RUN, b=b"2")
    assert names(Places((tmp_path / "other",)), f"{tmp_path}/said/{RUN}") == [("a", 1)]


@pytest.mark.parametrize("inside", [RUN, MODEL])
@pytest.mark.parametrize("there", ["mlruns/1", "mlruns"])
def test_a_run_that_never_had_files_has_none(tmp_path: Path, inside: str, there: str):
    (tmp_path / there).mkdir(parents=True)
    assert names(Places(), f"{tmp_path}/mlruns/{inside}") == []


@pytest.mark.parametrize(
    "location", [f"/gone/x/{RUN}", f"/gone/x/{MODEL}", "/gone/anywhere", f"mlflow-artifacts:/{RUN}"]
)
def test_what_is_nowhere_is_said(location: str):
    with pytest.raises(NotFound, match="not within reach"):
        names(Places(), location)
    with pytest.raises(NotFound, match="not within reach"):
        Places().open(location, "a")


def test_a_part_of_a_run_that_is_missing_is_not_taken_for_empty(tmp_path: Path):
    (tmp_path / "mlruns/1").mkdir(parents=True)
    with pytest.raises(NotFound):
        names(Places(), f"{tmp_path}/mlruns/{RUN}/model")


def test_folders_in_folders_are_walked_and_empty_ones_left_out(tmp_path: Path):
    root = written(tmp_path / RUN, z=b"")
    written(root / "a" / "b", c=b"123")
    (root / "empty").mkdir()
    assert names(Places(), str(root)) == [("a/b/c", 3), ("z", 0)]


@pytest.mark.parametrize(
    ("location", "scheme"),
    [
        ("/a/b", ""), ("a/b", ""), ("./a", ""), ("file:///a", "file"), ("s3://b/a", "s3"), ("gs://b/a", "gs"),
        ("mlflow-artifacts:/0/a", "mlflow-artifacts"), ("mlflow-artifacts://h/0/a", "mlflow-artifacts"),
        ("runs:/ab/model", "runs"), ("models:/m-1", "models"), ("", ""),
    ],
)  # fmt: skip
def test_a_scheme_is_told_from_a_path(location: str, scheme: str):
    assert scheme_of(location) == scheme


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (f"mlflow-artifacts:/{RUN}", RUN), (f"mlflow-artifacts://host:5000/{RUN}", RUN),
        (f"mlflow-artifacts:/{RUN}/", RUN), ("mlflow-artifacts:/0/a%20b", "0/a b"),
    ],
)  # fmt: skip
def test_the_path_of_a_proxied_location_is_what_the_server_is_asked_for(location: str, path: str):
    assert artifact_path(location) == path


def test_a_path_is_written_so_that_no_sign_of_it_means_anything():
    assert quoted("a b/c#d?e%f/ü") == "a%20b/c%23d%3Fe%25f/%C3%BC"


# Buckets


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place in a real bucket, with the credentials in the environment, as MLflow's clients want them."""
    parts = urlsplit(s3_url)
    options = dict(parse_qsl(parts.query))
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", options["endpoint"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", options["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", options["secret_access_key"])
    monkeypatch.setenv("AWS_REGION", options.get("region", "us-east-1"))
    return f"s3://{parts.netloc}{parts.path}"


def put(location: str, path: str, data: bytes) -> None:
    import obstore

    from taut.faces.moving.buckets import _bucket

    store, prefix = _bucket(location)
    obstore.put(store, f"{prefix}/{path}", data)


def test_files_in_a_bucket_are_listed_and_read(bucket: str):
    for path, data in {"MLmodel": b"x: 1\n", "deep/er/weights.bin": bytes(3 << 20)}.items():
        put(f"{bucket}/{RUN}", path, data)
    put(f"{bucket}/{RUN}-other", "not-mine", b"x")
    found = sorted(Places().files(f"{bucket}/{RUN}"), key=lambda file: file.path)
    assert found == [File("MLmodel", 5), File("deep/er/weights.bin", 3 << 20)]
    with Places().open(f"{bucket}/{RUN}", "deep/er/weights.bin") as stream:
        assert bytes(stream.read()) == bytes(3 << 20)


def test_a_prefix_without_files_has_none(bucket: str):
    assert list(bucket_files(f"{bucket}/{RUN}")) == []


def test_a_bucket_that_refuses_or_is_not_there_is_said(bucket: str, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(NotFound, match="cannot be reached"):
        open_bucket_file(f"{bucket}/{RUN}", "nothing").read()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(NotFound, match="cannot be reached"):
        list(bucket_files(f"{bucket}/{RUN}"))


# Who asks


@pytest.mark.parametrize(
    ("url", "environment", "said"),
    [
        ("http://h", {}, None),
        ("http://h", {"MLFLOW_TRACKING_TOKEN": "t"}, "Bearer t"),
        ("http://h", {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "pw"}, "Basic YWRhOnB3"),
        ("http://ada:pw@h", {"MLFLOW_TRACKING_TOKEN": "t"}, "Basic YWRhOnB3"),
        ("http://ada:p%77@h", {}, "Basic YWRhOnB3"),
    ],
)
def test_who_asks_is_said_as_by_mlflows_own_clients(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], said: str | None
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client = Client(url)
    assert client._pool.headers.get("authorization") == said
    assert client.url == "http://h"


def test_a_secret_in_the_url_is_in_no_name_and_no_error():
    from taut.errors import Unavailable
    from taut.faces.moving.rest import RestSource

    with pytest.raises(Unavailable) as refused:
        RestSource("http://ada:secret@127.0.0.1:9/prefix")
    assert "secret" not in str(refused.value) and "http://127.0.0.1:9/prefix" in str(refused.value)
    assert "MLFLOW_TRACKING_TOKEN" not in os.environ
