"""What requests hold together: one budget, of which small requests need nothing, and which always comes back."""

import asyncio

import pytest

from taut.errors import Invalid, TooLarge, Unavailable, error_of
from taut.faces.http.exchange import in_thread, threads
from taut.faces.http.limits import FREE_BYTES, Busy, Limits, Share, limits_of_environment
from taut.faces.http.logs import REQUEST_ID

MIB = 1 << 20


def test_shares_fill_one_budget_and_give_back_what_they_held():
    limits = Limits(memory_bytes=2 * MIB)
    first, second = Share(limits), Share(limits)
    first.take(MIB)
    first.take(MIB)
    with pytest.raises(Busy) as told:
        second.take(MIB)
    assert (told.value.http_status, told.value.kind) == (503, "Unavailable")
    assert type(error_of(told.value.kind, told.value.message)) is Unavailable
    second.take(FREE_BYTES)  # A small one has room whatever the others hold.
    first.give_back()
    second.take(MIB)
    second.give_back()
    second.give_back()
    assert limits.held == 0


def test_a_share_counts_only_what_is_past_its_free_bytes_however_it_comes():
    limits = Limits(memory_bytes=MIB)
    whole, pieces = Share(limits), Share(limits)
    whole.take(FREE_BYTES + 1000)
    for _ in range(FREE_BYTES // 64):
        pieces.take(64)
    pieces.take(1000)
    assert limits.held == 2000


def test_a_file_past_the_limit_is_refused_and_without_one_none_is():
    Limits().check_artifact(1 << 60)
    Limits(artifact_bytes=MIB).check_artifact(MIB)
    with pytest.raises(TooLarge, match="1 MiB"):
        Limits(artifact_bytes=MIB).check_artifact(MIB + 1)


def test_limits_are_numbers_of_mib(monkeypatch: pytest.MonkeyPatch):
    assert limits_of_environment() == Limits()
    monkeypatch.setenv("TAUT_MEMORY_MIB", "16")
    monkeypatch.setenv("TAUT_ARTIFACT_MIB", "1024")
    assert limits_of_environment() == Limits(16 * MIB, 1024 * MIB)
    for said in ("0", "-1", "1.5", "1 GiB", "²", "9" * 20):
        monkeypatch.setenv("TAUT_MEMORY_MIB", said)
        with pytest.raises(Invalid, match="TAUT_MEMORY_MIB"):
            limits_of_environment()
    monkeypatch.delenv("TAUT_MEMORY_MIB")
    monkeypatch.setenv("TAUT_DISK_RESERVE_MIB", "much")
    with pytest.raises(Invalid, match="TAUT_DISK_RESERVE_MIB"):
        limits_of_environment()


def test_what_a_verb_logs_in_its_thread_has_the_id_of_its_request():
    async def asked() -> str:
        REQUEST_ID.set("request-1")
        return await in_thread(pool, REQUEST_ID.get)

    with threads() as pool:
        assert asyncio.run(asked()) == "request-1"


def test_one_caller_holds_half_and_a_request_alone_may_hold_more():
    limits = Limits(memory_bytes=8 * MIB)
    first, second, other = Share(limits, "ada"), Share(limits, "ada"), Share(limits, "olga")
    first.take(3 * MIB)
    with pytest.raises(Busy, match="your other requests"):
        second.take(2 * MIB)
    second.take(MIB)
    other.take(3 * MIB)
    for share in (first, second, other):
        share.give_back()
    first.take(6 * MIB)  # Alone: else nobody could ever send so much.
    first.take(MIB)
    with pytest.raises(Busy, match="your other requests"):
        second.take(MIB)
    first.give_back()
    assert (limits.held, limits.held_by) == (0, {})
