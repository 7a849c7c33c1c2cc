"""What holds an order back of which not everything is there: its customer is asked, or it leaves only as a whole."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import Connection, bindparam, exists, func, select, update

from fulfillment.domain.cases import CaseKind, CaseState
from fulfillment.domain.events import EventKind
from fulfillment.domain.holds import Hold, HoldReason
from fulfillment.domain.notifications import Fact
from fulfillment.domain.policy import Policy, Shortage, ShortageChoice, Substitution
from fulfillment.domain.shipment import BEFORE_HAND_OVER, WaitsFor
from fulfillment.domain.substitution import Equal
from fulfillment.storage import cases, holds, journal, sourcing, substitutes
from fulfillment.storage.tables import backorders, shipments, unit_ranges
from fulfillment.storage.tables import cases as case_rows
from fulfillment.storage.tables import holds as hold_rows

BY_POLICY: Final = "policy"
_MORE_COMES: Final = (
    "Not everything of your order is there. Tell us whether to wait for all of it, to send what is there now "
    "and the rest later, or to leave out what is missing."
)
_NO_MORE_COMES: Final = "Not everything of your order is there, and no more of it is coming. Tell us whether to leave out what is missing."
_HOLDS_BACK: Final = (Shortage.ASK, Shortage.SHIP_COMPLETE)
_SOMETHING_IS_THERE: Final = select(
    exists().where(
        shipments.c.order_id == bindparam("the_order"),
        shipments.c.work_status.in_([status.value for status in BEFORE_HAND_OVER]),
        shipments.c.waits_for != WaitsFor.STOCK.value,
        unit_ranges.c.shipment_id == shipments.c.shipment_id,
    )
)
_ASKED: Final = exists().where(
    case_rows.c.subject == bindparam("the_order"),
    case_rows.c.kind == CaseKind.OUT_OF_STOCK.value,
    case_rows.c.state != CaseState.RESOLVED.value,
)
_LATER: Final = update(hold_rows).where(
    hold_rows.c.order_id == bindparam("the_order"),
    hold_rows.c.reason == HoldReason.STOCK.value,
    hold_rows.c.state == "active",
    hold_rows.c.placed_by == BY_POLICY,
    hold_rows.c.due_at < bindparam("later"),
)
_PUT_OFF: Final = _LATER.where(~_ASKED)
_WAITS_UNTIL: Final = select(func.max(backorders.c.promise_date)).where(
    backorders.c.order_id == bindparam("the_order"), backorders.c.state == "waiting"
)


def hold_back(
    conn: Connection, order_id: str, until: Mapping[str, date], *, now: datetime, policy: Policy
) -> bool:
    """Hold the locked order if the policy wants it whole or its customer asked, and something of it could leave.

    `until` has by SKU the day promised for what is missing. Return whether it is held; an order of which nothing is
    there waits as a whole anyway, but where listed equals are there its customer is asked whether they are as good.
    """
    offers = _offers(conn, until, now=now, policy=policy)
    if not offers and not _is_held_back(conn, order_id, until, policy):
        return False
    asks = bool(offers) or policy.shortage is Shortage.ASK
    when_all_is_due = _when_all_is_due(max(until.values()), now=now, policy=policy)
    due_at = now + policy.ask_customer_wait if asks else when_all_is_due
    note = f"not there: {', '.join(sorted(until))}"
    if offers:
        note += f"; as good and there: {', '.join(_names(offers))}"
    hold, is_new = holds.place(
        conn, order_id, HoldReason.STOCK, by=BY_POLICY, due_at=due_at, note=note, now=now
    )
    if is_new and asks:
        _ask(conn, order_id, hold, sorted(until), offers, now=now, policy=policy)
    elif is_new:
        text = "Not everything of your order is there yet. It leaves as soon as all of it is."
        journal.event(conn, order_id, EventKind.HELD, text, at=now, data={"missing": sorted(until)})
    return True


def _offers(
    conn: Connection, until: Mapping[str, date], *, now: datetime, policy: Policy
) -> dict[str, list[Equal]]:
    if policy.substitution is not Substitution.CONSENT:
        return {}
    return substitutes.offered(conn, until, now=now)


def _comes(conn: Connection, missing: list[str], *, now: datetime, policy: Policy) -> bool:
    """Test whether any of it may wait for more; else it waits only for the answer."""
    return bool(sourcing.waitable(sourcing.terms(conn, missing), now=now, policy=policy))


def _names(offers: Mapping[str, Sequence[Equal]]) -> list[str]:
    return list(dict.fromkeys(equal.name for equals in offers.values() for equal in equals))


def _is_held_back(conn: Connection, order_id: str, until: Mapping[str, date], policy: Policy) -> bool:
    if not until or policy.shortage not in _HOLDS_BACK:
        return False
    return bool(conn.execute(_SOMETHING_IS_THERE, {"the_order": order_id}).scalar_one())


def put_off(conn: Connection, order_id: str, promise_date: date, *, now: datetime, policy: Policy) -> None:
    """Let the hold of the locked order that waits for all of it stand until after a later promise.

    One about which its customer is asked keeps its time: the answer is due, not the goods.
    """
    later = _when_all_is_due(promise_date, now=now, policy=policy)
    conn.execute(_PUT_OFF, {"the_order": order_id, "later": later, "due_at": later})


def wait_for_all(conn: Connection, order_id: str, *, now: datetime, policy: Policy) -> datetime:
    """Let the locked order wait for all of it, as its customer wants: nobody is asked any more.

    Return when it is settled all the same, should the rest not have come until then.
    """
    day: date | None = conn.execute(_WAITS_UNTIL, {"the_order": order_id}).scalar_one()
    later = _when_all_is_due(day or now.date(), now=now, policy=policy)
    conn.execute(_LATER, {"the_order": order_id, "later": later, "due_at": later})
    cases.resolve(conn, CaseKind.OUT_OF_STOCK, subject=order_id, resolution="wait", now=now)
    return later


def _when_all_is_due(promise_date: date, *, now: datetime, policy: Policy) -> datetime:
    """Return until when an order waits for all of it: long after its promise, and never only until now."""
    after = datetime.combine(promise_date, time(), UTC) + timedelta(days=1) + policy.hold_default_after
    return max(after, now + policy.ask_customer_wait)


def _ask(
    conn: Connection,
    order_id: str,
    hold: Hold,
    missing: list[str],
    offers: Mapping[str, Sequence[Equal]],
    *,
    now: datetime,
    policy: Policy,
) -> None:
    cases.open_case(
        conn,
        order_id,
        CaseKind.OUT_OF_STOCK,
        subject=order_id,
        due_at=hold.due_at,
        now=now,
        note=hold.note,
    )
    comes = not offers or _comes(conn, missing, now=now, policy=policy)
    choices = [ShortageChoice.WAIT, ShortageChoice.SPLIT] if comes else []
    choices += [ShortageChoice.DROP, *([ShortageChoice.SUBSTITUTE] if offers else [])]
    data: dict[str, Any] = {
        "missing": missing,
        "choices": [choice.value for choice in choices],
        "answer_by": hold.due_at.isoformat(),
        "default": (policy.unanswered if comes else ShortageChoice.DROP).value,
    }
    text = _MORE_COMES if comes else _NO_MORE_COMES
    if offers:
        data["offers"] = [
            {"sku": sku, "substitute": equal.sku, "name": equal.name}
            for sku, equals in sorted(offers.items())
            for equal in equals
        ]
        text += f" Or take what is as good and there, at no higher price: {', '.join(_names(offers))}."
    journal.event(conn, order_id, EventKind.SHORTAGE_ASKED, text, at=now, data=data)
    version = int(hold.hold_id.rpartition(":")[2])
    fact = Fact.SHORTAGE_ASKED
    journal.tell(conn, order_id, fact, subject=order_id, version=version, data=data, now=now)
