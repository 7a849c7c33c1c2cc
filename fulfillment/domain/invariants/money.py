"""Money: taken once, for what left, and never kept for what did not."""

from collections import Counter
from collections.abc import Iterator

from fulfillment.domain.carrier_claims import ClaimOutcome
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
from fulfillment.domain.refund import RefundCause, RefundState
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.substitution import SUBSTITUTED
from fulfillment.domain.tracking import CarrierStatus

_HOLDING = frozenset({PaymentStatus.AUTHORIZING, PaymentStatus.ACTION_REQUIRED, PaymentStatus.AUTHORIZED})
_GONE = frozenset({CarrierStatus.LOST, CarrierStatus.DESTROYED})
# What a carrier, or the dock, has said where money goes back for that.
_SEEN = {RefundCause.LOST: _GONE, RefundCause.RETURNED: frozenset({CarrierStatus.RETURNED})}
# The provider's words for a payment that holds money, or still may.
_HOLDING_THERE = frozenset({"requires_capture", "requires_action", "processing"})
_ONCE_PER_PAYMENT = frozenset({OperationKind.AUTHORIZE, OperationKind.CAPTURE, OperationKind.VOID})
# While one of these is open, it is decided whether the goods are sent again or their money goes back.
_TO_BE_MADE_GOOD = frozenset({"lost", "damaged", "not_received", "return_to_sender", "refused"})
# A case of one of these kinds names a difference that stands.
_NAMED_BY = frozenset({"capture_failed", "refund_failed", "operation_unknown", *_TO_BE_MADE_GOOD})


@invariant(
    "amounts add up",
    "I6",
    sees="orders",
    claim="lines, tax, shipping and fees are the total, and a shipment is worth its units and its fee",
    remedy="the order was stored with other amounts than it was placed with: compare it with the channel's copy",
)
def amounts_add_up(evidence: Evidence) -> Found:
    books = evidence.books
    lines = grouped(books.lines, lambda line: line.order_id)
    # What is sent instead bears the shipping of what it stands for.
    instead = {(one.order_id, one.line_no) for one in books.substitutions}
    fees: Counter[str] = Counter()
    for shipment in books.shipments:
        if shipment.work_status != WorkStatus.CANCELLED:
            fees[shipment.order_id] += shipment.fee
    violations = []
    for order in books.orders:
        of_order, fee = lines.get(order.order_id, []), fees[order.order_id]
        total = sum(line.worth(1, line.quantity) for line in of_order) + fee
        shares = (line.shipping_share for line in of_order if (order.order_id, line.line_no) not in instead)
        if total != order.total or sum(shares) != order.shipping_fee:
            violations.append(f"{order.order_id}: its lines add up to {total}, its total is {order.total}")
        if order.fees != fee:
            violations.append(f"{order.order_id}: its shipments bear fees of {fee}, it says {order.fees}")
    return Found(len(books.orders), violations + list(_misvalued(books)))


def _misvalued(books: Books) -> Iterator[str]:
    lines = {(line.order_id, line.line_no): line for line in books.lines}
    worth: Counter[str] = Counter()
    for units in books.units:
        line = lines.get((units.order_id, units.line_no))
        if units.shipment_id and line:
            worth[units.shipment_id] += line.worth(units.first_unit, units.quantity)
    for shipment in books.shipments:
        stands, due = shipment.work_status != WorkStatus.CANCELLED, worth[shipment.shipment_id] + shipment.fee
        if stands and shipment.value != due:
            yield f"{shipment.shipment_id}: worth {due}, booked as {shipment.value}"


@invariant(
    "shares add up",
    "I5 I6",
    sees="payments",
    claim="what each is for, took and gave back is the sum over its shipments, and nothing is held twice",
    remedy="compare the payment with the provider's and its operations, and correct the share that differs",
)
def shares_add_up(evidence: Evidence) -> Found:
    books = evidence.books
    shares = grouped(books.shares, lambda share: share.payment_id)
    violations = [
        f"{payment.payment_id}: {word} {getattr(payment, word)}, its shares add up to {total}"
        for payment in books.payments
        for word in ("asked", "captured", "refunded")
        if (total := sum(getattr(share, word) for share in shares.get(payment.payment_id, ())))
        != getattr(payment, word)
    ]
    return Found(len(books.payments), violations + list(_held_and_over(books)))


