"""A small shop in which everything is right: eight orders, each at another point of its life."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import md5
from typing import Any

from fulfillment.domain.address import Address
from fulfillment.domain.invariants import Books, Evidence, Ledger, Runs
from fulfillment.domain.invariants.facts import (
    ActFact,
    AllocationFact,
    BackorderFact,
    BenchFact,
    CarrierClaimFact,
    CaseFact,
    Effect,
    EventFact,
    ForgottenFact,
    HoldFact,
    LabelFact,
    LedgerLabel,
    LedgerMessage,
    LedgerPayment,
    LevelFact,
    LineFact,
    LossFact,
    ManifestFact,
    MessageFact,
    MovementFact,
    OperationFact,
    OrderFact,
    ParcelFact,
    PaymentFact,
    PromiseFact,
    RefundFact,
    ReplenishmentFact,
    ReservationFact,
    Run,
    ScanFact,
    ShareFact,
    ShipmentFact,
    SubstitutionFact,
    UnitsFact,
)
from fulfillment.domain.inventory import BUCKETS, EFFECT, Movement

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = date(2026, 11, 30)
RENO = "wh-reno"
HOME = Address(
    name="Ann Example", line1="1 Main St", city="Reno", region="NV", country="US", postal_code="89501"
)
M = Movement


def ago(**span: float) -> datetime:
    """Return the moment this long before now."""
    return NOW - timedelta(**span)


def ahead(**span: float) -> datetime:
    """Return the moment this long after now."""
    return NOW + timedelta(**span)


# --- stock: key, kind, SKU, units -------------------------------------------------------------------

MOVES: tuple[tuple[str, Movement, str, int], ...] = (
    ("count:1", M.ADJUSTED, "TENT", 20),
    *((f"SO-{n}:reserve", M.RESERVED, "TENT", 2 if n == 1 else 1) for n in (1, 2, 3, 4, 5, 6, 7)),
    *((f"SO-{n}:allocate", M.ALLOCATED, "TENT", 2 if n == 1 else 1) for n in (1, 2, 3, 4, 5, 7)),
    ("SO-1-1:ship", M.SHIPPED, "TENT", 2),
    ("SO-2-1:ship", M.SHIPPED, "TENT", 1),
    ("SO-5-1:ship", M.SHIPPED, "TENT", 1),
    ("SO-4-1:unship", M.ALLOCATION_RELEASED, "TENT", 1),
    ("vendor:1", M.EXPECTED, "LAMP", 5),
    ("receipt:1", M.RECEIVED, "LAMP", 1),
    ("receipt:1:arrived", M.EXPECTED, "LAMP", -1),
    ("receipt:1:fill:SO-2:2", M.ALLOCATED_FROM_STOCK, "LAMP", 1),
)


def movement_sums() -> tuple[MovementFact, ...]:
    sums: dict[tuple[str, str], Counter[str]] = {}
    for _, kind, sku, units in MOVES:
        moved = sums.setdefault((kind.value, sku), Counter())
        moved.update({bucket: EFFECT[kind].get(bucket, 0) * units for bucket in BUCKETS})
        moved["movements"] += 1
    return tuple(
        MovementFact(
            kind=kind, sku=sku, location_id=RENO, unsigned=0, **{k: n[k] for k in (*BUCKETS, "movements")}
        )
        for (kind, sku), n in sums.items()
    )


# --- orders -----------------------------------------------------------------------------------------


def order(n: int, status: str, total: int = 3300, **more: Any) -> OrderFact:
    facts: dict[str, Any] = {
        "order_id": f"SO-{n}",
        "channel": "shop",
        "external_ref": f"ref-{n}",
        "status": status,
        "currency": "USD",
        "shipping_fee": 0,
        "total": total,
        "fees": 0,
        "promise_first_date": DAY,
        "promise_date": DAY,
        "outcome": None,
        "accepted_at": ago(days=6),
        "started_at": ago(days=6),
        "completed_at": None,
        "last_event_at": ago(hours=1),
    }
    return OrderFact(**(facts | more))


ORDERS = (
    order(1, "completed", 7842, shipping_fee=500, outcome="delivered", completed_at=ago(hours=20)),
    order(2, "in_fulfillment", 5500, promise_date=DAY + timedelta(days=2)),
    order(3, "confirmed"),
    order(4, "cancelled", 5500, outcome="cancelled", completed_at=ago(hours=9)),
    order(5, "completed", outcome="lost", completed_at=ago(hours=2)),
    order(6, "payment_failed", promise_first_date=None, promise_date=None),
    order(7, "in_fulfillment"),
    order(
        8,
        "received",
        promise_first_date=None,
        promise_date=None,
        accepted_at=ago(seconds=5),
        started_at=None,
        last_event_at=ago(seconds=5),
    ),
)


def line(n: int, line_no: int = 1, sku: str = "TENT", quantity: int = 1, **more: int) -> LineFact:
    amounts = {"unit_price": 3000, "discount": 0, "tax": 300, "shipping_share": 0} | more
    return LineFact(order_id=f"SO-{n}", line_no=line_no, sku=sku, quantity=quantity, **amounts)


LINES = (
    line(1, quantity=2, unit_price=3333, discount=101, tax=777, shipping_share=500),
    line(2),
    line(2, 2, "LAMP", 2, unit_price=1000, tax=200),
    *(line(n) for n in range(3, 9)),
    line(4, 2, "LAMP", unit_price=2000, tax=200),
)
SUBSTITUTIONS = (SubstitutionFact(order_id="SO-4", line_no=2, root_line=1, root_unit=1),)


def units(
    n: int,
    shipment_id: str | None,
    *,
    line_no: int = 1,
    first: int = 1,
    count: int = 1,
    why: str | None = None,
) -> UnitsFact:
    return UnitsFact(
        order_id=f"SO-{n}",
        line_no=line_no,
        first_unit=first,
        quantity=count,
        shipment_id=shipment_id,
        cancelled_reason=why,
    )


UNITS = (
    units(1, "SO-1-1"),
    units(1, "SO-1-1", first=2),
    units(2, "SO-2-1"),
    units(2, "SO-2-2", line_no=2, count=2),
    units(3, "SO-3-1"),
    units(4, None, why="substituted"),
    units(4, None, line_no=2, why="changed_mind"),
    units(5, "SO-5-1"),
    units(6, "SO-6-1"),
    units(7, "SO-7-1"),
)


def shipment(n: int, k: int, work_status: str, value: int = 3300, **more: Any) -> ShipmentFact:
    facts: dict[str, Any] = {
        "shipment_id": f"SO-{n}-{k}",
        "order_id": f"SO-{n}",
        "work_status": work_status,
        "waits_for": "nothing",
        "value": value,
        "fee": 0,
        "outcome": None,
        "ship_by": ahead(days=1),
        "released_at": ago(days=5),
        "handed_over_at": None,
        "closed_at": None,
        "handed_by": None,
    }
    return ShipmentFact(**(facts | more))


def _left(at: datetime) -> dict[str, Any]:
    return {"handed_over_at": at, "handed_by": "dock-1"}


SHIPMENTS = (
    shipment(1, 1, "closed", 7842, outcome="delivered", closed_at=ago(hours=20), **_left(ago(days=4))),
    shipment(2, 1, "handed_over", **_left(ago(days=2))),
    shipment(2, 2, "scheduled", 2200, waits_for="stock", released_at=None),
    shipment(3, 1, "scheduled", waits_for="hold", released_at=None),
    shipment(4, 1, "cancelled"),
    shipment(5, 1, "closed", outcome="lost", closed_at=ago(hours=3), **_left(ago(days=4))),
    shipment(6, 1, "scheduled", waits_for="payment", released_at=None),
    shipment(7, 1, "labeled"),
)

HOLDS = (
    HoldFact(
        hold_id="SO-3:manual:1",
        order_id="SO-3",
        placed_by="maria",
        state="released",
        released_by="maria",
        placed_at=ago(days=5),
        due_at=ago(days=4),
        ended_at=ago(days=5) + timedelta(hours=1),
    ),
    HoldFact(
        hold_id="SO-3:fraud:1",
        order_id="SO-3",
        placed_by="waybill",
        state="active",
        released_by=None,
        placed_at=ago(days=1),
        due_at=ahead(days=2),
        ended_at=None,
    ),
)


def case(order_id: str, kind: str, subject: str = "", **more: Any) -> CaseFact:
    facts: dict[str, Any] = {
        "case_id": f"{subject or order_id}:{kind}:1",
        "order_id": order_id,
        "subject": subject or order_id,
        "kind": kind,
        "owner": "support",
        "state": "waiting",
        "due_at": ahead(days=1),
    }
    return CaseFact(**(facts | more))


CASES = (
    case("SO-3", "fraud_review"),
    case("SO-5", "lost", "SO-5-1", state="resolved"),
    case("SO-5", "customer_unreachable", state="resolved"),
    case("SO-6", "payment_declined", owner="customer"),
    case("SO-5", "carrier_claim", "SO-5-P1"),
)
CARRIER_CLAIMS = (
    CarrierClaimFact(case_id="SO-5-P1:carrier_claim:1", parcel_id="SO-5-P1", outcome=None, paid=0),
)
LOSSES = (LossFact(shipment_id="SO-5-1", cause="lost"),)


def promise(n: int, number: int = 1, day: date = DAY, reason: str = "", **more: Any) -> PromiseFact:
    facts: dict[str, Any] = {"order_id": f"SO-{n}", "n": number, "promised_date": day, "reason": reason}
    return PromiseFact(**(facts | {"told_at": None} | more))


PROMISES = (
    *(promise(n) for n in (1, 2, 3, 4, 5, 7)),
    promise(
        2,
        2,
        DAY + timedelta(days=2),
        "weather",
        told_fact="delayed",
        told_subject="SO-2-1",
        told_version=2,
    ),
)
ACTS = (
    ActFact(entry_id=1, order_id="SO-3", actor="maria", command="release"),
    ActFact(entry_id=2, order_id="SO-4", actor="maria", command="cancel"),
    ActFact(entry_id=3, order_id="SO-1", actor="dock-1", command="hand_over"),
)

# --- money ------------------------------------------------------------------------------------------


def payment(n: int, status: str, value: int = 3300, captured: int = 0, refunded: int = 0) -> PaymentFact:
    return PaymentFact(
        payment_id=f"SO-{n}:authorize:SO-{n}-1:1",
        order_id=f"SO-{n}",
        provider_ref=f"pi_{n}",
        status=status,
        asked=value,
        authorized=0 if status == "declined" else value,
        captured=captured,
        refunded=refunded,
        created_at=ago(days=6),
        expires_at=ahead(days=1),
    )


PAYMENTS = (
    payment(1, "captured", 7842, captured=7842),
    payment(2, "captured", captured=3300),
    payment(3, "authorized"),
    payment(4, "voided"),
    payment(5, "captured", captured=3300, refunded=3300),
    payment(6, "declined"),
    payment(7, "authorized"),
)


def share_of(payment: PaymentFact) -> ShareFact:
    """Return the one share of a payment for one shipment."""
    is_open = payment.status in ("authorizing", "action_required", "authorized")
    return ShareFact(
        payment_id=payment.payment_id,
        shipment_id=payment.payment_id.split(":")[2],
        asked=payment.asked,
        captured=payment.captured,
        refunded=payment.refunded,
        released=0 if is_open else payment.asked - payment.captured,
    )


def refund(n: int, amount: int = 3300, state: str = "succeeded", **more: Any) -> RefundFact:
    facts: dict[str, Any] = {
        "refund_id": f"SO-{n}-F1",
        "order_id": f"SO-{n}",
        "shipment_id": f"SO-{n}-1",
        "cause": "lost",
        "amount": amount,
        "state": state,
        "by_hand": False,
        "at": ago(days=3),
    }
    return RefundFact(**(facts | more))


REFUNDS = (refund(5),)


def operation(
    n: int, kind: str, value: int = 3300, state: str = "succeeded", subject: str = "", **more: Any
) -> OperationFact:
    subject = subject or f"SO-{n}-1"
    facts: dict[str, Any] = {
        "operation_key": f"SO-{n}:{kind}:{subject}:1",
        "order_id": f"SO-{n}",
        "kind": kind,
        "subject": subject,
        "amount": value,
        "state": state,
        "claimed_at": ago(days=3),
        "ended_at": None if state in ("claimed", "unknown") else ago(days=3),
        "payment_id": None if "label" in kind else f"SO-{n}:authorize:SO-{n}-1:1",
    }
    return OperationFact(**(facts | more))


OPERATIONS = (
    operation(1, "authorize", 7842),
    operation(1, "capture", 7842),
    operation(2, "authorize"),
    operation(2, "capture"),
    operation(3, "authorize"),
    operation(4, "authorize"),
    operation(4, "void", 0),
    operation(5, "authorize"),
    operation(5, "capture"),
    operation(5, "refund"),
    operation(6, "authorize", state="failed"),
    operation(7, "authorize"),
    *(operation(n, "buy_label", 0, subject=f"SO-{n}-P1") for n in (1, 2, 4, 5, 7)),
    operation(4, "void_label", 0, subject="SO-4-P1"),
)

# --- parcels ----------------------------------------------------------------------------------------


def parcel(n: int, carrier_status: str, **more: Any) -> ParcelFact:
    facts: dict[str, Any] = {
        "parcel_id": f"SO-{n}-P1",
        "order_id": f"SO-{n}",
        "shipment_id": f"SO-{n}-1",
        "weight_g": 900,
        "carrier_status": carrier_status,
        "address_hash": None if carrier_status == "pre_transit" else HOME.digest(),
        "flags": (),
        "handed_over_at": None,
        "latest_scan_at": None,
        "next_check_at": None,
        "delivered_at": None,
        "evidence": "driver_scan" if more.get("handed_over_at") else None,
        "handed_over_by": "dock-1" if more.get("handed_over_at") else None,
    }
    return ParcelFact(**(facts | more))


BENCHES = tuple(
    BenchFact(shipment_id=f"SO-{n}-1", sku="TENT", units=2 if n == 1 else 1, problem="") for n in (1, 2, 5, 7)
)
PARCELS = (
    parcel(
        1,
        "delivered",
        handed_over_at=ago(days=4),
        latest_scan_at=ago(hours=20),
        delivered_at=ago(hours=20),
    ),
    parcel(
        2,
        "in_transit",
        flags=("delayed",),
        handed_over_at=ago(days=2),
        latest_scan_at=ago(hours=5),
        next_check_at=ahead(days=1),
    ),
    parcel(4, "pre_transit"),
    parcel(5, "lost", handed_over_at=ago(days=4), latest_scan_at=ago(hours=3)),
    parcel(7, "pre_transit"),
)


def scan(n: int, status: str | None, at: datetime, flag: str | None = None) -> ScanFact:
    return ScanFact(
        parcel_id=f"SO-{n}-P1",
        status=status,
        flag=flag,
        reason="",
        code=status or "note",
        text="",
        place="Reno, NV",
        source="carrier",
        correction=False,
        occurred_at=at,
        received_at=at + timedelta(minutes=1),
    )


SCANS = (
    scan(1, "picked_up", ago(days=4)),
    scan(1, "delivered", ago(hours=20)),
    scan(2, "in_transit", ago(hours=9)),
    scan(2, "in_transit", ago(hours=5), "delayed"),
    scan(5, "picked_up", ago(days=4)),
    scan(5, "lost", ago(hours=3)),
)


def label(n: int, state: str, k: int = 1) -> LabelFact:
    return LabelFact(
        label_id=f"SO-{n}:buy_label:SO-{n}-P1:{k}",
        parcel_id=f"SO-{n}-P1",
        state=state,
        provider_shipment_ref=f"shp_{n}{k}",
        carrier="USPS",
        tracking_number=f"9400{n}{k}",
        cost=722,
        quoted_price=700,
        dearer=False,
        address_hash=HOME.digest(),
        created_at=ago(days=5),
    )


def listed(n: int, outcome: str, handed_over_at: datetime | None) -> ManifestFact:
    return ManifestFact(
        manifest_id=f"M-{outcome}",
        parcel_id=f"SO-{n}-P1",
        label_id=f"SO-{n}:buy_label:SO-{n}-P1:1",
        outcome=outcome,
        handed_over_at=handed_over_at,
    )


MANIFESTS = (listed(1, "left", ago(days=4)), listed(7, "listed", None))
LABELS = (label(1, "used"), label(2, "used"), label(4, "voided"), label(5, "used"), label(7, "live"))

# --- messages ---------------------------------------------------------------------------------------


def is_forgotten(order_id: str) -> bool:
    """Test whether an order's customer asked to be forgotten: the one of the fourth order did, in every copy of it."""
    return order_id.endswith("4")


