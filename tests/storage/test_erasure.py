"""Forgetting a customer: after it nothing in the database says who they were, and what was paid is as it was (P54)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlalchemy import ARRAY, LargeBinary, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from fulfillment.domain.address import Address
from fulfillment.domain.erasure import Forgotten, NotErasable, UnknownCustomer
from fulfillment.domain.notifications import Block, Channel, Fact, Preferences
from fulfillment.domain.order import Customer, Outcome
from fulfillment.domain.policy import DEFAULT
from fulfillment.domain.record import CloseOrder
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.storage import erasure, journal
from fulfillment.storage.contacts import ContactStore, block
from fulfillment.storage.erasure import BLANK, GONE, ErasureStore
from fulfillment.storage.idempotency import IdempotencyKeys
from fulfillment.storage.missing import CaseRefused, MissingStore
from fulfillment.storage.tables import erasures, metadata, orders, outbox
from tests.storage.house import House, a_scan

ANN: Final = "cus_ann"
MARK: Final = "zebra"  # nobody is called so but them
HOME: Final = Address(
    name="Ann Zebra",
    line1="7 Zebra Lane",
    city="Zebraville",
    region="NV",
    country="US",
    postal_code="ZEBRA",
)
ANN_HERSELF: Final = Customer(
    customer_id=ANN, email="ann@zebra.example", phone="+12085550177", locale="en-US"
)
# What says nothing of a customer, by table; a column that is in neither list must be judged before it is merged.
NOBODYS: Final = {
    "orders": "order_id channel external_ref status currency service customer_id locale policy_version tracking_token "
    "placed outcome",
    "payments": "payment_id order_id provider provider_ref status currency decline_group",
    "refunds": "refund_id order_id shipment_id cause state by approved_by request_id why_approval by_hand_ref",
    "holds": "hold_id order_id reason scope placed_by state released_by",
    "cases": "case_id order_id subject kind owner state resolved_by",
    "order_changes": "change_id order_id kind state added stopped reworked by request_id",
    "order_events": "order_id kind",
    "audit_entries": "order_id actor command request_id",
    "signals": "order_id name fact_key",
    "outbox": "order_id fact subject channel zone",
    "inbox": "provider event_id kind subject order_id state",
    "webhook_deliveries": "endpoint_id order_id state",
    "parcels": "parcel_id order_id shipment_id carton_id size_mm carrier_status flags reason evidence evidence_ref "
    "handed_over_by",
    "labels": "label_id order_id parcel_id state provider_shipment_ref carrier service currency tracking_number "
    "order_service quotes",
    "tracking_events": "parcel_id event_hash status flag reason raw_code source provider standing by",
}
# Tables in which nobody of a shop's customers is: goods, places, carriers, decisions.
NO_PEOPLE: Final = frozenset(
    {
        "allocations",
        "backorders",
        "bins",
        "carrier_claims",
        "carriers",
        "cartons",
        "condition_checks",
        "disputes",
        "erasures",
        "event_horizon",
        "locations",
        "manifest_parcels",
        "manifests",
        "order_lines",
        "packing_scans",
        "packings",
        "payment_shares",
        "pick_scans",
        "pick_totes",
        "pick_walks",
        "promises",
        "provider_operations",
        "put_backs",
        "refund_units",
        "rejections",
        "replacements",
        "replenishment_orders",
        "reservations",
        "returned_units",
        "scan_forms",
        "shipments",
        "sku_substitutes",
        "skus",
        "sourcing_decisions",
        "stock_counts",
        "stock_events",
        "stock_levels",
        "stock_movements",
        "stock_transfers",
        "substitutions",
        "transits",
        "unit_ranges",
        "webhook_endpoints",
    }
)
BY_PERSON: Final = frozenset({"contact_blocks", "customer_preferences"})


@pytest.fixture
def store(house: House) -> ErasureStore:
    house.stocked()
    return ErasureStore(house.engine, house.now)


def anns(house: House, order_id: str = "SO-1") -> None:
    """Let Ann's order be told of by everybody who may ever write something down about her, and end."""
    house.shipped(order_id, customer=ANN_HERSELF, ship_to=HOME, note="ring twice, Zebra", mugs=2)
    house.shipping.scanned(
        f"{order_id}-P1",
        (a_scan(CarrierStatus.DELIVERED, place="Zebraville, NV", text="signed by A ZEBRA"),),
        None,
        source="carrier",
    )
    house.records.close(CloseOrder(order_id=order_id, outcome=Outcome.DELIVERED))


