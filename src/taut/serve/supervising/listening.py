"""The socket that all fronts listen on: taken over or bound, named by its URL, closed without losing a request."""

import ctypes
import errno
import socket
import struct

from taut.deploy.running import reached
from taut.errors import Conflict, Denied, Invalid

BACKLOG = 2048

# A classic BPF program: let every segment pass but one that opens a connection (SYN without ACK, TCP's flags being
# the byte at 13), which is as if it had been lost on the way. Source: Linux, Documentation/networking/filter.rst.
_LOAD_FLAGS, _KEEP_BITS, _SKIP_UNLESS, _RETURN = 0x30, 0x54, 0x15, 0x06
_SYN, _ACK, _ALL = 0x02, 0x10, 0xFFFF_FFFF
_NO_NEWCOMERS = (
    (_LOAD_FLAGS, 0, 0, 13),
    (_KEEP_BITS, 0, 0, _SYN | _ACK),
    (_SKIP_UNLESS, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, _ALL),
)
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27


def listener_at(taken: socket.socket | None, host: str, port: int, last_port: int) -> socket.socket:
    """The socket to listen on: the predecessor's where it has the wanted address, else one of our own.

    Port 0 takes the last port where it is free, else any. Raises Conflict for a port in use, Denied, Invalid.
    """
    if taken is not None:
        address = taken.getsockname()
        if address[0] == _numeric(host) and port in (0, address[1]):
            admit_newcomers(taken)
            return taken
        taken.close()
    if port == 0 and last_port:
        try:
            return _bound(host, last_port)
        except Conflict:
            pass  # Somebody took it while we were away; the new URL stands in the state.
    return _bound(host, port)


def url_of(listener: socket.socket) -> str:
    """Where the socket is reached from this machine."""
    bound, port = listener.getsockname()[:2]
    host = reached(bound)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def turn_away_newcomers(listener: socket.socket) -> bool:
    """Let the kernel open no further connection; those that it has opened stay in the queue. Whether it would.

    Closing a socket resets what waits in its queue, and between a last look at the queue and the close something may
    always come. Whoever comes now is not answered, tries again after a second, and finds the port closed.
    """
    program = b"".join(struct.pack("HBBI", *step) for step in _NO_NEWCOMERS)
    steps = ctypes.create_string_buffer(program, len(program))
    pointed = struct.pack("HP", len(_NO_NEWCOMERS), ctypes.addressof(steps))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointed)
    except OSError:
        return False  # A kernel without filters, as some sandboxes have.
    return True


def admit_newcomers(listener: socket.socket) -> None:
    """Undo `turn_away_newcomers`, for whoever takes the socket over from one that was about to end."""
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    except OSError:
        return  # It has none.


def _bound(host: str, port: int) -> socket.socket:
    address = _numeric(host)
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError as problem:
        listener.close()
        if problem.errno == errno.EADDRINUSE:
            raise Conflict(
                f"port {port} on {host} is in use", hint="choose another with --port, or 0 for a free one"
            ) from None
        if problem.errno == errno.EACCES:
            raise Denied(f"port {port} may not be opened: {problem.strerror}", hint="choose one above 1023") from None
        raise Invalid(f"{host} port {port} cannot be listened on: {problem.strerror}") from None
    return listener


def _numeric(host: str) -> str:
    """The address behind a host name. Raises Invalid where there is none."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except socket.gaierror as problem:
        raise Invalid(f"{host!r} is no address of this machine: {problem.strerror}") from None
