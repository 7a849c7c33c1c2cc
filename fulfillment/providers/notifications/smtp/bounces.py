"""Bounced e-mail: what a delivery status notification (RFC 3464) says of a message of ours. Pure."""

import email
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from email.policy import default
from typing import Final

from fulfillment.domain.notifications import Told, told_by

# "No such mailbox", "no such domain" (RFC 3463 3.2): nothing ever arrives there. A full mailbox is about today.
_NOBODY: Final = re.compile(r"5\.1\.(?:1|2|3|6|10)")


class NoBounce(ValueError):
    """This is no delivery status notification about a failed message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """A message that came back. `for_good` when its recipient does not exist; `told` is None if it is none of ours."""

    recipient: str
    told: Told | None
    why: str
    for_good: bool


def parse(raw: bytes) -> Bounce:
    """Return what a notification says.

    Raises:
        NoBounce: it is something else, or says that a message is merely late.
    """
    report = email.message_from_bytes(raw, policy=default)
    parts = {part.get_content_type(): part for part in report.walk()}
    status = parts.get("message/delivery-status")
    if status is None:
        raise NoBounce("there is no message/delivery-status in it")
    fields = _fields(status)
    if fields.get("action", "").lower() != "failed":
        raise NoBounce(f"it says {fields.get('action') or 'nothing'}, not that the message failed")
    recipient = (
        (fields.get("original-recipient") or fields.get("final-recipient", "")).rpartition(";")[2].strip()
    )
    why = fields.get("diagnostic-code", "").rpartition(";")[2].strip() or fields.get("status", "")
    return Bounce(
        recipient=recipient,
        told=told_by(_message_id(parts)),
        why=" ".join(why.split())[:200],
        for_good=bool(_NOBODY.match(fields.get("status", ""))),
    )


def _fields(status: Message) -> dict[str, str]:
    """Return the fields of the message and of its first recipient: we send to one at a time."""
    blocks = status.get_payload()
    found: dict[str, str] = {}
    for block in blocks if isinstance(blocks, list) else ():
        if isinstance(block, Message):
            found |= {name.lower(): str(value) for name, value in block.items()}
    return found


def _message_id(parts: Mapping[str, Message]) -> str:
    """Return the Message-ID of what came back: it is attached whole, or as its headers alone."""
    whole = parts.get("message/rfc822")
    content = whole.get_payload() if whole is not None else None
    if isinstance(content, list) and content and isinstance(content[0], Message):
        return str(content[0].get("Message-ID", ""))
    headers = parts.get("text/rfc822-headers")
    found = (
        re.search(r"(?im)^message-id:\s*(<[^>]+>)", str(headers.get_payload()))
        if headers is not None
        else None
    )
    return found[1] if found else ""
