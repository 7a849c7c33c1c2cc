"""Stock: nothing is promised twice, and every counter can be explained."""

from collections import Counter
from collections.abc import Iterator, Mapping

from fulfillment.domain.invariants.check import Found, invariant
from fulfillment.domain.invariants.facts import (
    AllocationFact,
    BackorderFact,
    Books,
    Evidence,
    LevelFact,
    MovementFact,
    OrderFact,
    RejectionFact,
    ShipmentFact,
)
from fulfillment.domain.inventory import BUCKETS, EFFECT, TAKEN, Movement
from fulfillment.domain.order import UNPAID, OrderStatus
from fulfillment.domain.payment import OperationKind, OperationState, PaymentStatus
from fulfillment.domain.policy import DEFAULT
from fulfillment.domain.replenishment import COMING, ReplenishmentState
from fulfillment.domain.reservation import ReservationState
from fulfillment.domain.shipment import WorkStatus

Place = tuple[str, str]
_MAY_RESERVE = frozenset(
    {OrderStatus.RECEIVED, OrderStatus.RESERVED, OrderStatus.PAYMENT_FAILED, OrderStatus.CANCELLING}
)
_MONEY_HELD = (
    PaymentStatus.AUTHORIZING,
    PaymentStatus.ACTION_REQUIRED,
    PaymentStatus.AUTHORIZED,
    PaymentStatus.CAPTURED,
)
_IN_DOUBT = (OperationState.CLAIMED, OperationState.UNKNOWN)
# Whether something of an order to a vendor came, and whether all of it did.
_R = ReplenishmentState
_SAYS: Mapping[tuple[bool, bool], frozenset[ReplenishmentState]] = {
    (False, False): frozenset({_R.SUGGESTED, _R.ORDERED, _R.CANCELLED}),
    (True, False): frozenset({_R.PARTIALLY_RECEIVED, _R.CANCELLED}),
    (True, True): frozenset({_R.RECEIVED}),
}


@invariant(
    "no oversell",
    "I3",
    sees="stock levels",
    claim="none promises more than is on hand, none is negative",
    remedy="count the shelf, post an adjustment, and cancel or re-source the youngest claims",
)
def no_oversell(evidence: Evidence) -> Found:
    levels = evidence.books.levels
    return Found(len(levels), [problem for level in levels for problem in _oversold(level)])


def _oversold(level: LevelFact) -> Iterator[str]:
    for bucket in BUCKETS:
        if (count := getattr(level, bucket)) < 0:
            yield f"{level.sku} at {level.location_id}: {bucket} is {count}"
    if (promised := sum(getattr(level, bucket) for bucket in TAKEN)) > level.on_hand:
        yield f"{level.sku} at {level.location_id}: {promised} promised, {level.on_hand} on hand"


@invariant(
    "counters equal movements",
    "I3",
    sees="counters",
    claim="each is the sum of its movements",
    remedy="something wrote a counter without a movement, or the reverse: find it, then post an adjustment",
)
def counters_equal_movements(evidence: Evidence) -> Found:
    books = evidence.books
    folded: Counter[tuple[str, str, str]] = Counter()
    for movement in books.movements:
        for bucket in BUCKETS:
            folded[movement.sku, movement.location_id, bucket] += getattr(movement, bucket)
    kept = {(x.sku, x.location_id, bucket): getattr(x, bucket) for x in books.levels for bucket in BUCKETS}
    violations = [
        f"{sku} at {location}: {bucket} says {kept.get((sku, location, bucket), 0)}, "
        f"its movements say {folded[sku, location, bucket]}"
        for sku, location, bucket in sorted(kept.keys() | folded.keys())
        if kept.get((sku, location, bucket), 0) != folded[sku, location, bucket]
    ]
    return Found(len(kept), violations + [odd for m in books.movements for odd in _misshapen(m)])


