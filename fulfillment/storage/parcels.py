"""What carriers report about a parcel: every scan once, the state that follows from all of them, its news."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.address import Address
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.events import EventKind, Happened
from fulfillment.domain.hand_over import Evidence, Proof
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import ENDED as ORDER_ENDED
from fulfillment.domain.order import Outcome
from fulfillment.domain.playbooks import due_at
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.promise import Source
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.tracking import (
    JOURNEY_OVER,
    RANK,
    CarrierStatus,
    Flag,
    Scan,
    ScanSource,
    Standing,
    Tracked,
    fold,
    reason_of,
    standings,
    telling_that_counts,
)
from fulfillment.domain.transit import Patience
from fulfillment.storage import (
    attempts,
    cases,
    hand_over,
    journal,
    locks,
    parcel_news,
    promises,
    transits,
)
from fulfillment.storage.tables import labels, parcels, shipments, tracking_events

_C = CarrierStatus
# Those the carrier may have: the label is on it, or it has left.
_MAY_MOVE: Final = (WorkStatus.LABELED, WorkStatus.HANDED_OVER, WorkStatus.CLOSED)
_SENTENCE: Final = MappingProxyType(
    {
        _C.PICKED_UP: "The carrier has your parcel.",
        _C.IN_TRANSIT: "Your parcel is on its way.",
        _C.OUT_FOR_DELIVERY: "Your parcel is out for delivery.",
        _C.ATTEMPTED: "The carrier tried to deliver your parcel and could not.",
        _C.AVAILABLE_FOR_PICKUP: "Your parcel is waiting for you at a pickup point.",
        _C.RETURN_TO_SENDER: "The carrier is bringing your parcel back to us.",
        _C.LOST: "Your parcel is lost.",
        _C.DELIVERED: "Your parcel was delivered.",
        _C.RETURNED: "Your parcel came back to us.",
        _C.DESTROYED: "Your parcel was destroyed on its way.",
        _C.CANCELLED: "The carrier says that the label was cancelled.",
    }
)
_FLAG_SENTENCE: Final = MappingProxyType(
    {
        Flag.DELAYED: "The carrier reports a delay.",
        Flag.ON_HOLD: "The carrier is holding your parcel.",
        Flag.DAMAGED: "The carrier reports that your parcel is damaged.",
        Flag.CUSTOMS: "Your parcel is with customs.",
    }
)
_OUTCOME: Final = MappingProxyType(
    {
        _C.DELIVERED: Outcome.DELIVERED,
        _C.LOST: Outcome.LOST,
        _C.DESTROYED: Outcome.LOST,
        _C.RETURNED: Outcome.RETURNED,
    }
)
# What becomes of a lost one is told with the decision about it.
_NEWS: Final = MappingProxyType({Outcome.DELIVERED: Fact.DELIVERED})
_KEPT: Final = insert(tracking_events)
# When a scan was first received, and who corrected it, stays as it was.
_KEEP: Final = _KEPT.on_conflict_do_update(
    index_elements=["parcel_id", "event_hash"],
    set_={
        name: _KEPT.excluded[name]
        for name in (
            "status",
            "flag",
            "reason",
            "raw_text",
            "provider",
            "unknown",
            "zone_assumed",
            "standing",
        )
    },
)


def record(
    conn: Connection,
    parcel_id: str,
    scans: Sequence[Scan],
    edd: date | None,
    *,
    source: str,
    now: datetime,
    policy: Policy = DEFAULT,
) -> CarrierStatus:
    """Record scans, write what follows from all the parcel's scans and return it; a repeat changes nothing.

    A carrier's scan of a labeled parcel that the dock never handed over is the evidence that it left. Where the books
    cannot follow, because the shipment was changed or cancelled, a person is called: the goods are gone. So is one
    when a correction takes back the end of a closed shipment: what is owed for it was settled. Its end is then
    rewritten to a delivery only, which owes nobody.
    """
    order = locks.order_of_parcel(conn, parcel_id)
    before = _parcel(conn, parcel_id)
    known = _keep(conn, before, scans, nameless=order.erased_at is not None, now=now, policy=policy)
    after = fold(known, now=now, future_tolerance=policy.future_scan_tolerance)
    new_edd = edd if edd and _is_newest(scans, before) else before.edd_date
    if _left_unseen(before, after):
        proof = Proof(evidence=Evidence.CARRIER_SCAN)
        hand_over.leave(conn, order, before.shipment_id, by="carrier", proof=proof, now=now, policy=policy)
    allowed = transits.allowed(conn, parcel_id, policy=policy)
    _write(conn, before, after, new_edd, _next_check(before, after, known, allowed, now, policy))
    _note_events(conn, before, after, source=source, now=now)
    if _should_be_here(before, after):
        _call_a_person(conn, before, after, now=now, policy=policy)
        return after.status
    if takes_back := _takes_the_end_back(before, after, scans):
        _ask_what_is_owed(conn, before, after, takes_back.why, now=now, policy=policy)
    outcome = _OUTCOME.get(after.status)
    if outcome is Outcome.DELIVERED or (outcome and not takes_back):
        _close(conn, order, before, outcome, now)
    if outcome:
        transits.end(conn, parcel_id, Address(**order.ship_to), known, after.status, now)
    elif _OUTCOME.get(before.carrier_status):
        transits.resume(conn, parcel_id, now)
    attempt = attempts.follow(conn, order, before, after, known, now=now, policy=policy)
    heard = attempt.is_news or parcel_news.is_news(conn, before, after, new_edd, order.promise_date)
    if new_edd and _is_expected(before, after):
        _put_off(conn, order, before, after, new_edd, known_by=allowed.parcels, heard=heard, now=now)
    if heard:
        parcel_news.tell(conn, before, after, new_edd, attempt.case, now)
    return after.status


def _parcel(conn: Connection, parcel_id: str) -> Row[Any]:
    """The parcel with its shipment's work and the number it travels under."""
    live = (labels.c.parcel_id == parcels.c.parcel_id) & labels.c.state.in_(("live", "used"))
    query = (
        select(
            parcels,
            shipments.c.work_status,
            shipments.c.outcome,
            shipments.c.settled,
            labels.c.carrier,
            labels.c.tracking_number,
        )
        .join(shipments, shipments.c.shipment_id == parcels.c.shipment_id)
        .outerjoin(labels, live)
        .where(parcels.c.parcel_id == parcel_id)
    )
    return conn.execute(query).one()


