"""Two books about the same world: what we wrote down, and what the providers did."""

from collections.abc import Iterator, Mapping

from fulfillment.domain.carrier_choice import highest
from fulfillment.domain.invariants.check import Found, invariant
from fulfillment.domain.invariants.facts import (
    Books,
    Effect,
    Evidence,
    LabelFact,
    Ledger,
    LedgerLabel,
    LedgerPayment,
    OperationFact,
    ParcelFact,
    PaymentFact,
    grouped,
)
from fulfillment.domain.payment import OperationKind, OperationState, PaymentStatus
from fulfillment.domain.policy import DEFAULT

_P, _K, _O = PaymentStatus, OperationKind, OperationState
# Stripe's word for each of ours (https://docs.stripe.com/payments/paymentintents/lifecycle).
_STATES_THERE: Mapping[str, frozenset[str]] = {
    _P.ACTION_REQUIRED: frozenset({"requires_action"}),
    _P.AUTHORIZED: frozenset({"requires_capture"}),
    _P.CAPTURED: frozenset({"succeeded"}),
    _P.VOIDED: frozenset({"canceled"}),
    _P.EXPIRED: frozenset({"canceled"}),
    _P.DECLINED: frozenset({"requires_payment_method", "canceled"}),
}
_PAID_FOR = "purchased"
_OURS_PAID = frozenset({"live", "used", "void_refused"})
_LIVE = frozenset({"buying", "live", "used"})


# --- both books --------------------------------------------------------------------------------------


@invariant(
    "both books agree",
    "I5 I9 I21",
    sees="operations, payments and labels",
    claim="our books and the providers' say the same of each",
    remedy="believe the provider: correct our row by the support desk, and find where the answer was lost",
)
def both_books_agree(evidence: Evidence) -> Found:
    if (ledger := evidence.readable_ledger) is None:
        return Found(0, [], "there is no ledger to compare with")
    books = evidence.books
    violations = [*_deeds(books, ledger), *_payments(books, ledger), *_labels(books, ledger)]
    looked_at = len(books.operations) + len(books.payments) + len(books.labels)
    return Found(looked_at + len(ledger.payments) + len(ledger.labels), violations)


def _deeds(books: Books, ledger: Ledger) -> Iterator[str]:
    """Yield deeds at the payment provider that only one side knows of."""
    operations = {operation.operation_key: operation for operation in books.operations}
    done = {
        effect.operation_key: effect
        for payment in ledger.payments
        for effect in payment.effects
        if effect.key
    }
    for key, effect in done.items():
        if key not in operations:
            yield f"{key}: the provider did this {effect.kind}, our books never asked for it"
        elif operations[key].state == _O.FAILED:
            yield f"{key}: failed in our books, and the provider did it"
    there = {payment.ref: payment for payment in ledger.payments}
    refs = {payment.payment_id: payment.provider_ref or "" for payment in books.payments}
    for operation in books.operations:
        ref = refs.get(operation.payment_id or "", "")
        paid = [there[ref]] if ref in there else []
        if operation.state == _O.SUCCEEDED and not _was_done(operation, done, paid):
            yield f"{operation.operation_key}: succeeded in our books, the provider never did it"


def _was_done(operation: OperationFact, done: Mapping[str, Effect], paid: list[LedgerPayment]) -> bool:
    if operation.operation_key in done or operation.kind in (_K.BUY_LABEL, _K.VOID_LABEL):
        return True  # labels have a record of their own below
    if operation.kind == _K.AUTHORIZE:  # made by us, and perhaps never finished on the bank's own page
        return bool(paid) and not any(effect.kind == "authorize" and effect.key for effect in paid[0].effects)
    # There is nothing to let go of once a hold ran out, or before the customer has confirmed it.
    return operation.kind == _K.VOID and any(payment.state == "canceled" for payment in paid)


