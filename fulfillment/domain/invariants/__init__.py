"""What must always be true, each as a function over plain facts; the audit, the fault suite and the tests judge by it.

It shares no code with what writes: it is told what the books, the providers' ledgers and Temporal say, and believes
none of them alone.
"""

from typing import Final

from fulfillment.domain.invariants import ledgers, messages, money, orders, parcels, sources, stock
from fulfillment.domain.invariants.check import Check, Invariant, Verdict
from fulfillment.domain.invariants.facts import Books, Evidence, Ledger, Runs

ALL: Final[tuple[Invariant, ...]] = (
    sources.everything_was_read,
    stock.no_oversell,
    stock.counters_equal_movements,
    stock.stock_moved_once,
    stock.taken_out_as_said,
    stock.promises_match_counters,
    stock.vendors_orders_say_what_came,
    stock.transfers_balance,
    stock.every_unit_once,
    stock.claims_cover_units,
    stock.left_as_it_carries,
    stock.claims_end,
    stock.claims_run_out,
    money.amounts_add_up,
    money.equals_stand_for_units,
    money.money_once,
    money.shares_add_up,
    money.refunds_fit,
    money.captured_what_shipped,
    money.sent_again_once,
    money.nothing_shipped_unpaid,
    money.nothing_paid_and_kept_back,
    money.no_authorization_left_open,
    money.nothing_left_in_doubt,
    money.never_both,
    money.given_back_for_what_happened,
    money.carrier_claims_kept,
    money.no_loss_goes_unclaimed,
    ledgers.both_books_agree,
    ledgers.one_live_label,
    ledgers.one_parcel_per_number,
    ledgers.labels_cost_what_was_quoted,
    ledgers.labelled_and_free,
    parcels.nothing_closed_unscanned,
    parcels.no_label_too_heavy,
    parcels.left_with_evidence,
    parcels.parcels_follow_their_scans,
    parcels.attempts_told,
    messages.told_once,
    messages.every_message_ends,
    messages.nobody_is_woken,
    messages.left_in_peace,
    messages.must_be_told,
    messages.every_event_ends,
    messages.facts_are_heard,
    orders.one_order_per_request,
    orders.accepted_is_running,
    orders.nothing_wedged,
    orders.everyone_waits,
    orders.statuses_follow,
    orders.promises_stay,
    orders.promises_told,
    orders.acts_are_signed,
    orders.forgotten_for_good,
    orders.at_rest,
)


def judge(evidence: Evidence) -> tuple[Check, ...]:
    """Return every check of the evidence."""
    return tuple(check(evidence) for check in ALL)


__all__ = ["ALL", "Books", "Check", "Evidence", "Invariant", "Ledger", "Runs", "Verdict", "judge"]
