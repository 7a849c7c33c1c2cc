"""What is claimed from carriers, and what they are asked to trace: cases beside the orders, which end by themselves or
with what came of them.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, exists, insert, select, update

from fulfillment.domain.carrier_claims import (
    CLAIMABLE,
    CarrierClaim,
    ClaimOutcome,
    ClaimRefused,
    deadline,
    due_at,
    task,
)
from fulfillment.domain.cases import CaseKind, CaseState, Owner
from fulfillment.domain.money import format_minor
from fulfillment.domain.playbooks import due_at as case_due_at
from fulfillment.domain.policy import Policy
from fulfillment.domain.settlement import Cause
from fulfillment.storage import cases as case_rows
from fulfillment.storage import journal, owed
from fulfillment.storage.orders import lines_of, lock_order, order_from
from fulfillment.storage.tables import carrier_claims, cases, labels, parcels

_COMMAND: Final = "end_carrier_claim"
_SYSTEM: Final = "system"
_PARCEL: Final = (
    select(*parcels.c["parcel_id", "handed_over_at"], *labels.c["carrier", "tracking_number"])
    .join(labels, (labels.c.parcel_id == parcels.c.parcel_id) & (labels.c.state == "used"))
    .where(parcels.c.shipment_id == bindparam("the_shipment"))
)
_ADD: Final = insert(carrier_claims)
_END: Final = update(carrier_claims).where(carrier_claims.c.case_id == bindparam("the_case"))
_OPEN: Final = (
    select(carrier_claims, *cases.c["due_at", "owner"])
    .join(cases, cases.c.case_id == carrier_claims.c.case_id)
    .where(carrier_claims.c.outcome.is_(None))
    .order_by(carrier_claims.c.deadline, carrier_claims.c.case_id)
)
_OF_PARCEL: Final = (
    select(carrier_claims)
    .where(carrier_claims.c.parcel_id == bindparam("the_parcel"))
    .order_by(carrier_claims.c.opened_at.desc(), carrier_claims.c.case_id.desc())
    .limit(1)
)
# What asks for a trace. It is about the same shipment, and over when that is over.
_TRACED_FOR: Final = (CaseKind.NO_FIRST_SCAN.value, CaseKind.NOT_RECEIVED.value)
_asks = cases.alias("asks")
_NO_LONGER_TRACED: Final = update(cases).where(
    cases.c.kind == CaseKind.CARRIER_TRACE.value,
    cases.c.state != CaseState.RESOLVED.value,
    ~exists().where(
        _asks.c.subject == cases.c.subject,
        _asks.c.kind.in_(_TRACED_FOR),
        _asks.c.state != CaseState.RESOLVED.value,
    ),
)


class CarrierClaims:
    """The claims, for those who file them. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine, self._now = engine, now

    def open(self) -> tuple[CarrierClaim, ...]:
        """Return the claims that nothing came of yet, the one to be filed first first."""
        with self._engine.connect() as conn:
            return tuple(_claim(row) for row in conn.execute(_OPEN))

    def end(
        self,
        parcel_id: str,
        outcome: ClaimOutcome,
        *,
        paid: int = 0,
        by: str,
        request_id: str,
        note: str = "",
    ) -> str:
        """End the claim for a parcel with what came of it, and return that in a sentence; the same again is harmless.

        `paid` is in minor units of the order's currency.

        Raises:
            ClaimRefused: nothing is claimed for it, it ended in another way, or the amount does not fit the outcome.
        """
        if (outcome is ClaimOutcome.PAID) != (paid > 0):
            raise ClaimRefused("say how much was paid, and nothing where nothing was")
        now = self._now()
        with self._engine.begin() as conn:
            order_id = _latest(conn, parcel_id).order_id
            lock_order(conn, order_id)
            claim = _latest(conn, parcel_id)
            if claim.outcome is not None:
                return _as_before(claim, outcome, paid)
            came = _came(outcome, paid, claim.currency)
            _end(conn, claim, outcome, came, paid=paid, by=by, now=now)
            said = {"actor": by, "command": _COMMAND, "outcome": f"{claim.case_id}: {came}", "reason": note}
            journal.audit(conn, order_id, **said, request_id=request_id, at=now)
            return f"The claim for {parcel_id} is over: {came}."