def _misshapen(moved: MovementFact) -> Iterator[str]:
    """Yield what a kind of movement did to a bucket that it must not touch, or not so much."""
    if moved.kind not in tuple(Movement):
        yield f"{moved.sku} at {moved.location_id}: there is no movement {moved.kind}"
        return
    effect = EFFECT[Movement(moved.kind)]
    first, factor = next(iter(effect.items()))
    units = getattr(moved, first) * factor
    for bucket in BUCKETS:
        if getattr(moved, bucket) != (due := effect.get(bucket, 0) * units):
            yield (
                f"{moved.sku} at {moved.location_id}: {moved.kind} changed {bucket} by {getattr(moved, bucket)}, "
                f"not by {due}"
            )


@invariant(
    "stock moved once",
    "I15",
    sees="movements",
    claim="no operation moved the same goods twice",
    remedy="the second movement is wrong: post its opposite as an adjustment, with the operation as its reason",
)
def stock_moved_once(evidence: Evidence) -> Found:
    books = evidence.books
    violations = [
        f"{twice.operation_key}: {twice.kind} of {twice.sku} at {twice.location_id} {twice.times} times"
        for twice in books.repeated_movements
    ]
    return Found(sum(moved.movements for moved in books.movements), violations)


@invariant(
    "what was taken out lies where its reason says",
    "I3",
    sees="shipments",
    claim="units that could not leave are where their reason puts them, and a shelf that was short is counted",
    remedy="look for the units at their shelf, and post what is missing with the rejection as its reason",
)
def taken_out_as_said(evidence: Evidence) -> Found:
    books = evidence.books
    violations = [
        f"{taken.rejection_id}: {taken.units} {taken.reason} taken out of {taken.shipment_id}, {why}"
        for taken in books.rejections
        if (why := _misplaced(taken))
    ]
    return Found(len(books.shipments), violations)


_LIES_IN = {
    "not_found": "held",
    "mismatch": "gone",
    "damaged": "damaged",
    "worn": "damaged",
    "quality_doubt": "quarantine",
    "expired": "quarantine",
    "recalled": "quarantine",
}
_TO_BE_COUNTED = ("not_found", "mismatch")


def _misplaced(taken: RejectionFact) -> str:
    where = {name: getattr(taken, name) for name in ("damaged", "quarantine", "held", "gone")}
    expected = dict.fromkeys(where, 0) | {_LIES_IN[taken.reason]: taken.units}
    if where != expected:
        return ", ".join(f"{count} {name}" for name, count in where.items() if count) or "none moved"
    return "" if taken.is_counted or taken.reason not in _TO_BE_COUNTED else "and nobody counts"


@invariant(
    "promises match the counters",
    "I1 I3",
    sees="stock levels",
    claim="reserved, allocated, shipped, incoming and in transfer are exactly what is claimed, owed and under way",
    remedy="a claim without its counter, or the reverse: compare the claims of the SKU with its movements",
)
def promises_match_counters(evidence: Evidence) -> Found:
    books = evidence.books
    claimed = _claimed(books)
    shipped = Counter(
        {(m.sku, m.location_id): -m.on_hand for m in books.movements if m.kind == Movement.SHIPPED}
    )
    violations = _differing("allocations shipped", "movements shipped", claimed["shipped"], shipped)
    for bucket in ("reserved", "allocated", "incoming", "in_transfer"):
        kept = Counter({(x.sku, x.location_id): getattr(x, bucket) for x in books.levels})
        violations += _differing(f"claims on {bucket}", "counter", claimed[bucket], kept)
    return Found(len(books.levels), violations)


@invariant(
    "vendors' orders say what came",
    "I11",
    sees="orders to vendors",
    claim="the state of each says whether none, some or all of it came",
    remedy="compare the receipts of the order with its movements, and correct its state",
)
def vendors_orders_say_what_came(evidence: Evidence) -> Found:
    orders = evidence.books.replenishments
    violations = [
        f"{o.replenishment_id}: is {o.state}, and {o.received} of {o.quantity} came"
        for o in orders
        if o.state not in _SAYS[o.received > 0, o.received >= o.quantity]
    ]
    return Found(len(orders), violations)


