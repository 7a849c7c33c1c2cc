"""What carriers said of an address before a label was bought for it, and what follows: another form of it, or a hold."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, exists, select, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain import playbooks
from fulfillment.domain.address import Address, AddressAnswer, AddressRefused, Verdict
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.events import EventKind
from fulfillment.domain.holds import ADDRESS_CHECK, Hold, HoldReason
from fulfillment.domain.notifications import Fact
from fulfillment.domain.policy import AddressCheck, Policy
from fulfillment.storage import cases, holds, journal
from fulfillment.storage.tables import address_checks, orders

_THIS: Final = (address_checks.c.order_id == bindparam("the_order")) & (
    address_checks.c.address_hash == bindparam("the_hash")
)
_NOTE_OF: Final[Mapping[Verdict, str]] = MappingProxyType(
    {
        Verdict.UNDELIVERABLE: "the carriers do not know it",
        Verdict.NEEDS_CONFIRMATION: "the carriers know several like it",
        Verdict.CORRECTED: "the carriers know it in another form",
    }
)
_KNOWN: Final = select(exists().where(_THIS))
_READ: Final = select(address_checks).where(_THIS)
_NOTE: Final = insert(address_checks).on_conflict_do_nothing()
_SEND_TO: Final = update(orders).where(orders.c.order_id == bindparam("the_order"))


def is_checked(conn: Connection, order: Row[Any], policy: Policy) -> bool:
    """Test whether nothing is left to be asked about the address of an order."""
    this = {"the_order": order.order_id, "the_hash": Address(**order.ship_to).digest()}
    return policy.address_check is AddressCheck.OFF or bool(conn.execute(_KNOWN, this).scalar_one())


def check_not_asked(conn: Connection, order: Row[Any]) -> None:
    """Refuse while the customer is being asked about the address.

    Raises:
        AddressRefused: the hold stands that the check placed.
    """
    if (hold := _asking(conn, order.order_id)) is not None:
        raise AddressRefused(f"{order.order_id} waits for a good address: {hold.note}")


def suggestion(conn: Connection, order: Row[Any]) -> Address | None:
    """Return the form that the carriers suggest for the address of an order, if they know a better one."""
    this = {"the_order": order.order_id, "the_hash": Address(**order.ship_to).digest()}
    row = conn.execute(_READ, this).one_or_none()
    return Address(**row.suggestion) if row is not None and row.suggestion else None


def take(
    conn: Connection, order: Row[Any], answer: AddressAnswer, *, policy: Policy, now: datetime
) -> Address | None:
    """Take an answer over and return where the parcel goes; None when its order is held until somebody says it."""
    written = Address(**order.ship_to)
    _note(conn, order.order_id, written, answer, now)
    better = answer.suggestion
    if answer.verdict in (Verdict.DELIVERABLE, Verdict.UNKNOWN):
        return written
    if answer.verdict is Verdict.CORRECTED and better and policy.address_check is AddressCheck.CORRECT:
        return _correct(conn, order, better, now)
    _ask(conn, order, answer, policy=policy, now=now)
    return None


def answered(conn: Connection, order_id: str, *, by: str, now: datetime) -> bool:
    """End the hold of a check, because another address came; return whether it stood."""
    if _asking(conn, order_id) is None:
        return False
    holds.end(conn, order_id, HoldReason.ADDRESS, by=by, now=now)
    how = f"answered by {by}"
    cases.resolve(conn, CaseKind.ADDRESS_PROBLEM, subject=order_id, resolution=how, now=now)
    return True


def _note(conn: Connection, order_id: str, address: Address, answer: AddressAnswer, now: datetime) -> None:
    row = {
        "order_id": order_id,
        "address_hash": address.digest(),
        "verdict": answer.verdict.value,
        "suggestion": asdict(answer.suggestion) if answer.suggestion else None,
        "said": answer.said,
        "at": now,
    }
    conn.execute(_NOTE, row)


def _correct(conn: Connection, order: Row[Any], better: Address, now: datetime) -> Address:
    """Send it to the corrected form, and say so."""
    order_id = order.order_id
    conn.execute(_SEND_TO, {"the_order": order_id, "ship_to": asdict(better)})
    _note(conn, order_id, better, AddressAnswer(verdict=Verdict.DELIVERABLE), now)
    text = "We corrected the address of your order as the carriers know it."
    journal.event(conn, order_id, EventKind.ADDRESS_CORRECTED, text, at=now)
    outcome = "sent to the corrected form of its address"
    journal.audit(conn, order_id, actor=ADDRESS_CHECK, command="address", outcome=outcome, at=now)
    told = {
        "text": f"{text} If it is not right, tell us before it leaves.",
        "delta": 0,
        "currency": order.currency,
    }
    journal.tell(
        conn, order_id, Fact.CHANGED, subject=f"{order_id}-{better.digest()}", version=1, data=told, now=now
    )
    return better


def _ask(conn: Connection, order: Row[Any], answer: AddressAnswer, *, policy: Policy, now: datetime) -> None:
    """Hold the order and ask: nothing is bought for an address to which nothing may come."""
    order_id, due_at = order.order_id, now + policy.address_give_up
    note = _NOTE_OF[
        answer.verdict
    ]  # not what they said: it may name the address, and a note reaches histories
    hold, is_new = holds.place(
        conn, order_id, HoldReason.ADDRESS, by=ADDRESS_CHECK, due_at=due_at, note=note, now=now
    )
    if not is_new:
        return
    cases.open_case(
        conn,
        order_id,
        CaseKind.ADDRESS_PROBLEM,
        subject=order_id,
        due_at=playbooks.due_at(CaseKind.ADDRESS_PROBLEM, now, policy),
        now=now,
        note=note,
        told=Fact.ADDRESS_ASKED,
    )
    journal.audit(
        conn,
        order_id,
        actor=ADDRESS_CHECK,
        command="hold",
        outcome=f"held: {hold.reason}",
        at=now,
        reason=note,
    )


def _asking(conn: Connection, order_id: str) -> Hold | None:
    standing = holds.active(conn, order_id)
    return next(
        (one for one in standing if one.reason is HoldReason.ADDRESS and one.placed_by == ADDRESS_CHECK), None
    )
