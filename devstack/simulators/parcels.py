"""The physical world: parcels on the dock and on the road, and the scans that tell of them."""

import asyncio
import contextlib
import heapq
import random
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from devstack.simulators import rates
from devstack.simulators.clock import Clock, iso
from devstack.simulators.journey import GIVEN, PROFILES, SENTENCES, Scan, Trip, evening_of, plan, promise
from devstack.simulators.rates import Lane
from devstack.simulators.sender import Sender
from devstack.simulators.store import Json, Row, Store, belongs, dump, load

BATCH: Final = 100
MAGIC: Final = {
    "EZ1000000001": ("pre_transit", "label_created"),
    "EZ2000000002": ("in_transit", "arrived_at_facility"),
    "EZ3000000003": ("out_for_delivery", "out_for_delivery"),
    "EZ4000000004": ("delivered", "delivered"),
    "EZ5000000005": ("return_to_sender", "return"),
    "EZ6000000006": ("failure", "failure"),
    "EZ7000000007": ("unknown", "unknown"),
}
_TURNS: Final = ("return_to_sender", "failure", "cancelled", "delivered")
NOWHERE: Final = Lane(
    miles=200.0, zone=3, offset=-5, domestic=True, origin="|||", destination="|||", stops=[["Columbus", "OH"]]
)


class UnknownParcel(Exception):
    """No parcel bears that number."""


class UnknownProfile(Exception):
    """No parcel ever travels like that."""


