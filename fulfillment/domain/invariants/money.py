"""Money: taken once, for what left, and never kept for what did not."""

from collections import Counter
from collections.abc import Iterator

from fulfillment.domain.invariants.check import Found, invariant
from fulfillment.domain.invariants.facts import (
    Books,
    Effect,
    Evidence,
    Ledger,
    OperationFact,
    PaymentFact,
    ShipmentFact,
    grouped,
)
from fulfillment.domain.money import format_minor
from fulfillment.domain.order import Outcome
from fulfillment.domain.payment import OperationKind, PaymentStatus
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.tracking import CarrierStatus

_HOLDING = frozenset({PaymentStatus.AUTHORIZING, PaymentStatus.ACTION_REQUIRED, PaymentStatus.AUTHORIZED})
_GONE = frozenset({CarrierStatus.LOST, CarrierStatus.DESTROYED})
# The provider's words for a payment that holds money, or still may.
_HOLDING_THERE = frozenset({"requires_capture", "requires_action", "processing"})
_ONCE_PER_PAYMENT = frozenset({OperationKind.AUTHORIZE, OperationKind.CAPTURE, OperationKind.VOID})
# A case of one of these kinds names a difference that stands.
_NAMED_BY = frozenset({"capture_failed", "refund_failed", "operation_unknown"})


@invariant(
    "amounts add up",
    "I6",
    sees="orders",
    claim="lines, tax and shipping are the total, and a shipment is worth its units",
    remedy="the order was stored with other amounts than it was placed with: compare it with the channel's copy",
)
def amounts_add_up(evidence: Evidence) -> Found:
    books = evidence.books
    lines = grouped(books.lines, lambda line: line.order_id)
    violations = []
    for order in books.orders:
        of_order = lines.get(order.order_id, [])
        total = sum(line.worth(1, line.quantity) for line in of_order)
        if total != order.total or sum(line.shipping_share for line in of_order) != order.shipping_fee:
            violations.append(f"{order.order_id}: its lines add up to {total}, its total is {order.total}")
    return Found(len(books.orders), violations + list(_misvalued(books)))


def _misvalued(books: Books) -> Iterator[str]:
    lines = {(line.order_id, line.line_no): line for line in books.lines}
    worth: Counter[str] = Counter()
    for units in books.units:
        line = lines.get((units.order_id, units.line_no))
        if units.shipment_id and line:
            worth[units.shipment_id] += line.worth(units.first_unit, units.quantity)
    values = {shipment.shipment_id: shipment.value for shipment in books.shipments}
    for shipment in books.shipments:
        stands = shipment.work_status != WorkStatus.CANCELLED
        if stands and shipment.value != worth[shipment.shipment_id]:
            yield f"{shipment.shipment_id}: worth {worth[shipment.shipment_id]}, booked as {shipment.value}"
    for payment in books.payments:
        if payment.asked != values.get(payment.shipment_id):
            yield f"{payment.payment_id}: asks {payment.asked} for {values.get(payment.shipment_id)}"


@invariant(
    "money once",
    "I7",
    sees="operations",
    claim="each key took effect at most once, for its own amount",
    remedy="refund what was taken twice at the provider, then find why its key did not protect it",
)
def money_once(evidence: Evidence) -> Found:
    if (ledger := evidence.readable_ledger) is None:
        return Found(0, [], "there is no ledger to look into")
    effects = [effect for payment in ledger.payments for effect in payment.effects]
    times = Counter(effect.operation_key for effect in effects if effect.key)
    repeated = [f"{key}: took effect {count} times" for key, count in times.items() if count > 1]
    violations = [*repeated, *_done_over(ledger), *_other_amounts(evidence.books, effects)]
    return Found(len(effects), violations)


def _done_over(ledger: Ledger) -> Iterator[str]:
    """Yield what happened to one payment more often than it can, under whatever keys."""
    for payment in ledger.payments:
        for kind, count in Counter(effect.kind for effect in payment.effects).items():
            if kind in _ONCE_PER_PAYMENT and count > 1:
                yield f"{payment.ref} of {payment.order_id}: {kind} {count} times"


def _other_amounts(books: Books, effects: list[Effect]) -> Iterator[str]:
    operations = {operation.operation_key: operation for operation in books.operations}
    for effect in effects:
        operation = operations.get(effect.operation_key)
        if operation and operation.kind != effect.kind:
            yield f"{effect.key}: was a {operation.kind}, the provider did a {effect.kind}"
        # What a void lets go of is the provider's to know: ours asks for no amount.
        elif operation and effect.kind != OperationKind.VOID and operation.amount != effect.amount:
            yield f"{effect.key}: asked for {operation.amount}, the provider did {effect.amount}"