def _held_and_over(books: Books) -> Iterator[str]:
    payments = {payment.payment_id: payment for payment in books.payments}
    for share in books.shares:
        payment = payments.get(share.payment_id)
        still = share.asked - share.captured - share.released
        if payment and payment.status not in _HOLDING and still:
            yield f"{share.payment_id}: is {payment.status}, and {share.shipment_id} still counts on {still} of it"


@invariant(
    "refunds fit",
    "I5 I12",
    sees="refunds",
    claim="all that was asked for is no more than what was captured, and none is forgotten on its way or kept waiting",
    remedy="reject what is too much; pay by hand, or again, what the provider does not give back",
)
def refunds_fit(evidence: Evidence) -> Found:
    books = evidence.books
    captured: Counter[str] = Counter()
    for payment in books.payments:
        captured[payment.order_id] += payment.captured
    asked: Counter[str] = Counter()
    for refund in books.refunds:
        asked[refund.order_id] += refund.amount if refund.state != RefundState.REJECTED else 0
    violations = [
        f"{order_id}: {amount} is asked back of {captured[order_id]} captured"
        for order_id, amount in asked.items()
        if amount > captured[order_id]
    ]
    return Found(len(books.refunds), [*violations, *_forgotten(books), *_kept_waiting(books)])


def _forgotten(books: Books) -> Iterator[str]:
    under_way = {o.order_id for o in books.in_doubt() if o.kind == OperationKind.REFUND}
    named = {case.order_id for case in books.open_cases()}
    for refund in books.refunds:
        is_open = refund.state in (RefundState.APPROVED, RefundState.RUNNING)
        moves = refund.order_id in under_way or not books.stale(refund.at)
        if is_open and not moves and refund.order_id not in named:
            yield f"{refund.refund_id}: is {refund.state}, and nobody pays it"


def _kept_waiting(books: Books) -> Iterator[str]:
    """Name what waits for a second person though nothing of it reached the customer."""
    shipments = books.shipment_of()
    for refund in books.refunds:
        parts = [shipments[part] for part in refund.of_shipments if part in shipments]
        if refund.state == RefundState.REQUESTED and parts and all(_is_over(part, books) for part in parts):
            yield f"{refund.refund_id}: waits for a person, and nothing of it reached the customer"


def _is_over(shipment: ShipmentFact, books: Books) -> bool:
    failed = shipment.outcome in (Outcome.LOST, Outcome.RETURNED)
    ended = failed or shipment.work_status == WorkStatus.CANCELLED
    return ended and shipment.closed_at is not None and books.stale(shipment.closed_at)


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
    violations = [*repeated, *_done_over(evidence.books, ledger), *_other_amounts(evidence.books, effects)]
    return Found(len(effects), violations)


def _done_over(books: Books, ledger: Ledger) -> Iterator[str]:
    """Yield what happened to one payment more often than it can, under whatever keys."""
    refs = {payment.payment_id: payment.provider_ref for payment in books.payments}
    parts = Counter(refs.get(share.payment_id) for share in books.shares)
    for payment in ledger.payments:
        for kind, count in Counter(effect.kind for effect in payment.effects).items():
            once = parts[payment.ref] if kind == OperationKind.CAPTURE else 1
            if kind in _ONCE_PER_PAYMENT and count > max(once, 1):
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
    by_amount = {refund.order_id for refund in books.refunds if refund.shipment_id is None}
    named, too_much = _given_back_by_name(books)
    left = [shipment for shipment in books.shipments if shipment.left]
    owed, by_hand = _Owed(books), _ByHand(books)
    violations = []
    for shipment in left:
        captured, refunded = taken.get(shipment.shipment_id, (0, 0))
        if not captured or excuses.hold_for(shipment):
            continue
        due = owed.of(shipment, refunded, was_lost=shipment.shipment_id in lost_shipments)
        kept, most = captured - refunded, due
        if not due:
            kept -= by_hand.cover(shipment, kept)
        elif shipment.order_id in by_amount:
            # What a person gave back is the shop's to give: only what goes back of this one by name is judged.
            kept, most = captured - named[shipment.shipment_id], due + too_much[shipment.shipment_id]
        if not due <= kept <= most:
            violations.append(
                f"{shipment.shipment_id}: {excuses.money(captured, shipment)} captured, "
                f"{excuses.money(refunded, shipment)} given back, {excuses.money(due, shipment)} is due"
            )
    return Found(len(left), violations)


