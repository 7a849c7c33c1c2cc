"""Cases that are due: each takes the next step of its playbook, and after the last one its next owner is called."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, select, update

from fulfillment.domain.cases import BESIDE_THE_ORDER, CaseKind, CaseState, Owner
from fulfillment.domain.order import ENDED
from fulfillment.domain.playbooks import OF_THE_ORDER, Deed, Due, at_due, last_day
from fulfillment.domain.policy import Policy
from fulfillment.storage import attempts, carrier_claims, journal, owed, signals
from fulfillment.storage import cases as case_rows
from fulfillment.storage.orders import lines_of, lock_order, order_from
from fulfillment.storage.tables import cases

_IS_DUE: Final = (cases.c.state != CaseState.RESOLVED.value) & (cases.c.due_at <= bindparam("now"))
_DUE: Final = (
    select(*cases.c["case_id", "order_id"])
    .where(_IS_DUE)
    .order_by(cases.c.due_at, cases.c.case_id)
    .limit(bindparam("at_most"))
)
_THE_CASE: Final = cases.c.case_id == bindparam("the_case")
_STILL_DUE: Final = select(cases).where(_THE_CASE, _IS_DUE).with_for_update()
_GOES_ON: Final = update(cases).where(_THE_CASE)
# When the carrier is asked to look for a parcel.
_TRACED: Final = ((CaseKind.NO_FIRST_SCAN, Deed.TELL), (CaseKind.NOT_RECEIVED, Deed.DECIDE))


def act(engine: Engine, *, now: datetime, at_most: int, policy: Policy) -> None:
    """Take the next step of cases that are due, each in a transaction of its own."""
    with engine.connect() as conn:
        due = conn.execute(_DUE, {"now": now, "at_most": at_most}).all()
    for row in due:
        with engine.begin() as conn:
            order = lock_order(conn, row.order_id) if row.order_id else None
            still = conn.execute(_STILL_DUE, {"the_case": row.case_id, "now": now}).one_or_none()
            if still is not None:
                _take_step(conn, order, still, now=now, policy=policy)


def _take_step(
    conn: Connection, order: Row[Any] | None, row: Row[Any], *, now: datetime, policy: Policy
) -> None:
    due = at_due(
        CaseKind(row.kind),
        row.step,
        opened_at=row.opened_at,
        owner=Owner(row.owner),
        now=now,
        policy=policy,
    )
    if due.deed is Deed.COME_AGAIN and order is not None:
        due = replace(due, due_at=attempts.one_more_day(conn, order, row.subject, now))
    if due.deed is Deed.ESCALATE:
        _escalate(conn, row, due, now)
    else:
        step = {"due_at": due.due_at, "step": due.step}
        conn.execute(_GOES_ON, {"the_case": row.case_id, **step})
    if order is not None and order.status not in ENDED:
        _act(conn, order, row, due, now=now, policy=policy)


def _escalate(conn: Connection, row: Row[Any], due: Due, now: datetime) -> None:
    """Call the next owner, who is reminded until somebody acts."""
    called = {
        "due_at": due.due_at,
        "owner": due.owner.value,
        "state": CaseState.ESCALATED.value,
        "escalated_at": row.escalated_at or now,
    }
    conn.execute(_GOES_ON, {"the_case": row.case_id, **called})


def _act(
    conn: Connection, order: Row[Any], row: Row[Any], due: Due, *, now: datetime, policy: Policy
) -> None:
    """Tell the customer, or let the order itself do what changes what is owed."""
    order_id, key = order.order_id, f"{row.case_id}:{row.step}:{row.due_at.isoformat()}"
    if due.told:
        case = replace(case_rows.case_from(row), due_at=due.due_at)
        until = last_day(case.kind, case.opened_at, policy)
        case_rows.tell(conn, order_id, case, due.told, now=now, until=until)
    if (row.kind, due.deed) in _TRACED:
        _trace(conn, order, row, now=now, policy=policy)
    if due.deed in OF_THE_ORDER:
        body = {"shipment_id": row.subject, "subject": row.subject, "kind": row.kind, "deed": due.deed.value}
        journal.signal(conn, order_id, signals.OVERDUE, body, fact_key=key, at=now)
    elif due.deed is Deed.ESCALATE and row.escalated_at is None and row.kind not in BESIDE_THE_ORDER:
        journal.signal(
            conn, order_id, signals.REPLANNED, {"why": f"{row.kind} escalated"}, fact_key=key, at=now
        )


def _trace(conn: Connection, order: Row[Any], row: Row[Any], *, now: datetime, policy: Policy) -> None:
    """Open a trace, unless what was not received is worth so little that it is made good without one."""
    worth = owed.worth(conn, order_from(order, lines_of(conn, order.order_id)), row.subject)
    if row.kind == CaseKind.NO_FIRST_SCAN or worth > policy.keep_item_under:
        carrier_claims.trace(conn, row.order_id, row.subject, now=now, policy=policy)
