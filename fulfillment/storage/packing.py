"""The bench: what goes in which carton, and every unit scanned before its parcel may be closed."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.cartons import Carton, Packer, Packing, Piece, for_one_label, pack
from fulfillment.domain.errors import IdUsed
from fulfillment.domain.packing import (
    AtAnotherBench,
    Bench,
    NoSuchProblem,
    ProblemStands,
    ScanOutcome,
    SerialNeeded,
    UnitScan,
    judge,
)
from fulfillment.domain.shipment import InvalidTransition, WorkStatus
from fulfillment.storage import journal, locks, verification
from fulfillment.storage.stops import check_may_go_on
from fulfillment.storage.tables import cartons, packing_scans, packings, shipments

_SHIPMENT: Final = select(shipments).where(shipments.c.shipment_id == bindparam("the_shipment"))
_PACKING: Final = select(packings).where(packings.c.shipment_id == bindparam("the_shipment"))
_PUT: Final = insert(packings)
_HERE: Final = update(packings).where(packings.c.shipment_id == bindparam("the_shipment"))
_SCANNED: Final = select(*packing_scans.c["scan_id", "code", "serial"]).where(
    packing_scans.c.shipment_id == bindparam("the_shipment"),
    packing_scans.c.scan_id.in_(bindparam("those", expanding=True)),
)
_WAS_WRONG: Final = select(packing_scans.c.scan_id).where(
    packing_scans.c.shipment_id == bindparam("the_shipment"),
    packing_scans.c.scan_id == bindparam("the_scan"),
    packing_scans.c.outcome != ScanOutcome.COUNTED.value,
)
_SCAN: Final = insert(packing_scans)
_CARTON: Final = insert(cartons)
_RETIRE: Final = update(cartons).where(cartons.c.carton_id == bindparam("the_carton")).values(archived=True)


class PackingStore:
    """Shipments at the bench. `now` is shop time; `packer` says what goes in which carton."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, packer: Packer = pack) -> None:
        self._engine, self._now, self._packer = engine, now, packer

    def start(self, shipment_id: str, *, by: str, station: str = "", take_over: bool = False) -> Bench:
        """Take a picked shipment to the bench and return in which cartons it goes. A repeat answers the same.

        Raises:
            Stop: it is held, cancelled or not paid.
            InvalidTransition: it is not picked.
            AtAnotherBench: somebody else has it, and it is not to be taken over.
        """
        with self._engine.begin() as conn:
            locks.order_of_shipment(conn, shipment_id)
            shipment = _row(conn, shipment_id)
            there = conn.execute(_PACKING, {"the_shipment": shipment_id}).first()
            if there is not None and there.round == shipment.reworks and shipment.packed_at:
                return _bench(conn, shipment)
            self._check_at_work(conn, shipment)
            if there is None or there.round != shipment.reworks:
                self._begin(conn, shipment, by, station)
            elif (there.packer, there.station) != (by, station):
                self._take_over(conn, shipment, there, by, station, allowed=take_over)
            return _bench(conn, shipment)

    def show(self, shipment_id: str) -> Bench:
        """Return a shipment at the bench.

        Raises:
            NotAtBench: nobody has begun to pack it.
        """
        with self._engine.begin() as conn:
            locks.order_of_shipment(conn, shipment_id)
            return _bench(conn, _row(conn, shipment_id))

    def scan(self, shipment_id: str, scans: Sequence[UnitScan], *, by: str) -> Bench:
        """Count units that go into the carton, each scan once; the first that is wrong stops the rest.

        Those it stopped are named as `to_send_again`.

        Raises:
            Stop: it is held, cancelled or not paid: nobody goes on with it.
            NotAtBench, InvalidTransition: it is not being packed.
            ProblemStands: something wrong lies there, and these scans are not counted.
            SerialNeeded: a unit has a number of its own, and it was not sent.
            IdUsed: an id is that of another scan; nothing of the request was counted.
        """
        with self._engine.begin() as conn:
            locks.order_of_shipment(conn, shipment_id)
            shipment = _row(conn, shipment_id)
            packing = verification.at_bench(conn, shipment)
            skipped: tuple[str, ...] = ()
            if new := _unknown(conn, shipment_id, scans):
                self._check_at_work(conn, shipment)
                if packing.problem:
                    raise ProblemStands(shipment_id, packing.problem, packing.problem_scan)
                skipped = self._count(conn, shipment, new, by)
            return replace(_bench(conn, shipment), to_send_again=skipped)

    def acknowledge(self, shipment_id: str, scan_id: str, *, by: str) -> Bench:
        """Note that somebody has seen what was wrong and taken it away; a repeat changes nothing.

        Raises:
            NotAtBench: it is not being packed.
            NoSuchProblem: this scan was not wrong.
        """
        with self._engine.begin() as conn:
            locks.order_of_shipment(conn, shipment_id)
            shipment = _row(conn, shipment_id)
            packing = verification.at_bench(conn, shipment)
            if packing.problem and packing.problem_scan == scan_id:
                conn.execute(_HERE.values(problem="", problem_scan=None), {"the_shipment": shipment_id})
                self._audit(conn, shipment, "acknowledge", packing.problem, by, request_id=scan_id)
            elif not conn.execute(_WAS_WRONG, {"the_shipment": shipment_id, "the_scan": scan_id}).first():
                raise NoSuchProblem(shipment_id, scan_id, packing.problem, packing.problem_scan)
            return _bench(conn, shipment)

    def cartons(self) -> tuple[Carton, ...]:
        """Return the kinds of cartons there are."""
        with self._engine.connect() as conn:
            return verification.catalogue(conn)

    def put_carton(self, carton: Carton) -> None:
        """Add a kind of carton, or change it. As soon as there is one, the usual ones are not used any more."""
        row = {
            "size_mm": list(carton.size),
            "max_weight_g": carton.max_weight_g,
            "tare_g": carton.tare_g,
            "price": carton.price,
            "archived": False,
        }
        known = _CARTON.values(row | {"carton_id": carton.carton_id})
        with self._engine.begin() as conn:
            conn.execute(known.on_conflict_do_update(index_elements=["carton_id"], set_=row))

    def retire_carton(self, carton_id: str) -> None:
        """Use a kind of carton no more; what is packed in it stays so."""
        with self._engine.begin() as conn:
            conn.execute(_RETIRE, {"the_carton": carton_id})

    def _check_at_work(self, conn: Connection, shipment: Row[Any]) -> None:
        check_may_go_on(conn, shipment, self._now())
        if shipment.work_status != WorkStatus.PICKED.value:
            raise InvalidTransition(shipment.shipment_id, WorkStatus(shipment.work_status), WorkStatus.PACKED)

    def _begin(self, conn: Connection, shipment: Row[Any], by: str, station: str) -> None:
        plan = self._plan(conn, shipment)
        row = {
            "round": shipment.reworks,
            "packer": by,
            "station": station,
            "plan": asdict(plan),
            "problem": "",
            "problem_scan": None,
            "started_at": self._now(),
        }
        known = _PUT.values(row | {"shipment_id": shipment.shipment_id})
        conn.execute(known.on_conflict_do_update(index_elements=["shipment_id"], set_=row))
        boxes = ", ".join(filled.carton.carton_id for filled in plan.filled) or "no carton"
        self._audit(conn, shipment, "start_packing", f"{shipment.shipment_id} in {boxes}", by)

    def _take_over(
        self, conn: Connection, shipment: Row[Any], there: Row[Any], by: str, station: str, *, allowed: bool
    ) -> None:
        if not allowed:
            raise AtAnotherBench(shipment.shipment_id, there.packer, there.station)
        conn.execute(_HERE.values(packer=by, station=station), {"the_shipment": shipment.shipment_id})
        self._audit(conn, shipment, "take_over_packing", f"from {there.packer} {there.station}".strip(), by)

    def _plan(self, conn: Connection, shipment: Row[Any]) -> Packing:
        pieces = [
            Piece(
                sku=row.sku,
                n=n,
                weight_g=row.weight_g,
                size=(row.length_mm, row.width_mm, row.height_mm) if row.length_mm else None,
                fragile=row.fragile,
            )
            for row in verification.contents(conn, shipment.shipment_id)
            for n in range(1, row.quantity + 1)
        ]
        return for_one_label(self._packer, pieces, verification.catalogue(conn))

    def _count(
        self, conn: Connection, shipment: Row[Any], scans: Sequence[UnitScan], by: str
    ) -> tuple[str, ...]:
        """Record scans up to the first that is none of what is wanted; return the ids of those after it.

        That one must be acknowledged: while it lies there nobody knows what the scans after it were of.
        """
        lines = {line.sku: line for line in verification.lines(conn, shipment)}
        for n, scan in enumerate(scans, start=1):
            if scan.code in lines and lines[scan.code].has_serials and not scan.serial:
                raise SerialNeeded(shipment.shipment_id, scan.code)
            outcome, problem = judge(scan, lines)
            self._record(conn, shipment, scan, outcome, by)
            if outcome is not ScanOutcome.COUNTED:
                self._refuse(conn, shipment, scan, problem, by)
                return tuple(later.scan_id for later in scans[n:])
            lines[scan.code] = lines[scan.code].with_scanned(scan.serial)
        return ()

    def _record(
        self, conn: Connection, shipment: Row[Any], scan: UnitScan, outcome: ScanOutcome, by: str
    ) -> None:
        row = {"shipment_id": shipment.shipment_id, "scan_id": scan.scan_id, "round": shipment.reworks}
        seen = {"code": scan.code, "serial": scan.serial, "outcome": outcome.value, "by": by}
        conn.execute(_SCAN, row | seen | {"at": self._now()})

    def _refuse(self, conn: Connection, shipment: Row[Any], scan: UnitScan, problem: str, by: str) -> None:
        stands = {"problem": problem, "problem_scan": scan.scan_id}
        conn.execute(_HERE.values(stands), {"the_shipment": shipment.shipment_id})
        self._audit(conn, shipment, "scan", problem, by, request_id=scan.scan_id)

    def _audit(
        self, conn: Connection, shipment: Row[Any], command: str, outcome: str, by: str, request_id: str = ""
    ) -> None:
        journal.audit(
            conn,
            shipment.order_id,
            actor=by,
            command=command,
            outcome=outcome,
            at=self._now(),
            request_id=request_id,
        )


