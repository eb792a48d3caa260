"""Further services, such as Teams, Telegram or PagerDuty, by the library apprise."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from sluice.config.connectors import Client
from sluice.config.options import option
from sluice.errors import ChannelError, ConfigError
from sluice.storage.base import printable
from sluice.tooling.alerts.channels import Channel
from sluice.tooling.alerts.message import Message

_LONGEST_TEXT = 30_000


@dataclass(frozen=True, kw_only=True)
class AppriseChannel(Channel):
    """A service that apprise knows, by its address there."""

    variable: ClassVar[str] = "APPRISE_URL"
    client: ClassVar[Client] = Client("apprise", "alerts")

    url: str = option("address of the service, as apprise documents it", secret=True)

    def send(self, message: Message, seconds: float) -> str:
        """Send the message as plain text, which apprise escapes for services with markup."""
        try:
            self.client.check("apprise")
        except ConfigError as error:
            raise ChannelError(str(error)) from error
        import apprise

        with (
            _without_logs("apprise"),
            _without_logs("urllib3.connectionpool"),
        ):  # they show parts of addresses
            service = apprise.Apprise.instantiate(self.url)
            if not isinstance(service, apprise.NotifyBase):
                reason = "expected the address of a service that apprise knows, got another"
                raise ChannelError(reason)
            name = printable(str(service.service_name))
            text = message.text(min(service.body_maxlen, _LONGEST_TEXT))
            services = apprise.Apprise()
            services.add(service)
            try:
                sent = services.notify(
                    text, message.subject, body_format=apprise.NotifyFormat.TEXT, timeout=seconds
                )
            except Exception as error:  # plugins are written by many, and may raise anything
                reason = f"{name}: {type(error).__name__} in apprise"
                raise ChannelError(reason) from None
        if not sent:
            reason = f"{name} did not take the message, or gave no answer"
            raise ChannelError(reason)
        return ""


@contextmanager
def _without_logs(name: str) -> Iterator[None]:
    def drop(_: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger(name)
    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)