class _ByHand:
    """What persons paid past the provider without saying of which shipment: each covers what was kept once.

    It is of the payment that the provider was first asked to give it back from, or of whichever of its order.
    """

    def __init__(self, books: Books) -> None:
        kind = OperationKind.REFUND
        asked_of = {o.subject: o.payment_id for o in books.operations if o.kind == kind and o.payment_id}
        self._payments = grouped(books.shares, lambda share: share.shipment_id)
        self._paid: Counter[str] = Counter()
        for refund in books.refunds:
            if refund.by_hand and refund.shipment_id is None and refund.state == RefundState.SUCCEEDED:
                self._paid[asked_of.get(refund.refund_id) or refund.order_id] += refund.amount

    def cover(self, shipment: ShipmentFact, kept: int) -> int:
        """Return how much of what was kept for a shipment that nobody got went back by hand."""
        covered = 0
        payments = [share.payment_id for share in self._payments.get(shipment.shipment_id, ())]
        for source in (*payments, shipment.order_id):
            part = max(0, min(kept - covered, self._paid[source]))
            self._paid[source] -= part
            covered += part
        return covered


def _given_back_by_name(books: Books) -> tuple[Counter[str], Counter[str]]:
    """Return per shipment what went back for it, and what its payments had taken too much."""
    parts = grouped(books.shares, lambda share: share.payment_id)
    named: Counter[str] = Counter()
    too_much: Counter[str] = Counter()
    for refund in books.refunds:
        if refund.state == RefundState.SUCCEEDED and refund.shipment_id:
            named[refund.shipment_id] += refund.amount
        for share in parts.get(refund.payment_id or "", ()):
            too_much[share.shipment_id] += refund.amount
    return named, too_much


class _Owed:
    """What the customers get for the shipments they paid: their goods, or those that are sent again for nothing."""

    def __init__(self, books: Books) -> None:
        self._lines = {(line.order_id, line.line_no): line for line in books.lines}
        self._units = grouped(books.units, lambda units: units.shipment_id)
        self._roots = {(one.order_id, one.line_no): one for one in books.replacements}
        self._gone = {s.shipment_id for s in books.shipments if _is_gone(s)}
        self.coming = Counter(
            unit
            for shipment in books.shipments
            if shipment.shipment_id not in self._gone and shipment.work_status != WorkStatus.CANCELLED
            for unit in self._paid_units(shipment)
        )

    def of(self, shipment: ShipmentFact, refunded: int, *, was_lost: bool) -> int:
        """Return what the shop may keep. A parcel found again after its money was given back is the customer's."""
        if shipment.shipment_id in self._gone:
            kept = [unit for unit in self._paid_units(shipment) if unit in self.coming]
            worth = sum(self._lines[order_id, n].worth(unit, 1) for order_id, n, unit in kept)
            return worth + (shipment.fee if kept else 0)
        return 0 if was_lost and refunded == shipment.value else shipment.value

    def worth(self, shipment: ShipmentFact) -> int:
        """Return what a shipment's goods cost the customer: sent again for nothing, what they stand for did."""
        units = self._paid_units(shipment)
        return shipment.value or sum(self._lines[order_id, n].worth(unit, 1) for order_id, n, unit in units)

    def _paid_units(self, shipment: ShipmentFact) -> Iterator[tuple[str, int, int]]:
        """Yield its units under the numbers of those that were paid."""
        for units in self._units.get(shipment.shipment_id, ()):
            root = self._roots.get((units.order_id, units.line_no))
            line = root.root_line if root else units.line_no
            first = root.root_unit + units.first_unit - 1 if root else units.first_unit
            for unit in range(first, first + units.quantity):
                yield units.order_id, line, unit