def _row(conn: Connection, shipment_id: str) -> Row[Any]:
    return conn.execute(_SHIPMENT, {"the_shipment": shipment_id}).one()


def _unknown(conn: Connection, shipment_id: str, scans: Sequence[UnitScan]) -> tuple[UnitScan, ...]:
    """Return those of the scans that were never seen of this shipment, each once."""
    asked = {"the_shipment": shipment_id, "those": [scan.scan_id for scan in scans]}
    known = {row.scan_id: UnitScan(**row._mapping) for row in conn.execute(_SCANNED, asked)}
    new: dict[str, UnitScan] = {}
    for scan in scans:
        before = known.get(scan.scan_id) or new.setdefault(scan.scan_id, scan)
        if scan != before:
            number = f" number {before.serial}" if before.serial else ""
            raise IdUsed(f"scan {scan.scan_id}", f"{before.code}{number} of {shipment_id}")
    return tuple(new.values())


def _bench(conn: Connection, shipment: Row[Any]) -> Bench:
    packing = verification.at_bench(conn, shipment)
    plan, lines = verification.packing_of(packing.plan), verification.lines(conn, shipment)
    return Bench(
        shipment_id=shipment.shipment_id,
        order_id=shipment.order_id,
        round=packing.round,
        lines=lines,
        packing=plan,
        expected_g=verification.expected_g(lines, verification.tare_of(plan)),
        packer=packing.packer,
        station=packing.station,
        problem=packing.problem,
        problem_scan=packing.problem_scan,
    )
