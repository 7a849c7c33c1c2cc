"""Cases as rows: a second detection joins the open one, and what is due is done step by step."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from fulfillment.domain.cases import (
    BESIDE_THE_ORDER,
    OUTLIVES_ORDER,
    OWNER,
    SEVERITY,
    Case,
    CaseKind,
    CaseState,
    Owner,
    case_id,
)
from fulfillment.domain.events import EventKind
from fulfillment.domain.notifications import Fact
from fulfillment.domain.playbooks import first_owner, told_first
from fulfillment.storage import journal
from fulfillment.storage.tables import cases, orders

_THIS: Final = (cases.c.subject == bindparam("the_subject")) & (cases.c.kind == bindparam("the_kind"))
_OPEN: Final = cases.c.state != CaseState.RESOLVED.value
_FIND: Final = select(cases).where(_THIS, _OPEN)
_COUNT: Final = select(func.count()).where(_THIS)
_ADD: Final = insert(cases)
_RESOLVE: Final = update(cases).where(_THIS, _OPEN)
_PUT_OFF: Final = update(cases).where(cases.c.case_id == bindparam("the_case"))
_OF_ORDER: Final = (
    select(cases)
    .where(cases.c.order_id == bindparam("the_order"), _OPEN, cases.c.kind.not_in(sorted(BESIDE_THE_ORDER)))
    .order_by(cases.c.opened_at, cases.c.case_id)
)
_TOKEN: Final = select(orders.c.tracking_token).where(orders.c.order_id == bindparam("the_order"))
_SENTENCE: Final = {
    Fact.SLOW: "Your parcel is slower than usual. We are asking the carrier.",
    Fact.PICKUP_WAITING: "Your parcel waits for you at a pickup point.",
    Fact.NOT_COLLECTED: "Your parcel was not picked up in time and comes back to us.",
    Fact.CUSTOMS: "Your parcel is with customs.",
    Fact.CUSTOMS_ASKED: "Customs need something of you before they let your parcel through.",
    Fact.ADDRESS_ASKED: "We need one thing from you: please check your address.",
    Fact.ADDRESS_PROBLEM: "The carrier cannot find your address. Please check it.",
    Fact.RETURNING: "Your parcel is coming back to us. Tell us whether to send it again or to give your money back.",
    Fact.REFUSED: "Your parcel was not accepted. We give your money back when it is here.",
    Fact.NOT_RECEIVED: "You told us that your parcel did not reach you. We look into it.",
}


def open_case(
    conn: Connection,
    order_id: str | None,
    kind: CaseKind,
    *,
    subject: str,
    due_at: datetime,
    now: datetime,
    note: str = "",
    told: Fact | None = None,
    until: datetime | None = None,
) -> Case:
    """Return the open case of this kind about `subject`, opening it if there is none.

    The customer hears of it, where its playbook says so, or in the words of `told`; `until` is the last day on which
    they may act. The order must be locked, or whatever the subject is where it belongs to no order.
    """
    this = {"the_subject": subject, "the_kind": kind.value}
    row = conn.execute(_FIND, this).one_or_none()
    if row is not None:
        return case_from(row)
    n: int = conn.execute(_COUNT, this).scalar_one() + 1
    case = Case(
        case_id=case_id(subject, kind, n),
        kind=kind,
        subject=subject,
        opened_at=now,
        due_at=due_at,
        note=note,
        called=_other_than_usual(kind, first_owner(kind, note)),
    )
    conn.execute(_ADD, _row(order_id, case))
    if order_id is not None and (fact := told or told_first(kind, note)):
        tell(conn, order_id, case, fact, now=now, until=until)
    return case


def tell(
    conn: Connection, order_id: str, case: Case, fact: Fact, *, now: datetime, until: datetime | None = None
) -> None:
    """Tell the customer of a case, and until when they may act; each telling is a version of its own."""
    token: str = conn.execute(_TOKEN, {"the_order": order_id}).scalar_one()
    version = journal.next_version(conn, order_id, fact, subject=case.subject)
    last = {"until": until.isoformat()} if until else {}
    told = {
        "case_id": case.case_id,
        "reason": case.note,
        "due_at": case.due_at.isoformat(),
        "tracking_token": token,
        "again": version > 1,
    } | last
    about = {"subject": case.subject} | last
    journal.event(conn, order_id, EventKind(case.kind), _SENTENCE[fact], at=now, data=about)
    journal.tell(conn, order_id, fact, subject=case.subject, version=version, data=told, now=now)


def of_order(conn: Connection, order_id: str) -> tuple[Case, ...]:
    """Return the open cases that an order is in trouble by, oldest first."""
    return tuple(case_from(row) for row in conn.execute(_OF_ORDER, {"the_order": order_id}))


def find(conn: Connection, kind: CaseKind, *, subject: str) -> Case | None:
    """Return the open case of this kind about `subject`, if there is one."""
    row = conn.execute(_FIND, {"the_subject": subject, "the_kind": kind.value}).one_or_none()
    return None if row is None else case_from(row)


def put_off(conn: Connection, case: Case, *, due_at: datetime) -> None:
    """Let a case wait: its playbook begins anew, and its first owner has it again."""
    begin_anew(conn, case, note=case.note, due_at=due_at)


def begin_anew(
    conn: Connection, case: Case, *, note: str, due_at: datetime, step: int = 0, owner: Owner | None = None
) -> Case:
    """Let the playbook of an open case begin anew, at `step` and with `owner` where that is not its usual first one."""
    first = owner or first_owner(case.kind, note)
    values = {"step": step, "owner": first.value, "state": CaseState.WAITING.value, "escalated_at": None}
    conn.execute(_PUT_OFF, {"the_case": case.case_id, "due_at": due_at, "note": note, **values})
    return replace(case, note=note, due_at=due_at, called=_other_than_usual(case.kind, first))


def resolve(
    conn: Connection,
    kind: CaseKind,
    *,
    subject: str,
    resolution: str,
    now: datetime,
    by: str = "system",
) -> None:
    """Resolve the open case of this kind about `subject`, if there is one."""
    how = {
        "state": CaseState.RESOLVED.value,
        "resolution": resolution,
        "resolved_at": now,
        "resolved_by": by,
    }
    conn.execute(_RESOLVE, {"the_subject": subject, "the_kind": kind.value, **how})


def resolve_all(conn: Connection, order_id: str, *, resolution: str, now: datetime) -> None:
    """Resolve what is open about an order, its shipments and its parcels, and ends with it."""
    how = {"state": CaseState.RESOLVED.value, "resolution": resolution, "resolved_at": now}
    ends = cases.c.kind.not_in(sorted(OUTLIVES_ORDER))
    conn.execute(update(cases).where(cases.c.order_id == order_id, _OPEN, ends).values(how))


def case_from(row: Row[Any]) -> Case:
    """Return a case as the domain knows it."""
    return Case(
        case_id=row.case_id,
        kind=CaseKind(row.kind),
        subject=row.subject,
        opened_at=row.opened_at,
        due_at=row.due_at,
        note=row.note,
        called=_other_than_usual(CaseKind(row.kind), Owner(row.owner)),
    )


def _other_than_usual(kind: CaseKind, owner: Owner) -> Owner | None:
    return owner if owner is not OWNER[kind] else None


def _row(order_id: str | None, case: Case) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "order_id": order_id,
        "subject": case.subject,
        "kind": case.kind.value,
        "severity": SEVERITY[case.kind],
        "owner": case.owner.value,
        "state": CaseState.WAITING.value,
        "note": case.note,
        "opened_at": case.opened_at,
        "due_at": case.due_at,
    }