def mailbox(order_id: str) -> str:
    return f"erased:{order_id}".lower() if is_forgotten(order_id) else f"{order_id}@example.com".lower()


def message(n: int, fact: str, subject: str = "", version: int = 1, **more: Any) -> MessageFact:
    facts: dict[str, Any] = {
        "notification_id": 0,
        "order_id": f"SO-{n}",
        "fact": fact,
        "subject": subject or f"SO-{n}",
        "version": version,
        "channel": "email",
        "recipient": md5(mailbox(f"SO-{n}").encode()).hexdigest(),
        "state": "sent",
        "why": "",
        "not_before": ago(days=2),
        "lease_until": None,
        "taken_at": ago(days=2),
        "zone": "Europe/Berlin",
    }
    return MessageFact(**(facts | more))


def _numbered(*messages: MessageFact) -> tuple[MessageFact, ...]:
    return tuple(replace(message, notification_id=n) for n, message in enumerate(messages, start=1))


MESSAGES = _numbered(
    *(message(n, "confirmed") for n in (1, 2, 3, 5, 7)),
    message(4, "confirmed", state="withdrawn", why="no longer true"),
    *(message(n, "shipped", f"SO-{n}-1") for n in (1, 2, 5)),
    message(1, "delivered", "SO-1-P1"),
    message(2, "delayed", "SO-2-1", 2, promise_date=DAY + timedelta(days=2)),
    message(4, "cancelled"),
    message(5, "lost", "SO-5-P1", state="dead", why="550 no such user"),
    message(6, "payment_declined", state="pending", why="451 later", not_before=ahead(hours=1)),
)