def _stored(conn: Connection, parcel_id: str) -> dict[str, tuple[Scan, Standing]]:
    """Return the parcel's scans by their hash, each with where it stands."""
    rows = conn.execute(select(tracking_events).where(tracking_events.c.parcel_id == parcel_id))
    return {row.event_hash: (_scan(row), Standing(row.standing)) for row in rows}


def _keep(
    conn: Connection,
    parcel: Row[Any],
    scans: Sequence[Scan],
    *,
    nameless: bool,
    now: datetime,
    policy: Policy,
) -> list[Scan]:
    """Write the scans that are new, are told better now, or stand elsewhere than they did; return all there are.

    What is written `nameless` does not say where its customer lives, nor who signed.
    """
    stored = _stored(conn, parcel.parcel_id)
    known = {hashed: scan for hashed, (scan, _) in stored.items()}
    for scan in scans:
        hashed = scan.digest(parcel.carrier or "", parcel.tracking_number or "")
        said = replace(scan, text="", place="") if nameless else scan
        known[hashed] = telling_that_counts((said, known.get(hashed, said)))
    stand = standings(known.values(), now=now, future_tolerance=policy.future_scan_tolerance)
    # One that stands under two numbers counts once, and neither is set aside.
    stands = {hashed: (scan, stand.get(scan, Standing.FOLDED)) for hashed, scan in known.items()}
    rows = [_row(parcel, hashed, *one, now) for hashed, one in stands.items() if one != stored.get(hashed)]
    if rows:
        conn.execute(_KEEP, rows)
    return list(known.values())


def scans_of(conn: Connection, parcel_id: str) -> list[Scan]:
    """Return every scan of a parcel, in no order."""
    return [scan for scan, _ in _stored(conn, parcel_id).values()]


