"""E-mail over SMTP with TLS."""

from __future__ import annotations

import base64
import re
import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Any, ClassVar

from sluice.config.options import OneOf, option
from sluice.errors import ChannelError, ConfigError, quote
from sluice.tooling.alerts.channels import LOOPBACK, Channel, answer_words
from sluice.tooling.alerts.message import Message

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
_LAST_PORT = 65535
_QUIT_SECONDS = 1.0


def _address(value: Any, where: str) -> str:
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value.strip()):
        message = f"{where}: expected an e-mail address, such as data@example.com, got {quote(value)}"
        raise ConfigError(message)
    return value.strip()


def _addresses(value: Any, where: str) -> tuple[str, ...]:
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list) or not given:
        message = (
            f"{where}: expected a list of e-mail addresses, such as [data@example.com], got {quote(value)}"
        )
        raise ConfigError(message)
    return tuple(_address(member, where) for member in given)


def _port(value: Any, where: str) -> int:
    port = int(value) if re.fullmatch("[0-9]{1,5}", str(value)) else 0
    if not 1 <= port <= _LAST_PORT:
        message = f"{where}: expected a port from 1 to {_LAST_PORT}, got {quote(value)}"
        raise ConfigError(message)
    return port


@dataclass(frozen=True, kw_only=True)
class EmailChannel(Channel):
    """E-mail to a list of addresses, in plain text."""

    variable: ClassVar[str] = "SMTP_PASSWORD"

    host: str = option("name of the mail server", example="smtp.example.com")
    port: int = option("its port", default="587", parse=_port)
    security: str = option(
        "how the connection is encrypted: after STARTTLS, from its start, or not at all",
        default="starttls",
        parse=OneOf("starttls", "tls", "none"),
    )
    user: str | None = option("user of the mail server (default: no authentication)", default=None)
    password: str | None = option("password of the user", default=None, secret=True)
    from_: str = option("address of the sender", example="sluice@example.com", parse=_address)
    to: tuple[str, ...] = option("addresses of the receivers", example="[data@example.com]", parse=_addresses)

    def check(self, where: str) -> None:
        """Raise ConfigError if the keys do not go together."""
        if (self.user is None) != (self.password is None):
            message = f"{where}: expected user and password together, or none of them, got one"
            raise ConfigError(message)
        if self.password is not None and self.security == "none" and self.host not in LOOPBACK:
            message = f"{where}: security: expected starttls or tls, since a password is sent, got 'none'"
            raise ConfigError(message)

    def send(self, message: Message, seconds: float) -> str:
        """Send one mail to all receivers; return which ones the server rejected, which does not stop the others."""
        try:
            client = self._connect(seconds)
            try:
                if self.security == "starttls":
                    client.starttls(context=ssl.create_default_context())
                if self.user is not None and self.password is not None:
                    client.login(self.user, self.password)
                rejected = client.sendmail(self.from_, self.to, self._mail(message).as_bytes())
                # The server has the mail now: whether it says goodbye makes no difference.
                with suppress(OSError, smtplib.SMTPException):
                    if client.sock is not None:
                        client.sock.settimeout(_QUIT_SECONDS)
                    client.quit()
            finally:
                client.close()
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            raise ChannelError(self._reason(error, seconds)) from None  # its text may have the password in it
        return f"{self.host}:{self.port} rejected {self._rejected(rejected)}" if rejected else ""

    def _connect(self, seconds: float) -> smtplib.SMTP:
        if self.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=seconds, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=seconds)

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)
        mail["From"] = self.from_
        mail["To"] = ", ".join(self.to)
        mail["Subject"] = message.subject
        mail["Date"] = format_datetime(datetime.now(UTC))
        mail["Message-ID"] = make_msgid(domain=self.from_.partition("@")[2])
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is answered
        mail.set_content(message.text())
        return mail

    def _reason(self, error: Exception, seconds: float) -> str:
        if isinstance(error, smtplib.SMTPAuthenticationError):
            reason = f" rejected user and password: {error.smtp_code}"
        elif isinstance(error, smtplib.SMTPRecipientsRefused):
            reason = f" rejected every receiver: {self._rejected(error.recipients)}"
        elif isinstance(error, smtplib.SMTPResponseException):
            reason = f" answered {self._answer(error.smtp_code, error.smtp_error)}"
        elif isinstance(error, TimeoutError):
            reason = f" gave no answer within {seconds:g} s"
        elif isinstance(error, ssl.SSLCertVerificationError):
            reason = f" has a certificate that is not trusted: {error.verify_message}"
        elif isinstance(error, UnicodeError):
            reason = ": expected user and password in ASCII, got others"
        else:
            reason = f": {answer_words(getattr(error, 'strerror', None) or str(error), self._secrets())}"
        return f"{self.host}:{self.port}{reason}"

    def _rejected(self, receivers: Mapping[str, tuple[int, bytes]]) -> str:
        return "; ".join(f"{to}: {self._answer(*answer)}" for to, answer in receivers.items())

    def _answer(self, code: int, words: bytes | str) -> str:
        return f"{code} {answer_words(words, self._secrets())}"

    def _secrets(self) -> Iterator[str]:
        """Yield the password as it may come back from a server: as it is, and as AUTH encodes it (RFC 4616, 4954)."""
        password = self.password or ""
        yield password
        for sent in (password, f"\0{self.user}\0{password}"):
            yield base64.b64encode(sent.encode()).decode()
