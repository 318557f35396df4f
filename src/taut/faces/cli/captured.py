"""What a run read, wrote and ran on, told in lines for people."""

from collections.abc import Iterator

from taut.records import Capture, InputRead, OutputWritten, Surroundings

LISTED_MAX = 200  # Files told one by one; a run over an image folder has a hundred thousand, and --json has them all.
NAMES_MAX = 12


def captured_lines(capture: Capture) -> Iterator[str]:
    """Every fact of a capture that is about data, code, outputs and surroundings, each with its heading."""
    code = [read for read in capture.inputs if read.role == "code"]
    yield from _cut([_line("data", _input(read)) for read in capture.data])
    yield from _cut([_line("code file", _input(read)) for read in code])
    yield from _cut([_line("output", _output(output)) for output in capture.outputs])
    yield from (_line(read.kind, read.address) for read in capture.remote)
    for outside in capture.outside:
        more = f" and {len(outside.names) - NAMES_MAX} more" if len(outside.names) > NAMES_MAX else ""
        yield _line(outside.area, f"{outside.files} files of {', '.join(outside.names[:NAMES_MAX])}{more}")
    if capture.surroundings is not None:
        yield from _surroundings(capture.surroundings)
    if capture.coverage:
        yield _line("coverage", capture.coverage + (f": {capture.coverage_reason}" if capture.coverage_reason else ""))


def _line(heading: str, fact: str) -> str:
    return f"{heading:<12} {fact}"


def _cut(lines: list[str]) -> list[str]:
    left = len(lines) - LISTED_MAX
    return lines if left <= 0 else [*lines[:LISTED_MAX], f"{'':<12} and {left} more; --json shows all"]


def _input(read: InputRead) -> str:
    digest = read.digest[: read.digest.index(":") + 13] if read.digest else f"{read.size_bytes} bytes"
    words = [read.path + (f" -> {read.link}" if read.link else ""), digest, read.dataset]
    return " ".join(word for word in [*words, "changed during the run" if read.changed else ""] if word)


def _output(output: OutputWritten) -> str:
    return f"{output.path} " + (f"-> {output.link}" if output.link else f"sha256:{output.oid[:12]}")


def _surroundings(on: Surroundings) -> Iterator[str]:
    if on.interpreter:
        yield _line("interpreter", f"{on.interpreter} ({on.origin}; {on.build})")
    if on.lock:
        unknown = f"; {len(on.unlocked)} packages by version and RECORD digest alone" if on.unlocked else ""
        yield _line("lock", f"sha256:{on.lock[:12]}{unknown}")
    for library in on.libraries:
        threads = f", {library.threads} threads" if library.threads else ""
        words = " ".join(word for word in (library.kind, library.name, library.version, library.kernel) if word)
        yield _line("library", words + threads)
    if on.cpu:
        yield _line("cpu", f"{on.cpu}, {on.cores} cores, {len(on.cpu_flags)} features")
    if on.locale or on.timezone:
        yield _line("locale", f"{on.locale}, {on.encoding}, {on.timezone}")
    yield from (_line("variable", f"{name}={value}") for name, value in on.variables.items())
    yield from (_line("seed", f"{seed.by} {seed.value or 'drawn anew'}") for seed in on.seeds)
