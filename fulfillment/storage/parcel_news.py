"""What of a parcel's state its order must hear: whatever something may follow from."""

from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Row, bindparam, exists, func, select

from fulfillment.domain.cases import Case
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.tracking import RANK, CarrierStatus, Tracked
from fulfillment.storage import journal, signals
from fulfillment.storage.tables import cases, parcels, promises
from fulfillment.storage.tables import signals as told

_C = CarrierStatus
_UNHEARD_OF: Final = (_C.PRE_TRANSIT, _C.UNKNOWN)
_AS_IT_SHOULD: Final = (_C.PICKED_UP, _C.IN_TRANSIT, _C.OUT_FOR_DELIVERY)
_OF_THE_ORDER: Final[BindParameter[str]] = bindparam("the_order")
# What it tells of may have no case yet: the order has still to hear it.
_TELLS_OF_TROUBLE: Final = (told.c.name == signals.OVERDUE) | (
    func.coalesce(told.c.body["reason"].astext, "") != ""
)
_ANOTHER_CAME_AS_FAR: Final = select(
    exists().where(
        parcels.c.order_id == _OF_THE_ORDER,
        parcels.c.parcel_id != bindparam("this_one"),
        parcels.c.carrier_status.in_(bindparam("as_far", expanding=True)),
    )
    & ~exists().where(cases.c.order_id == _OF_THE_ORDER)
    & ~exists().where(promises.c.order_id == _OF_THE_ORDER, promises.c.n > 1)
    & ~exists().where(told.c.order_id == _OF_THE_ORDER, _TELLS_OF_TROUBLE)
)


def is_news(
    conn: Connection, before: Row[Any], after: Tracked, edd: date | None, promise_date: date | None
) -> bool:
    """Test whether the order must hear it. Where the parcel stands is compared with where it stood."""
    if after.status in _UNHEARD_OF:
        return False
    if after.reason and after.reason.value != before.reason:
        return True
    seen = (before.carrier_status, sorted(before.flags), before.edd_date)
    if (after.status.value, flags_of(after), edd) == seen:
        return False
    if edd is not None and promise_date is not None and edd > promise_date:
        return True
    if after.status is _C.PICKED_UP and before.handed_over_at and not after.flags:
        return False
    return not _repeats_another(conn, before, after, edd)


def _repeats_another(conn: Connection, before: Row[Any], after: Tracked, edd: date | None) -> bool:
    """Whether the parcel only comes as far as another of its order, which told it, and nothing was ever wrong.

    Nothing follows from that, and each piece of news costs the order four events and an action.
    """
    smooth = after.status in _AS_IT_SHOULD and not after.flags
    if not smooth or edd != before.edd_date or not _went_as_it_should(before):
        return False
    asked = {
        "the_order": before.order_id,
        "this_one": before.parcel_id,
        "as_far": [one for one in (*_AS_IT_SHOULD, _C.DELIVERED) if RANK[one] >= RANK[after.status]],
    }
    return bool(conn.execute(_ANOTHER_CAME_AS_FAR, asked).scalar_one())


def _went_as_it_should(before: Row[Any]) -> bool:
    known = before.carrier_status in (*_UNHEARD_OF, *_AS_IT_SHOULD) and not before.flags and not before.reason
    return known and before.work_status == WorkStatus.HANDED_OVER.value


def flags_of(state: Tracked) -> list[str]:
    """Return what is wrong with a parcel besides where it is, as it is stored and told."""
    return sorted(flag.value for flag in state.flags)


def tell(
    conn: Connection, before: Row[Any], after: Tracked, edd: date | None, case: Case | None, now: datetime
) -> None:
    """Tell the order where a parcel stands, with the case that the books opened of it."""
    flags, day = flags_of(after), edd.isoformat() if edd else None
    latest = after.latest_at.isoformat() if after.latest_at else None
    body: dict[str, Any] = {
        "shipment_id": before.shipment_id,
        "parcel_id": before.parcel_id,
        "status": after.status.value,
        "flags": flags,
        "reason": after.reason or "",
        "edd": day,
        "place": after.place,
    }
    if case:
        body["case"] = {
            "case_id": case.case_id,
            "kind": case.kind.value,
            "opened_at": case.opened_at.isoformat(),
            "due_at": case.due_at.isoformat(),
            "note": case.note,
            "owner": case.owner.value,
        }
    key = f"{before.parcel_id}:{after.status}:{'+'.join(flags)}:{day}:{latest}"
    journal.signal(conn, before.order_id, signals.MILESTONE, body, fact_key=key, at=now)