def event(number: int, state: str, why: str = "", subject: str = "9400nobody") -> EventFact:
    return EventFact(
        provider="easypost",
        event_id=f"evt_{number}",
        kind="tracker.updated",
        subject=subject,
        state=state,
        why=why,
        received_at=ago(days=1),
    )


EVENTS = (
    event(1, "applied", subject="940011"),
    event(2, "ignored", "its label is voided", "940041"),
    event(3, "unmatched", "no label has this number"),
)

BOOKS = Books(
    now=NOW,
    since=NOW,
    grace=timedelta(seconds=15),
    patience=timedelta(seconds=90),
    skew=timedelta(seconds=1),
    levels=(
        LevelFact(sku="TENT", location_id=RENO, on_hand=16, reserved=1, allocated=2, incoming=0),
        LevelFact(sku="LAMP", location_id=RENO, on_hand=1, reserved=0, allocated=1, incoming=4),
    ),
    movements=movement_sums(),
    reservations=tuple(
        ReservationFact(
            order_id=f"SO-{n}",
            sku="TENT",
            location_id=RENO,
            quantity=2 if n == 1 else 1,
            state="active" if n == 6 else "consumed",
            expires_at=ahead(minutes=9) if n == 6 else ago(days=6),
        )
        for n in range(1, 8)
    ),
    allocations=tuple(
        AllocationFact(shipment_id=shipment_id, sku=sku, location_id=RENO, quantity=n, state=state)
        for shipment_id, sku, n, state in (
            ("SO-1-1", "TENT", 2, "shipped"),
            ("SO-2-1", "TENT", 1, "shipped"),
            ("SO-2-2", "LAMP", 1, "active"),
            ("SO-3-1", "TENT", 1, "active"),
            ("SO-4-1", "TENT", 1, "released"),
            ("SO-5-1", "TENT", 1, "shipped"),
            ("SO-7-1", "TENT", 1, "active"),
        )
    ),
    backorders=(
        BackorderFact(
            order_id="SO-2",
            line_no=2,
            shipment_id="SO-2-2",
            sku="LAMP",
            location_id=RENO,
            quantity=2,
            filled=1,
            promise_date=DAY,
            state="waiting",
        ),
    ),
    replenishments=(
        ReplenishmentFact(
            replenishment_id="RO-1",
            sku="LAMP",
            location_id=RENO,
            quantity=5,
            received=1,
            state="partially_received",
        ),
    ),
    orders=ORDERS,
    lines=LINES,
    units=UNITS,
    substitutions=SUBSTITUTIONS,
    holds=HOLDS,
    cases=CASES,
    carrier_claims=CARRIER_CLAIMS,
    losses=LOSSES,
    promises=PROMISES,
    acts=ACTS,
    payments=PAYMENTS,
    shares=tuple(share_of(payment) for payment in PAYMENTS),
    refunds=REFUNDS,
    operations=OPERATIONS,
    shipments=SHIPMENTS,
    benches=BENCHES,
    manifests=MANIFESTS,
    parcels=PARCELS,
    labels=LABELS,
    scans=SCANS,
    messages=MESSAGES,
    forgotten=(ForgottenFact(order_id="SO-4", left=()),),
    events=EVENTS,
)


