"""Cases as rows: a second detection joins the open one."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from fulfillment.domain.cases import OUTLIVES_ORDER, SEVERITY, Case, CaseKind, CaseState, case_id
from fulfillment.storage.tables import cases

_THIS: Final = (cases.c.subject == bindparam("the_subject")) & (cases.c.kind == bindparam("the_kind"))
_OPEN: Final = cases.c.state != CaseState.RESOLVED.value
_FIND: Final = select(cases).where(_THIS, _OPEN)
_COUNT: Final = select(func.count()).where(_THIS)
_ADD: Final = insert(cases)
_RESOLVE: Final = update(cases).where(_THIS, _OPEN)


def open_case(
    conn: Connection,
    order_id: str | None,
    kind: CaseKind,
    *,
    subject: str,
    due_at: datetime,
    now: datetime,
    note: str = "",
) -> Case:
    """Return the open case of this kind about `subject`, opening it if there is none.

    The order must be locked, or whatever the subject is where it belongs to no order.
    """
    this = {"the_subject": subject, "the_kind": kind.value}
    row = conn.execute(_FIND, this).one_or_none()
    if row is not None:
        return case_from(row)
    n: int = conn.execute(_COUNT, this).scalar_one() + 1
    case = Case(
        case_id=case_id(subject, kind, n), kind=kind, subject=subject, opened_at=now, due_at=due_at, note=note
    )
    conn.execute(_ADD, _row(order_id, case))
    return case


def resolve(conn: Connection, kind: CaseKind, *, subject: str, resolution: str, now: datetime) -> None:
    """Resolve the open case of this kind about `subject`, if there is one."""
    how = {"state": CaseState.RESOLVED.value, "resolution": resolution, "resolved_at": now}
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
    )


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
