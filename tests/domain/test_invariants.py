"""Each invariant: the shop where all is right passes it, and one thing put wrong breaks it and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fulfillment.domain import invariants
from fulfillment.domain.invariants import (
    ALL,
    Books,
    Evidence,
    Invariant,
    Verdict,
    judge,
    ledgers,
    messages,
    money,
    orders,
    parcels,
    sources,
    stock,
)
from fulfillment.domain.invariants.facts import (
    BenchFact,
    BlockFact,
    Effect,
    ForgottenFact,
    LedgerText,
    LossFact,
    RejectionFact,
    RepeatedMovementFact,
    ReplacementFact,
    Run,
    SignalFact,
    SubstitutionFact,
    TransferFact,
)
from tests.domain.audited_world import (
    CLEAN,
    DAY,
    NOW,
    SUBSTITUTIONS,
    ago,
    ahead,
    case,
    event,
    label,
    mailed,
    message,
    operation,
    payment,
    printed,
    refund,
    scan,
    share_of,
    taken,
    units,
)

Put = Callable[[Evidence], Evidence]

TEXTED = message(1, "lost", "SO-1-1", notification_id=77, channel="sms", recipient="a number")


def a_text(sid: str, *, failed: bool = False) -> LedgerText:
    return LedgerText(sid=sid, notification_id=77, failed=failed)


# --- how one thing is put wrong ---------------------------------------------------------------------


def _rows(part: str, change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> Put:
    """Change one table of the books, the ledger (`ledger.payments`) or the runs (`runs.runs`)."""
    source, _, table = part.rpartition(".")

    def put(evidence: Evidence) -> Evidence:
        witness = getattr(evidence, source or "books")
        changed = replace(witness, **{table: change(getattr(witness, table))})
        if (
            part == "payments"
        ):  # each of this world's payments is for one shipment, and its share says the same
            changed = replace(changed, shares=tuple(share_of(row) for row in changed.payments))
        return replace(evidence, **{source or "books": changed})

    return put


def edit(part: str, key: str, **values: Any) -> Put:
    """Give the row that bears `key` in any of its fields these values; it must be there."""

    def change(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        found = [row for row in rows if key in _values(row)]
        assert found, f"nothing in {part} is called {key}"
        return tuple(replace(row, **values) if row is found[0] else row for row in rows)

    return _rows(part, change)


def add(part: str, *more: Any) -> Put:
    return _rows(part, lambda rows: (*rows, *more))


def drop(part: str, key: str) -> Put:
    def change(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        kept = tuple(row for row in rows if key not in _values(row))
        assert len(kept) < len(rows), f"nothing in {part} is called {key}"
        return kept

    return _rows(part, change)


def swap(part: str, key: str, row: Any) -> Put:
    return together(drop(part, key), add(part, row))


def together(*puts: Put) -> Put:
    def put(evidence: Evidence) -> Evidence:
        for one in puts:
            evidence = one(evidence)
        return evidence

    return put


def _values(row: Any) -> list[Any]:
    return [getattr(row, name) for name in row.__dataclass_fields__]


def broken(evidence: Evidence) -> dict[str, tuple[str, ...]]:
    """Return what each broken check says."""
    return {check.name: check.violations for check in judge(evidence) if check.verdict is Verdict.FAIL}


LOST_AND_KEPT = together(
    edit("payments", "pi_5", refunded=0),
    swap("ledger.payments", "pi_5", taken(5, "succeeded", "authorize", "capture")),
    drop("operations", "SO-5:refund:SO-5-1:1"),
)

A_GOODWILL_BY_HAND = refund(5, 1000, refund_id="SO-5-F2", shipment_id=None, cause="goodwill", by_hand=True)
A_GOODWILL_BY_HAND_BEFORE_THE_LOSS = together(
    add("refunds", A_GOODWILL_BY_HAND),
    add("operations", operation(5, "refund", 1000, "failed", "SO-5-F2")),
    edit("refunds", "SO-5-F1", amount=2300),
    edit("operations", "SO-5:refund:SO-5-1:1", amount=2300),
    edit("payments", "pi_5", refunded=2300),
    edit(
        "ledger.payments",
        "pi_5",
        refunded=2300,
        effects=(
            *taken(5, "succeeded", "authorize", "capture").effects,
            Effect(kind="refund", key="SO-5:refund:SO-5-1:1", amount=2300),
        ),
    ),
)

ARRIVED = TransferFact(
    transfer_id="T-1",
    sku="TENT",
    from_location="wh-lehigh",
    to_location="wh-reno",
    quantity=2,
    received=2,
    lost=0,
    state="received",
)

# Every invariant with the ways in which it is broken here, and a word its violation must hold.


def taken_out(reason: str, **where: Any) -> RejectionFact:
    """Return two units that a picker took out of the first shipment."""
    nowhere = {"damaged": 0, "quarantine": 0, "held": 0, "gone": 0, "is_counted": False}
    return RejectionFact(
        rejection_id="scan-1", shipment_id="SO-1-1", reason=reason, units=2, **nowhere | where
    )


BREAKS: tuple[tuple[Invariant, str, Put, str], ...] = (
    (
        sources.everything_was_read,
        "the ledger is away",
        lambda e: replace(e, ledger=invariants.Ledger(away="the providers' ledger: no answer")),
        "no answer",
    ),
    (
        sources.everything_was_read,
        "Temporal is away",
        lambda e: replace(e, runs=invariants.Runs(away="Temporal: refused")),
        "Temporal",
    ),
    (
        stock.no_oversell,
        "more promised than on hand",
        together(edit("levels", "TENT", on_hand=2), edit("movements", "adjusted", on_hand=6)),
        "TENT at wh-reno: 3 promised, 2 on hand",
    ),
    (
        stock.counters_equal_movements,
        "a counter without a movement",
        edit("levels", "TENT", on_hand=17),
        "on_hand says 17, its movements say 16",
    ),
    (
        stock.counters_equal_movements,
        "a movement that touches what it must not",
        together(edit("levels", "LAMP", on_hand=2), edit("movements", "allocated_from_stock", on_hand=1)),
        "allocated_from_stock changed on_hand",
    ),
    (
        stock.stock_moved_once,
        "the same reservation twice",
        add(
            "repeated_movements",
            RepeatedMovementFact(
                operation_key="SO-1:reserve", kind="reserved", sku="TENT", location_id="wh-reno", times=2
            ),
        ),
        "SO-1:reserve",
    ),
    (
        stock.promises_match_counters,
        "a reservation at another shelf",
        edit("reservations", "SO-6", location_id="wh-lehigh"),
        "wh-lehigh",
    ),
    (
        stock.promises_match_counters,
        "a vendor owes what is not expected",
        edit("replenishments", "RO-1", quantity=9),
        "claims on incoming 8, counter 4",
    ),
    (
        stock.vendors_orders_say_what_came,
        "part of it came, and its state says none",
        edit("replenishments", "RO-1", state="ordered"),
        "RO-1: is ordered, and 1 of 5 came",
    ),
    (
        stock.transfers_balance,
        "a transfer without a movement",
        add("transfers", ARRIVED),
        "TENT at wh-lehigh: transfers sent 2, movements 0",
    ),
    (
        stock.every_unit_once,
        "a unit shipped and cancelled",
        add("units", units(1, None, first=2, why="changed_mind")),
        "SO-1 line 1: 2 units ordered, found 1-1, 2-2, 2-2",
    ),
    (
        stock.every_unit_once,
        "a unit nowhere",
        drop("units", "changed_mind"),
        "SO-4 line 2: 1 units ordered, found none",
    ),
    (
        stock.claims_cover_units,
        "one order's goods claimed for another",
        together(
            drop("allocations", "SO-3-1"),
            edit("allocations", "SO-7-1", quantity=2),
            edit("benches", "SO-7-1", units=2),
        ),
        "SO-3: 1 of TENT to ship, 0 claimed",
    ),
    (
        stock.left_as_it_carries,
        "a lamp is among what left, and none was sent",
        together(
            edit("lines", "LAMP", unit_price=0, tax=0),
            edit("orders", "SO-2", total=3300),
            edit("shipments", "SO-2-2", value=0),
            edit("units", "SO-2-2", quantity=1),
            add("units", units(2, "SO-2-1", line_no=2, first=2)),
        ),
        "SO-2-1: carries 1 of LAMP, 0 left",
    ),
    (
        stock.claims_end,
        "a cancelled order waits for stock",
        add(
            "backorders", replace(CLEAN.books.backorders[0], order_id="SO-4", line_no=1, shipment_id="SO-4-1")
        ),
        "SO-4 line 1",
    ),
    (
        stock.claims_end,
        "a shipment that left still claims",
        together(
            edit("allocations", "SO-2-1", state="active"),
            edit("levels", "TENT", allocated=3, on_hand=17),
            edit("movements", "shipped", on_hand=-3, allocated=-3),
        ),
        "SO-2-1",
    ),
    (
        stock.claims_run_out,
        "a claim nobody pays for that is never given back",
        edit("reservations", "SO-6", expires_at=ago(hours=1)),
        "SO-6",
    ),
    (money.amounts_add_up, "a total of its own", edit("orders", "SO-1", total=7843), "SO-1"),
    (money.amounts_add_up, "a shipment's value", edit("shipments", "SO-3-1", value=3301), "SO-3-1"),
    (
        money.amounts_add_up,
        "a fee that nobody bears",
        edit("orders", "SO-3", fees=500),
        "SO-3: its shipments bear fees of 0, it says 500",
    ),
    (
        money.amounts_add_up,
        "a fee beside the total",
        edit("shipments", "SO-3-1", value=3800, fee=500),
        "SO-3: its lines add up to 3800, its total is 3300",
    ),
    (
        money.equals_stand_for_units,
        "a unit replaced by nothing",
        drop("substitutions", "SO-4"),
        "SO-4: 0 equals stand for unit 1 of line 1",
    ),
    (
        money.equals_stand_for_units,
        "an equal for a unit that is sent as well",
        add("substitutions", SubstitutionFact(order_id="SO-2", line_no=2, root_line=1, root_unit=1)),
        "SO-2: 1 equals stand for unit 1 of line 1",
    ),
    (
        money.equals_stand_for_units,
        "a unit replaced twice",
        add("substitutions", *SUBSTITUTIONS),
        "SO-4: 2 equals stand for unit 1 of line 1",
    ),
    (
        money.equals_stand_for_units,
        "an equal at a higher price",
        together(edit("lines", "SO-4", unit_price=1800), edit("orders", "SO-4", total=4300)),
        "SO-4: line 2 costs 2200, what it stands for cost 2100",
    ),
    (
        money.money_once,
        "a key that took effect twice",
        edit(
            "ledger.payments",
            "pi_5",
            effects=(
                *taken(5, "succeeded", "authorize", "capture", "refund").effects,
                Effect(kind="refund", key="SO-5:refund:SO-5-1:1~1", amount=3300),
            ),
        ),
        "SO-5:refund:SO-5-1:1: took effect 2 times",
    ),
    (
        money.money_once,
        "another amount than asked",
        edit("operations", "SO-1:capture:SO-1-1:1", amount=7800),
        "asked for 7800, the provider did 7842",
    ),
    (
        money.shares_add_up,
        "a share that took less than its payment",
        edit("shares", "SO-1:authorize:SO-1-1:1", captured=7000, released=842),
        "SO-1:authorize:SO-1-1:1: captured 7842, its shares add up to 7000",
    ),
    (
        money.shares_add_up,
        "a shipment that counts on money let go",
        edit("shares", "SO-4:authorize:SO-4-1:1", released=0),
        "is voided, and SO-4-1 still counts on 3300 of it",
    ),
    (
        money.refunds_fit,
        "more asked back than was captured",
        add("refunds", refund(5, 1, "requested", refund_id="SO-5-F2", shipment_id=None)),
        "SO-5: 3301 is asked back of 3300 captured",
    ),
    (
        money.refunds_fit,
        "an allowed refund nobody pays",
        add("refunds", refund(1, 100, "approved", shipment_id=None)),
        "SO-1-F1: is approved, and nobody pays it",
    ),
    (
        money.refunds_fit,
        "a second person is waited for, though the goods were lost",
        together(
            edit("shipments", "SO-5-1", outcome="lost", closed_at=ago(days=3)),
            edit("refunds", "SO-5-F1", state="requested", of_shipments=("SO-5-1",)),
        ),
        "SO-5-F1: waits for a person, and nothing of it reached the customer",
    ),
    (
        money.captured_what_shipped,
        "captured less than it was worth",
        together(
            edit("payments", "pi_1", captured=7000),
            edit("operations", "SO-1:capture:SO-1-1:1", amount=7000),
            edit(
                "ledger.payments",
                "pi_1",
                captured=7000,
                effects=(
                    Effect(kind="authorize", key="SO-1:authorize:SO-1-1:1", amount=7842),
                    Effect(kind="capture", key="SO-1:capture:SO-1-1:1", amount=7000),
                ),
            ),
        ),
        "SO-1-1: 70.00 USD captured, 0.00 USD given back, 78.42 USD is due",
    ),
    (
        money.captured_what_shipped,
        "came back, and the money kept",
        together(edit("shipments", "SO-1-1", outcome="returned"), edit("orders", "SO-1", outcome="returned")),
        "SO-1-1: 78.42 USD captured, 0.00 USD given back, 0.00 USD is due",
    ),
    (
        money.captured_what_shipped,
        "it left and all of it went back, beside a goodwill of its order",
        add(
            "refunds",
            refund(1, 7000, cause="cancelled"),
            refund(1, 842, refund_id="SO-1-F2", shipment_id=None),
        ),
        "SO-1-1: 78.42 USD captured, 0.00 USD given back, 78.42 USD is due",
    ),
    (money.captured_what_shipped, "lost, and the money kept", LOST_AND_KEPT, "SO-5-1: 33.00 USD captured"),
    (
        money.captured_what_shipped,
        "lost, and more kept than a goodwill that was paid by hand",
        together(LOST_AND_KEPT, add("refunds", A_GOODWILL_BY_HAND), edit("refunds", "SO-5-F1", amount=2300)),
        "SO-5-1: 33.00 USD captured",
    ),
    (
        money.captured_what_shipped,
        "lost, and as much kept as a goodwill that was asked of another payment",
        together(
            A_GOODWILL_BY_HAND_BEFORE_THE_LOSS,
            edit("operations", "SO-5-F2", payment_id="SO-5:authorize:SO-5-2:2"),
        ),
        "SO-5-1: 33.00 USD captured, 23.00 USD given back, 0.00 USD is due",
    ),
    (
        money.captured_what_shipped,
        "made good with the money, and the money kept",
        edit("shipments", "SO-1-1", settled="refund"),
        "SO-1-1: 78.42 USD captured, 0.00 USD given back, 0.00 USD is due",
    ),
    (
        money.sent_again_once,
        "a unit sent again while the first is on its way",
        add("replacements", ReplacementFact(order_id="SO-2", line_no=2, root_line=1, root_unit=1)),
        "SO-2: unit 1 of line 1 is sent 2 times",
    ),
    (
        money.nothing_shipped_unpaid,
        "it left after its hold had run out",
        edit("payments", "pi_1", expires_at=ago(days=5)),
        "SO-1-1: left while no 78.42 USD was held",
    ),
    (
        money.nothing_shipped_unpaid,
        "never captured",
        together(
            edit("payments", "pi_2", status="authorized", captured=0),
            swap("ledger.payments", "pi_2", taken(2, "requires_capture", "authorize")),
            drop("operations", "SO-2:capture:SO-2-1:1"),
        ),
        "SO-2-1: left, and its 33.00 USD was never captured",
    ),
    (
        money.nothing_paid_and_kept_back,
        "captured, cancelled, kept",
        together(
            edit("payments", "pi_4", status="captured", captured=3300),
            swap("operations", "SO-4:void:SO-4-1:1", operation(4, "capture")),
            swap("ledger.payments", "pi_4", taken(4, "succeeded", "authorize", "capture")),
        ),
        "SO-4-1: is cancelled, 33.00 USD captured",
    ),
    (
        money.no_authorization_left_open,
        "a cancelled order holds money in both books",
        together(
            edit("payments", "pi_4", status="authorized"),
            drop("operations", "SO-4:void:SO-4-1:1"),
            swap("ledger.payments", "pi_4", taken(4, "requires_capture", "authorize")),
        ),
        "pi_4 at the provider: is requires_capture",
    ),
    (
        money.nothing_left_in_doubt,
        "an ended order with an unknown refund",
        add("operations", operation(1, "refund", state="unknown")),
        "SO-1:refund:SO-1-1:1: is unknown",
    ),
    (
        money.nothing_left_in_doubt,
        "a doubt of days without a case",
        add("operations", operation(7, "capture", state="unknown")),
        "no case names it",
    ),
    (
        money.never_both,
        "cancelled and handed over",
        edit("shipments", "SO-4-1", handed_over_at=ago(hours=10)),
        "SO-4-1: was handed over and is cancelled",
    ),
    (
        money.never_both,
        "refunded before it left",
        edit("operations", "SO-5:refund:SO-5-1:1", ended_at=ago(days=5)),
        "before it left",
    ),
    (
        ledgers.both_books_agree,
        "charged again under a fresh key",
        add("ledger.payments", replace(taken(7, "requires_capture", "authorize"), ref="pi_77", effects=())),
        "pi_77: the provider took money for SO-7",
    ),
    (
        ledgers.both_books_agree,
        "a deed our books never asked for",
        edit(
            "ledger.payments",
            "pi_7",
            effects=(
                *taken(7, "requires_capture", "authorize").effects,
                Effect(kind="refund", key="stranger", amount=1),
            ),
        ),
        "stranger",
    ),
    (
        ledgers.both_books_agree,
        "a success that never was",
        add("operations", operation(2, "refund", ended_at=ago(hours=1))),
        "SO-2:refund:SO-2-1:1: succeeded in our books, the provider never did it",
    ),
    (ledgers.both_books_agree, "a label nobody knows", add("ledger.labels", printed(3)), "940031"),
    (
        ledgers.both_books_agree,
        "a scan form nobody asked for",
        edit("ledger.labels", "shp_71", form="sf_1"),
        "on form None in our books, on sf_1 at the carrier",
    ),
    (
        ledgers.both_books_agree,
        "a scan form that the carrier does not know",
        edit("labels", "SO-7:buy_label:SO-7-P1:1", form="sf_1"),
        "on form sf_1 in our books, on none at the carrier",
    ),
    (
        ledgers.both_books_agree,
        "a label still paid for that we gave back",
        edit("ledger.labels", "shp_41", state="purchased"),
        "voided in our books, purchased at the carrier",
    ),
    (
        ledgers.one_live_label,
        "two labels on one parcel",
        together(add("labels", label(7, "live", 2)), add("ledger.labels", printed(7, k=2))),
        "SO-7-P1: 2 live labels",
    ),
    (
        ledgers.one_parcel_per_number,
        "a number on two parcels",
        together(
            edit("labels", "shp_21", tracking_number="940011"),
            edit("ledger.labels", "shp_21", tracking_number="940011"),
        ),
        "940011: is of SO-1-P1, SO-2-P1",
    ),
    (
        ledgers.labels_cost_what_was_quoted,
        "a label for more than was quoted allows",
        edit("labels", "shp_11", quoted_price=500),
        "SO-1:buy_label:SO-1-P1:1: cost 722, quoted 500",
    ),
    (
        ledgers.labelled_and_free,
        "a label for another address",
        edit("labels", "shp_11", address_hash="elsewhere"),
        "SO-1-1: left with a label for another address",
    ),
    (
        ledgers.labelled_and_free,
        "handed over while held",
        edit("holds", "SO-3:manual:1", order_id="SO-1", ended_at=ago(days=1)),
        "SO-1-1: left while SO-3:manual:1 stood",
    ),
    (
        stock.taken_out_as_said,
        "damaged units that are for sale again",
        add("rejections", taken_out("damaged", damaged=1)),
        "scan-1: 2 damaged taken out of SO-1-1, 1 damaged",
    ),
    (
        stock.taken_out_as_said,
        "units set aside for another reason",
        add("rejections", taken_out("expired", damaged=2)),
        "2 damaged",
    ),
    (
        stock.taken_out_as_said,
        "units that were taken out of the order alone",
        add("rejections", taken_out("not_found", is_counted=True)),
        "none moved",
    ),
    (
        stock.taken_out_as_said,
        "a shelf that was short, and nobody counts it",
        add("rejections", taken_out("mismatch", gone=2)),
        "nobody counts",
    ),
    (
        parcels.nothing_closed_unscanned,
        "a parcel closed one unit short",
        edit("benches", "SO-1-1", units=1),
        "SO-1-1: 1 of 2 TENT were scanned into it",
    ),
    (
        parcels.nothing_closed_unscanned,
        "a parcel with something that nobody ordered",
        add("benches", BenchFact(shipment_id="SO-7-1", sku="HAT", units=1, problem="")),
        "SO-7-1: 1 of 0 HAT were scanned into it",
    ),
    (
        parcels.nothing_closed_unscanned,
        "a parcel nobody scanned anything into",
        edit("benches", "SO-7-1", sku="", units=0),
        "SO-7-1: 0 of 1 TENT were scanned into it",
    ),
    (
        parcels.nothing_closed_unscanned,
        "closed over something wrong",
        edit("benches", "SO-7-1", problem="HAT does not belong here"),
        "SO-7-1: closed while this stood: HAT",
    ),
    (
        parcels.no_label_too_heavy,
        "a parcel that its carrier does not take",
        edit("parcels", "SO-2-P1", weight_g=40_000),
        "SO-2-P1: weighs 40000 g, and USPS takes 31751 g at most",
    ),
    (
        parcels.left_with_evidence,
        "nobody saw it leave",
        edit("parcels", "SO-2-P1", handed_over_by=None),
        "SO-2-P1: left, and nothing says who saw it",
    ),
    (
        parcels.left_with_evidence,
        "a list that says what is not so",
        edit("manifests", "SO-7-P1", outcome="left"),
        "M-listed: says that SO-7-P1 left",
    ),
    (
        parcels.left_with_evidence,
        "a list that was handed over and says nothing of a parcel",
        edit("manifests", "SO-7-P1", handed_over_at=ago(hours=1)),
        "M-listed: was handed over, and says nothing of SO-7-P1",
    ),
    (
        parcels.parcels_follow_their_scans,
        "a status no scan gave",
        edit("parcels", "SO-2-P1", carrier_status="out_for_delivery"),
        "SO-2-P1: is out_for_delivery in our books, its scans say in_transit",
    ),
    (
        parcels.parcels_follow_their_scans,
        "a flag forgotten",
        edit("parcels", "SO-2-P1", flags=()),
        "SO-2-P1: its flags",
    ),
    (
        money.carrier_claims_kept,
        "a claim whose case nobody has any more",
        edit("cases", "carrier_claim", state="resolved"),
        "SO-5-P1:carrier_claim:1: is open, and its case is resolved",
    ),
    (
        money.given_back_for_what_happened,
        "money for what came back, and nothing has",
        edit("refunds", "SO-5-F1", cause="returned"),
        "SO-5-F1: gives back for what is returned, and nothing of SO-5 was",
    ),
    (
        money.carrier_claims_kept,
        "a case without its claim",
        add("cases", case("SO-1", "carrier_claim", "SO-1-P1")),
        "SO-1-P1:carrier_claim:1: is a case without a claim",
    ),
    (
        money.no_loss_goes_unclaimed,
        "a loss that nobody claims",
        together(drop("carrier_claims", "SO-5-P1"), drop("cases", "carrier_claim")),
        "SO-5-1: is lost, and nobody claims it from the carrier",
    ),
    (
        money.no_loss_goes_unclaimed,
        "lost once more after it was found",
        together(
            edit("carrier_claims", "SO-5-P1", outcome="found"),
            edit("cases", "carrier_claim", state="resolved"),
        ),
        "SO-5-1: is lost, and nobody claims it from the carrier",
    ),
    (
        money.no_loss_goes_unclaimed,
        "damaged, made good, and not claimed",
        add("losses", LossFact(shipment_id="SO-1-1", cause="damaged")),
        "SO-1-1: is damaged, and nobody claims it from the carrier",
    ),
    (
        parcels.attempts_told,
        "an attempt nobody was told of",
        lambda shop: edit("parcels", "SO-2-P1", carrier_status="attempted")(
            edit("scans", "delayed", status="attempted")(shop)
        ),
        "SO-2-P1: attempt 1 was made, its customer is told of 0",
    ),
    (
        messages.told_once,
        "the same fact queued twice",
        add("messages", message(1, "shipped", "SO-1-1", notification_id=99)),
        "shipped of SO-1-1 (version 1) is to be told 2 times",
    ),
    (
        messages.told_once,
        "the same fact under two Message-IDs",
        add(
            "ledger.messages",
            replace(mailed(message(4, "cancelled")), message_id="<order-SO-4.cancelled.SO-4.1@x>"),
        ),
        "sent under 2 Message-IDs",
    ),
    (
        messages.told_once,
        "a message nobody meant to send",
        add("ledger.messages", mailed(message(3, "shipped", "SO-3-1"))),
        "our books never meant to send it",
    ),
    (
        messages.told_once,
        "sent in our books alone",
        drop("ledger.messages", "<order-SO-4.cancelled.SO-4.1@northwind.example>"),
        "the channel never took it",
    ),
    (
        messages.every_message_ends,
        "due for an hour",
        edit("messages", "payment_declined", not_before=ago(hours=1)),
        "payment_declined",
    ),
    (messages.every_message_ends, "given up silently", edit("messages", "lost", why=""), "without a reason"),
    (
        messages.told_once,
        "a text message that arrived twice",
        together(add("messages", TEXTED), add("ledger.texts", a_text("SM1"), a_text("SM2"))),
        "texted 2 times",
    ),
    (
        messages.told_once,
        "a text message in our books alone",
        add("messages", TEXTED),
        "Twilio never took it",
    ),
    (
        messages.told_once,
        "a text message nobody meant to send",
        add("ledger.texts", a_text("SM1")),
        "our books never meant to",
    ),
    (
        messages.nobody_is_woken,
        "news of a delivery in the night",
        edit("messages", "delivered", zone="Asia/Tokyo", taken_at=NOW.replace(hour=17)),
        "left at 02:00 in Asia/Tokyo",
    ),
    (
        messages.left_in_peace,
        "a mail to an address that does not exist",
        together(
            edit("messages", "delivered", taken_at=ago(hours=1)),
            add(
                "blocks",
                BlockFact(channel="email", recipient=message(1, "delivered").recipient, at=ago(hours=2)),
            ),
        ),
        "after its recipient was blocked",
    ),
    (
        messages.must_be_told,
        "a customer who never heard of it, and nobody who knows",
        drop("cases", "customer_unreachable"),
        "order-SO-5.lost.SO-5-P1",
    ),
    (
        messages.every_event_ends,
        "ignored without a reason",
        edit("events", "evt_2", why=""),
        "evt_2: tracker.updated is ignored without a reason",
    ),
    (
        messages.every_event_ends,
        "kept although its parcel is known",
        add("events", event(4, "unmatched", "no label has this number", "940011")),
        "evt_4",
    ),
    (
        messages.facts_are_heard,
        "a packed parcel its order never heard of",
        add(
            "signals",
            SignalFact(
                signal_id=1, order_id="SO-7", name="packed", fact_key="SO-7-1:packed", at=ago(hours=1)
            ),
        ),
        "SO-7: has not heard packed",
    ),
    (
        orders.one_order_per_request,
        "one reference, two orders",
        edit("orders", "SO-7", external_ref="ref-3"),
        "shop ref-3: 2 orders",
    ),
    (orders.accepted_is_running, "an open order without a workflow", drop("runs.runs", "SO-7"), "SO-7"),
    (
        orders.accepted_is_running,
        "accepted an hour ago and never started",
        edit("orders", "SO-7", started_at=None),
        "SO-7: accepted",
    ),
    (
        orders.accepted_is_running,
        "ended, and its workflow runs on",
        add("runs.runs", Run(order_id="SO-4", status="running")),
        "SO-4: is cancelled, and its workflow still runs",
    ),
    (orders.nothing_wedged, "a task tried seven times", edit("runs.runs", "SO-7", task_attempts=7), "SO-7"),
    (orders.nothing_wedged, "terminated", edit("runs.runs", "SO-7", status="terminated"), "terminated"),
    (
        orders.everyone_waits,
        "a parcel nobody will ask for",
        edit("parcels", "SO-2-P1", next_check_at=None),
        "SO-2-1: is under way, and nobody will ask for it",
    ),
    (
        orders.everyone_waits,
        "late on the floor, and nobody knows",
        edit("shipments", "SO-7-1", ship_by=ago(hours=2)),
        "SO-7-1: should have left",
    ),
    (orders.everyone_waits, "declined without a case", drop("cases", "SO-6:payment_declined:1"), "SO-6-1"),
    (
        orders.everyone_waits,
        "sold ahead, and kept past its day",
        edit(
            "shipments",
            "SO-7-1",
            work_status="scheduled",
            waits_for="date",
            for_sale_at=ago(days=1),
            released_at=None,
        ),
        "SO-7-1: waits for its day, which came on",
    ),
    (
        orders.everyone_waits,
        "stock nobody ordered",
        together(
            edit("replenishments", "RO-1", state="received", received=5),
            edit("levels", "LAMP", incoming=0),
            edit("movements", "expected", incoming=0),
            edit("backorders", "SO-2-2", promise_date=ago(days=3).date()),
        ),
        "waits for LAMP, which nobody has ordered",
    ),
    (
        orders.statuses_follow,
        "delivered, and the outcome says otherwise",
        edit("orders", "SO-1", outcome="cancelled"),
        "SO-1: is completed with the outcome cancelled",
    ),
    (
        orders.statuses_follow,
        "ended with an open hold",
        add("holds", replace(CLEAN.books.holds[1], hold_id="SO-1:manual:1", order_id="SO-1")),
        "SO-1:manual:1: stands",
    ),
    (
        orders.promises_stay,
        "the first promise rewritten",
        edit("orders", "SO-2", promise_first_date=DAY + timedelta(days=2)),
        "SO-2: was first promised 2026-11-30",
    ),
    (orders.promises_stay, "moved without a reason", edit("promises", "weather", reason=""), "SO-2"),
    (
        orders.promises_told,
        "another day than the message tells of",
        edit("promises", "weather", told_version=3),
        "SO-2: promise 2 is 2026-12-02, and nobody was told",
    ),
    (
        orders.promises_told,
        "moved by an old version, and not told",
        edit("promises", "weather", told_fact=None),
        "SO-2: promise 2",
    ),
    (
        orders.promises_told,
        "a day told that nobody promised",
        edit("messages", "delayed", promise_date=DAY + timedelta(days=9)),
        "SO-2: delayed 2 promises 2026-12-09, which is not on record",
    ),
    (orders.acts_are_signed, "a cancel by nobody", edit("acts", "cancel", actor=""), "entry 2 (cancel)"),
    (orders.acts_are_signed, "a cancel without an entry", drop("acts", "cancel"), "SO-4"),
    (
        orders.acts_are_signed,
        "tracking put right by nobody",
        add("scans", replace(CLEAN.books.scans[0], source="staff", correction=True, code="corrected:r-1")),
        "SO-1: its tracking was put right",
    ),
    (orders.acts_are_signed, "goods moved by nobody", edit("movements", "adjusted", unsigned=1), "TENT"),
    (
        orders.at_rest,
        "a request on its way",
        add("operations", operation(7, "capture", state="claimed", claimed_at=ago(seconds=30))),
        "SO-7:capture:SO-7-1:1: is claimed",
    ),
    (orders.at_rest, "an activity under way", edit("runs.runs", "SO-7", deeds=("buy_label",)), "buy_label"),
    (
        orders.forgotten_for_good,
        "an address came back",
        add("forgotten", ForgottenFact(order_id="SO-1", left=("where they live",))),
        "SO-1: still says where they live",
    ),
)


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.name)
def test_a_shop_where_all_is_right_passes(check: Invariant) -> None:
    found = check(CLEAN)

    assert (found.verdict, found.violations) == (Verdict.PASS, ())
    assert found.looked_at > 0


@pytest.mark.parametrize(
    ("check", "put", "word"), [(c, put, word) for c, _, put, word in BREAKS], ids=[b[1] for b in BREAKS]
)
def test_one_thing_put_wrong_breaks_one_invariant(check: Invariant, put: Put, word: str) -> None:
    found = broken(put(CLEAN))

    assert list(found) == [check.name], found
    assert any(word in violation for violation in found[check.name]), found


def test_every_invariant_is_broken_by_a_test() -> None:
    broken_here = {check.name for check, *_ in BREAKS}

    assert broken_here == {check.name for check in ALL}
    assert len({check.name for check in ALL}) == len(ALL)


def test_every_invariant_that_is_written_is_judged() -> None:
    modules = (sources, stock, money, ledgers, parcels, messages, orders)

    written = {x.name for module in modules for x in vars(module).values() if isinstance(x, Invariant)}

    assert written == {check.name for check in ALL}


# --- what is no violation ---------------------------------------------------------------------------

INNOCENT: dict[str, Put] = {
    "a capture on its way": together(
        edit("payments", "pi_2", status="authorized", captured=0),
        edit("operations", "SO-2:capture:SO-2-1:1", state="claimed", claimed_at=ahead(seconds=1)),
        edit("shipments", "SO-2-1", handed_over_at=ago(minutes=1)),
    ),
    "a capture whose answer is lost": together(
        edit("payments", "pi_2", status="authorized", captured=0),
        edit("operations", "SO-2:capture:SO-2-1:1", state="unknown"),
        add("cases", case("SO-2", "operation_unknown", "SO-2-1")),
    ),
    "handed over a moment ago": together(
        edit("payments", "pi_2", status="authorized", captured=0),
        swap("ledger.payments", "pi_2", taken(2, "requires_capture", "authorize")),
        drop("operations", "SO-2:capture:SO-2-1:1"),
        edit("shipments", "SO-2-1", handed_over_at=ago(seconds=2)),
    ),
    "a refund that failed later, with its case": together(
        edit("ledger.payments", "pi_5", refunded=0), add("cases", case("SO-5", "refund_failed", "SO-5-1"))
    ),
    "an answer in the night": edit("messages", "cancelled", zone="Asia/Tokyo", taken_at=NOW.replace(hour=17)),
    "a mail sent before its address bounced": together(
        edit("messages", "delivered", taken_at=ago(hours=2)),
        add(
            "blocks", BlockFact(channel="email", recipient=message(1, "delivered").recipient, at=ago(hours=1))
        ),
    ),
    "a text message that failed and was sent once more": together(
        add("messages", TEXTED), add("ledger.texts", a_text("SM1", failed=True), a_text("SM2"))
    ),
    "news that reached the customer another way": together(
        drop("cases", "customer_unreachable"),
        add("messages", replace(TEXTED, order_id="SO-5", subject="SO-5-P1")),
        add("ledger.texts", a_text("SM1")),
    ),
    "a mail repeated under the same Message-ID": edit(
        "ledger.messages", "<order-SO-4.cancelled.SO-4.1@northwind.example>", accepted=2
    ),
    "a renewed key": edit(
        "ledger.payments",
        "pi_1",
        effects=(
            Effect(kind="authorize", key="SO-1:authorize:SO-1-1:1", amount=7842),
            Effect(kind="capture", key="SO-1:capture:SO-1-1:1~2", amount=7842),
        ),
    ),
    "authorized on the bank's own page": edit(
        "ledger.payments", "pi_3", effects=(Effect(kind="authorize", key="", amount=3300),)
    ),
    "an authorization that ran out by itself": edit(
        "ledger.payments",
        "pi_4",
        effects=(
            Effect(kind="authorize", key="SO-4:authorize:SO-4-1:1", amount=3300),
            Effect(kind="expire", key="", amount=3300),
        ),
    ),
    "a label the carrier would not take back": together(
        edit("labels", "shp_41", state="void_refused"),
        edit("operations", "SO-4:void_label:SO-4-P1:1", state="failed"),
        edit("ledger.labels", "shp_41", state="purchased"),
    ),
    "found after it was lost and refunded": together(
        add("scans", scan(5, "delivered", ago(hours=1))),
        edit(
            "parcels",
            "SO-5-P1",
            carrier_status="delivered",
            latest_scan_at=ago(hours=1),
            delivered_at=ago(hours=1),
        ),
        edit("shipments", "SO-5-1", outcome="delivered"),
        edit("orders", "SO-5", outcome="delivered"),
    ),
    "found after it was claimed": together(
        edit("carrier_claims", "SO-5-P1", outcome="found"),
        edit("cases", "carrier_claim", state="resolved"),
        edit("shipments", "SO-5-1", outcome="returned"),
    ),
    "lost and claimed, and its customer forgotten": drop("losses", "SO-5-1"),
    "expired by itself, without an act": together(
        drop("acts", "cancel"), edit("orders", "SO-4", status="expired", outcome="expired")
    ),
    "taken by the carrier while held": together(
        edit("holds", "SO-3:manual:1", order_id="SO-1", ended_at=ago(days=1)),
        edit("shipments", "SO-1-1", handed_by="carrier"),
    ),
    "late on the floor, with its case": together(
        edit("shipments", "SO-7-1", ship_by=ago(hours=2)),
        add("cases", case("SO-7", "warehouse_late", "SO-7-1")),
    ),
    "a workflow that failed, with its case": together(
        edit("runs.runs", "SO-7", status="failed"), add("cases", case("SO-7", "bad_signal"))
    ),
    "a goodwill that the bank sent back and a person paid, and then a loss": A_GOODWILL_BY_HAND_BEFORE_THE_LOSS,
    "a second attempt with another card": together(
        add(
            "payments",
            replace(payment(6, "authorized"), payment_id="SO-6:authorize:SO-6-1:2", provider_ref="pi_62"),
        ),
        add("operations", replace(operation(6, "authorize"), operation_key="SO-6:authorize:SO-6-1:2")),
        add(
            "ledger.payments",
            replace(
                taken(6, "requires_capture", "authorize"),
                ref="pi_62",
                effects=(Effect(kind="authorize", key="SO-6:authorize:SO-6-1:2", amount=3300),),
            ),
        ),
    ),
}


@pytest.mark.parametrize("put", INNOCENT.values(), ids=INNOCENT)
def test_what_may_be_so_breaks_nothing(put: Put) -> None:
    assert broken(put(CLEAN)) == {}


def test_a_repeated_mail_is_counted() -> None:
    evidence = INNOCENT["a mail repeated under the same Message-ID"](CLEAN)

    assert messages.told_once(evidence).note == "1 repeated under the same Message-ID after a lost answer"


def test_without_a_ledger_money_is_judged_by_our_books_and_the_comparison_proves_nothing() -> None:
    found = {check.name: check.verdict for check in judge(replace(CLEAN, ledger=None))}

    assert found["both books agree"] is Verdict.NONE
    assert found["money once"] is Verdict.NONE
    assert found["captured what shipped"] is Verdict.PASS


def test_a_loss_kept_is_seen_in_the_providers_ledger_though_our_books_look_right() -> None:
    evidence = swap("ledger.payments", "pi_5", taken(5, "succeeded", "authorize", "capture"))(CLEAN)

    assert "captured what shipped" in broken(evidence)


def test_what_was_paid_by_hand_once_covers_what_was_kept_of_one_shipment() -> None:
    """Guard: what is covered is used up. Without it every lost shipment of an order may keep the same goodwill."""
    goodwill = replace(A_GOODWILL_BY_HAND, amount=7842)
    both_lost = together(LOST_AND_KEPT, edit("shipments", "SO-1-1", order_id="SO-5", outcome="lost"))
    evidence = together(both_lost, add("refunds", goodwill))(CLEAN)

    assert money.captured_what_shipped(evidence).violations == (
        "SO-5-1: 33.00 USD captured, 0.00 USD given back, 0.00 USD is due",
    )


def test_what_a_case_excuses_uses_up_nothing_that_was_paid_by_hand() -> None:
    """Guard: the excused are passed over. Without it their share is lacking where it belongs, and is a false alarm."""
    goodwill = replace(A_GOODWILL_BY_HAND, amount=7842)
    one_excused = together(
        LOST_AND_KEPT,
        edit("shipments", "SO-1-1", order_id="SO-5", outcome="lost"),
        add("refunds", goodwill),
        add("cases", case("SO-5", "refund_failed", "SO-5-1")),
    )
    books = one_excused(CLEAN).books
    turned = replace(CLEAN, books=replace(books, shipments=tuple(reversed(books.shipments))))

    for evidence in (one_excused(CLEAN), replace(one_excused(CLEAN), books=turned.books)):
        assert not money.captured_what_shipped(evidence).violations


def test_empty_books_break_nothing() -> None:
    still = timedelta(seconds=1)
    empty = Books(now=NOW, since=NOW, grace=still, patience=still, skew=still)

    found = judge(Evidence(books=empty, ledger=invariants.Ledger(), runs=invariants.Runs()))

    assert {check.verdict for check in found} == {Verdict.PASS}


def test_a_check_that_saw_nothing_proves_nothing() -> None:
    evidence = replace(CLEAN, books=replace(CLEAN.books, events=()))

    assert messages.every_event_ends(evidence).verdict is Verdict.NONE