def texts_of(table: Table) -> list[str]:
    kinds = (Text, JSONB, LargeBinary, ARRAY)
    return [column.name for column in table.columns if isinstance(column.type, kinds)]


def who_says(house: House, word: str = MARK) -> set[str]:
    """Return every column of the database in which this word stands."""
    found: set[str] = set()
    with house.engine.connect() as conn:
        for table in metadata.sorted_tables:
            for column in texts_of(table):
                shown = (
                    f"encode({column}, 'escape')"
                    if isinstance(table.c[column].type, LargeBinary)
                    else f'"{column}"::text'
                )
                query = f"SELECT EXISTS (SELECT FROM {table.name} WHERE {shown} ILIKE :word)"
                if conn.execute(text(query), {"word": f"%{word}%"}).scalar_one():
                    found.add(f"{table.name}.{column}")
    return found


def test_p54_every_column_is_judged_to_be_about_a_customer_or_not() -> None:
    """Guard: the two lists. A new column of text that is in neither fails here until somebody has judged it."""
    unjudged: set[str] = set()
    for table in metadata.sorted_tables:
        if table.name in NO_PEOPLE | BY_PERSON | set(GONE):
            continue
        assert table.name in BLANK, f"{table.name} is in no list"
        known = set(NOBODYS[table.name].split())
        unjudged |= {
            f"{table.name}.{name}"
            for name in texts_of(table)
            if name not in known and f"{name} =" not in " " + BLANK[table.name]
        }

    assert unjudged == set()


def test_p54_after_an_erasure_no_column_says_who_it_was(house: House, store: ErasureStore) -> None:
    """Guard: `BLANK` and `GONE`. Without any one of their entries the scan finds the mark that was planted there."""
    anns(house)
    _plant(house)
    planted = who_says(house)

    store.erase(ANN, by="olga", reason="she asked by letter")

    assert {name.partition(".")[0] for name in planted} >= {*BLANK, *GONE}
    assert who_says(house) == set()


def _plant(house: House) -> None:
    """Put the mark into every column that is to be blanked, where a row of the order is there; and make such rows."""
    house.records.propose_address("SO-1", HOME, by="ann", request_id="r-1")
    keys = IdempotencyKeys(house.engine, house.now)
    keys.begin("shop", "POST /v1/orders", "k", "h")
    keys.finish("shop", "POST /v1/orders", "k", status=201, answer={"id": "SO-1", "to": MARK})
    with house.engine.begin() as conn:
        for statement in _ROWS:
            conn.execute(text(statement))
        for name in BLANK:
            for column in _blanked(metadata.tables[name]):
                value = {"said": MARK} if isinstance(metadata.tables[name].c[column].type, JSONB) else MARK
                if column == "ship_to":
                    value = {
                        "name": MARK,
                        "line1": MARK,
                        "line2": MARK,
                        "city": MARK,
                        "region": "NV",
                        "country": "US",
                    }
                if column in ("state", "provider_refs"):
                    continue
                conn.execute(metadata.tables[name].update().values({column: value}))


def _blanked(table: Table) -> Iterator[str]:
    return (name for name in texts_of(table) if f" {name} =" in " " + BLANK[table.name].replace("\n", " "))


