"""Of which topic a subscription is: one that is deleted and created again may be of another topic."""

from __future__ import annotations

import time
from typing import Any

from sluice.errors import SourceError

DELETED_TOPIC = "_deleted-topic_"
"""What Pub/Sub names as the topic of a subscription whose topic was deleted; a new topic of that name is not its."""

LOOK_SECONDS = 10.0
"""How often a run asks for the topic of its subscription."""

_ANSWER_SECONDS = 2.0
"""Short, because leases are extended by the same thread."""


class SubscriptionIdentity:
    """Compares the topic of a subscription with the one at the first look. One thread looks; others read the result."""

    def __init__(self, client: Any, subscription: str) -> None:
        """`client` is connected; `subscription` is a full name."""
        self._client = client
        self._subscription = subscription
        self.in_doubt = True
        """What is pulled may be of another topic, so nothing may be taken yet."""
        self.problem: SourceError | None = None
        """Why nothing may be taken any more."""
        self._topic: str | None = None
        self._next_look = 0.0

    def doubt(self) -> None:
        """Look soon: the subscription is gone, and may come back as another one."""
        self.in_doubt, self._next_look = True, 0.0

    def look(self) -> None:
        """Find out whether the subscription is what it was, if it is time to; more often while that is in doubt."""
        now = time.monotonic()
        if self.problem is not None or now < self._next_look:
            return
        self._next_look = now if self.in_doubt else now + LOOK_SECONDS
        try:
            is_confirmed = self._confirm()
        except SourceError as error:
            self.in_doubt, self.problem = True, error
            return
        self.in_doubt = self.in_doubt and not is_confirmed

    def _confirm(self) -> bool:
        """Return whether the subscription has the topic that it had at first; False: nobody knows now.

        A job that may only pull from a subscription cannot ask. It is confirmed, since there is no other answer.

        Raises:
            SourceError: it has another topic, or its topic was deleted.

        """
        from google.api_core.exceptions import GoogleAPICallError, MethodNotImplemented, PermissionDenied

        try:
            answer = self._client.get_subscription(
                subscription=self._subscription, retry=None, timeout=_ANSWER_SECONDS
            )
        except (MethodNotImplemented, PermissionDenied):
            return True
        except GoogleAPICallError:
            return False
        self._topic = self._topic or answer.topic
        if answer.topic != self._topic:
            raise self._another(answer.topic)
        return True

    def _another(self, topic: str) -> SourceError:
        expected = f"{self._subscription}: expected a subscription of {self._topic}"
        if topic == DELETED_TOPIC:
            return SourceError(
                f"{expected}, got one whose topic was deleted: it delivers what it has, and nothing that is published "
                "later; create it again"
            )
        return SourceError(
            f"{expected}, got one of {topic}: it was deleted and created again; run again to read it"
        )
