"""Slack, by an incoming webhook."""

from __future__ import annotations

import http.client
import json
import logging
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from sluice.config.options import option
from sluice.errors import ChannelError, ConfigError
from sluice.retry import RetryPolicy
from sluice.sources.http_api.client import retry_after
from sluice.storage.base import printable
from sluice.tooling.alerts.channels import LOOPBACK, Channel, answer_words
from sluice.tooling.alerts.message import Message

_LONGEST_TEXT = 30_000
"""Characters; Slack cuts a message at 40,000."""
_MOST_READ = 1000
"""Bytes of an answer."""
_SHORTEST_SECRET = 6
"""Characters of a part of the address, such as `services`, that is not shown."""
_TOO_MANY_REQUESTS = 429


class _ThrottledError(ChannelError):
    """Slack takes no more messages for now."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause
        """Seconds that it asks to wait."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook does not redirect; who answers with a redirect gets no message."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Return None: the redirect is raised as an HTTPError."""
        return


def _webhook(value: Any, where: str) -> str:
    address = str(value)
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    encrypted = address.startswith("https://") or (address.startswith("http://") and host in LOOPBACK)
    if not host or not encrypted or not address.isascii() or not address.isprintable() or " " in address:
        message = (
            f"{where}: expected an address that begins with https://, got another, which is not repeated here"
        )
        raise ConfigError(message)
    return address


@dataclass(frozen=True, kw_only=True)
class SlackChannel(Channel):
    """A channel of Slack, or of a service that takes Slack's webhooks."""

    variable: ClassVar[str] = "SLACK_WEBHOOK"

    webhook: str = option("address of the incoming webhook", secret=True, parse=_webhook)

    def send(self, message: Message, seconds: float) -> str:
        """Post the message; if Slack asks to wait a moment, wait and post it again."""
        policy = RetryPolicy(
            seconds / 2,
            errors=(_ThrottledError,),
            requested_pause=lambda error: error.pause if isinstance(error, _ThrottledError) else None,
            log_level=logging.DEBUG,
        )
        payload = json.dumps(_payload(message)).encode()
        policy(lambda: self._post(payload, seconds))
        return ""

    def _post(self, payload: bytes, seconds: float) -> None:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        request = urllib.request.Request(self.webhook, payload, headers)
        opener = urllib.request.build_opener(_NoRedirect)
        server = urlsplit(self.webhook).hostname
        try:
            with opener.open(request, timeout=seconds):
                return
        except urllib.error.HTTPError as error:
            answer = f"{server} answered {error.code}{self._words(error)}"
            if error.code == _TOO_MANY_REQUESTS:
                pause = retry_after(error.headers.get("Retry-After", ""), time.time())
                raise _ThrottledError(answer, pause) from None  # the error has the address in it
            raise ChannelError(answer) from None
        except TimeoutError:
            message = f"{server} gave no answer within {seconds:g} s"
            raise ChannelError(message) from None
        except urllib.error.URLError as error:
            message = f"{server}: {printable(str(getattr(error.reason, 'strerror', None) or error.reason))}"
            raise ChannelError(message) from None
        except (OSError, http.client.HTTPException) as error:
            message = f"{server}: {type(error).__name__} instead of an answer"
            raise ChannelError(message) from None

    def _words(self, error: urllib.error.HTTPError) -> str:
        """Return what Slack says of its refusal, such as `: no_service`."""
        try:
            words = error.read(_MOST_READ)
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            error.close()
        address = urlsplit(self.webhook)
        segments = [part for part in address.path.split("/") if len(part) >= _SHORTEST_SECRET]
        shown = answer_words(words, [self.webhook, address.path.strip("/"), address.query, *segments])
        return f": {shown}" if shown else ""


def _payload(message: Message) -> dict[str, Any]:
    """Return the body of the request: text in which Slack finds no markup, no mention and no link."""
    escaped = Message(_escape(message.subject), tuple(map(_escape, message.paragraphs)))
    return {
        "text": f"{escaped.subject}\n\n{escaped.text(_LONGEST_TEXT)}",
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _escape(words: str) -> str:
    """Escape the three characters that Slack's markup gives a meaning to.

    Source: https://docs.slack.dev/messaging/formatting-message-text#escaping
    """
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