_ROWS: Final = (
    """INSERT INTO refunds (refund_id, order_id, n, cause, amount, state, by, request_id, at)
        VALUES ('SO-1-F1', 'SO-1', 1, 'goodwill', 1, 'succeeded', 'ben', 'r', now())""",
    """INSERT INTO order_changes (change_id, order_id, kind, state, text, delta, by, request_id, at)
        VALUES ('SO-1-C1', 'SO-1', 'address', 'confirmed', '', 0, 'ben', 'r', now())""",
    """INSERT INTO cases (case_id, order_id, subject, kind, severity, owner, state, resolution, opened_at, due_at, resolved_at)
        VALUES ('C-1', 'SO-1', 'SO-1', 'delayed', 3, 'support', 'resolved', 'x', now(), now(), now())""",
    """INSERT INTO holds (hold_id, order_id, reason, scope, placed_by, state, released_by, placed_at, due_at, ended_at)
        VALUES ('H-1', 'SO-1', 'manual', 'ship', 'ben', 'released', 'ben', now(), now(), now())""",
    """INSERT INTO inbox (provider, event_id, kind, subject, order_id, body, state, received_at)
        VALUES ('stripe', 'evt_1', 'x', 'pi_1', 'SO-1', '{}', 'applied', now())""",
    """INSERT INTO address_checks (order_id, address_hash, verdict, suggestion, said, at)
        VALUES ('SO-1', 'h', 'deliverable', '{"line1": "7 Zebra Ln"}', 'zebra', now())""",
    """INSERT INTO label_documents (label_id, format, content, sha256, at)
        SELECT label_id, 'zpl', convert_to('^FDAnn Zebra^FS', 'UTF8'), '', now() FROM labels ON CONFLICT DO NOTHING""",
    "UPDATE label_documents SET content = convert_to('^FDAnn Zebra^FS', 'UTF8')",
    """INSERT INTO webhook_endpoints (endpoint_id, url, secret, state, cursor, by, created_at) VALUES ('we_1', 'https://shop', 's', 'enabled', 0, 'ben', now())""",
    """INSERT INTO webhook_deliveries (endpoint_id, seq, order_id, state, why, not_before)
        SELECT 'we_1', min(seq), 'SO-1', 'delivered', '', now() FROM order_events""",
    "INSERT INTO signals (order_id, name, body, fact_key, at) VALUES ('SO-1', 'x', '{}', 'k-1', now())",
)


def test_p54_what_was_bought_paid_and_shipped_stays(house: House, store: ErasureStore) -> None:
    anns(house)
    kept = (
        "orders",
        "order_lines",
        "payments",
        "payment_shares",
        "stock_movements",
        "shipments",
        "unit_ranges",
    )
    before = {name: _amounts(house, metadata.tables[name]) for name in kept}

    store.erase(ANN, by="olga", reason="she asked by letter")

    assert {name: _amounts(house, metadata.tables[name]) for name in kept} == before
    assert house.row(orders)["ship_to"] | {"region": "NV", "country": "US"} == house.row(orders)["ship_to"]
    assert house.views.view("SO-1").order.total == before["orders"][0]["total"]
    (proof,) = house.rows(erasures)
    assert (proof["customer_id"], proof["orders"], proof["by"]) == (ANN, 1, "olga")


def _amounts(house: House, table: Table) -> list[dict[str, Any]]:
    numbers = [column.name for column in table.columns if column.type.python_type is int]
    return [{name: row[name] for name in numbers} for row in house.rows(table)]


def test_p54_what_is_not_over_keeps_the_customer_and_says_what_it_waits_for(
    house: House, store: ErasureStore
) -> None:
    anns(house)
    house.released("SO-2", customer=ANN_HERSELF, ship_to=HOME)

    with pytest.raises(NotErasable, match="SO-2 is in_fulfillment"):
        store.erase(ANN, by="olga", reason="she asked")

    assert house.row(orders, order_id="SO-1")["email"] == ANN_HERSELF.email
    assert house.rows(erasures) == []


def test_p54_a_repeat_answers_the_same_and_proves_it_once(house: House, store: ErasureStore) -> None:
    anns(house)

    first = store.erase(ANN, by="olga", reason="she asked")
    house.wait(timedelta(days=1))
    again = store.erase(ANN, by="olga", reason="she asked")

    assert again == first
    assert len(house.rows(erasures)) == 1


def test_p54_a_stranger_is_not_forgotten(house: House, store: ErasureStore) -> None:
    anns(house)

    with pytest.raises(UnknownCustomer, match="cus_nobody"):
        store.erase("cus_nobody", by="olga", reason="they asked")


def test_p54_the_link_of_the_customers_page_leads_nowhere(house: House, store: ErasureStore) -> None:
    anns(house)
    link = house.views.view("SO-1").tracking_token

    store.erase(ANN, by="olga", reason="she asked")

    assert house.views.view("SO-1").tracking_token != link


