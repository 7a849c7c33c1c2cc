"""What people may ask of an order: read leniently, refused in a sentence, never a reason to stop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.holds import HoldReason


class BadCommand(FulfillmentError):
    """The command cannot be read; the message says what is missing and shows the right form."""

    def __init__(self, name: str, why: str, form: str) -> None:
        super().__init__(f"{name}: {why}. Send for example {form}")


class NotAllowed(FulfillmentError):
    """The order is past the point where this may be done; the message says what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """What every command of a person carries."""

    by: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder(Verb):
    """Stop everything that has not left."""

    reason: str

    FORM = '{"reason": "changed_mind", "by": "maria", "request_id": "r-1"}'

    @classmethod
    def read(cls, request: Any) -> Self:
        """Read the command.

        Raises:
            BadCommand: something is missing.
        """
        fields = _Fields("cancel", request, cls.FORM)
        return cls(reason=fields.text("reason"), by=fields.text("by"), request_id=fields.text("request_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOrder(Verb):
    """Let nothing leave until the hold is released."""

    reason: HoldReason
    note: str

    FORM = '{"reason": "manual", "note": "waits for a call", "by": "maria", "request_id": "r-2"}'

    @classmethod
    def read(cls, request: Any) -> Self:
        """Read the command.

        Raises:
            BadCommand: something is missing, or there is no such reason.
        """
        fields = _Fields("hold", request, cls.FORM)
        return cls(
            reason=fields.hold_reason(),
            note=fields.text("note", default=""),
            by=fields.text("by"),
            request_id=fields.text("request_id"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseOrder(Verb):
    """End one hold, or every hold when no reason is given."""

    reason: HoldReason | None
    note: str

    FORM = '{"reason": "fraud", "by": "maria", "request_id": "r-3"}'

    @classmethod
    def read(cls, request: Any) -> Self:
        """Read the command.

        Raises:
            BadCommand: something is missing, or there is no such reason.
        """
        fields = _Fields("release", request, cls.FORM)
        return cls(
            reason=fields.hold_reason() if fields.given("reason") else None,
            note=fields.text("note", default=""),
            by=fields.text("by"),
            request_id=fields.text("request_id"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPayment(Verb):
    """Try to get the money another way."""

    method: str

    FORM = '{"method": "pm_card_visa", "by": "storefront", "request_id": "r-4"}'

    @classmethod
    def read(cls, request: Any) -> Self:
        """Read the command.

        Raises:
            BadCommand: something is missing.
        """
        fields = _Fields("retry_payment", request, cls.FORM)
        return cls(method=fields.text("method"), by=fields.text("by"), request_id=fields.text("request_id"))


class _Fields:
    """The fields of a command as they came, from a form or from a person's keyboard."""

    def __init__(self, name: str, request: Any, form: str) -> None:
        if not isinstance(request, Mapping):
            raise BadCommand(name, "one JSON object is needed", form)
        self._name, self._request, self._form = name, request, form

    def given(self, field: str) -> bool:
        return self._request.get(field) is not None

    def text(self, field: str, *, default: str | None = None) -> str:
        value = self._request.get(field, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise BadCommand(self._name, f"`{field}` is missing or not a text", self._form)
        return value

    def hold_reason(self) -> HoldReason:
        value = self.text("reason")
        if value not in tuple(HoldReason):
            known = ", ".join(HoldReason)
            raise BadCommand(self._name, f"there is no reason `{value}`, only {known}", self._form)
        return HoldReason(value)
