"""Picking: what is to be picked, who walks for it, every unit scanned into its tote, and what is to be put back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, exists, func, insert, or_, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from fulfillment.domain.errors import IdUsed
from fulfillment.domain.picking import (
    Look,
    Looked,
    PickMode,
    PickRefused,
    PickScan,
    Put,
    PutBack,
    Scanned,
    TakeWalk,
    ToPick,
    Tote,
    Walk,
    WalkStop,
    WrongScan,
    serpentine,
)
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.shipment import Stop, WorkStatus
from fulfillment.storage import checks, journal, locks, put_backs, walks
from fulfillment.storage.coverage import covered
from fulfillment.storage.stock import check_place
from fulfillment.storage.stops import check_may_go_on
from fulfillment.storage.tables import (
    bins,
    holds,
    orders,
    pick_scans,
    pick_totes,
    pick_walks,
    shipments,
    unit_ranges,
)
from fulfillment.storage.warehouse import WarehouseStore

_W = WorkStatus
_SHIPMENT: Final = select(shipments).where(shipments.c.shipment_id == bindparam("the_shipment"))
_UNITS: Final = (
    select(func.sum(unit_ranges.c.quantity))
    .where(unit_ranges.c.shipment_id == shipments.c.shipment_id)
    .scalar_subquery()
)
# Nobody's, or that of somebody who was not heard of for too long. What leaves first comes first.
_FREE: Final = (
    select(
        *shipments.c["shipment_id", "order_id", "location_id", "ship_by"],
        orders.c.promise_date,
        _UNITS.label("units"),
    )
    .join(orders, orders.c.order_id == shipments.c.order_id)
    .where(
        shipments.c.location_id == bindparam("there"),
        or_(
            shipments.c.work_status == _W.RELEASED.value,
            (shipments.c.work_status == _W.PICKING.value) & (shipments.c.pick_until <= bindparam("now")),
        ),
        ~exists().where(holds.c.order_id == shipments.c.order_id, holds.c.state == "active"),
        covered(shipments.c.shipment_id) >= shipments.c.value,
    )
    .order_by(
        shipments.c.ship_by,
        orders.c.promise_date.nulls_last(),
        orders.c.placed_at,
        shipments.c.shipment_id,
    )
)
_START: Final = insert(pick_walks)
_PUT_IN: Final = insert(pick_totes)
_TOTES: Final = (
    select(pick_totes).where(pick_totes.c.walk_id == bindparam("the_walk")).order_by(pick_totes.c.tote)
)
_TOTE: Final = _TOTES.where(pick_totes.c.tote == bindparam("the_tote"))
_KEPT: Final = select(pick_scans).where(pick_scans.c.scan_id == bindparam("the_scan"))
_SCAN: Final = insert(pick_scans)
_BINS: Final = select(bins.c.sku, bins.c.bin).where(
    bins.c.location_id == bindparam("there"), bins.c.sku.in_(bindparam("asked", expanding=True))
)
_BIN: Final = pg_insert(bins)
_SET_BIN: Final = _BIN.on_conflict_do_update(
    index_elements=["sku", "location_id"], set_={"bin": _BIN.excluded.bin}
)


class PickingStore:
    """The shelf. `now` is shop time; `floor` does the steps that a walk leads to."""

    def __init__(
        self,
        engine: Engine,
        now: Callable[[], datetime],
        floor: WarehouseStore,
        *,
        policy: Policy = DEFAULT,
    ) -> None:
        self._engine, self._now, self._floor, self._policy = engine, now, floor, policy

    def set_bin(self, sku: str, location_id: str, name: str) -> None:
        """Say where units of a SKU lie at a location: aisle, bay and level, for example `A-03-2`.

        Raises:
            UnknownSku, UnknownLocation: there is no such SKU, or no such place.
        """
        with self._engine.begin() as conn:
            check_place(conn, (sku, location_id))
            conn.execute(_SET_BIN, {"sku": sku, "location_id": location_id, "bin": name})

    def pick_list(self, location_id: str) -> tuple[ToPick, ...]:
        """Return what may be taken at a location: what must leave first comes first, then what is promised first."""
        now = self._now()
        with self._engine.connect() as conn:
            rows = conn.execute(_FREE, {"there": location_id, "now": now}).mappings().all()
        return tuple(ToPick(**row, late=row["ship_by"] < now) for row in rows)

    def take(self, ask: TakeWalk) -> Walk:
        """Take shipments in hand and return the walk for them: for one, for several, or for those of one cut-off.

        Raises:
            PickRefused: there is nothing to pick, or more totes are asked for than anybody can push.
            IdUsed: the id is that of another walk, of this picker or of somebody else.
        """
        if not 1 <= ask.size <= self._policy.most_totes:
            raise PickRefused(f"a walk has 1 to {self._policy.most_totes} totes, not {ask.size}")
        with self._engine.begin() as conn:
            locks.named(conn, f"walks:{ask.location_id}")  # so that two who ask at once get different ones
            known = conn.execute(select(pick_walks).where(pick_walks.c.walk_id == ask.walk_id)).first()
            if known is None:
                self._start(conn, ask)
            elif (known.location_id, known.picker, known.mode) != (
                ask.location_id,
                ask.picker,
                ask.mode.value,
            ):
                used_for = f"a {known.mode} walk of {known.picker} at {known.location_id}"
                raise IdUsed(f"walk {ask.walk_id}", used_for)
            return self._show(conn, ask.walk_id)

    def _start(self, conn: Connection, ask: TakeWalk) -> None:
        now = self._now()
        free = conn.execute(_FREE, {"there": ask.location_id, "now": now}).all()
        chosen = _chosen(free, ask)
        locks.orders_named(conn, {row.order_id for row in chosen})
        taken = [row.shipment_id for row in chosen if self._took(conn, row.shipment_id, ask)]
        if not taken:
            raise PickRefused(f"there is nothing to pick at {ask.location_id} now")
        row = {"walk_id": ask.walk_id, "location_id": ask.location_id, "mode": ask.mode.value}
        conn.execute(_START, row | {"picker": ask.picker, "started_at": now})
        rounds = {shipment_id: _row(conn, shipment_id).reworks for shipment_id in taken}
        conn.execute(
            _PUT_IN,
            [
                {
                    "walk_id": ask.walk_id,
                    "tote": n,
                    "shipment_id": shipment_id,
                    "reworks": rounds[shipment_id],
                }
                for n, shipment_id in enumerate(taken, start=1)
            ],
        )

    def _took(self, conn: Connection, shipment_id: str, ask: TakeWalk) -> bool:
        try:
            self._floor.begin(conn, shipment_id, by=ask.picker, scan_id=ask.walk_id)
        except (Stop, PickRefused):  # it was held, or taken, while we waited for its order
            return False
        return bool(_row(conn, shipment_id).work_status == _W.PICKING.value)

    def walk(self, walk_id: str) -> Walk:
        """Return a walk as it stands: what is still to be scanned, and which totes must go no further.

        Raises:
            UnknownWalk: there is none of this id.
        """
        with self._engine.connect() as conn:
            return self._show(conn, walk_id)

    def scan(self, scan: PickScan) -> Scanned:
        """Count units into a tote; with the last one the shipment is picked. The same scan again answers the same.

        Raises:
            UnknownWalk: there is no such walk, or it has no such tote.
            Stop: it was cancelled, changed or held meanwhile: what to do with the goods is in the message.
            InOtherHands: it is not this picker's walk, or somebody else has taken it over.
            WrongScan: something else goes into this tote.
            IdUsed: the id is that of another scan.
        """
        with self._engine.begin() as conn:
            walk = walks.found(conn, scan.walk_id)
            tote = conn.execute(_TOTE, {"the_walk": scan.walk_id, "the_tote": scan.tote}).one_or_none()
            if tote is None:
                raise PickRefused(f"walk {scan.walk_id} has no tote {scan.tote}")
            locks.order_of_shipment(conn, tote.shipment_id)
            kept = conn.execute(_KEPT, {"the_scan": scan.scan_id}).one_or_none()
            if kept is not None:
                return _repeated(kept, scan)
            return self._count(conn, walk, tote, scan)

    def _count(self, conn: Connection, walk: Row[Any], tote: Row[Any], scan: PickScan) -> Scanned:
        now, shipment = self._now(), _row(conn, tote.shipment_id)
        self._check(conn, shipment, walk, tote, scan)
        missing = walks.missing(conn, shipment, walk.walk_id)
        if missing.get(scan.sku, 0) < scan.units:
            expected = ", ".join(f"{count} of {sku}" for sku, count in sorted(missing.items()))
            raise WrongScan(f"{scan.units} of {scan.sku}", expected or "nothing more, this tote is full")
        walks.keep(conn, shipment.shipment_id, now + self._policy.pick_lease)
        left = sum(missing.values()) - scan.units
        to_check = () if left else tuple(checks.missing(conn, shipment, policy=self._policy))
        answer = Scanned(
            shipment_id=shipment.shipment_id,
            tote=scan.tote,
            sku=scan.sku,
            units=scan.units,
            left=left,
            picked=not left and not to_check,
            to_check=to_check,
        )
        self._keep(conn, tote, scan, answer, now)
        if answer.picked:
            self._floor.finish(conn, shipment.shipment_id, by=scan.picker, scan_id=scan.scan_id)
        return answer

    def _check(
        self, conn: Connection, shipment: Row[Any], walk: Row[Any], tote: Row[Any], scan: PickScan
    ) -> None:
        if stop := self._stop(conn, shipment, tote):
            raise stop
        walks.check_hands(shipment, scan.picker, self._now())
        if scan.picker != walk.picker:
            raise PickRefused(f"walk {walk.walk_id} is {walk.picker}'s: take one of your own")
        if shipment.work_status != _W.PICKING.value or shipment.picker != walk.picker:
            raise PickRefused(
                f"{shipment.shipment_id} is {shipment.work_status}: nothing more goes into this tote"
            )

    def _stop(self, conn: Connection, shipment: Row[Any], tote: Row[Any]) -> Stop | None:
        try:
            check_may_go_on(conn, shipment, self._now())
        except Stop as stop:
            return stop
        if shipment.work_status in (_W.SCHEDULED, _W.RELEASED) or (
            shipment.reworks != tote.reworks and shipment.work_status == _W.PICKING
        ):
            why = "its order was changed: put the goods back and pick what its new list says"
            return Stop(shipment.shipment_id, why)
        return None

    def _keep(self, conn: Connection, tote: Row[Any], scan: PickScan, answer: Scanned, now: datetime) -> None:
        row = {
            "scan_id": scan.scan_id,
            "walk_id": scan.walk_id,
            "shipment_id": tote.shipment_id,
            "reworks": tote.reworks,
            "sku": scan.sku,
            "quantity": scan.units,
            "answer": asdict(answer),
            "by": scan.picker,
            "at": now,
        }
        conn.execute(_SCAN, row)

    def look(self, look: Look) -> Looked:
        """Keep what was seen of units at the shelf or the bench; a repeat counts once and answers as things stand.

        If it was all that the last scan into its tote waited for, the shipment is picked.

        Raises:
            UnknownShipment: there is no such shipment.
            Stop: it is held, cancelled or not paid.
            PickRefused: it is in nobody's hands, or has fewer units of this SKU.
            PhotoNeeded: what is not as new is seen only with a picture.
            IdUsed: the id is that of another check.
        """
        with self._engine.begin() as conn:
            locks.order_of_shipment(conn, look.shipment_id)
            shipment, now = _row(conn, look.shipment_id), self._now()
            check_may_go_on(conn, shipment, now)
            looked = checks.record(conn, shipment, look, now=now, policy=self._policy)
            if looked.missing or walks.lacking(conn, shipment) != {}:
                return looked
            # The last scan waited for this; it is the work of whoever scanned it, not of who looked.
            self._floor.finish(conn, shipment.shipment_id, by=shipment.picker, scan_id=look.check_id)
            return replace(looked, picked=True)

    def put_backs(self, location_id: str | None = None) -> tuple[PutBack, ...]:
        """Return whose goods go back to their shelf, what was asked for first at the top."""
        with self._engine.connect() as conn:
            rows = put_backs.asked(conn, location_id)
        return tuple(
            PutBack(
                shipment_id=row.shipment_id,
                location_id=row.location_id,
                why=row.why,
                picker=row.picker,
                asked_at=row.asked_at,
            )
            for row in rows
        )

    def put_back(self, shipment_id: str, *, by: str, scan_id: str = "") -> bool:
        """Note that the goods of a shipment lie on their shelf again; False when nobody waits for that any more.

        Raises:
            UnknownShipment: there is no such shipment.
        """
        with self._engine.begin() as conn:
            order = locks.order_of_shipment(conn, shipment_id)
            now = self._now()
            if not put_backs.confirm(conn, shipment_id, by=by, now=now):
                return False
            outcome = f"the goods of {shipment_id} are back"
            journal.audit(
                conn,
                order.order_id,
                actor=by,
                command="put_back",
                outcome=outcome,
                at=now,
                request_id=scan_id,
            )
            return True

    # --- a walk as it is shown

    def _show(self, conn: Connection, walk_id: str) -> Walk:
        walk = walks.found(conn, walk_id)
        totes: list[Tote] = []
        puts: dict[str, list[Put]] = {}
        names: dict[str, str] = {}
        for row in conn.execute(_TOTES, {"the_walk": walk_id}):
            shipment = _row(conn, row.shipment_id)
            there = walks.scanned(conn, row.shipment_id, row.reworks, walk_id)
            stop = self._stop(conn, shipment, row)
            carries = walks.wanted(conn, row.shipment_id)
            totes.append(
                Tote(
                    tote=row.tote,
                    shipment_id=row.shipment_id,
                    work_status=_W(shipment.work_status),
                    units=sum(units for _, units in carries.values()),
                    scanned=sum(there.values()),
                    stop=str(stop) if stop else "",
                )
            )
            for sku, (name, units) in carries.items() if stop is None else ():
                names[sku] = name
                put = Put(tote=row.tote, units=units, scanned=there.get(sku, 0))
                puts.setdefault(sku, []).append(put)
        return Walk(
            walk_id=walk_id,
            location_id=walk.location_id,
            mode=PickMode(walk.mode),
            picker=walk.picker,
            totes=tuple(totes),
            stops=_route(conn, walk.location_id, names, puts),
        )


def _chosen(free: Sequence[Row[*tuple[Any, ...]]], ask: TakeWalk) -> Sequence[Row[*tuple[Any, ...]]]:
    if ask.mode is PickMode.SINGLE:
        return free[:1]
    if ask.mode is PickMode.WAVE:
        free = [row for row in free if row.ship_by == free[0].ship_by]
    return free[: ask.size]


def _route(
    conn: Connection, location_id: str, names: Mapping[str, str], puts: Mapping[str, Sequence[Put]]
) -> tuple[WalkStop, ...]:
    rows = conn.execute(_BINS, {"there": location_id, "asked": list(names)}) if names else ()
    bin_of = {row.sku: row.bin for row in rows}
    return tuple(
        WalkStop(bin=bin_of.get(sku, ""), sku=sku, name=names[sku], puts=tuple(puts[sku]))
        for sku in serpentine(names, bin_of)
    )


def _repeated(kept: Row[Any], scan: PickScan) -> Scanned:
    """Return the answer to a scan that was sent before; another one under its id would be lost as its repeat."""
    answer = Scanned(**kept.answer | {"to_check": tuple(kept.answer["to_check"])})
    before = (kept.walk_id, answer.tote, kept.sku, kept.quantity, kept.by)
    if before != (scan.walk_id, scan.tote, scan.sku, scan.units, scan.picker):
        used_for = (
            f"{kept.quantity} of {kept.sku} into tote {answer.tote} of walk {kept.walk_id} by {kept.by}"
        )
        raise IdUsed(f"scan {scan.scan_id}", used_for)
    return answer


def _row(conn: Connection, shipment_id: str) -> Row[Any]:
    return conn.execute(_SHIPMENT, {"the_shipment": shipment_id}).one()