def test_p54_who_was_forgotten_is_told_nothing_any_more(house: House, store: ErasureStore) -> None:
    """Guard: no way to an erased order in `journal.tell`, and what waited is withdrawn; else mail goes to nobody."""
    anns(house)
    told = len(house.rows(outbox))
    store.erase(ANN, by="olga", reason="she asked")

    with house.engine.begin() as conn:
        journal.tell(conn, "SO-1", Fact.REFUNDED, subject="SO-1-F1", version=1, data={}, now=house.now())

    assert {row["state"] for row in house.rows(outbox)} <= {"withdrawn", "sent"}
    assert len(house.rows(outbox)) == told
    with pytest.raises(CaseRefused, match="forgotten"):
        MissingStore(house.engine, house.now).report("SO-1", by="ann", request_id="r-1")


def test_p54_what_comes_about_them_later_is_not_kept(house: House, store: ErasureStore) -> None:
    """Guard: `inbox.settle` and `parcels.record` look whether the order is somebody's. Without it late news stays."""
    anns(house)
    store.erase(ANN, by="olga", reason="she asked")

    late = a_scan(CarrierStatus.DELIVERED, hours=9, place="Zebraville, NV", text="photo of A ZEBRA")
    number = house.row(metadata.tables["labels"])["tracking_number"]
    house.shipping.record_report("easypost", "evt_9", "UPS", number, (late,), None, {"signed_by": "A ZEBRA"})

    assert house.row(metadata.tables["inbox"], event_id="evt_9")["order_id"] == "SO-1"
    assert who_says(house) == set()


def test_p54_a_block_goes_with_the_last_one_it_was_about(house: House, store: ErasureStore) -> None:
    contacts = ContactStore(house.engine, house.now)
    anns(house)
    house.shipped("SO-2", number="1Z2", customer=replace(ANN_HERSELF, customer_id="cus_ben"), ship_to=HOME)
    contacts.stop("evt_1", ANN_HERSELF.phone, "STOP")
    contacts.prefer(Preferences(customer_id=ANN, sms=False), by="ann")

    store.erase(ANN, by="olga", reason="she asked")

    assert [row["recipient"] for row in house.rows(metadata.tables["contact_blocks"])] == [ANN_HERSELF.phone]
    assert house.rows(metadata.tables["customer_preferences"]) == []


def test_p54_an_old_order_is_nobodys_by_itself_and_one_with_an_open_case_waits(house: House) -> None:
    house.stocked()
    anns(house)
    house.wait(DEFAULT.retention)
    house.shipped("SO-2", number="1Z2", customer=ANN_HERSELF, ship_to=HOME)

    erasure.retire(house.engine, now=house.now(), at_most=10)
    too_early = [row["erased_at"] for row in house.rows(orders)]
    house.wait(timedelta(days=1))
    erasure.retire(house.engine, now=house.now(), at_most=10)

    assert too_early == [None, None]
    assert [row["erased_at"] for row in house.rows(orders)] == [house.now(), None]
    assert house.row(orders, order_id="SO-2")["email"] == ANN_HERSELF.email


def test_p54_while_a_claim_against_the_carrier_is_open_it_must_be_known_whose_goods_they_were(
    house: House, store: ErasureStore
) -> None:
    anns(house)
    with house.engine.begin() as conn:
        conn.execute(text(_A_CLAIM))

    with pytest.raises(NotErasable, match=r"SO-1 has an open case \(carrier_claim\)"):
        store.erase(ANN, by="olga", reason="she asked")


_A_CLAIM: Final = """
    INSERT INTO cases (case_id, order_id, subject, kind, severity, owner, state, note, opened_at, due_at)
    VALUES ('C-1', 'SO-1', 'SO-1-P1', 'carrier_claim', 3, 'support', 'open', 'file a claim with UPS', now(), now())
"""


@pytest.mark.parametrize("state", ["claimed", "unknown"])
def test_p54_while_a_message_is_on_its_way_it_must_be_known_where_to(
    house: House, store: ErasureStore, state: str
) -> None:
    """Guard: the outbox among what is not over. A sender would write the address down again, and send to nobody."""
    anns(house)
    house.change(outbox, {"state": state}, fact="shipped")

    with pytest.raises(NotErasable, match="SO-1 has a message on its way"):
        store.erase(ANN, by="olga", reason="she asked")


