"""Goods in somebody's hands whose shipment was cancelled or changed: the floor is asked to put them back, and says so."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, DateTime, Row, Text, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.shipment import WorkStatus
from fulfillment.storage.tables import put_backs, shipments

_W = WorkStatus
_IN_HAND: Final = [_W.PICKING.value, _W.PICKED.value, _W.PACKED.value, _W.LABELED.value]
_ASK: Final = (
    insert(put_backs)
    .from_select(
        ["shipment_id", "reworks", "location_id", "picker", "why", "asked_at"],
        select(
            *shipments.c["shipment_id", "reworks", "location_id", "picker"],
            bindparam("because", type_=Text),
            bindparam("now", type_=DateTime(timezone=True)),
        ).where(
            shipments.c.shipment_id.in_(bindparam("those", expanding=True)),
            shipments.c.work_status.in_(_IN_HAND),
        ),
    )
    .on_conflict_do_nothing()
)
_THIS: Final = put_backs.c.shipment_id == bindparam("the_shipment")
_OPEN: Final = put_backs.c.confirmed_at.is_(None)
_CONFIRM: Final = update(put_backs).where(_THIS, _OPEN)
_LIST: Final = select(put_backs).where(_OPEN).order_by(put_backs.c.asked_at, put_backs.c.shipment_id)


def ask(conn: Connection, those: Collection[str], *, why: str, now: datetime) -> None:
    """Ask for the goods of these shipments that the floor has begun; before their status is changed."""
    if those:
        conn.execute(_ASK, {"those": sorted(those), "because": why, "now": now})


def confirm(conn: Connection, shipment_id: str, *, by: str, now: datetime) -> bool:
    """Note that the goods lie on their shelf again; False when nobody asked, or it was said before."""
    said = {"confirmed_at": now, "confirmed_by": by}
    return bool(conn.execute(_CONFIRM, {"the_shipment": shipment_id, **said}).rowcount)


def asked(conn: Connection, location_id: str | None = None) -> list[Row[Any]]:
    """Return what is to be put back, the oldest first."""
    query = _LIST if location_id is None else _LIST.where(put_backs.c.location_id == location_id)
    return list(conn.execute(query))