def _claimed(books: Books) -> dict[str, Counter[Place]]:
    claimed: dict[str, Counter[Place]] = {
        name: Counter() for name in ("reserved", "allocated", "shipped", "incoming", "in_transfer")
    }
    for held in books.reservations:
        if held.state == "active":
            claimed["reserved"][held.sku, held.location_id] += held.quantity
    for allocation in books.allocations:
        if bucket := {"active": "allocated", "shipped": "shipped"}.get(allocation.state):
            claimed[bucket][allocation.sku, allocation.location_id] += allocation.quantity
    for ordered in books.replenishments:
        if ordered.state in COMING:
            claimed["incoming"][ordered.sku, ordered.location_id] += ordered.quantity - ordered.received
    for sent in books.transfers:
        claimed["in_transfer"][sent.sku, sent.to_location] += sent.quantity - sent.received - sent.lost
    return claimed


@invariant(
    "transfers balance",
    "I4",
    sees="stock levels and transfers",
    claim="what left one location has arrived at the other, is under way, or is a recorded difference",
    remedy="compare the transfer with its movements, then post what is missing as an adjustment with its id",
)
def transfers_balance(evidence: Evidence) -> Found:
    books = evidence.books
    out, lost = Counter[Place](), Counter[Place]()
    for sent in books.transfers:
        out[sent.sku, sent.from_location] += sent.quantity
        lost[sent.sku, sent.to_location] += sent.lost
    moved = {kind: Counter[Place]() for kind in (Movement.TRANSFERRED_OUT, Movement.TRANSFER_LOST)}
    for m in books.movements:
        if m.kind in moved:
            moved[Movement(m.kind)][m.sku, m.location_id] -= m.on_hand + m.in_transfer
    violations = _differing("transfers sent", "movements", out, moved[Movement.TRANSFERRED_OUT])
    violations += _differing("transfers lost", "movements", lost, moved[Movement.TRANSFER_LOST])
    violations += [
        f"{sent.transfer_id}: is {sent.state} with {under_way} units under way"
        for sent in books.transfers
        if ((under_way := sent.quantity - sent.received - sent.lost) > 0) != (sent.state == "under_way")
    ]
    return Found(len(books.levels) + len(books.transfers), violations)


def _differing(ours: str, theirs: str, left: Counter[Place], right: Counter[Place]) -> list[str]:
    return [
        f"{sku} at {location}: {ours} {left[sku, location]}, {theirs} {right[sku, location]}"
        for sku, location in sorted(left.keys() | right.keys())
        if left[sku, location] != right[sku, location]
    ]


@invariant(
    "every unit in one place",
    "I1",
    sees="order lines",
    claim="every unit is in exactly one shipment that lives, or cancelled",
    remedy="cancel the lost units of the order and give their money back, or ship them again",
)
def every_unit_once(evidence: Evidence) -> Found:
    books = evidence.books
    waiting = {order.order_id for order in books.orders if order.status == OrderStatus.RECEIVED}
    lines = [line for line in books.lines if line.order_id not in waiting]
    quantity = {(line.order_id, line.line_no): line.quantity for line in lines}
    spans: dict[tuple[str, int], list[tuple[int, int]]] = {key: [] for key in quantity}
    for units in books.units:
        spans.setdefault((units.order_id, units.line_no), []).append((units.first_unit, units.quantity))
    violations = [
        f"{order_id} line {line_no}: {quantity.get((order_id, line_no), 0)} units ordered, found {_words(found)}"
        for (order_id, line_no), found in sorted(spans.items())
        if not _is_partition(found, quantity.get((order_id, line_no), 0))
    ]
    return Found(len(lines), violations + list(_homeless(books)))


def _is_partition(spans: list[tuple[int, int]], quantity: int) -> bool:
    following = 1
    for first, count in sorted(spans):
        if first != following:
            return False
        following += count
    return following == quantity + 1


def _words(spans: list[tuple[int, int]]) -> str:
    return ", ".join(f"{first}-{first + count - 1}" for first, count in sorted(spans)) or "none"