def _is_gone(shipment: ShipmentFact) -> bool:
    return shipment.settled is not None or shipment.outcome in (Outcome.LOST, Outcome.RETURNED)


@invariant(
    "sent again once",
    "I1 I5",
    sees="units that customers get",
    claim="each is in one shipment that reaches them or may still, first sent or sent again, and in no second one",
    remedy="stop one of the two while it is here; after that ask the customer to send one back",
)
def sent_again_once(evidence: Evidence) -> Found:
    owed = _Owed(evidence.books)
    violations = [
        f"{order_id}: unit {unit} of line {line_no} is sent {times} times"
        for (order_id, line_no, unit), times in owed.coming.items()
        if times > 1
    ]
    return Found(len(owed.coming), violations)


@invariant(
    "equals stand for units",
    "I1 I6",
    sees="lines of listed equals",
    claim="each stands for units that are cancelled for it and for no other, and costs no more than they did",
    remedy="give back what was too much, or write the line down from which the units were taken",
)
def equals_stand_for_units(evidence: Evidence) -> Found:
    books = evidence.books
    lines = {(line.order_id, line.line_no): line for line in books.lines}
    stood_for: Counter[tuple[str, int, int]] = Counter()
    violations = []
    for one in books.substitutions:
        line, root = lines[one.order_id, one.line_no], lines[one.order_id, one.root_line]
        units = range(one.root_unit, one.root_unit + line.quantity)
        stood_for.update((one.order_id, one.root_line, unit) for unit in units)
        costs, cost = line.worth(1, line.quantity), root.worth(one.root_unit, line.quantity)
        if costs > cost:
            violations.append(
                f"{one.order_id}: line {one.line_no} costs {costs}, what it stands for cost {cost}"
            )
    replaced = Counter(
        (units.order_id, units.line_no, unit)
        for units in books.units
        if units.cancelled_reason == SUBSTITUTED
        for unit in range(units.first_unit, units.first_unit + units.quantity)
    )
    for order_id, line_no, unit in sorted((stood_for - replaced) | (replaced - stood_for)):
        times = stood_for[order_id, line_no, unit]
        violations.append(f"{order_id}: {times} equals stand for unit {unit} of line {line_no}")
    return Found(len(books.substitutions), violations)


def _taken(evidence: Evidence) -> dict[str, tuple[int, int]]:
    """Return what was captured and given back per shipment: by the provider's word where there is one."""
    ledger = evidence.readable_ledger
    there = {payment.ref: payment for payment in ledger.payments} if ledger else {}
    taken: dict[str, tuple[int, int]] = {}
    payments = {payment.payment_id: payment for payment in evidence.books.payments}
    parts = Counter(share.payment_id for share in evidence.books.shares)
    for share in evidence.books.shares:
        ref = payments[share.payment_id].provider_ref if share.payment_id in payments else ""
        # The provider does not know what of a payment is for which shipment.
        said = there.get(ref or "", share) if parts[share.payment_id] == 1 else share
        captured, refunded = taken.get(share.shipment_id, (0, 0))
        taken[share.shipment_id] = captured + said.captured, refunded + said.refunded
    for refund in evidence.books.refunds:
        if refund.by_hand and refund.shipment_id is not None:
            captured, refunded = taken.get(refund.shipment_id, (0, 0))
            taken[refund.shipment_id] = captured, refunded + refund.amount
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
    payments = {payment.payment_id: payment for payment in books.payments}
    shares = grouped(books.shares, lambda share: share.shipment_id)
    left = [s for s in books.shipments if s.left and s.value > 0]
    violations = []
    for shipment in left:
        held = sum(
            share.asked
            for share in shares.get(shipment.shipment_id, ())
            if share.payment_id in payments and _held(payments[share.payment_id], shipment, books)
        )
        money = excuses.money(shipment.value, shipment)
        by_hand = shipment.handed_by != "carrier"  # what a carrier took by itself nobody could keep back
        if by_hand and held < shipment.value:
            violations.append(f"{shipment.shipment_id}: left while no {money} was held for it")
        elif not taken.get(shipment.shipment_id, (0, 0))[0] and not excuses.hold_for(shipment):
            violations.append(f"{shipment.shipment_id}: left, and its {money} was never captured")
    return Found(len(left), violations)