class Parcels:
    """Every parcel with a number on it."""

    def __init__(self, store: Store, clock: Clock, sender: Sender, seed: int) -> None:
        self._store, self._clock, self._sender, self._seed = store, clock, sender, seed
        self._due: list[tuple[float, int]] = [
            (row["at"], row["id"]) for row in store.rows("SELECT id, at FROM scans WHERE fired = 0")
        ]
        heapq.heapify(self._due)
        self._news = asyncio.Event()

    # Labels

    def print_number(self, carrier: str, service: str, reference: str) -> str:
        """Return a number nobody has: the same story gives the same numbers."""
        sql = "SELECT count(*) FROM parcels WHERE reference = ?"
        turn = self._store.number(sql, reference) if reference else uuid4().hex
        rng = random.Random(f"{self._seed}:number:{reference}:{turn}")
        while True:
            code = rates.tracking_code(carrier, service, rng)
            if not self._store.row("SELECT 1 FROM parcels WHERE tracking_code = ?", code):
                return code

    def register(
        self,
        code: str,
        *,
        carrier: str,
        lane: Lane,
        days: int,
        reference: str = "",
        shipment: str | None = None,
    ) -> None:
        """Put a number on a parcel that lies at the dock, and tell that a tracker exists."""
        now = self._clock.now()
        self._store.run(
            "INSERT INTO parcels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
            code, "trk_" + uuid4().hex, shipment, reference, carrier, dump(lane.as_json()), days, now,
            promise(now, days, lane.offset),
        )  # fmt: skip
        status, detail = MAGIC.get(code, ("pre_transit", "label_created"))
        place = tuple(lane.origin.split("|"))
        self._insert(code, Scan(at=now, status=status, detail=detail, place=place), fired=True)
        self._tell("tracker.created", self._row(code))

    def follow(self, code: str, carrier: str | None) -> Json:
        """Return the tracker of a number, made if nobody follows it yet."""
        if not self._store.row("SELECT 1 FROM parcels WHERE tracking_code = ?", code):
            self.register(code, carrier=carrier or rates.carrier_of(code), lane=NOWHERE, days=3)
        return self.tracker(code)

    # The road

    def hand_over(self, code: str, way: Sequence[Scan] = ()) -> Json:
        """Give the parcel to its carrier, once; return what is planned: the `way`, or one that is drawn.

        Raises:
            UnknownParcel: nobody printed that number.
        """
        row = self._row(code)
        if row["handed_over"] is None:
            now, profile = self._clock.now(), GIVEN if way else self._armed_for(row)
            sql = "UPDATE parcels SET handed_over = ?, profile = ? WHERE tracking_code = ?"
            self._store.run(sql, now, profile, code)
            row = self._row(code)
            self._expect(code, way or self._draw(row), since=now)
        return self.shown(row)

    def _draw(self, row: Row) -> Sequence[Scan]:
        """Return the parcel's way as its profile has it."""
        code = row["tracking_code"]
        lane = Lane(**load(row["lane"]))
        promised = promise(row["created"], row["days"], lane.offset)
        trip = Trip(
            lane=lane, carrier=row["carrier"], days=row["days"], handed_over=row["handed_over"],
            promised=promised,
        )  # fmt: skip
        return plan(trip, row["profile"], random.Random(f"{self._seed}:way:{code}"))

    def _expect(self, code: str, way: Sequence[Scan], since: float) -> None:
        """Keep what of a way lies ahead."""
        for scan in way:
            if scan.at >= since:
                heapq.heappush(self._due, (scan.at, self._insert(code, scan, fired=False)))
        self._news.set()

    def _insert(self, code: str, scan: Scan, *, fired: bool) -> int:
        sql = "INSERT INTO scans (tracking_code, at, est, fired, doc) VALUES (?, ?, ?, ?, ?)"
        return self._store.run(sql, code, scan.at, scan.est, fired, dump(scan.as_json()))

    def scan(self, code: str, doc: Json, at: float | None) -> Json:
        """Scan a parcel at once and return its tracker. What was planned comes later, unless its way ends or turns here.

        With an `est_delivery_date` the carrier expects to deliver on that local day from now on.

        Raises:
            UnknownParcel: nobody printed that number.
        """
        row = self._row(code)
        if expected := doc.get("est_delivery_date"):
            est = evening_of(date.fromisoformat(str(expected)[:10]), load(row["lane"])["offset"])
            self._store.run("UPDATE parcels SET est = ? WHERE tracking_code = ?", est, code)
            row = self._row(code)
        place = tuple(str(doc.get(name) or "") for name in ("city", "state", "country", "zip"))
        now = self._clock.now() if at is None else at
        status, detail = str(doc["status"]), str(doc.get("status_detail") or "status_update")
        if status in _TURNS:
            self._store.run("DELETE FROM scans WHERE tracking_code = ? AND fired = 0", code)
        self._fire(
            row, self._insert(code, Scan(at=now, status=status, detail=detail, place=place), fired=True)
        )
        return self.tracker(code)

    # Profiles

    def arm(self, reference: str, profile: str, p: float = 1.0) -> int:
        """Let the parcels of a reference travel like this; return how many already on the road changed course.

        Raises:
            UnknownProfile: there is no such profile.
        """
        if profile not in PROFILES:
            raise UnknownProfile(f"profile must be one of {sorted(PROFILES)}")
        sql = "INSERT INTO profiles (reference, profile, p) VALUES (?, ?, ?)"
        self._store.run(sql, reference, profile, p)
        rows = self._store.rows(
            "SELECT * FROM parcels WHERE handed_over IS NOT NULL AND profile != ?"
            " AND substr(reference, 1, ?) = ?", profile, len(reference), reference,
        )  # fmt: skip
        return sum(self._change_course(row) for row in rows if belongs(row["reference"], reference))

    def _change_course(self, row: Row) -> bool:
        code, profile = row["tracking_code"], self._armed_for(row)
        pending = self._store.number("SELECT count(*) FROM scans WHERE tracking_code = ? AND fired = 0", code)
        if not pending or profile == row["profile"]:
            return False
        self._store.run("DELETE FROM scans WHERE tracking_code = ? AND fired = 0", code)
        self._store.run("UPDATE parcels SET profile = ? WHERE tracking_code = ?", profile, code)
        self._expect(code, self._draw(self._row(code)), since=self._clock.now())
        return True

    def profiles(self) -> list[Json]:
        """Return what is armed, newest first."""
        rows = self._store.rows("SELECT * FROM profiles ORDER BY id DESC")
        return [
            {"match": {"reference": row["reference"]}, "profile": row["profile"], "p": row["p"]}
            for row in rows
        ]

    def disarm(self) -> None:
        """Let parcels travel as they should again; those on the road keep their way."""
        self._store.run("DELETE FROM profiles")

    def _armed_for(self, row: Row) -> str:
        for armed in self._store.rows("SELECT * FROM profiles ORDER BY id DESC"):
            chance = random.Random(f"{self._seed}:profile:{row['tracking_code']}:{armed['id']}").random()
            if belongs(row["reference"], armed["reference"]) and chance < armed["p"]:
                return str(armed["profile"])
        return "happy"

    # Scans that fall due

    async def run(self) -> None:
        """Let every scan happen at its time until cancelled."""
        while True:
            self._news.clear()
            wait = self._clock.real(self._due[0][0]) - time.time() if self._due else 60.0
            if wait > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), wait)
            self.fire_due()
            await asyncio.sleep(0)

    def fire_due(self) -> int:
        """Let the scans that are due happen and return how many did."""
        now, fired = self._clock.now(), 0
        with self._store.transaction():
            while self._due and self._due[0][0] <= now and fired < BATCH:
                fired += self._fire_planned(heapq.heappop(self._due)[1])
        return fired

    def _fire_planned(self, number: int) -> int:
        scan = self._store.row("SELECT * FROM scans WHERE id = ? AND fired = 0", number)
        if scan is None:
            return 0  # the parcel changed its course
        self._store.run("UPDATE scans SET fired = 1 WHERE id = ?", number)
        if scan["est"] is not None:
            sql = "UPDATE parcels SET est = ? WHERE tracking_code = ?"
            self._store.run(sql, scan["est"], scan["tracking_code"])
        self._fire(self._row(scan["tracking_code"]), number)
        return 1

    def _fire(self, row: Row, number: int) -> None:
        rng = random.Random(f"{self._seed}:webhook:{row['tracking_code']}:{number}")
        delay = rng.uniform(0.0, 3.0) if row["profile"] == "disordered" else 0.0
        copies = 2 if row["profile"] == "duplicates" else 1
        self._tell("tracker.updated", row, delay=delay, copies=copies)

    def _tell(self, kind: str, row: Row, *, delay: float = 0.0, copies: int = 1) -> None:
        if not self._sender.listens("easypost"):
            return
        event = {
            "id": "evt_" + uuid4().hex, "object": "Event", "mode": "test", "description": kind,
            "previous_attributes": {}, "created_at": iso(self._clock.now()),
            "updated_at": iso(self._clock.now()), "status": "pending", "pending_urls": [],
            "completed_urls": [], "result": self._tracker(row),
        }  # fmt: skip
        references = [row["reference"], row["tracking_code"]]
        self._sender.post("easypost", event, kind, references, delay=delay, copies=copies)

    # What is seen

    def tracker(self, code: str) -> Json:
        """Return the tracker of a number.

        Raises:
            UnknownParcel: nobody printed that number.
        """
        return self._tracker(self._row(code))

    def tracker_by_id(self, identity: str) -> Json | None:
        """Return a tracker by its id or its number."""
        sql = "SELECT * FROM parcels WHERE tracker = ? OR tracking_code = ?"
        row = self._store.row(sql, identity, identity)
        return None if row is None else self._tracker(row)

    def trackers(self, codes: list[str] | None) -> list[Json]:
        """Return the trackers of these numbers, or the newest ones."""
        if codes is None:
            rows = self._store.rows("SELECT * FROM parcels ORDER BY created DESC LIMIT 30")
        else:
            marks = ",".join("?" * len(codes))
            rows = self._store.rows(f"SELECT * FROM parcels WHERE tracking_code IN ({marks})", *codes)
        return [self._tracker(row) for row in rows]

    def shown(self, row: Row) -> Json:
        """Return a parcel as the control sees it: the future included."""
        sql = "SELECT at, fired, doc FROM scans WHERE tracking_code = ? ORDER BY at, id"
        scans = [
            {"at": iso(scan["at"]), "fired": bool(scan["fired"])} | load(scan["doc"])
            for scan in self._store.rows(sql, row["tracking_code"])
        ]
        handed = row["handed_over"]
        return {
            "tracking_code": row["tracking_code"], "reference": row["reference"], "carrier": row["carrier"],
            "profile": row["profile"], "handed_over_at": iso(handed) if handed is not None else None,
            "est_delivery_date": _day(row), "scans": scans,
        }  # fmt: skip

    def parcel(self, code: str) -> Json:
        """Return one parcel with its future.

        Raises:
            UnknownParcel: nobody printed that number.
        """
        return self.shown(self._row(code))

    def listed(self, reference: str) -> list[Json]:
        """Return the newest parcels of a reference."""
        sql = "SELECT * FROM parcels WHERE substr(reference, 1, ?) = ? ORDER BY created DESC LIMIT 100"
        rows = self._store.rows(sql, len(reference), reference)
        return [self.shown(row) for row in rows if belongs(row["reference"], reference)]

    def scanned(self, code: str) -> bool:
        """Test whether the carrier has seen the parcel: a label alone is no scan."""
        sql = "SELECT count(*) FROM scans WHERE tracking_code = ? AND fired = 1"
        return self._store.number(sql, code) > 1

    def _tracker(self, row: Row) -> Json:
        history = self._history(row)
        last = history[-1]
        return {
            "id": row["tracker"], "object": "Tracker", "mode": "test", "tracking_code": row["tracking_code"],
            "status": last["status"], "status_detail": last["status_detail"],
            "created_at": iso(row["created"]), "updated_at": last["datetime"], "signed_by": None,
            "weight": None, "est_delivery_date": _day(row), "shipment_id": row["shipment"],
            "carrier": row["carrier"], "tracking_details": history, "carrier_detail": None, "fees": [],
            "public_url": f"https://track.easypost.com/{row['tracker']}",
        }  # fmt: skip

    def _history(self, row: Row) -> list[Json]:
        sql = "SELECT at, doc FROM scans WHERE tracking_code = ? AND fired = 1 ORDER BY at, id"
        return [
            _detail(scan["at"], load(scan["doc"]), row["carrier"])
            for scan in self._store.rows(sql, row["tracking_code"])
        ]

    def _row(self, code: str) -> Row:
        row = self._store.row("SELECT * FROM parcels WHERE tracking_code = ?", code)
        if row is None:
            raise UnknownParcel(code)
        return row


def _day(row: Row) -> str:
    """Return the expected day as EasyPost writes it: a local date, dressed as midnight in UTC."""
    local = datetime.fromtimestamp(row["est"], UTC) + timedelta(hours=load(row["lane"])["offset"])
    return f"{local:%Y-%m-%d}T00:00:00Z"


def _detail(at: float, doc: Json, carrier: str) -> Json:
    city, state, country, postal = (part or None for part in doc["place"])
    where: dict[str, Any] = {"city": city, "state": state, "country": country, "zip": postal}
    text = SENTENCES.get(doc["status_detail"], doc["status_detail"].replace("_", " ").capitalize())
    return {
        "object": "TrackingDetail", "datetime": iso(at), "status": doc["status"],
        "status_detail": doc["status_detail"], "message": text, "description": text, "source": carrier,
        "carrier_code": None, "tracking_location": {"object": "TrackingLocation"} | where,
    }  # fmt: skip
