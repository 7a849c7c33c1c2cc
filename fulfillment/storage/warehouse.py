"""The floor: what is to be done there, and each step done once. The shipment's row decides who wins."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, Select, func, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, array

from fulfillment.crashpoints import crashpoint
from fulfillment.domain.address import Address
from fulfillment.domain.cartons import Carton
from fulfillment.domain.events import EventKind
from fulfillment.domain.hand_over import STAFF, Proof
from fulfillment.domain.picking import serpentine
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.shipment import ON_THE_FLOOR, InvalidTransition, Stop, WorkStatus, parcel_id
from fulfillment.storage import checks, hand_over, journal, locks, signals, verification, walks
from fulfillment.storage.hand_over import HandedOver
from fulfillment.storage.stops import check_may_go_on
from fulfillment.storage.tables import (
    bins,
    holds,
    labels,
    locations,
    order_lines,
    orders,
    parcels,
    shipments,
    unit_ranges,
)
from fulfillment.storage.verification import Closing

_W = WorkStatus
_PROGRESS: Final = (_W.SCHEDULED, *ON_THE_FLOOR, _W.HANDED_OVER, _W.CLOSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Pieces of one SKU to pick and pack. `bin` is where they lie, "" where nobody said it."""

    sku: str
    name: str
    quantity: int
    bin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A shipment on the floor. `held` names what stops it: nobody goes on with it while it is not empty.

    `items` are in the order of a walk past their bins; `zone` is that of the location.
    """

    shipment_id: str
    order_id: str
    location_id: str
    work_status: WorkStatus
    items: tuple[Item, ...]
    ship_by: datetime
    zone: str
    late: bool
    service: str
    ship_to: Address
    held: tuple[str, ...]
    picker: str | None
    parcel_id: str | None
    weight_g: int | None
    carrier: str | None
    tracking_number: str | None
    label_url: str | None


class WarehouseStore:
    """The floor's work. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def work(self, location_id: str | None = None) -> tuple[WorkItem, ...]:
        """Return what is on the floor of a location, or of all of them: what is latest comes first."""
        with self._engine.connect() as conn:
            rows = conn.execute(_on_the_floor(location_id)).all()
            items = _items(conn, [row.shipment_id for row in rows])
        now = self._now()
        return tuple(_work_item(row, items.get(row.shipment_id, ()), now) for row in rows)

    def start_picking(self, shipment_id: str, *, by: str, scan_id: str = "") -> None:
        """Take a released shipment to pick it: it is in these hands until they are silent for too long.

        Raises:
            Stop: it is held, cancelled or not paid; what to do with the goods is in the message.
            InvalidTransition: it is not on the floor yet.
            InOtherHands: somebody else picks it.
        """
        with self._engine.begin() as conn:
            self.begin(conn, shipment_id, by=by, scan_id=scan_id)

    def begin(self, conn: Connection, shipment_id: str, *, by: str, scan_id: str = "") -> None:
        """Do as `start_picking` does, in a transaction of the caller."""
        step = _Step(
            "start_picking", _W.RELEASED, _W.PICKING, EventKind.PICKING, "We are picking your items."
        )
        now = self._now()
        hands: dict[str, Any] = {"picker": by, "pick_until": now + self._policy.pick_lease}
        if not self._do(conn, step, shipment_id, by=by, scan_id=scan_id, **hands):
            walks.take_over(conn, _shipment(conn, shipment_id), hands, now=now)

    def picked(self, shipment_id: str, *, by: str, scan_id: str = "") -> None:
        """Note that every piece is in the tote. Raises as `start_picking` does.

        Raises:
            CheckNeeded: the condition of some of it was not looked at, or not found good.
            PickRefused: it is picked on a walk, and some of it was not scanned.
        """
        with self._engine.begin() as conn:
            self.finish(conn, shipment_id, by=by, scan_id=scan_id)

    def finish(self, conn: Connection, shipment_id: str, *, by: str, scan_id: str = "") -> None:
        """Do as `picked` does, in a transaction of the caller."""
        step = _Step("picked", _W.PICKING, _W.PICKED, EventKind.PICKED, "Your items are picked.")
        locks.order_of_shipment(conn, shipment_id)
        walks.check_all_is_there(conn, _shipment(conn, shipment_id), by=by, now=self._now())
        self._do(conn, step, shipment_id, by=by, scan_id=scan_id, picked_at=self._now(), pick_until=None)

    def pack(
        self, shipment_id: str, *, weight_g: int, by: str, carton_id: str = "", weight_reason: str = ""
    ) -> str:
        """Close the parcel and return its id; a repeat returns the same one. Raises as `start_picking` does.

        One that was packed before and changed is the same parcel again, with another weight. Without a `carton_id`
        it is the one that was proposed; a `weight_reason` lets a weight pass that is not the expected one.

        Raises:
            NotAtBench, NotVerified, ProblemStands, WeightOff, UnknownCarton: see `verification.check`.
        """
        step = _Step("pack", _W.PICKED, _W.PACKED, EventKind.PACKED, "Your parcel is packed.")
        now = self._now()
        with self._engine.begin() as conn:
            if self._do(conn, step, shipment_id, by=by, reason=weight_reason, packed_at=now):
                closing = Closing(weight_g=weight_g, carton_id=carton_id, weight_reason=weight_reason)
                carton = verification.check(conn, _shipment(conn, shipment_id), closing, policy=self._policy)
                _fill_parcel(conn, shipment_id, weight_g, carton, now)
            packed = _parcel_of(conn, shipment_id)
            crashpoint("pack.before_commit")
        crashpoint("pack.after_commit")
        return packed

    def hand_over(
        self, shipment_id: str, *, by: str, proof: Proof = STAFF, label_id: str | None = None
    ) -> HandedOver:
        """Give the parcel to the carrier: from here it cannot be stopped. A repeat answers the same.

        Raises:
            Stop: as for `start_picking`, and when the label was made for another address, or is not this one.
            InvalidTransition: it has no label yet.
        """
        with self._engine.begin() as conn:
            left = self._hand_over(conn, shipment_id, by, proof, label_id)
            crashpoint("hand_over.before_commit")
        crashpoint("hand_over.after_commit")
        return left

    def _hand_over(
        self, conn: Connection, shipment_id: str, by: str, proof: Proof, label_id: str | None
    ) -> HandedOver:
        order = locks.order_of_shipment(conn, shipment_id)
        shipment = _shipment(conn, shipment_id)
        if _is_done(shipment, _W.HANDED_OVER):
            return hand_over.handed_over(conn, shipment_id)
        now = self._now()
        check_may_go_on(conn, shipment, now)
        _check_step(shipment, _W.LABELED, _W.HANDED_OVER)
        _check_label(conn, order, shipment_id, label_id)
        return hand_over.leave(conn, order, shipment_id, by=by, proof=proof, now=now, policy=self._policy)

    def _do(
        self,
        conn: Connection,
        step: "_Step",
        shipment_id: str,
        *,
        by: str,
        scan_id: str = "",
        reason: str = "",
        **stamps: Any,
    ) -> bool:
        """Do a step and return True; False when it was done before."""
        locks.order_of_shipment(conn, shipment_id)
        shipment = _shipment(conn, shipment_id)
        if _is_done(shipment, step.to):
            return False
        now = self._now()
        check_may_go_on(conn, shipment, now)
        _check_step(shipment, step.of, step.to)
        checks.require(conn, shipment, policy=self._policy)
        here = (shipments.c.shipment_id == shipment_id) & (shipments.c.work_status == step.of.value)
        conn.execute(update(shipments).where(here).values(work_status=step.to.value, **stamps))
        data = {"shipment_id": shipment_id}
        journal.event(conn, shipment.order_id, step.kind, step.sentence, at=now, data=data)
        journal.audit(
            conn,
            shipment.order_id,
            actor=by,
            command=step.command,
            outcome=f"{shipment_id} {step.to}",
            at=now,
            request_id=scan_id,
            reason=reason,
        )
        return True


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of the floor: what it is called, where it leads from and to, and what people read of it."""

    command: str
    of: WorkStatus
    to: WorkStatus
    kind: EventKind
    sentence: str


def _shipment(conn: Connection, shipment_id: str) -> Row[Any]:
    return conn.execute(select(shipments).where(shipments.c.shipment_id == shipment_id)).one()


def _is_done(shipment: Row[Any], to: WorkStatus) -> bool:
    status = WorkStatus(shipment.work_status)
    return status in _PROGRESS and _PROGRESS.index(status) >= _PROGRESS.index(to)


def _check_step(shipment: Row[Any], of: WorkStatus, to: WorkStatus) -> None:
    if shipment.work_status == of.value:
        return
    if shipment.work_status == _W.RELEASED.value and shipment.reworks:
        raise Stop(
            shipment.shipment_id,
            "its order was changed: put the goods back and pick what its new list says",
        )
    raise InvalidTransition(shipment.shipment_id, WorkStatus(shipment.work_status), to)


def _check_label(conn: Connection, order: Row[Any], shipment_id: str, label_id: str | None) -> None:
    label = _standing_label(conn, shipment_id)
    if label is None or label.address_hash != Address(**order.ship_to).digest():
        raise Stop(
            shipment_id,
            "the address changed after the label was printed: set the parcel aside until it has a new label",
        )
    if label.order_service != order.service:
        raise Stop(
            shipment_id,
            "the service changed after the label was printed: set the parcel aside until it has a new label",
        )
    if label_id is not None and label.label_id != label_id:
        raise Stop(shipment_id, "it has another label by now: glue that one on, and list the parcel again")


def _standing_label(conn: Connection, shipment_id: str) -> Row[Any] | None:
    standing = (
        select(labels)
        .join(parcels, parcels.c.parcel_id == labels.c.parcel_id)
        .where(parcels.c.shipment_id == shipment_id, labels.c.state.in_(("buying", "live")))
    )
    return conn.execute(standing).one_or_none()


def _fill_parcel(
    conn: Connection, shipment_id: str, weight_g: int, carton: Carton | None, now: datetime
) -> None:
    shipment = _shipment(conn, shipment_id)
    if shipment.reworks and _standing_label(conn, shipment_id) is not None:
        raise Stop(shipment_id, "its old label is being given back: pack it in a moment")
    packed = {"shipment_id": shipment_id, "weight_g": weight_g}
    made_of = {"carton_id": carton and carton.carton_id, "size_mm": carton and list(carton.size)}
    again = update(parcels).where(parcels.c.shipment_id == shipment_id).values(weight_g=weight_g, **made_of)
    known: str | None = conn.scalar(again.returning(parcels.c.parcel_id))
    packed["parcel_id"] = known or _add_parcel(conn, shipment.order_id, packed | made_of)
    nth = f":{shipment.reworks + 1}" if shipment.reworks else ""
    key = f"{shipment_id}:packed{nth}"
    journal.signal(conn, shipment.order_id, signals.PACKED, packed, fact_key=key, at=now)


def _add_parcel(conn: Connection, order_id: str, packed: dict[str, Any]) -> str:
    n = (conn.scalar(select(func.max(parcels.c.n)).where(parcels.c.order_id == order_id)) or 0) + 1
    made = {"parcel_id": parcel_id(order_id, n), "order_id": order_id, "n": n}
    conn.execute(parcels.insert().values(packed | made))
    return str(made["parcel_id"])


def _parcel_of(conn: Connection, shipment_id: str) -> str:
    packed: str = conn.execute(
        select(parcels.c.parcel_id).where(parcels.c.shipment_id == shipment_id)
    ).scalar_one()
    return packed


def _board() -> Select[Any]:
    reason = func.array_agg(aggregate_order_by(holds.c.reason, holds.c.reason))
    held = (
        select(func.coalesce(reason, array([], type_=holds.c.reason.type)))
        .where(holds.c.order_id == shipments.c.order_id, holds.c.state == "active")
        .scalar_subquery()
    )
    live = (labels.c.parcel_id == parcels.c.parcel_id) & (labels.c.state == "live")
    return (
        select(
            *shipments.c["shipment_id", "order_id", "location_id", "work_status", "ship_by", "picker"],
            locations.c.zone,
            *orders.c["service", "ship_to"],
            *parcels.c["parcel_id", "weight_g"],
            *labels.c["carrier", "tracking_number", "label_url"],
            held.label("held"),
        )
        .join(orders, orders.c.order_id == shipments.c.order_id)
        .join(locations, locations.c.location_id == shipments.c.location_id)
        .outerjoin(parcels, parcels.c.shipment_id == shipments.c.shipment_id)
        .outerjoin(labels, live)
        .where(shipments.c.work_status.in_([status.value for status in ON_THE_FLOOR]))
        .order_by(shipments.c.ship_by, shipments.c.shipment_id)
    )


_BOARD: Final = _board()


def _on_the_floor(location_id: str | None) -> Select[Any]:
    return _BOARD if location_id is None else _BOARD.where(shipments.c.location_id == location_id)


def _items(conn: Connection, shipment_ids: list[str]) -> dict[str, tuple[Item, ...]]:
    line = (order_lines.c.order_id == unit_ranges.c.order_id) & (
        order_lines.c.line_no == unit_ranges.c.line_no
    )
    there = (bins.c.sku == order_lines.c.sku) & (bins.c.location_id == shipments.c.location_id)
    place = func.coalesce(bins.c.bin, "")
    query = (
        select(
            unit_ranges.c.shipment_id,
            order_lines.c.sku,
            order_lines.c.name,
            func.sum(unit_ranges.c.quantity).label("quantity"),
            place.label("bin"),
        )
        .join(order_lines, line)
        .join(shipments, shipments.c.shipment_id == unit_ranges.c.shipment_id)
        .outerjoin(bins, there)
        .where(unit_ranges.c.shipment_id.in_(shipment_ids))
        .group_by(unit_ranges.c.shipment_id, order_lines.c.sku, order_lines.c.name, place)
        .order_by(order_lines.c.sku, order_lines.c.name)
    )
    found: dict[str, list[Item]] = {}
    for row in conn.execute(query):
        item = Item(sku=row.sku, name=row.name, quantity=row.quantity, bin=row.bin)
        found.setdefault(row.shipment_id, []).append(item)
    return {shipment_id: _as_walked(items) for shipment_id, items in found.items()}


def _as_walked(items: list[Item]) -> tuple[Item, ...]:
    way = serpentine((item.sku for item in items), {item.sku: item.bin for item in items})
    return tuple(sorted(items, key=lambda item: way.index(item.sku)))


def _work_item(row: Row[Any], items: tuple[Item, ...], now: datetime) -> WorkItem:
    return WorkItem(
        shipment_id=row.shipment_id,
        order_id=row.order_id,
        location_id=row.location_id,
        work_status=WorkStatus(row.work_status),
        items=items,
        ship_by=row.ship_by,
        zone=row.zone,
        late=row.ship_by < now,
        service=row.service,
        ship_to=Address(**row.ship_to),
        held=tuple(row.held),
        picker=row.picker,
        parcel_id=row.parcel_id,
        weight_g=row.weight_g,
        carrier=row.carrier,
        tracking_number=row.tracking_number,
        label_url=row.label_url,
    )