# --- the providers and Temporal ---------------------------------------------------------------------


def taken(n: int, state: str, *kinds: str, value: int = 3300, **more: int) -> LedgerPayment:
    return LedgerPayment(
        ref=f"pi_{n}",
        order_id=f"SO-{n}",
        state=state,
        authorized=value if "authorize" in kinds else 0,
        captured=value if "capture" in kinds else 0,
        refunded=value if "refund" in kinds else 0,
        effects=tuple(Effect(kind=kind, key=f"SO-{n}:{kind}:SO-{n}-1:1", amount=value) for kind in kinds),
        **more,
    )


def printed(n: int, state: str = "purchased", k: int = 1) -> LedgerLabel:
    return LedgerLabel(
        ref=f"shp_{n}{k}",
        reference=f"SO-{n}:buy_label:SO-{n}-P1:{k}",
        tracking_number=f"9400{n}{k}",
        cost=722,
        state=state,
    )


def mailed(message: MessageFact, accepted: int = 1) -> LedgerMessage:
    name = f"order-{message.order_id}.{message.fact}.{message.subject}.{message.version}"
    return LedgerMessage(message_id=f"<{name}@northwind.example>", accepted=accepted)


LEDGER = Ledger(
    payments=(
        taken(1, "succeeded", "authorize", "capture", value=7842),
        taken(2, "succeeded", "authorize", "capture"),
        taken(3, "requires_capture", "authorize"),
        taken(4, "canceled", "authorize", "void"),
        taken(5, "succeeded", "authorize", "capture", "refund"),
        taken(6, "requires_payment_method"),
        taken(7, "requires_capture", "authorize"),
    ),
    labels=(printed(1), printed(2), printed(4, "refund_submitted"), printed(5), printed(7)),
    messages=tuple(mailed(message) for message in MESSAGES if message.state == "sent"),
)
RUNS = Runs(runs=tuple(Run(order_id=f"SO-{n}", status="running") for n in (2, 3, 6, 7)))
CLEAN = Evidence(books=BOOKS, ledger=LEDGER, runs=RUNS)