def claim(
    conn: Connection, order: Row[Any], shipment_id: str, cause: Cause, *, now: datetime, policy: Policy
) -> None:
    """Open a claim for a shipment that its carrier lost or broke; what cost nothing, or was claimed before, has none."""
    if cause not in CLAIMABLE:
        return
    worth = owed.worth(conn, order_from(order, lines_of(conn, order.order_id)), shipment_id)
    parcel = conn.execute(_PARCEL, {"the_shipment": shipment_id}).one_or_none()
    if not worth or parcel is None or _was_claimed(conn, parcel.parcel_id):
        return
    name, kind, last = parcel.parcel_id, CaseKind.CARRIER_CLAIM, deadline(parcel.handed_over_at, policy)
    note = task(parcel.carrier, name, parcel.tracking_number, cause, worth, order.currency, last)
    due = due_at(last, now, policy)
    case = case_rows.open_case(conn, order.order_id, kind, subject=name, due_at=due, now=now, note=note)
    row = {
        "case_id": case.case_id,
        "order_id": order.order_id,
        "parcel_id": name,
        "carrier": parcel.carrier,
        "tracking_number": parcel.tracking_number,
        "cause": cause.value,
        "amount": worth,
        "currency": order.currency,
        "deadline": last,
        "opened_at": now,
    }
    conn.execute(_ADD, row)


def _was_claimed(conn: Connection, parcel_id: str) -> bool:
    """Whether a claim stands or has ended; what was found since may be lost again."""
    before = conn.execute(_OF_PARCEL, {"the_parcel": parcel_id}).one_or_none()
    return before is not None and before.outcome != ClaimOutcome.FOUND


def found(conn: Connection, shipment_id: str, *, now: datetime) -> None:
    """End what is claimed for a shipment that has turned up; what is damaged is that wherever it is."""
    parcel = conn.execute(_PARCEL, {"the_shipment": shipment_id}).one_or_none()
    row = conn.execute(_OF_PARCEL, {"the_parcel": parcel.parcel_id}).one_or_none() if parcel else None
    if row is not None and row.outcome is None and row.cause != Cause.DAMAGED:
        _end(conn, row, ClaimOutcome.FOUND, ClaimOutcome.FOUND, paid=0, by=_SYSTEM, now=now)


def trace(conn: Connection, order_id: str, shipment_id: str, *, now: datetime, policy: Policy) -> None:
    """Ask a person to let the carrier look for a parcel; a second time joins the first."""
    parcel = conn.execute(_PARCEL, {"the_shipment": shipment_id}).one()
    kind, due = CaseKind.CARRIER_TRACE, case_due_at(CaseKind.CARRIER_TRACE, now, policy)
    note = f"ask {parcel.carrier} to look for {parcel.parcel_id} ({parcel.tracking_number})"
    case_rows.open_case(conn, order_id, kind, subject=shipment_id, due_at=due, now=now, note=note)


def end_traces(conn: Connection, now: datetime) -> None:
    """End the traces of parcels that nobody misses any more."""
    how = {"state": CaseState.RESOLVED.value, "resolution": "it is not missed any more", "resolved_at": now}
    conn.execute(_NO_LONGER_TRACED.values(how))


def _latest(conn: Connection, parcel_id: str) -> Row[Any]:
    row = conn.execute(_OF_PARCEL, {"the_parcel": parcel_id}).one_or_none()
    if row is None:
        raise ClaimRefused(f"nothing is claimed for {parcel_id}: `./waybill claims` lists what is")
    return row


def _as_before(row: Row[Any], outcome: ClaimOutcome, paid: int) -> str:
    if (row.outcome, row.paid) != (outcome.value, paid):
        raise ClaimRefused(
            f"the claim for {row.parcel_id} ended before: {_came(ClaimOutcome(row.outcome), row.paid, row.currency)}"
        )
    return f"The claim for {row.parcel_id} was over before."


def _came(outcome: ClaimOutcome, paid: int, currency: str) -> str:
    return f"{outcome} {format_minor(paid, currency)}" if paid else str(outcome)


def _end(
    conn: Connection,
    row: Row[Any],
    outcome: ClaimOutcome,
    came: str,
    *,
    paid: int,
    by: str,
    now: datetime,
) -> None:
    values = {"outcome": outcome.value, "paid": paid, "ended_at": now, "ended_by": by}
    conn.execute(_END, {"the_case": row.case_id, **values})
    case_rows.resolve(conn, CaseKind.CARRIER_CLAIM, subject=row.parcel_id, resolution=came, now=now, by=by)


def _claim(row: Row[Any]) -> CarrierClaim:
    return CarrierClaim(
        case_id=row.case_id,
        order_id=row.order_id,
        parcel_id=row.parcel_id,
        carrier=row.carrier,
        tracking_number=row.tracking_number,
        cause=Cause(row.cause),
        amount=row.amount,
        currency=row.currency,
        deadline=row.deadline,
        due_at=row.due_at,
        owner=Owner(row.owner),
    )