def _row(parcel: Row[Any], event_hash: str, scan: Scan, standing: Standing, now: datetime) -> dict[str, Any]:
    return {
        "parcel_id": parcel.parcel_id,
        "event_hash": event_hash,
        "status": scan.status.value if scan.status else None,
        "flag": scan.flag.value if scan.flag else None,
        "reason": scan.reason or "",
        "raw_code": scan.code,
        "raw_text": scan.text,
        "place": scan.place,
        "source": scan.source.value,
        "correction": scan.correction,
        "provider": scan.provider,
        "unknown": scan.is_unknown,
        "zone_assumed": scan.zone_assumed,
        "standing": standing.value,
        "by": scan.by,
        "why": scan.why,
        "occurred_at": scan.occurred_at,
        "received_at": now,
    }


def _scan(row: Row[Any]) -> Scan:
    return Scan(
        status=CarrierStatus(row.status) if row.status else None,
        occurred_at=row.occurred_at,
        code=row.raw_code,
        place=row.place,
        text=row.raw_text,
        flag=Flag(row.flag) if row.flag else None,
        reason=reason_of(row.reason),
        source=ScanSource(row.source),
        correction=row.correction,
        provider=row.provider,
        is_unknown=row.unknown,
        zone_assumed=row.zone_assumed,
        by=row.by,
        why=row.why,
    )


def _is_newest(scans: Sequence[Scan], before: Row[Any]) -> bool:
    """Whether a report knows at least as much as we do: an old one says an old delivery date."""
    newest = max((scan.occurred_at for scan in scans), default=None)
    return newest is None or before.latest_scan_at is None or newest >= before.latest_scan_at


def _left_unseen(before: Row[Any], after: Tracked) -> bool:
    return bool(_moved(after) and before.work_status == WorkStatus.LABELED.value)


def _has_left(before: Row[Any], after: Tracked) -> bool:
    return bool(before.handed_over_at) or _left_unseen(before, after)


def _should_be_here(before: Row[Any], after: Tracked) -> bool:
    return _moved(after) and before.work_status not in _MAY_MOVE


def _moved(after: Tracked) -> bool:
    return RANK[after.status] >= RANK[_C.PICKED_UP] and after.status is not _C.CANCELLED


def _call_a_person(
    conn: Connection, before: Row[Any], after: Tracked, *, now: datetime, policy: Policy
) -> None:
    """Open a case: the shipment's order is not told, as nothing it could do now would be right."""
    note = (
        f"the carrier says that {before.parcel_id} is {after.status.replace('_', ' ')}, our books say that it is "
        f"{before.work_status}: get it back, or book by hand what is owed for it"
    )
    cases.open_case(
        conn,
        before.order_id,
        CaseKind.LEFT_UNRECORDED,
        subject=before.shipment_id,
        due_at=due_at(CaseKind.LEFT_UNRECORDED, now, policy),
        now=now,
        note=note,
    )


def _takes_the_end_back(before: Row[Any], after: Tracked, scans: Sequence[Scan]) -> Scan | None:
    """Return the correction among these scans that a closed shipment's end does not stand up to."""
    if before.work_status != WorkStatus.CLOSED.value or after.status.value == before.carrier_status:
        return None
    return next((scan for scan in scans if scan.correction), None)


def _ask_what_is_owed(
    conn: Connection, before: Row[Any], after: Tracked, why: str, *, now: datetime, policy: Policy
) -> None:
    """Open a case: the shipment is closed and stays so, whatever is owed for it now is decided by a person."""
    note = (
        f"{before.parcel_id} was {_plain(before.carrier_status)} and is {_plain(after.status)} by correction ({why}): "
        "send it again or refund it where the customer lacks it, and take back what was paid where they have it"
    )
    cases.open_case(
        conn,
        before.order_id,
        CaseKind.CARRIER_PROBLEM,
        subject=before.shipment_id,
        due_at=now + policy.support_answer_within,
        now=now,
        note=note,
    )


def _plain(status: str) -> str:
    return status.replace("_", " ")


