"""Failed attempts at the door: each is told once with its number and the day of the next, and is somebody's case.

Whoever records a scan calls `follow` in the same transaction, so that the number and the case are those of all scans
that are kept, however they came.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select

from fulfillment.domain.address import Address
from fulfillment.domain.attempts import attempts, comes_again
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.cases import Case, CaseKind, Owner
from fulfillment.domain.events import EventKind
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import ENDED
from fulfillment.domain.playbooks import PLAYBOOKS, Deed
from fulfillment.domain.policy import Policy
from fulfillment.domain.tracking import CarrierStatus, Flag, Scan, Tracked
from fulfillment.domain.troubles import troubles
from fulfillment.domain.zones import zone_of
from fulfillment.storage import cases, journal
from fulfillment.storage.tables import locations, shipments

_K: Final = CaseKind
_KINDS: Final = (_K.FAILED_ATTEMPT, _K.LAST_ATTEMPT)
_FACT: Final = {_K.FAILED_ATTEMPT: Fact.FAILED_ATTEMPT, _K.LAST_ATTEMPT: Fact.LAST_ATTEMPT}
_FROM: Final = (
    select(locations.c.closed_days, locations.c.address["country"].astext.label("country"))
    .join(shipments, shipments.c.location_id == locations.c.location_id)
    .where(shipments.c.shipment_id == bindparam("the_shipment"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """The case that stands after a scan, if one does; `is_news` when another attempt was made."""

    case: Case | None = None
    is_news: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    number: int
    at: datetime
    reason: str


def follow(
    conn: Connection,
    order: Row[Any],
    parcel: Row[Any],
    after: Tracked,
    scans: Sequence[Scan],
    *,
    now: datetime,
    policy: Policy,
) -> Followed:
    """Let the case and what the customer is told follow a parcel's scans. `parcel` is how it stood before them.

    An attempt is told once. What is repeated changes nothing, and neither does what is told of an earlier attempt.
    """
    kind, made = _standing(order, parcel, after, scans, now=now, policy=policy)
    stood = _is_trouble(CarrierStatus(parcel.carrier_status), map(Flag, parcel.flags), parcel.reason)
    if kind is None and not stood:
        return Followed()
    subject: str = parcel.shipment_id
    _end(conn, subject, set(_KINDS) - {kind}, f"then it was {after.status}", now)
    if kind is None or made is None:
        return Followed()
    known, told = cases.find(conn, kind, subject=subject), _told(conn, order.order_id, subject)
    is_new = made.number > told
    if not is_new and (known or stood):
        return Followed(case=known)
    case = _stand(conn, order, kind, subject, made, known, now=now, policy=policy)
    if is_new:
        _tell(conn, order, case, made, now=now, policy=policy)
    return Followed(case=case, is_news=is_new)


def one_more_day(conn: Connection, order: Row[Any], subject: str, now: datetime) -> datetime:
    """Return the end of the working day on which the carrier may still come, where the order goes."""
    calendar = _calendar(conn, order, subject)
    return calendar.end_of(calendar.open_day(calendar.today(now)))


def _standing(
    order: Row[Any],
    parcel: Row[Any],
    after: Tracked,
    scans: Sequence[Scan],
    *,
    now: datetime,
    policy: Policy,
) -> tuple[CaseKind | None, _Attempt | None]:
    """Return which of the two cases stands now; none where the order is over or the customer has got another one."""
    over = order.status in ENDED or parcel.settled is not None
    if over or not _is_trouble(after.status, after.flags, after.reason or ""):
        return None, None
    made = attempts(scans, now=now, future_tolerance=policy.future_scan_tolerance)
    if not made:
        return None, None
    kind = _K.LAST_ATTEMPT if len(made) >= policy.max_attempts else _K.FAILED_ATTEMPT
    return kind, _Attempt(number=len(made), at=made[-1], reason=after.reason or "")


def _is_trouble(status: CarrierStatus, flags: Iterable[Flag], reason: str) -> bool:
    return _K.FAILED_ATTEMPT in troubles(status, frozenset(flags), reason)


def _end(
    conn: Connection, subject: str, kinds: Collection[CaseKind | None], resolution: str, now: datetime
) -> None:
    for kind in kinds:
        if kind is not None:
            cases.resolve(conn, kind, subject=subject, resolution=resolution, now=now)


def _stand(
    conn: Connection,
    order: Row[Any],
    kind: CaseKind,
    subject: str,
    made: _Attempt,
    known: Case | None,
    *,
    now: datetime,
    policy: Policy,
) -> Case:
    """Open the case, or let it begin anew with another attempt. After the first one nobody needs to act."""
    first = made.number == 1
    owner = Owner.SYSTEM if first else None
    step = 0 if first or kind is _K.LAST_ATTEMPT else _without(Deed.COME_AGAIN)
    note = f"attempt {made.number} of {policy.max_attempts}{made.reason and f': {made.reason}'}"
    due_at = _due_at(conn, order, kind, subject, made, now=now, policy=policy)
    case = known or cases.open_case(
        conn, order.order_id, kind, subject=subject, due_at=due_at, now=now, note=note
    )
    return cases.begin_anew(conn, case, note=note, due_at=due_at, step=step, owner=owner)


def _without(deed: Deed) -> int:
    """Return the step of a failed attempt that comes after `deed`, which is done once only."""
    deeds = [step.deed for step in PLAYBOOKS[_K.FAILED_ATTEMPT].steps]
    return deeds.index(deed) + 1


def _due_at(
    conn: Connection,
    order: Row[Any],
    kind: CaseKind,
    subject: str,
    made: _Attempt,
    *,
    now: datetime,
    policy: Policy,
) -> datetime:
    if kind is _K.LAST_ATTEMPT:
        return now + policy.support_answer_within
    calendar = _calendar(conn, order, subject)
    return calendar.end_of(comes_again(made.at, calendar, now))


def _calendar(conn: Connection, order: Row[Any], subject: str) -> Calendar:
    """Return when a carrier delivers where the order goes: of other countries only the weekends are known."""
    to, place = Address(**order.ship_to), conn.execute(_FROM, {"the_shipment": subject}).one()
    rests = frozenset(place.closed_days) if place.country == to.country else frozenset[date]()
    return Calendar(zone=zone_of(to), closed_days=rests)


def _told(conn: Connection, order_id: str, subject: str) -> int:
    """Return the number of the attempt that was told last, 0 for none."""
    return max(journal.next_version(conn, order_id, fact, subject=subject) for fact in _FACT.values()) - 1


def _tell(
    conn: Connection, order: Row[Any], case: Case, made: _Attempt, *, now: datetime, policy: Policy
) -> None:
    """Each attempt is a fact of its own: its number is the version."""
    fact, order_id = _FACT[case.kind], order.order_id
    told = {
        "case_id": case.case_id,
        "attempt": made.number,
        "reason": made.reason,
        "tracking_token": order.tracking_token,
    }
    about: dict[str, Any] = {"subject": case.subject, "attempt": made.number}
    text = f"The carrier tried {_times(made.number)} to deliver your parcel"
    if case.kind is _K.LAST_ATTEMPT:
        text += " and will not come again: it waits at a counter, or comes back to us."
    else:
        calendar = _calendar(conn, order, case.subject)
        day = comes_again(made.at, calendar, now)
        told, about = (said | {"again_on": day.isoformat()} for said in (told, about))
        text += f" and could not; it comes again on {day:%A, %B} {day.day}."
    journal.event(conn, order_id, EventKind(case.kind), text, at=now, data=about)
    journal.tell(conn, order_id, fact, subject=case.subject, version=made.number, data=told, now=now)


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