@invariant(
    "captured what shipped",
    "I5",
    sees="shipments that left",
    claim="what was captured less what was given back is the value handed over and kept",
    remedy="capture or refund the difference by the support desk, or open a case that names it",
)
def captured_what_shipped(evidence: Evidence) -> Found:
    """What was never captured at all is found by `nothing_shipped_unpaid`."""
    books, taken = evidence.books, _taken(evidence)
    lost = {scan.parcel_id for scan in books.scans if scan.status in _GONE}
    lost_shipments = {parcel.shipment_id for parcel in books.parcels if parcel.parcel_id in lost}
    excuses = _Excuses(books)
    left = [shipment for shipment in books.shipments if shipment.left]
    violations = []
    for shipment in left:
        captured, refunded = taken.get(shipment.shipment_id, (0, 0))
        due = _due(shipment, refunded, was_lost=shipment.shipment_id in lost_shipments)
        if captured and captured - refunded != due and not excuses.hold_for(shipment):
            violations.append(
                f"{shipment.shipment_id}: {excuses.money(captured, shipment)} captured, "
                f"{excuses.money(refunded, shipment)} given back, {excuses.money(due, shipment)} is due"
            )
    return Found(len(left), violations)


def _due(shipment: ShipmentFact, refunded: int, *, was_lost: bool) -> int:
    """Return what the shop may keep. A parcel found again after its money was given back is the customer's."""
    if shipment.outcome in (Outcome.LOST, Outcome.RETURNED):
        return 0
    return 0 if was_lost and refunded == shipment.value else shipment.value


def _taken(evidence: Evidence) -> dict[str, tuple[int, int]]:
    """Return what was captured and given back per shipment: by the provider's word where there is one."""
    ledger = evidence.readable_ledger
    there = {payment.ref: payment for payment in ledger.payments} if ledger else {}
    taken: dict[str, tuple[int, int]] = {}
    for payment in evidence.books.payments:
        said = there.get(payment.provider_ref or "", payment)
        captured, refunded = taken.get(payment.shipment_id, (0, 0))
        taken[payment.shipment_id] = captured + said.captured, refunded + said.refunded
    return taken


class _Excuses:
    """Why money of a shipment may not be right yet: it is on its way, or a case names the difference."""

    def __init__(self, books: Books) -> None:
        self._books, self._orders = books, books.order_of()
        self._moving = {operation.subject for operation in books.in_doubt()}
        self._named = {case.subject for case in books.open_cases() if case.kind in _NAMED_BY}
        self._parcels = {shipment_id: parcel.parcel_id for shipment_id, parcel in books.parcel_of().items()}

    def hold_for(self, shipment: ShipmentFact) -> bool:
        """Test whether there is one. After its order's end only a case is."""
        subjects = {shipment.shipment_id, shipment.order_id, self._parcels.get(shipment.shipment_id, "")}
        if subjects & self._named:
            return True
        order = self._orders.get(shipment.order_id)
        return (order is None or not order.ended) and (
            shipment.shipment_id in self._moving
            or self._books.recent(shipment.handed_over_at)
            or self._books.recent(shipment.closed_at)
        )

    def money(self, minor: int, shipment: ShipmentFact) -> str:
        """Return an amount as people write it."""
        order = self._orders.get(shipment.order_id)
        return format_minor(minor, order.currency if order else "")


@invariant(
    "nothing shipped unpaid",
    "I8",
    sees="shipments that left",
    claim="money was held for each when it left, and was then captured, or a case says why not",
    remedy="ask the customer for the money: retry the payment from the support desk",
)
def nothing_shipped_unpaid(evidence: Evidence) -> Found:
    books, taken, excuses = evidence.books, _taken(evidence), _Excuses(evidence.books)
    payments = grouped(books.payments, lambda payment: payment.shipment_id)
    left = [s for s in books.shipments if s.left and s.value > 0]
    violations = []
    for shipment in left:
        attempts = payments.get(shipment.shipment_id, [])
        money = excuses.money(shipment.value, shipment)
        by_hand = shipment.handed_by != "carrier"  # what a carrier took by itself nobody could keep back
        if by_hand and not any(_covers(payment, shipment, books) for payment in attempts):
            violations.append(f"{shipment.shipment_id}: left while no {money} was held for it")
        elif not taken.get(shipment.shipment_id, (0, 0))[0] and not excuses.hold_for(shipment):
            violations.append(f"{shipment.shipment_id}: left, and its {money} was never captured")
    return Found(len(left), violations)


