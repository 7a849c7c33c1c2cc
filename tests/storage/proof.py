"""The books of a shop after a change, judged as the audit judges them."""

from datetime import timedelta

from fulfillment.domain.invariants import Evidence, ledgers, money, orders, stock
from fulfillment.domain.shipment import BEFORE_HAND_OVER
from fulfillment.storage import boxes
from fulfillment.storage.audit import AuditStore
from fulfillment.storage.tables import shipments
from tests.storage.house import House

# What every commit must leave true. The rest looks for workflows and sweeps, of which there are none here.
_ALWAYS = (
    stock.no_oversell,
    stock.counters_equal_movements,
    stock.stock_moved_once,
    stock.taken_out_as_said,
    stock.promises_match_counters,
    stock.every_unit_once,
    stock.claims_cover_units,
    stock.left_as_it_carries,
    stock.claims_end,
    money.amounts_add_up,
    money.equals_stand_for_units,
    ledgers.one_live_label,
    ledgers.labelled_and_free,
    orders.promises_stay,
    orders.acts_are_signed,
)
# And when nothing is on its way any more.
_AT_REST = (
    money.captured_what_shipped,
    money.refunds_fit,
    money.nothing_shipped_unpaid,
    money.nothing_paid_and_kept_back,
    money.shares_add_up,
    money.sent_again_once,
    money.given_back_for_what_happened,
)


def check_money(house: House) -> None:
    """Let everything come to rest, and fail where money is not where it belongs."""
    house.wait(timedelta(hours=1))
    evidence = Evidence(books=AuditStore(house.engine, house.now).books())
    for judge in _AT_REST:
        assert judge(evidence).violations == ()
    check_books(house)


def check_books(house: House) -> None:
    """Fail with every violation the audit would name in the books alone."""
    evidence = Evidence(books=AuditStore(house.engine, house.now).books())
    broken = {check.name: check.violations for check in (judge(evidence) for judge in _ALWAYS)}
    wrong = {name: why for name, why in broken.items() if why}
    assert not wrong, wrong


def check_parcels(house: House) -> None:
    """Fail with every shipment that has not left and needs more than one parcel."""
    left = [row["shipment_id"] for row in house.rows(shipments) if row["work_status"] in BEFORE_HAND_OVER]
    with house.engine.connect() as conn:
        wrong = [one for one in left if boxes.with_room(conn, [one], {}) is None]
    assert not wrong, f"these are not one parcel: {', '.join(wrong)}"
