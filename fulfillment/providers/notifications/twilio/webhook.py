"""Twilio's callbacks: is this one genuine, and what does it say. Pure."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl

from fulfillment.providers.notifications.twilio.codes import Meaning, meaning_of

SIGNATURE_HEADER: Final = "x-twilio-signature"
# https://help.twilio.com/articles/223134027: what Twilio itself takes as the end and the beginning.
_STOP: Final = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"})
_START: Final = frozenset({"start", "yes", "unstop"})
_FAILED: Final = frozenset({"failed", "undelivered", "canceled"})
_ARRIVED: Final = frozenset({"delivered", "read"})


class BadEvent(ValueError):
    """A genuine request that is no callback we know."""


class Wish(StrEnum):
    """What somebody who texts us wants."""

    STOP = "stop"
    START = "start"
    ELSE = "else"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a message of ours. `failure` is None while nothing went wrong."""

    notification_id: int
    sid: str
    delivered: bool
    failure: Meaning | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message from a customer's phone; its words are not kept."""

    sid: str
    phone: str
    wish: Wish
    keyword: str


def verify(url: str, body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> bool:
    """Test whether Twilio sent this form to this URL: it signs both, and no time.

    Several auth tokens are accepted while one replaces another; an empty one accepts nothing. Header names are
    expected in lower case. Source: https://www.twilio.com/docs/usage/security#validating-requests
    """
    signature = headers.get(SIGNATURE_HEADER, "").encode()
    signed = url + "".join(name + value for name, value in sorted(set(_form(body))))
    return any(hmac.compare_digest(_signature(signed, secret), signature) for secret in secrets if secret)


def parse_report(body: bytes, notification_id: str) -> Report:
    """Return what a status callback says; `notification_id` is what we put into its URL.

    Raises:
        BadEvent: this is no status callback.
    """
    form = dict(_form(body))
    status = form.get("MessageStatus", "")
    if not status or not notification_id.isdigit() or not form.get("MessageSid"):
        raise BadEvent("no status callback of a message of ours")
    code = form.get("ErrorCode", "")
    return Report(
        notification_id=int(notification_id),
        sid=form["MessageSid"],
        delivered=status in _ARRIVED,
        failure=meaning_of(int(code) if code.isdigit() else 0) if status in _FAILED else None,
    )


def parse_heard(body: bytes) -> Heard:
    """Return what an incoming message asks for.

    Raises:
        BadEvent: this is no incoming message.
    """
    form = dict(_form(body))
    if not form.get("MessageSid") or not form.get("From") or "Body" not in form:
        raise BadEvent("no incoming message")
    word = (form.get("OptOutType") or form["Body"]).strip().strip(".!").lower()
    wish = Wish.STOP if word in _STOP else Wish.START if word in _START else Wish.ELSE
    keyword = word if wish is not Wish.ELSE else ""
    return Heard(sid=form["MessageSid"], phone=form["From"], wish=wish, keyword=keyword)


def _form(body: bytes) -> list[tuple[str, str]]:
    return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)


def _signature(signed: str, token: str) -> bytes:
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest())