def _homeless(books: Books) -> Iterator[str]:
    """Yield units in no shipment that lives, and living shipments without units."""
    shipments, filled = books.shipment_of(), set[str]()
    for units in books.units:
        shipment = shipments.get(units.shipment_id or "")
        where = f"{units.order_id} line {units.line_no} unit {units.first_unit}"
        if (units.shipment_id is None) == (units.cancelled_reason is None):
            yield f"{where}: must be in a shipment or cancelled, and not both"
        elif units.shipment_id and (
            shipment is None
            or shipment.order_id != units.order_id
            or shipment.work_status == WorkStatus.CANCELLED
        ):
            yield f"{where}: is in {units.shipment_id}, which is not a shipment that will ever carry it"
        filled.add(units.shipment_id or "")
    for shipment in books.shipments:
        if shipment.work_status != WorkStatus.CANCELLED and shipment.shipment_id not in filled:
            yield f"{shipment.shipment_id}: is {shipment.work_status} and carries nothing"


@invariant(
    "claims cover the units",
    "I1",
    sees="SKUs of orders",
    claim="every unit to be shipped is reserved, allocated or backordered, once",
    remedy="allocate what is missing or release what is too much, by the support desk",
)
def claims_cover_units(evidence: Evidence) -> Found:
    books = evidence.books
    needed, claimed, lapsed = _needed(books), _covered(books), _lapsed(books)
    violations = [
        f"{order_id}: {needed[order_id, sku]} of {sku} to ship, {claimed[order_id, sku]} claimed"
        for order_id, sku in sorted(needed.keys() | claimed.keys())
        if needed[order_id, sku] != claimed[order_id, sku] and order_id not in lapsed
    ]
    return Found(len(needed), violations)


def _lapsed(books: Books) -> set[str]:
    """Return the orders that nobody paid in time: they claim again before money is asked for."""
    unpaid = {order.order_id for order in books.orders if order.status in UNPAID}
    expired = {held.order_id for held in books.reservations if held.state == ReservationState.EXPIRED}
    standing = {held.order_id for held in books.reservations if held.state == ReservationState.ACTIVE}
    return unpaid & expired - standing


def _needed(books: Books) -> Counter[tuple[str, str]]:
    skus = {(line.order_id, line.line_no): line.sku for line in books.lines}
    needed: Counter[tuple[str, str]] = Counter()
    for units in books.units:
        if units.shipment_id:
            needed[units.order_id, skus.get((units.order_id, units.line_no), "?")] += units.quantity
    return needed


def _covered(books: Books) -> Counter[tuple[str, str]]:
    """Count the claims that may stand; the others are found by `claims_end`."""
    orders, shipments, claimed = books.order_of(), books.shipment_of(), Counter[tuple[str, str]]()
    for held in books.reservations:
        if held.state == "active" and _may_reserve(orders.get(held.order_id)):
            claimed[held.order_id, held.sku] += held.quantity
    for allocation in books.allocations:
        shipment = shipments.get(allocation.shipment_id)
        if allocation.state != "released" and shipment and shipment.work_status != WorkStatus.CANCELLED:
            claimed[shipment.order_id, allocation.sku] += allocation.quantity
    for backorder in books.backorders:
        if backorder.state == "waiting" and not _is_over(backorder, orders, shipments):
            claimed[backorder.order_id, backorder.sku] += backorder.quantity - backorder.filled
    return claimed


def _may_reserve(order: OrderFact | None) -> bool:
    return order is not None and order.status in _MAY_RESERVE


def _is_over(
    backorder: BackorderFact, orders: Mapping[str, OrderFact], shipments: Mapping[str, ShipmentFact]
) -> bool:
    order, shipment = orders.get(backorder.order_id), shipments.get(backorder.shipment_id)
    return order is None or order.ended or shipment is None or shipment.left or shipment.terminal


