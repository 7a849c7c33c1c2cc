"""What holds an order back of which not everything is there: its customer is asked, or it leaves only as a whole."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import Connection, bindparam, exists, select, update

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.holds import Hold, HoldReason
from fulfillment.domain.notifications import Fact
from fulfillment.domain.policy import Policy, Shortage, ShortageChoice
from fulfillment.domain.shipment import BEFORE_HAND_OVER, WaitsFor
from fulfillment.storage import cases, holds, journal
from fulfillment.storage.tables import holds as hold_rows
from fulfillment.storage.tables import shipments, unit_ranges

BY_POLICY: Final = "policy"
_HOLDS_BACK: Final = (Shortage.ASK, Shortage.SHIP_COMPLETE)
_SOMETHING_IS_THERE: Final = select(
    exists().where(
        shipments.c.order_id == bindparam("the_order"),
        shipments.c.work_status.in_([status.value for status in BEFORE_HAND_OVER]),
        shipments.c.waits_for != WaitsFor.STOCK.value,
        unit_ranges.c.shipment_id == shipments.c.shipment_id,
    )
)
_PUT_OFF: Final = update(hold_rows).where(
    hold_rows.c.order_id == bindparam("the_order"),
    hold_rows.c.reason == HoldReason.STOCK.value,
    hold_rows.c.state == "active",
    hold_rows.c.due_at < bindparam("later"),
)


def hold_back(
    conn: Connection, order_id: str, until: Mapping[str, date], *, now: datetime, policy: Policy
) -> bool:
    """Hold the locked order if the policy wants it whole or its customer asked, and something of it could leave.

    `until` has by SKU the day promised for what is missing. Return whether it is held; an order of which nothing is
    there waits as a whole anyway.
    """
    if not until or policy.shortage not in _HOLDS_BACK:
        return False
    if not conn.execute(_SOMETHING_IS_THERE, {"the_order": order_id}).scalar_one():
        return False
    due_at = due(max(until.values()), now=now, policy=policy)
    note = f"not there: {', '.join(sorted(until))}"
    hold, is_new = holds.place(
        conn, order_id, HoldReason.STOCK, by=BY_POLICY, due_at=due_at, note=note, now=now
    )
    if is_new and policy.shortage is Shortage.ASK:
        _ask(conn, order_id, hold, sorted(until), now=now, policy=policy)
    elif is_new:
        text = "Not everything of your order is there yet. It leaves as soon as all of it is."
        journal.event(conn, order_id, "held", text, at=now, data={"missing": sorted(until)})
    return True


def due(promise_date: date, *, now: datetime, policy: Policy) -> datetime:
    """Return when a shortage is settled without an answer; one that waits for all of it, long after its promise."""
    if policy.shortage is Shortage.ASK:
        return now + policy.ask_customer_wait
    return datetime.combine(promise_date, time(), UTC) + timedelta(days=1) + policy.hold_default_after


def put_off(conn: Connection, order_id: str, promise_date: date, *, now: datetime, policy: Policy) -> None:
    """Let the hold of the locked order that waits for all of it stand until after a later promise."""
    if policy.shortage is Shortage.SHIP_COMPLETE:
        later = due(promise_date, now=now, policy=policy)
        conn.execute(_PUT_OFF, {"the_order": order_id, "later": later, "due_at": later})


def _ask(
    conn: Connection, order_id: str, hold: Hold, missing: list[str], *, now: datetime, policy: Policy
) -> None:
    cases.open_case(
        conn,
        order_id,
        CaseKind.OUT_OF_STOCK,
        subject=order_id,
        due_at=hold.due_at,
        now=now,
        note=hold.note,
    )
    data: dict[str, Any] = {
        "missing": missing,
        "choices": [choice.value for choice in ShortageChoice],
        "answer_by": hold.due_at.isoformat(),
        "default": policy.shortage_default.value,
    }
    text = (
        "Not everything of your order is there. Tell us whether to wait for all of it, to send what is there now "
        "and the rest later, or to leave out what is missing."
    )
    journal.event(conn, order_id, "shortage_asked", text, at=now, data=data)
    version = int(hold.hold_id.rpartition(":")[2])
    fact = Fact.SHORTAGE_ASKED
    journal.tell(conn, order_id, fact, subject=order_id, version=version, data=data, now=now)
