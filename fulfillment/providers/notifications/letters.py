"""What leaves: an e-mail or a text message, ready to send."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """An e-mail. `at` is when its fact came true; `unsubscribe_url` is empty where nothing can be switched off."""

    message_id: str
    recipient: str
    subject: str
    text: str
    html: str
    at: datetime
    language: str = "en"
    unsubscribe_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text message. `notification_id` is ours, and comes back with news of it.

    `known_refs` are sends of it that the provider told us of before; `since` is when it was first sent, real time.
    """

    notification_id: int
    recipient: str
    body: str
    known_refs: tuple[str, ...] = ()
    since: datetime | None = None


Letter = Mail | Text
