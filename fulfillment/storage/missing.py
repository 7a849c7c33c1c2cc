"""Parcels that a carrier calls delivered and the customer did not get: a case, and the order goes on after its end."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, select, update

from fulfillment.domain.cases import Case, CaseKind, CaseRefused
from fulfillment.domain.order import ENDED, OrderStatus, Outcome
from fulfillment.domain.playbooks import due_at
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.storage import cases, journal, signals
from fulfillment.storage.orders import lock_order
from fulfillment.storage.tables import orders, parcels, shipments

_COMMAND: Final = "not_received"
_DELIVERED: Final = (
    select(*shipments.c["shipment_id", "settled"], *parcels.c["n", "delivered_at"])
    .join(parcels, parcels.c.shipment_id == shipments.c.shipment_id)
    .where(
        shipments.c.order_id == bindparam("the_order"),
        shipments.c.outcome == Outcome.DELIVERED.value,
    )
    .order_by(shipments.c.n)
)
_GOES_ON: Final = (
    update(orders)
    .where(orders.c.order_id == bindparam("the_order"))
    .values(
        status=OrderStatus.IN_FULFILLMENT.value,
        outcome=None,
        completed_at=None,
        started_at=None,
        reopened=orders.c.reopened + 1,
    )
)


class MissingStore:
    """Where it is noted that something was not received. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def report(
        self, order_id: str, *, parcel: int | None = None, by: str, request_id: str, note: str = ""
    ) -> Case:
        """Open a case about a parcel, the only delivered one by default; an order that has ended goes on.

        A second report joins the first.

        Raises:
            UnknownOrder: there is no such order.
            CaseRefused: it is not said to be delivered, was made good, or is too long ago; or the customer was forgotten.
        """
        now, policy = self._now(), self._policy
        with self._engine.begin() as conn:
            order = lock_order(conn, order_id)
            if order.erased_at:
                raise CaseRefused(f"the customer of {order_id} was forgotten: nothing can be sent to them")
            missed = self._missed(conn, order_id, parcel)
            kind, subject = CaseKind.NOT_RECEIVED, missed.shipment_id
            if (known := cases.find(conn, kind, subject=subject)) is not None:
                return known
            _go_on(conn, order, subject, now=now)
            due = due_at(kind, now, policy)
            case = cases.open_case(conn, order_id, kind, subject=subject, due_at=due, now=now, note=note)
            journal.audit(
                conn,
                order_id,
                actor=by,
                command=_COMMAND,
                outcome=case.case_id,
                at=now,
                request_id=request_id,
                reason=note,
            )
            return case

    def _missed(self, conn: Connection, order_id: str, parcel: int | None) -> Row[Any]:
        found = conn.execute(_DELIVERED, {"the_order": order_id}).all()
        chosen = [row for row in found if parcel in (None, row.n)]
        if len(chosen) != 1:
            named = ", ".join(str(row.n) for row in found)
            raise CaseRefused(
                f"say which parcel of {order_id}: {named}" if found else f"nothing of {order_id} is delivered"
            )
        (missed,) = chosen
        if missed.settled:
            raise CaseRefused(f"{missed.shipment_id} was made good already: {missed.settled}")
        if missed.delivered_at + self._policy.claim_window < self._now():
            days = self._policy.claim_window.days
            raise CaseRefused(
                f"{missed.shipment_id} was delivered more than {days} days ago: refund it by hand"
            )
        return missed


def _go_on(conn: Connection, order: Row[Any], subject: str, *, now: datetime) -> None:
    """Wake an order that has ended: its workflow begins once more. One that runs reads its books again."""
    if order.status in ENDED:
        conn.execute(_GOES_ON, {"the_order": order.order_id})
        return
    body = {"why": f"{subject} was not received"}
    key = f"{subject}:not_received:{now.isoformat()}"
    journal.signal(conn, order.order_id, signals.REPLANNED, body, fact_key=key, at=now)