@invariant(
    "what left is what it carries",
    "I8 I10",
    sees="shipments that left",
    claim="each left with exactly its units: none that was cancelled, none that was not asked for",
    remedy="compare the units of the shipment with the movement by which it left; refund or return the rest",
)
def left_as_it_carries(evidence: Evidence) -> Found:
    books = evidence.books
    skus = {(line.order_id, line.line_no): line.sku for line in books.lines}
    left = {shipment.shipment_id for shipment in books.shipments if shipment.left}
    carried: Counter[tuple[str, str]] = Counter()
    for units in books.units:
        if units.shipment_id in left:
            carried[units.shipment_id or "", skus.get((units.order_id, units.line_no), "?")] += units.quantity
    # One that still claims is found by `claims_end`.
    shipped = Counter(
        {
            (claim.shipment_id, claim.sku): claim.quantity
            for claim in books.allocations
            if claim.shipment_id in left and claim.state != "released"
        }
    )
    violations = [
        f"{shipment_id}: carries {carried[shipment_id, sku]} of {sku}, {shipped[shipment_id, sku]} left"
        for shipment_id, sku in sorted(carried.keys() | shipped.keys())
        if carried[shipment_id, sku] != shipped[shipment_id, sku]
    ]
    return Found(len(left), violations)


@invariant(
    "claims end",
    "I13",
    sees="claims",
    claim="no finished order and no terminal shipment claims stock",
    remedy="release the claim of the order or shipment named",
)
def claims_end(evidence: Evidence) -> Found:
    books = evidence.books
    looked_at = len(books.reservations) + len(books.allocations) + len(books.backorders)
    violations = [*_reservations_over(books), *_allocations_over(books), *_backorders_over(books)]
    return Found(looked_at, violations)


def _reservations_over(books: Books) -> Iterator[str]:
    orders = books.order_of()
    for held in books.reservations:
        order = orders.get(held.order_id)
        if held.state == "active" and not _may_reserve(order):
            status = order.status if order else "unknown"
            yield f"{held.order_id}: is {status} and still reserves {held.quantity} of {held.sku}"


@invariant(
    "claims run out",
    "I13",
    sees="reservations",
    claim="none outlives its time while nobody is paying for it",
    remedy="run the sweep; it gives the claim back, and the order claims again when it is paid",
)
def claims_run_out(evidence: Evidence) -> Found:
    books = evidence.books
    paying = _being_paid(books) | {order.order_id for order in books.orders if order.total == 0}
    late = books.now - DEFAULT.reservation_grace - books.patience
    violations = [
        f"{held.order_id}: its claim on {held.quantity} of {held.sku} ran out at {held.expires_at:%Y-%m-%d %H:%M}"
        for held in books.reservations
        if held.state == ReservationState.ACTIVE and held.expires_at < late and held.order_id not in paying
    ]
    return Found(len(books.reservations), violations)


def _being_paid(books: Books) -> set[str]:
    attempts = {payment.order_id for payment in books.payments if payment.status in _MONEY_HELD}
    return attempts | {
        operation.order_id
        for operation in books.operations
        if operation.kind == OperationKind.AUTHORIZE and operation.state in _IN_DOUBT
    }


def _allocations_over(books: Books) -> Iterator[str]:
    shipments = books.shipment_of()
    for allocation in books.allocations:
        shipment = shipments.get(allocation.shipment_id)
        if shipment is None or allocation.state not in _states_for(shipment):
            status = shipment.work_status if shipment else "unknown"
            yield f"{_said(allocation)} is {allocation.state}, its shipment {status}"


def _states_for(shipment: ShipmentFact) -> tuple[str, ...]:
    """Return the states an allocation of this shipment may have."""
    if shipment.left:
        return ("shipped", "released")
    return ("released",) if shipment.terminal else ("active", "released")


def _said(allocation: AllocationFact) -> str:
    return f"{allocation.shipment_id}: the allocation of {allocation.quantity} of {allocation.sku}"


def _backorders_over(books: Books) -> Iterator[str]:
    orders, shipments = books.order_of(), books.shipment_of()
    for backorder in books.backorders:
        if backorder.state == "waiting" and _is_over(backorder, orders, shipments):
            yield f"{backorder.order_id} line {backorder.line_no}: is over and still waits for {backorder.sku}"
