"""A real SMTP server for the tests, of RFC 5321, 3207 and 4954 as far as a mail needs it: it keeps what it was sent."""

import base64
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path


@dataclass
class Mailbox:
    """What came, and how the server behaves: whom it lets in, which recipients it refuses, what it says at first."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    user: str = ""
    password: str = ""
    refused: tuple[str, ...] = ()
    greeting: str = "220 here"
    secured: list[bool] = field(default_factory=list)
    dawdles: bool = False  # Whether NOOP is answered a byte at a time, for as long as the other side hears it.


@contextmanager
def mailing(*, certificate: Path | None = None, implicit: bool = False) -> Iterator[Mailbox]:
    """Take mail on a free port of loopback while the block runs; with a certificate after STARTTLS, or from the first
    byte on where TLS is `implicit`."""
    mailbox, context = Mailbox(), None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if implicit:
                assert context is not None
                self.secure()
            self.session()

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def secure(self) -> None:
            assert context is not None
            self.wfile.flush()
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb", buffering=0)

        def say(self, *lines: str) -> None:
            self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

        def session(self) -> None:
            to: list[str] = []
            self.say(mailbox.greeting)
            while line := self.rfile.readline().decode().strip():
                mailbox.said.append(line.split()[0].upper())
                word, _, rest = line.partition(" ")
                match word.upper():
                    case "EHLO":
                        is_plain = not isinstance(self.connection, ssl.SSLSocket)
                        offers = ["STARTTLS"] if context is not None and is_plain else []
                        offers += ["AUTH PLAIN"] if mailbox.user else []
                        said = ["here", *offers]
                        self.say(*(f"250{' ' if place == len(said) - 1 else '-'}{x}" for place, x in enumerate(said)))
                    case "STARTTLS":
                        self.say("220 go on")
                        self.secure()
                    case "AUTH":
                        _, user, password = base64.b64decode(rest.partition(" ")[2]).decode().split("\0")
                        mailbox.logins.append((user, password))
                        is_let = (user, password) == (mailbox.user, mailbox.password)
                        self.say("235 in" if is_let else "535 no such user")
                    case "RCPT":
                        who = rest.partition("<")[2].partition(">")[0]
                        if who in mailbox.refused:
                            self.say(f"550 nobody here is {who}")
                        else:
                            to.append(who)
                            self.say("250 yes")
                    case "DATA":
                        self.say("354 go on")
                        data = b""
                        while (part := self.rfile.readline()) != b".\r\n":
                            data += part.removeprefix(b".") if part.startswith(b"..") else part
                        mail = message_from_bytes(data, policy=policy.default)
                        assert isinstance(mail, EmailMessage)
                        mailbox.mails.append(mail)
                        mailbox.recipients.append(to)
                        mailbox.secured.append(isinstance(self.connection, ssl.SSLSocket))
                        self.say("250 taken")
                    case "NOOP" if mailbox.dawdles:
                        for _ in range(100):
                            self.wfile.write(b"2")
                            time.sleep(0.1)
                    case "QUIT":
                        self.say("221 bye")
                        return
                    case _:
                        self.say("250 yes")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that trusts no certificate of ours hangs up, which is no trouble of this server."""

    server = Server(("127.0.0.1", 0), Handler)
    mailbox.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield mailbox
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)