def _is_expected(before: Row[Any], after: Tracked) -> bool:
    """Whether its customer waits for it: it has no end, is not on its way back, and nothing was given instead."""
    over = after.status in _OUTCOME or after.status is _C.RETURN_TO_SENDER
    return not over and before.settled is None


def _put_off(
    conn: Connection,
    order: Row[Any],
    before: Row[Any],
    after: Tracked,
    edd: date,
    *,
    known_by: int,
    heard: bool,
    now: datetime,
) -> None:
    """Promise the day that the carrier names, if it is a later one and news. The order hears it with the rest, or alone."""
    left, delayed = _has_left(before, after), Flag.DELAYED in after.flags
    # What the label said first is weighed by the lane, which is asked once it has left.
    if not promises.is_news(before.edd_first_date, edd, known_by=known_by if left else 1, delayed=delayed):
        return
    delay = promises.Delay(
        shipment_id=before.shipment_id,
        subject=before.parcel_id,
        day=edd,
        source=Source.CARRIER,
        reason=after.reason or "the carrier is running late",
        under_way=left,
    )
    promises.put_off(conn, order, delay, now=now, by_its_workflow=heard)


def _next_check(
    before: Row[Any],
    after: Tracked,
    known: Sequence[Scan],
    allowed: Patience,
    now: datetime,
    policy: Policy,
) -> datetime | None:
    """When silence becomes news: only a newer scan moves it, a repeated report does not."""
    if after.status in JOURNEY_OVER or not _has_left(before, after):
        return None
    moved = after.latest_at is not None and after.latest_at != before.latest_scan_at
    silent_at: datetime | None = before.next_check_at
    if silent_at is None or moved:
        silent_at = (after.latest_at or now) + allowed.scan_silence
    set_aside = [s.occurred_at for s in known if s.occurred_at > now + policy.future_scan_tolerance]
    return min([silent_at, *set_aside])


def _write(
    conn: Connection, before: Row[Any], after: Tracked, edd: date | None, next_check: datetime | None
) -> None:
    values = {
        "carrier_status": after.status.value,
        "flags": parcel_news.flags_of(after),
        "reason": after.reason or "",
        "place": after.place,
        "edd_first_date": before.edd_first_date or edd,
        "edd_date": edd,
        "latest_scan_at": after.latest_at,
        "delivered_at": after.delivered_at,
        "next_check_at": next_check,
    }
    conn.execute(update(parcels).where(parcels.c.parcel_id == before.parcel_id).values(values))


def _note_events(conn: Connection, before: Row[Any], after: Tracked, *, source: str, now: datetime) -> None:
    data = {"parcel_id": before.parcel_id, "source": source, "place": after.place}
    happened: list[Happened] = []
    # Before it leaves, a cancelled label is our own doing, and its end is told with the label.
    ours = after.status is _C.CANCELLED and before.handed_over_at is None
    if after.status.value != before.carrier_status and after.status in _SENTENCE and not ours:
        happened.append((EventKind(after.status), _SENTENCE[after.status], data))
    for flag in sorted(after.flags - set(map(Flag, before.flags))):
        happened.append((EventKind(flag), _FLAG_SENTENCE[flag], data))
    journal.events(conn, before.order_id, happened, at=now)


def _close(conn: Connection, order: Row[Any], before: Row[Any], outcome: Outcome, now: datetime) -> None:
    """End the shipment. A parcel found after it was given up has its end rewritten while the order is open."""
    if before.outcome == outcome.value or order.status in ORDER_ENDED:
        return
    left = shipments.c.work_status.in_((WorkStatus.HANDED_OVER.value, WorkStatus.CLOSED.value))
    closed = conn.execute(
        update(shipments)
        .where(shipments.c.shipment_id == before.shipment_id, left)
        .values(work_status=WorkStatus.CLOSED.value, outcome=outcome.value, closed_at=now)
    )
    if closed.rowcount and (fact := _NEWS.get(outcome)):
        told = {
            "shipment_id": before.shipment_id,
            "parcel_id": before.parcel_id,
            "tracking_token": order.tracking_token,
        }
        journal.tell(conn, order.order_id, fact, subject=before.parcel_id, version=1, data=told, now=now)