def _covers(payment: PaymentFact, shipment: ShipmentFact, books: Books) -> bool:
    """Test whether this payment held the shipment's money when it left."""
    at = shipment.handed_over_at
    return (
        at is not None
        and payment.authorized >= shipment.value
        and payment.created_at <= at + books.skew
        and (payment.expires_at is None or payment.expires_at > at - books.skew)
    )


@invariant(
    "nothing paid and kept back",
    "I23",
    sees="shipments that did not leave",
    claim="no money was captured for any of them and kept",
    remedy="refund the shipment named, by the support desk",
)
def nothing_paid_and_kept_back(evidence: Evidence) -> Found:
    books, taken, excuses = evidence.books, _taken(evidence), _Excuses(evidence.books)
    stayed = [shipment for shipment in books.shipments if not shipment.left]
    violations = []
    for shipment in stayed:
        captured, refunded = taken.get(shipment.shipment_id, (0, 0))
        if captured != refunded and not excuses.hold_for(shipment):
            violations.append(
                f"{shipment.shipment_id}: is {shipment.work_status}, {excuses.money(captured, shipment)} captured, "
                f"{excuses.money(refunded, shipment)} given back"
            )
    return Found(len(stayed), violations)


@invariant(
    "no authorization left open",
    "I20",
    sees="payments of ended orders",
    claim="none holds the customer's money any more, here or at the provider",
    remedy="void the authorization named at the provider; it would run out by itself in days",
)
def no_authorization_left_open(evidence: Evidence) -> Found:
    books = evidence.books
    orders = books.order_of()
    ended = {order_id: order for order_id, order in orders.items() if order.ended}
    ours = [payment for payment in books.payments if payment.order_id in ended]
    violations = [
        f"{payment.payment_id}: is {payment.status}, its order {ended[payment.order_id].status}"
        for payment in ours
        if payment.status in _HOLDING and not _ran_out(payment, books)
    ]
    ledger = evidence.readable_ledger or Ledger()
    violations += [
        f"{there.ref} at the provider: is {there.state}, {there.order_id} is {ended[there.order_id].status}"
        for there in ledger.payments
        if there.order_id in ended and there.state in _HOLDING_THERE
    ]
    return Found(len(ours), violations)


def _ran_out(payment: PaymentFact, books: Books) -> bool:
    return payment.expires_at is not None and payment.expires_at <= books.now


@invariant(
    "nothing left in doubt",
    "I7",
    sees="operations",
    claim="every ended order knows the outcome of all it asked for, and no doubt lasts without a case",
    remedy="ask the provider: the reconciliation does so by itself; if it cannot, look the key up by hand",
)
def nothing_left_in_doubt(evidence: Evidence) -> Found:
    books = evidence.books
    ended = {order.order_id for order in books.orders if order.ended}
    named = {case.order_id for case in books.open_cases() if case.order_id}
    violations = [
        f"{operation.operation_key}: is {operation.state} since {operation.claimed_at:%Y-%m-%d %H:%M}, {why}"
        for operation in books.in_doubt()
        if (why := _why_wrong(operation, books, ended, named))
    ]
    return Found(len(books.operations), violations)


def _why_wrong(operation: OperationFact, books: Books, ended: set[str], named: set[str]) -> str:
    if operation.order_id in ended:
        return "its order has ended"
    if books.stale(operation.claimed_at) and operation.order_id not in named:
        return "and no case names it"
    return ""


@invariant(
    "never both",
    "I10",
    sees="shipments",
    claim="none was handed over and also cancelled, or refunded before it left",
    remedy="the customer has goods and money: write it off or ask for the goods back, then find the race",
)
def never_both(evidence: Evidence) -> Found:
    books = evidence.books
    given_back = {
        operation.subject: operation
        for operation in books.operations
        if operation.kind == OperationKind.REFUND and operation.state == "succeeded"
    }
    violations = [
        f"{shipment.shipment_id}: {why}"
        for shipment in books.shipments
        if (why := _both(shipment, given_back.get(shipment.shipment_id), books))
    ]
    return Found(len(books.shipments), violations)


def _both(shipment: ShipmentFact, refund: OperationFact | None, books: Books) -> str:
    left_at = shipment.handed_over_at
    if left_at is None:
        return ""
    if not shipment.left:
        return f"was handed over and is {shipment.work_status}"
    if refund and (refund.ended_at or refund.claimed_at) < left_at - books.skew:
        return f"was refunded by {refund.operation_key} before it left"
    return ""