def _payments(books: Books, ledger: Ledger) -> Iterator[str]:
    ours = {payment.provider_ref: payment for payment in books.payments if payment.provider_ref}
    moving = {operation.operation_key for operation in books.in_doubt()}
    refund_failed = {case.order_id for case in books.open_cases() if case.kind == "refund_failed"}
    for there in ledger.payments:
        known = ours.get(there.ref)
        in_doubt = any(effect.operation_key in moving for effect in there.effects)
        if known and not in_doubt and not _has_moving(known, books, moving):
            yield from _unlike(known, there, books, refund_failed=there.order_id in refund_failed)
        elif not known and there.authorized and not in_doubt:
            yield f"{there.ref}: the provider took money for {there.order_id}, our books do not know it"
    refs = {there.ref for there in ledger.payments}
    for ref, payment in ours.items():
        if ref not in refs:
            yield f"{payment.payment_id}: the provider has no {ref}"


def _has_moving(payment: PaymentFact, books: Books, moving: set[str]) -> bool:
    """Test whether a request about this payment is under way: then both books may differ."""
    return payment.payment_id in moving or any(
        operation.payment_id == payment.payment_id for operation in books.in_doubt()
    )


def _unlike(ours: PaymentFact, there: LedgerPayment, books: Books, *, refund_failed: bool) -> Iterator[str]:
    ran_out = ours.status == _P.AUTHORIZED and ours.expires_at is not None and ours.expires_at <= books.now
    states = _STATES_THERE.get(ours.status, frozenset())
    if there.state not in states and not (ran_out and there.state == "canceled"):
        yield f"{ours.payment_id}: {ours.status} in our books, {there.state} at the provider ({there.ref})"
    words = ("captured", "refunded") if there.state == "canceled" else ("authorized", "captured", "refunded")
    for word in words:  # what a hold amounted to is of no interest once it is let go
        mine, theirs = getattr(ours, word), getattr(there, word)
        if mine != theirs and not (word == "refunded" and refund_failed):
            yield f"{ours.payment_id}: {mine} {word} in our books, {theirs} at the provider ({there.ref})"


def _labels(books: Books, ledger: Ledger) -> Iterator[str]:
    ours = {label.provider_shipment_ref: label for label in books.labels if label.provider_shipment_ref}
    moving = {operation.subject for operation in books.in_doubt()}
    for there in ledger.labels:
        label = ours.get(there.ref)
        if label is None:
            yield f"{there.ref}: the carrier printed {there.tracking_number}, our books do not know it"
        elif label.parcel_id not in moving and label.state != "buying":
            yield from _label_unlike(label, there)
    refs = {there.ref for there in ledger.labels}
    for label in books.labels:
        if label.state in (*_OURS_PAID, "voided") and label.provider_shipment_ref not in refs:
            yield f"{label.label_id}: {label.state} in our books, the carrier never printed it"


def _label_unlike(label: LabelFact, there: LedgerLabel) -> Iterator[str]:
    if (label.state in _OURS_PAID) != (there.state == _PAID_FOR):
        yield f"{label.label_id}: {label.state} in our books, {there.state} at the carrier ({there.ref})"
    if label.state != "failed" and label.tracking_number != there.tracking_number:
        yield f"{label.label_id}: number {label.tracking_number} in our books, {there.tracking_number} there"
    if label.state != "failed" and label.cost != there.cost:
        yield f"{label.label_id}: cost {label.cost} in our books, {there.cost} at the carrier"
    if label.state in ("live", "used") and label.form != "" and (label.form or "") != there.form:
        yield f"{label.label_id}: on form {label.form} in our books, on {there.form or 'none'} at the carrier"


# --- labels ------------------------------------------------------------------------------------------


@invariant(
    "one live label",
    "I9",
    sees="parcels with a label",
    claim="each has at most one that can be used, here and at the carrier",
    remedy="void the label that is not on the parcel",
)
def one_live_label(evidence: Evidence) -> Found:
    books = evidence.books
    live = grouped((label for label in books.labels if label.state in _LIVE), lambda label: label.parcel_id)
    violations = [
        f"{parcel_id}: {len(labels)} live labels in our books"
        for parcel_id, labels in live.items()
        if len(labels) > 1
    ]
    there = _usable_there(evidence)
    violations += [
        f"{parcel_id}: {len(refs)} paid labels at the carrier: {', '.join(refs)}"
        for parcel_id, refs in there.items()
        if len(refs) > 1
    ]
    return Found(len(live.keys() | there.keys()), violations)


