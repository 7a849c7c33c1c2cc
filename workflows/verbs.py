"""What people may ask of an order: read leniently, refused in a sentence, never a reason to stop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.change import LineQuantity, NewLine
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.playbooks import Answer
from fulfillment.domain.policy import ShortageChoice


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
    """Stop everything that has not left, or only these units of these lines."""

    reason: str
    lines: tuple[LineQuantity, ...] = ()

    FORM = '{"reason": "changed_mind", "by": "maria", "request_id": "r-1"}'

    @classmethod
    def read(cls, request: Any) -> Self:
        """Read the command.

        Raises:
            BadCommand: something is missing.
        """
        fields = _Fields("cancel", request, cls.FORM)
        return cls(
            reason=fields.text("reason"),
            lines=fields.quantities("lines", least=1),
            by=fields.text("by"),
            request_id=fields.text("request_id"),
        )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeItems(Verb):
    """Give lines another quantity, or add lines."""

    lines: tuple[LineQuantity, ...]
    added: tuple[NewLine, ...]

    FORM = (
        '{"lines": [{"line_no": 1, "quantity": 2}], "add": [{"sku": "MUG-12", "quantity": 1}], '
        '"by": "maria", "request_id": "r-5"}'
    )

    @classmethod
    def read(cls, request: Any) -> Self:
        """Read the command.

        Raises:
            BadCommand: something is missing or no whole number.
        """
        fields = _Fields("change_items", request, cls.FORM)
        lines, added = fields.quantities("lines", least=0), fields.new_lines("add")
        if not lines and not added:
            raise BadCommand("change_items", "neither `lines` nor `add` names anything", cls.FORM)
        return cls(lines=lines, added=added, by=fields.text("by"), request_id=fields.text("request_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAddress(Verb):
    """Send what has not left to the address that was left in the books under this request's id."""

    FORM = '{"by": "maria", "request_id": "r-6"}'

    @classmethod
    def read(cls, request: Any) -> Self:
        """Read the command.

        Raises:
            BadCommand: something is missing.
        """
        fields = _Fields("change_address", request, cls.FORM)
        return cls(by=fields.text("by"), request_id=fields.text("request_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeService(Verb):
    """Send what has not left by another service; `fee` is what the customer pays on top, in minor units."""

    service: str
    fee: int

    FORM = '{"service": "express", "fee": 900, "by": "maria", "request_id": "r-7"}'

    @classmethod
    def read(cls, request: Any) -> Self:
        """Read the command.

        Raises:
            BadCommand: something is missing or no whole number.
        """
        fields = _Fields("change_service", request, cls.FORM)
        return cls(
            service=fields.text("service"),
            fee=fields.whole("fee", request.get("fee", 0), least=0),
            by=fields.text("by"),
            request_id=fields.text("request_id"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerShortage(Verb):
    """Say what becomes of an order of which not everything is there."""

    choice: ShortageChoice

    FORM = '{"choice": "wait", "by": "customer", "request_id": "r-8"}'

    @classmethod
    def read(cls, request: Any) -> Self:
        """Read the command.

        Raises:
            BadCommand: something is missing, or there is no such choice.
        """
        fields = _Fields("answer_shortage", request, cls.FORM)
        choice = fields.one_of("choice", tuple(ShortageChoice))
        return cls(choice=ShortageChoice(choice), by=fields.text("by"), request_id=fields.text("request_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCase(Verb):
    """Say what becomes of a case. `subject` is the shipment it is about, empty for the only one of its kind.

    The note says what was done, where that is the answer. What is sent again goes `elsewhere` when an address was
    left in the books under this request's id.
    """

    kind: CaseKind
    answer: Answer
    subject: str
    note: str
    elsewhere: bool = False

    FORM = '{"kind": "return_to_sender", "answer": "reship", "note": "", "by": "maria", "request_id": "r-9"}'

    @classmethod
    def read(cls, request: Any) -> Self:
        """Read the command.

        Raises:
            BadCommand: something is missing, or there is no such kind or answer.
        """
        fields = _Fields("answer_case", request, cls.FORM)
        answer, note = Answer(fields.one_of("answer", tuple(Answer))), fields.text("note", default="")
        if answer is Answer.DONE and not note.strip():
            raise BadCommand("answer_case", "`note` says what was done, and is missing", cls.FORM)
        return cls(
            kind=CaseKind(fields.one_of("kind", tuple(CaseKind))),
            answer=answer,
            subject=fields.text("subject", default=""),
            note=note,
            elsewhere=request.get("elsewhere") is True,
            by=fields.text("by"),
            request_id=fields.text("request_id"),
        )


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

    def one_of(self, field: str, words: Sequence[str]) -> str:
        value = self.text(field)
        if value not in words:
            known = ", ".join(words)
            raise BadCommand(self._name, f"there is no {field} `{value}`, only {known}", self._form)
        return value

    def hold_reason(self) -> HoldReason:
        return HoldReason(self.one_of("reason", tuple(HoldReason)))

    def whole(self, field: str, value: Any, *, least: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise BadCommand(self._name, f"`{field}` is no whole number from {least} on", self._form)
        return value

    def quantities(self, field: str, *, least: int) -> tuple[LineQuantity, ...]:
        return tuple(
            LineQuantity(
                line_no=self.whole("line_no", line.get("line_no"), least=1),
                quantity=self.whole("quantity", line.get("quantity"), least=least),
            )
            for line in self._objects(field)
        )

    def new_lines(self, field: str) -> tuple[NewLine, ...]:
        return tuple(self._new_line(line) for line in self._objects(field))

    def _new_line(self, line: Mapping[str, Any]) -> NewLine:
        sku, price = line.get("sku"), line.get("unit_price")
        if not isinstance(sku, str) or not sku.strip():
            raise BadCommand(self._name, "`sku` is missing or not a text", self._form)
        return NewLine(
            sku=sku,
            quantity=self.whole("quantity", line.get("quantity"), least=1),
            unit_price=None if price is None else self.whole("unit_price", price, least=0),
        )

    def _objects(self, field: str) -> list[Mapping[str, Any]]:
        value = self._request.get(field) or []
        if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
            raise BadCommand(self._name, f"`{field}` is not a list of objects", self._form)
        return value
