"""Facts that the doors and the floor tell an order, read leniently: a malformed one is refused, never fatal."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Self

from fulfillment.domain.cases import OWNER, Case, CaseKind, Owner
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.playbooks import Deed
from fulfillment.domain.settlement import Settled
from fulfillment.domain.tracking import CarrierStatus, Flag


class BadFact(FulfillmentError):
    """The fact cannot be read."""


class NotPlannedYet(BadFact):
    """The fact is about a shipment that the order has not heard of: the books may know it already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The floor has packed a shipment into a parcel."""

    shipment_id: str
    parcel_id: str

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the fact.

        Raises:
            BadFact: a field is missing or of another kind.
        """
        return cls(shipment_id=_text(body, "shipment_id"), parcel_id=_text(body, "parcel_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """The carrier has the parcel: the point of no return is behind us."""

    shipment_id: str
    carrier: str
    tracking_number: str

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the fact.

        Raises:
            BadFact: a field is missing or of another kind.
        """
        return cls(
            shipment_id=_text(body, "shipment_id"),
            carrier=_text(body, "carrier"),
            tracking_number=_text(body, "tracking_number"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """The carrier's news about a parcel, after the fold, with the case that the books opened of it."""

    shipment_id: str
    parcel_id: str
    status: CarrierStatus
    flags: frozenset[Flag]
    reason: str
    edd: date | None
    case: Case | None = None

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the fact.

        Raises:
            BadFact: a field is missing, of another kind, or a word nobody knows.
        """
        try:
            return cls(
                shipment_id=_text(body, "shipment_id"),
                parcel_id=_text(body, "parcel_id"),
                status=CarrierStatus(_text(body, "status")),
                flags=frozenset(Flag(flag) for flag in body.get("flags") or ()),
                reason=_text(body, "reason") if body.get("reason") else "",
                edd=date.fromisoformat(body["edd"]) if body.get("edd") else None,
                case=_case(body["case"], body["shipment_id"]) if body.get("case") else None,
            )
        except (TypeError, ValueError) as error:
            raise BadFact(f"milestone: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class StockFilled:
    """A receipt covered these waiting shipments."""

    shipment_ids: tuple[str, ...]

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the fact.

        Raises:
            BadFact: a field is missing or of another kind.
        """
        ids = body.get("shipment_ids") if isinstance(body, Mapping) else None
        if not isinstance(ids, list) or not all(isinstance(n, str) for n in ids):
            raise BadFact("`shipment_ids` is missing or not a list of texts")
        return cls(shipment_ids=tuple(ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentNews:
    """The provider has news of an attempt that waited; what they are is asked, never believed."""

    payment_id: str

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the fact.

        Raises:
            BadFact: a field is missing or of another kind.
        """
        return cls(payment_id=_text(body, "payment_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Replanned:
    """The books changed the order beside its workflow: a count, a dispute, a review."""

    why: str

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the fact.

        Raises:
            BadFact: a field is missing or of another kind.
        """
        return cls(why=_text(body, "why"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """Something should have happened by now and has not. Of a delay, `day` is the one promised instead.

    `deed` is what the playbook of an open case does at its due time; without it the case is yet to be opened.
    """

    shipment_id: str
    subject: str
    kind: CaseKind
    deed: Deed | None = None
    day: date | None = None
    reason: str = ""

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the fact.

        Raises:
            BadFact: a field is missing, of another kind, or a word nobody knows.
        """
        try:
            kind = CaseKind(_text(body, "kind"))
            deed = Deed(_text(body, "deed")) if body.get("deed") else None
            day = date.fromisoformat(body["day"]) if body.get("day") else None
        except (ValueError, TypeError) as error:
            raise BadFact(f"overdue: {error}") from error
        return cls(
            shipment_id=_text(body, "shipment_id"),
            subject=_text(body, "subject"),
            kind=kind,
            deed=deed,
            day=day,
            reason=str(body.get("reason") or ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A person said what the customer gets for a shipment, and the books have it."""

    settled: Settled


def _case(body: Any, subject: str) -> Case:
    kind, owner = CaseKind(_text(body, "kind")), Owner(_text(body, "owner"))
    return Case(
        case_id=_text(body, "case_id"),
        kind=kind,
        subject=subject,
        opened_at=datetime.fromisoformat(_text(body, "opened_at")),
        due_at=datetime.fromisoformat(_text(body, "due_at")),
        note=str(body.get("note") or ""),
        called=owner if owner is not OWNER[kind] else None,
    )


def _text(body: Any, field: str) -> str:
    value = body.get(field) if isinstance(body, Mapping) else None
    if not isinstance(value, str) or not value:
        raise BadFact(f"`{field}` is missing or not a text")
    return value