def _usable_there(evidence: Evidence) -> dict[str, list[str]]:
    """Return the carrier's paid labels by parcel; one it would not take back must not be used, and is ours to bear."""
    ours = {label.provider_shipment_ref: label for label in evidence.books.labels}
    ledger = evidence.readable_ledger or Ledger()
    usable: dict[str, list[str]] = {}
    for there in ledger.labels:
        label = ours.get(there.ref)
        if there.state == _PAID_FOR and not (label and label.state == "void_refused"):
            parcel_id = label.parcel_id if label else _parcel_named_in(there.reference)
            usable.setdefault(parcel_id, []).append(there.ref)
    return usable


def _parcel_named_in(reference: str) -> str:
    """Return the parcel of `ORDER:buy_label:PARCEL:n`; anything else stands for itself."""
    parts = reference.split(":")
    return parts[2] if len(parts) == 4 else reference


@invariant(
    "one parcel per tracking number",
    "I9",
    sees="tracking numbers",
    claim="each belongs to one parcel, so that its scans move no other",
    remedy="find which parcel bears the number and fix the other's by the support desk",
)
def one_parcel_per_number(evidence: Evidence) -> Found:
    ours = grouped(
        (label for label in evidence.books.labels if label.tracking_number),
        lambda label: (label.carrier, label.tracking_number),
    )
    violations = [
        f"{number}: is of {', '.join(sorted({label.parcel_id for label in labels}))}"
        for (_, number), labels in ours.items()
        if len({label.parcel_id for label in labels}) > 1
    ]
    return Found(len(ours), violations)


@invariant(
    "labels cost what was quoted",
    "I5",
    sees="labels that were bought",
    claim="each costs at most what was quoted and the tolerance, or its decision says that it may cost more",
    remedy="see the offers of the label; then find who bought it beside the choice of a carrier",
)
def labels_cost_what_was_quoted(evidence: Evidence) -> Found:
    bought = [label for label in evidence.books.labels if label.cost is not None]
    violations = [
        f"{label.label_id}: cost {label.cost}, quoted {label.quoted_price}"
        for label in bought
        if label.quoted_price is not None
        and not label.dearer
        and (label.cost or 0) > highest(label.quoted_price, DEFAULT)
    ]
    return Found(len(bought), violations)


@invariant(
    "labelled and free when it left",
    "I8",
    sees="shipments that left",
    claim="each bore the label for the address its order had then, and no hold stood",
    remedy="tell the carrier the right address, or ask for the parcel back; then find who handed it over",
)
def labelled_and_free(evidence: Evidence) -> Found:
    books = evidence.books
    used = {label.parcel_id: label for label in books.labels if label.state == "used"}
    parcels = books.parcel_of()
    left = [shipment for shipment in books.shipments if shipment.left]
    violations = [
        f"{shipment.shipment_id}: {why}"
        for shipment in left
        if (why := _wrong_label(parcels.get(shipment.shipment_id), used))
    ]
    return Found(len(left), violations + list(_left_under_a_hold(books)))


def _wrong_label(parcel: ParcelFact | None, used: Mapping[str, LabelFact]) -> str:
    label = used.get(parcel.parcel_id) if parcel else None
    if parcel is None or label is None:
        return "left without a label"
    return "" if label.address_hash == parcel.address_hash else "left with a label for another address"


def _left_under_a_hold(books: Books) -> Iterator[str]:
    shipments = grouped(books.shipments, lambda shipment: shipment.order_id)
    for hold in books.holds:
        for shipment in shipments.get(hold.order_id, []):
            at, ended = shipment.handed_over_at, hold.ended_at
            by_hand = shipment.handed_by != "carrier"  # what a carrier took by itself nobody could keep back
            stood = at is not None and hold.placed_at + books.skew < at
            if stood and by_hand and (ended is None or (at is not None and at < ended - books.skew)):
                yield f"{shipment.shipment_id}: left while {hold.hold_id} stood"