def _held(payment: PaymentFact, shipment: ShipmentFact, books: Books) -> bool:
    """Test whether this payment held money when the shipment left."""
    at = shipment.handed_over_at
    return (
        at is not None
        and payment.authorized > 0
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
    ended = {order.order_id for order in books.orders if order.ended}
    stayed = [shipment for shipment in books.shipments if not shipment.left]
    violations = []
    for shipment in stayed:
        captured, refunded = taken.get(shipment.shipment_id, (0, 0))
        # An early capture is for goods that still go.
        goes = shipment.work_status != WorkStatus.CANCELLED and shipment.order_id not in ended
        if captured != refunded and not goes and not excuses.hold_for(shipment):
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


@invariant(
    "money goes back for what happened",
    "I5",
    sees="refunds",
    claim="none is called lost, or come back, for an order of which nothing was",
    remedy="a customer was told what is not so: write to them, and find what decided it",
)
def given_back_for_what_happened(evidence: Evidence) -> Found:
    books = evidence.books
    order_of = {parcel.parcel_id: parcel.order_id for parcel in books.parcels}
    happened = {(shipment.order_id, shipment.outcome) for shipment in books.shipments}
    happened |= {(order_of[scan.parcel_id], scan.status) for scan in books.scans}
    violations = [
        f"{refund.refund_id}: gives back for what is {refund.cause}, and nothing of {refund.order_id} was"
        for refund in books.refunds
        if refund.shipment_id is not None  # else a person said why
        and (words := _SEEN.get(RefundCause(refund.cause)))
        and not any((refund.order_id, word) in happened for word in words)
    ]
    return Found(len(books.refunds), violations)


@invariant(
    "claims against carriers are kept",
    "I14",
    sees="claims",
    claim="each that is open has somebody who files it, and each that is closed says what came of it",
    remedy="end it with `./waybill end-claim`: what was paid, or why nothing was",
)
def carrier_claims_kept(evidence: Evidence) -> Found:
    books = evidence.books
    cases = {case.case_id: case.state for case in books.cases if case.kind == "carrier_claim"}
    claims = {claim.case_id: claim for claim in books.carrier_claims}
    violations = [f"{case_id}: is a case without a claim" for case_id in sorted(cases.keys() - claims.keys())]
    for case_id, claim in claims.items():
        is_open = cases.get(case_id, "resolved") != "resolved"
        if is_open != (claim.outcome is None):
            said = f"ended: {claim.outcome}" if claim.outcome else "open"
            violations.append(f"{case_id}: is {said}, and its case is {cases.get(case_id, 'gone')}")
        if (claim.outcome == "paid") != (claim.paid > 0):
            violations.append(f"{case_id}: is {claim.outcome}, and {claim.paid} were paid")
    return Found(len(claims), violations)


@invariant(
    "no loss goes unclaimed",
    "I14",
    sees="shipments that a carrier lost or broke",
    claim="each that cost something is claimed from the carrier, was, or turned up again",
    remedy="file it with the carrier named on the label while it still takes claims, and find out who settled it",
)
def no_loss_goes_unclaimed(evidence: Evidence) -> Found:
    books, owed = evidence.books, _Owed(evidence.books)
    ended = {order.order_id for order in books.orders if order.ended}
    parcels, told = books.parcel_of(), {loss.shipment_id: loss.cause for loss in books.losses}
    claims = grouped(books.carrier_claims, lambda claim: claim.parcel_id)
    lost, violations = 0, []
    for shipment in books.shipments:
        is_lost = shipment.outcome == Outcome.LOST and shipment.order_id in ended
        if not (is_lost or shipment.shipment_id in told) or not owed.worth(shipment):
            continue
        lost += 1
        of_it = claims.get(parcels[shipment.shipment_id].parcel_id, [])
        # What turned up and is lost all the same was lost once more.
        if all(is_lost and claim.outcome == ClaimOutcome.FOUND for claim in of_it):
            cause = told.get(shipment.shipment_id, Outcome.LOST)
            violations.append(f"{shipment.shipment_id}: is {cause}, and nobody claims it from the carrier")
    return Found(lost, violations)
