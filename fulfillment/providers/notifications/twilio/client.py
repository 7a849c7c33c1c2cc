"""Text messages by Twilio. It knows no idempotency key: where an answer was lost, it is asked before a second send."""

import base64
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from fulfillment.domain.provider_errors import AuthConfig, Undeliverable
from fulfillment.http import ProviderHttp, Reply, legible
from fulfillment.providers.notifications.letters import Letter, Text
from fulfillment.providers.notifications.twilio.codes import MEANINGS, OUR_ACCOUNT

_READ_TIMEOUT: Final = 15.0
_STILL_NEWS: Final = 4 * 3600  # seconds after which Twilio need not send it any more (`ValidityPeriod`)
_LISTED: Final = 100
_CLOCKS_DIFFER: Final = timedelta(minutes=2)


class TwilioChannel:
    """SMS through a Twilio account. `sender` is a number of ours, or a messaging service (`MG...`).

    `callback_url` is where Twilio reports what became of a message; our number of it is added, so that a report
    proves by itself that the message exists.
    """

    collapses_repeats = False

    def __init__(
        self,
        *,
        account: str,
        token: str,
        sender: str,
        callback_url: str,
        base_url: str = "https://api.twilio.com",
    ) -> None:
        basic = base64.b64encode(f"{account}:{token}".encode()).decode()
        self._path = f"/2010-04-01/Accounts/{account}/Messages.json"
        self._from = ("MessagingServiceSid" if sender.startswith("MG") else "From", sender)
        self._callback_url = callback_url
        self._http = ProviderHttp(
            "twilio",
            base_url,
            headers={"authorization": f"Basic {basic}", "accept": "application/json"},
            read_timeout=_READ_TIMEOUT,
            request_id_header="twilio-request-id",
            explain=_explained,
        )

    def send(self, letter: Letter) -> str:
        """Send a text message and return its `sid`.

        Raises:
            OutcomeUnknown: it may have left.
            Undeliverable: it never will reach this number; `block` where nothing ever will.
            ProviderError: not now, or never like this.
        """
        text = _text(letter)
        form = [
            ("To", text.recipient),
            self._from,
            ("Body", text.body),
            ("StatusCallback", f"{self._callback_url}?notification={text.notification_id}"),
            ("ValidityPeriod", str(_STILL_NEWS)),
        ]
        reply = self._http.submit(self._path, form, headers={})
        with legible(reply):
            return str(reply.body["sid"])

    def find(self, letter: Letter) -> str:
        """Return the `sid` of a send of this message that we do not know of; empty if Twilio has none."""
        text = _text(letter)
        reply = self._http.read(self._path, [("To", text.recipient), ("PageSize", str(_LISTED))])
        with legible(reply):
            found = [one for one in reply.body["messages"] if _is_it(one, text)]
            return str(found[0]["sid"]) if found else ""

    def close(self) -> None:
        """Keep the connections: Twilio does not mind them."""


def _text(letter: Letter) -> Text:
    if not isinstance(letter, Text):
        raise TypeError(f"{type(letter).__name__} is no text message")
    return letter


def _is_it(one: dict[str, Any], text: Text) -> bool:
    if one["sid"] in text.known_refs or one["body"] != text.body:
        return False
    created: datetime = parsedate_to_datetime(one["date_created"])
    return text.since is None or created >= text.since - _CLOCKS_DIFFER


def _explained(reply: Reply) -> Exception | None:
    """Return what Twilio's own code says; None where the status alone decides."""
    code = reply.body.get("code")
    said = f"twilio: {reply.body.get('message', '')} ({code})"
    if code in OUR_ACCOUNT:
        return AuthConfig(said, request_id=reply.request_id)
    meaning = MEANINGS.get(code) if isinstance(code, int) else None
    if reply.status >= 500 or meaning is None or meaning.again:
        return None
    return Undeliverable(f"{meaning.words} (twilio {code})", meaning.block)
