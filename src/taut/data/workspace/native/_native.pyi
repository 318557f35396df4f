from collections.abc import Callable

VERSION: int

def bring(
    count: int,
    source_base: str | None,
    sources: bytes | None,
    digests: bytes | None,
    stamps: bytes | None,
    stores: tuple[tuple[str, str | None], ...],
    target_base: str | None,
    targets: bytes | None,
    is_linked: bool,
    mode: int,
    sync: bool,
    go_on: bool,
    threads: int,
    advance: Callable[[int], object] | None,
    /,
) -> tuple[bytes, bytes, bytes]: ...
def scan(folder: str, prefix: str, /) -> tuple[bytes, bytes, bytes, bytes]: ...
