"""Who may not go on at the floor, and what is done with the goods meanwhile."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select

from fulfillment.domain.shipment import Stop, WorkStatus
from fulfillment.storage.coverage import covered
from fulfillment.storage.holds import active as active_holds

_COVERED: Final = select(covered(bindparam("the_shipment")))


def check_may_go_on(conn: Connection, shipment: Row[Any], now: datetime) -> None:
    """Let somebody go on with a shipment of the locked order.

    Raises:
        Stop: it is cancelled, held or not paid; the message says what to do with the goods.
    """
    if shipment.work_status == WorkStatus.CANCELLED.value:
        raise Stop(shipment.shipment_id, "it was cancelled: put the goods back on the shelf")
    if standing := active_holds(conn, shipment.order_id):
        reasons = ", ".join(hold.reason for hold in standing)
        raise Stop(
            shipment.shipment_id,
            f"its order is on hold ({reasons}): set the goods aside until it is released",
        )
    if shipment.value and not _is_paid(conn, shipment, now):
        raise Stop(shipment.shipment_id, "its payment is not ready: set the goods aside and wait")


def _is_paid(conn: Connection, shipment: Row[Any], now: datetime) -> bool:
    there: int = conn.execute(_COVERED, {"the_shipment": shipment.shipment_id, "now": now}).scalar_one()
    return there >= int(shipment.value)