def test_p54_an_address_is_found_however_it_was_written(house: House, store: ErasureStore) -> None:
    """Guard: small letters on both sides. Without them a block of `Ann@Zebra.example` stood after its erasure."""
    loud = replace(ANN_HERSELF, email="Ann@Zebra.example")
    house.shipped(customer=loud, ship_to=HOME)
    house.shipping.scanned("SO-1-P1", (a_scan(CarrierStatus.DELIVERED),), None, source="carrier")
    house.records.close(CloseOrder(order_id="SO-1", outcome=Outcome.DELIVERED))
    with house.engine.begin() as conn:
        block(conn, Channel.EMAIL, loud.email, Block.BOUNCED, why="no such user", now=house.now())
        conn.execute(text(_UNMATCHED_MAIL))

    store.erase(ANN, by="olga", reason="she asked")

    assert who_says(house) == set()


_UNMATCHED_MAIL: Final = """
    INSERT INTO inbox (provider, event_id, kind, subject, body, state, received_at)
    VALUES ('smtp', 'b-1', 'bounce', '?', '{"to": "ann@ZEBRA.example"}', 'ignored', now())
"""


def test_p54_whoever_was_forgotten_is_not_reached_elsewhere(house: House, store: ErasureStore) -> None:
    anns(house)
    store.erase(ANN, by="olga", reason="she asked")

    with pytest.raises(Forgotten, match="SO-1"):
        ContactStore(house.engine, house.now).reach_at("SO-1", email="z@zebra.example", phone="", by="ben")

    assert who_says(house) == set()


def test_p54_a_late_bounce_of_a_forgotten_customers_mail_calls_nobody(
    house: House, store: ErasureStore
) -> None:
    """Guard: `contacts.lost` looks whether the order is somebody's; else it is a case about nobody."""
    anns(house)
    store.erase(ANN, by="olga", reason="she asked")
    told = house.rows(outbox)[0]
    house.change(outbox, {"state": "sent"}, notification_id=told["notification_id"])

    contacts = ContactStore(house.engine, house.now)
    contacts.bounced(told["notification_id"], "", "no such user", Block.BOUNCED)

    assert house.rows(metadata.tables["cases"]) == []
    assert house.rows(metadata.tables["contact_blocks"]) == []


def test_p54_a_scan_that_is_told_again_is_still_the_same_scan(house: House, store: ErasureStore) -> None:
    """Guard: it is recognised by what was said, and stored without it. Blanked before, it was another scan."""
    anns(house)
    store.erase(ANN, by="olga", reason="she asked")
    before = len(house.rows(metadata.tables["tracking_events"]))

    scan = a_scan(CarrierStatus.DELIVERED, place="Zebraville, NV", text="signed by A ZEBRA")
    house.shipping.scanned("SO-1-P1", (scan,), None, source="carrier")

    assert len(house.rows(metadata.tables["tracking_events"])) == before
    assert who_says(house) == set()


def test_p54_an_old_order_with_something_open_keeps_no_other_waiting(house: House) -> None:
    """Guard: what is open is asked before the oldest are taken. Asked after, one dispute stopped all that came later."""
    house.stocked()
    anns(house)
    with house.engine.begin() as conn:
        conn.execute(text(_A_CLAIM))
    house.wait(timedelta(hours=1))
    house.shipped("SO-2", number="1Z2", customer=replace(ANN_HERSELF, customer_id="cus_ben"), ship_to=HOME)
    house.shipping.scanned("SO-2-P1", (a_scan(CarrierStatus.DELIVERED, hours=2),), None, source="carrier")
    house.records.close(CloseOrder(order_id="SO-2", outcome=Outcome.DELIVERED))
    house.wait(DEFAULT.retention + timedelta(days=1))

    for _ in range(2):
        erasure.retire(house.engine, now=house.now(), at_most=1)

    assert [row["erased_at"] for row in house.rows(orders)] == [None, house.now()]
    assert len(house.rows(erasures)) == 1
