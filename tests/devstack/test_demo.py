"""The demo: what it sees, what it does until it is answered, what it proves; all without a stack."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console
from sqlalchemy.exc import OperationalError

from devstack import proof
from devstack.blows import Blows
from devstack.board import Board, Counts, needs_a_person
from devstack.demo import SPEED, wind_clock
from devstack.hands import Hands
from devstack.processes import Stopped
from devstack.proof import Survived
from devstack.scenarios import SCENARIOS
from devstack.screen import PlainScreen
from devstack.stack import Stack
from devstack.state import State
from devstack.table import Frame
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.invariants.check import Check, Verdict
from fulfillment.domain.invariants.facts import (
    AllocationFact,
    Books,
    CaseFact,
    Ledger,
    LedgerLabel,
    LedgerMessage,
    MovementFact,
    RejectionFact,
)
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import OrderStatus
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.stage import Stage
from fulfillment.domain.view import OrderView
from fulfillment.http import ApiAway, ApiClient, ApiRefused
from tests.starter.views import NOON, a_case, a_hold, a_parcel, a_shipment, a_view

ORDER = "SO-10483"
NEVER = timedelta(0)


# --- what it sees ----------------------------------------------------------------------------------------


class Shelf:
    """Views as the database would give them; it can be away."""

    def __init__(self, *views: OrderView) -> None:
        self.views = list(views)
        self.away = False

    def several(self, order_ids: Collection[str]) -> list[OrderView]:
        if self.away:
            raise OperationalError("SELECT", {}, Exception("connection refused"))
        return [view for view in self.views if view.order.order_id in order_ids]


def a_board(*views: OrderView) -> tuple[Board, Shelf]:
    shelf = Shelf(*views)
    return Board(shelf, [ORDER], lambda: NOON), shelf


def test_a_new_order_is_a_change() -> None:
    board, _ = a_board(a_view(a_shipment()))

    changes = board.look()

    assert [(change.stage, change.new_stage) for change in changes] == [(Stage.ALLOCATED, True)]
    assert list(board.views) == [ORDER]


def test_what_looks_the_same_is_no_change() -> None:
    board, _ = a_board(a_view(a_shipment()))
    board.look()

    assert board.look() == []


def test_trouble_is_a_change_of_the_same_stage() -> None:
    board, shelf = a_board(a_view(a_shipment()))
    board.look()
    shelf.views = [a_view(a_shipment(), cases=(a_case(CaseKind.CARRIER_DOWN),))]

    (change,) = board.look()

    assert (change.attention, change.new_stage) == (CaseKind.CARRIER_DOWN, False)
    assert len(board.changes) == 2


def test_with_the_database_away_the_last_look_stands() -> None:
    board, shelf = a_board(a_view(a_shipment()))
    board.look()
    shelf.away = True

    assert board.look() == []
    assert board.blind_for > 0
    assert list(board.views) == [ORDER]

    shelf.away = False
    board.look()

    assert board.blind_for == 0


def test_who_waits_gets_the_view_that_is_there() -> None:
    board, _ = a_board(a_view(a_shipment()))
    board.look()

    assert board.wait(ORDER, lambda view: view.stage is Stage.ALLOCATED, 0.01) is not None
    assert board.wait(ORDER, lambda view: view.stage is Stage.DELIVERED, 0.01) is None


def test_orders_are_counted_by_how_far_they_are() -> None:
    on_its_way = a_view(a_shipment(parcel=a_parcel()))
    held = a_view(a_shipment(work_status=WorkStatus.SCHEDULED), holds=(a_hold(HoldReason.FRAUD),))

    assert Counts.of([on_its_way, held]) == Counts(
        placed=2, paid=2, packed=1, shipped=1, delivered=0, need_a_person=1
    )


def test_what_is_solved_by_itself_needs_nobody() -> None:
    assert not needs_a_person(a_view(a_shipment(), cases=(a_case(CaseKind.DELAYED),)))


def test_an_order_that_ended_needs_nobody() -> None:
    ended = a_view(status=OrderStatus.COMPLETED, cases=(a_case(CaseKind.BAD_SIGNAL),))

    assert not needs_a_person(ended)


def test_without_a_terminal_every_new_stage_is_one_line() -> None:
    board, shelf = a_board(a_view(a_shipment()))
    out = StringIO()
    screen = PlainScreen(Console(file=out, width=120))
    frame = Frame(rows=(), counts=Counts(), orders=24, speed=SPEED, now=NOON)

    screen.show(frame, board.look())
    screen.show(replace(frame, away="PostgreSQL stopped"), board.look())
    shelf.views = [a_view(a_shipment(), cases=(a_case(CaseKind.CARRIER_DOWN),))]
    screen.show(frame, board.look())

    assert out.getvalue().splitlines() == [
        "Mon 23 12:00  SO-10483  allocated        Fri 27  wh-reno picks next",
        "recovering: PostgreSQL stopped",
        "everything answers again",
    ]


# --- what it does ----------------------------------------------------------------------------------------


class Api:
    """An API that answers what it is told to, one after another."""

    def __init__(self, *answers: Any) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.keys: list[str] = []
        self._answers = list(answers)

    def post(self, path: str, body: Any = None, *, key: str = "") -> Any:
        self.keys.append(key)
        return self._answer(path, body)

    def get(self, path: str) -> Any:
        return self._answer(path, None)

    def delete(self, path: str) -> Any:
        return self._answer(path, None)

    def _answer(self, path: str, body: Any) -> Any:
        self.asked.append((path, body))
        answer = self._answers.pop(0) if self._answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer


def some_hands(
    shop: Api,
    *,
    stopping: Callable[[], bool] = lambda: False,
    board: Board | None = None,
    bank: Api | None = None,
) -> Hands:
    simulator = cast(ApiClient, bank or Api())
    told: Callable[[str, str], None] = lambda order_id, what: None
    return Hands(
        shop=cast(ApiClient, shop),
        second=cast(ApiClient, Api("approved")),
        simulator=simulator,
        board=board or a_board()[0],
        told=told,
        stopping=stopping,
    )


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devstack.hands._BETWEEN_TRIES", 0.001)


def test_a_story_asks_until_somebody_answers() -> None:
    shop = Api(
        ApiAway("nobody"), ApiRefused(503, {}), ApiRefused(409, {"code": "idempotency_in_progress"}), "done"
    )

    assert some_hands(shop).ask("/v1/orders/SO-10483/cancel", {}) == "done"
    assert len(shop.asked) == 4


def test_a_refusal_is_an_answer() -> None:
    shop = Api(ApiRefused(409, {"code": "too_late"}))

    with pytest.raises(ApiRefused):
        some_hands(shop).ask("/v1/orders/SO-10483/cancel", {})


def test_a_customer_who_comes_while_the_bank_is_asked_gives_another_card_once_more() -> None:
    shop = Api(ApiRefused(409, {"code": "not_allowed"}), ApiAway("nobody"), {"id": ORDER})

    assert some_hands(shop).pays(ORDER, "pm_card_visa") == {"id": ORDER}
    assert shop.keys == [f"demo /v1/orders/{ORDER}/payment {turn}" for turn in (1, 2, 2)]


@pytest.mark.parametrize(("code", "asked"), [("too_late", 1), ("not_allowed", 3)])
def test_a_customer_gives_another_card_no_longer_than_it_may_help(
    code: str, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devstack.hands._TURNS_TO_PAY", 3)
    shop = Api(*[ApiRefused(409, {"code": code})] * 4)

    with pytest.raises(ApiRefused):
        some_hands(shop).pays(ORDER, "pm_card_visa")

    assert len(shop.asked) == asked


def test_a_hold_that_is_gone_after_a_lost_answer_is_released() -> None:
    shop = Api(ApiAway("lost"), ApiRefused(409, {"code": "not_allowed"}))

    assert some_hands(shop).release(ORDER, "manual") is None


def test_a_hold_that_was_never_there_is_refused() -> None:
    with pytest.raises(ApiRefused):
        some_hands(Api(ApiRefused(409, {"code": "not_allowed"}))).release(ORDER, "manual")


def asks_the_bank(kind: str) -> Any:
    url = "http://127.0.0.1:8420/stripe/3ds/pi_1"
    return {"payment": {"next_action": {"type": kind, "url": url}}}


def test_the_customer_confirms_the_payment_that_the_bank_asks_about() -> None:
    hands = some_hands(Api(asks_the_bank("confirm")))

    assert hands.confirms(ORDER)
    assert cast(Api, hands.simulator).asked == [("/_sim/payments/pi_1/authenticate", None)]


@pytest.mark.parametrize("order", [asks_the_bank("choose_method"), {"payment": {"next_action": None}}])
def test_nothing_is_confirmed_that_the_bank_does_not_ask(order: Any) -> None:
    assert not some_hands(Api(order)).confirms(ORDER)


def test_a_bank_that_asks_no_more_is_told_nothing() -> None:
    gone = Api(ApiRefused(400, {"code": "payment_intent_unexpected_state"}))

    assert not some_hands(Api(asks_the_bank("confirm")), bank=gone).confirms(ORDER)


def test_another_person_allows_a_refund() -> None:
    shop = Api()
    hands = some_hands(shop)

    assert hands.approves("SO-10483-F1") == "approved"
    assert cast(Api, hands.second).asked == [("/v1/refunds/SO-10483-F1/approve", None)]
    assert shop.asked == []


def test_an_order_is_placed_after_what_befalls_it() -> None:
    shop = Api({"id": "SO-10484"})
    hands = some_hands(shop)
    silent = next(one for one in SCENARIOS if one.order_id == "SO-10484")

    hands.place(silent)

    armed = cast(Api, hands.simulator).asked
    assert armed == [("/_sim/parcels", {"match": {"reference": "SO-10484"}, "profile": "silent"})]
    assert shop.asked == [("/v1/orders", silent.body)]


def test_the_carrier_scans_the_parcel_of_the_order() -> None:
    board, _ = a_board(a_view(a_shipment(parcel=a_parcel())))
    board.look()
    hands = some_hands(Api(), board=board)

    hands.scan(ORDER, status="failure", status_detail="lost")

    ((path, body),) = cast(Api, hands.simulator).asked
    assert path == "/_sim/parcels/1Z999AA10123456781/scans"
    assert body == {"status": "failure", "status_detail": "lost"}


def test_a_story_waits_until_the_customer_has_the_news() -> None:
    other = {"id": "<order-SO-10483.shipped.SO-10483-1.1@shop>"}
    mail = {"id": "<order-SO-10483.address_asked.SO-10483.1@shop>"}
    post = Api({"messages": [other]}, {"messages": [other, mail]})

    some_hands(Api(), bank=post).reads(ORDER, Fact.ADDRESS_ASKED)

    assert len(post.asked) == 2


def test_a_demo_that_stops_leaves_every_wait() -> None:
    hands = some_hands(Api(ApiAway("nobody")), stopping=lambda: True)

    for wait in (
        lambda: hands.pause(60),
        lambda: hands.see(ORDER, lambda view: True),
        lambda: hands.ask("/v1/orders", {}),
        lambda: some_hands(Api(), bank=Api({"messages": []}), stopping=lambda: True).reads(ORDER, Fact.LOST),
    ):
        with pytest.raises(Stopped):
            wait()


def test_shop_time_begins_on_a_monday(tmp_path: Path) -> None:
    now = datetime(2026, 11, 25, 17, 30, tzinfo=UTC)
    state = State(tmp_path / "demo")

    wind_clock(state, now)

    kept = state.clock(1.0)
    clock = ShopClock(anchor=datetime.fromisoformat(kept.anchor), speed=kept.speed)
    assert abs(clock.shop_time(now) - datetime(2026, 11, 30, 12, tzinfo=UTC)) < timedelta(minutes=5)
    assert timedelta(0) < now - clock.anchor < timedelta(seconds=100)


def test_a_killed_worker_counts_as_back_when_it_is_ready_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[str] = []
    state = State(tmp_path)
    state.make()
    (state.ready / "worker-1").touch()
    told: list[str] = []
    stack = SimpleNamespace(
        state=state, spec=SimpleNamespace(workers=2), is_stopping=False, kill=lambda name: killed.append(name)
    )
    blows = Blows(cast(Stack, stack), lambda: NOON, lambda order_id, what: told.append(what))

    blows.kill_worker()

    assert (killed, blows.away) == (["worker-1"], "worker-1 killed")

    (state.ready / "worker-1").touch()
    monkeypatch.setattr("devstack.blows._BEAT", 0.01)
    wait_until(lambda: not blows.away)

    assert str(blows.survived) == "1 worker kill"
    assert (blows.survived.asked, blows.survived.returned) == (1, 1)
    assert told[-1] == "worker-1 is back"


def wait_until(there: Callable[[], bool]) -> None:
    import time

    deadline = time.monotonic() + 5
    while not there() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert there()


# --- what it proves --------------------------------------------------------------------------------------


def some_books(**facts: Any) -> Books:
    return Books(now=NOON, since=NOON, grace=NEVER, patience=NEVER, skew=NEVER, **facts)


def a_movement(kind: str, units: int) -> MovementFact:
    effects = {
        "reserved": (0, units, 0),
        "allocated": (0, -units, units),
        "shipped": (-units, 0, -units),
        "reservation_released": (0, -units, 0),
        "held_claimed": (0, 0, -units),
        "received": (units, 0, 0),
    }
    on_hand, reserved, allocated = effects[kind]
    return MovementFact(
        kind=kind, sku="TEE-BLK-M", location_id="wh-reno", on_hand=on_hand, reserved=reserved,
        allocated=allocated, incoming=0, movements=1, unsigned=0,
    )  # fmt: skip


def the_whole(
    books: Books | None = None, ledger: Ledger | None = None, survived: Survived | None = None
) -> list[str]:
    lines = proof.of_the_whole(
        [ORDER],
        proof.endings([a_view(status=OrderStatus.COMPLETED)], some_books(), Ledger(), {"messages": [], "faults": []}, []),
        books or some_books(),
        ledger or Ledger(),
        survived or Survived(worker_kills=1, database_stops=1, returned=2),
    )  # fmt: skip
    return [f"{line.verdict}  {line.text}" for line in lines]


def test_the_whole_is_proved_in_five_lines() -> None:
    assert the_whole() == [
        "PASS  1 order in a final or waiting state",
        "PASS  0 cards charged once, 0 twice, 1 never",
        "PASS  0 messages, each sent once",
        "PASS  stock: 0 claimed = 0",
        "PASS  survived: 1 worker kill, 1 database stop",
    ]


def test_claimed_stock_is_shipped_let_go_or_still_held() -> None:
    books = some_books(
        movements=(
            a_movement("received", 50), a_movement("reserved", 9), a_movement("allocated", 7),
            a_movement("reservation_released", 2), a_movement("shipped", 4),
        ),
        allocations=(
            AllocationFact(shipment_id="SO-1-1", sku="TEE-BLK-M", location_id="wh-reno", quantity=3, state="active"),
            AllocationFact(shipment_id="SO-2-1", sku="TEE-BLK-M", location_id="wh-reno", quantity=4, state="shipped"),
        ),
    )  # fmt: skip

    assert the_whole(books)[3] == "PASS  stock: 9 claimed = 4 shipped + 2 let go + 3 still allocated"


def test_claimed_stock_that_could_not_leave_was_set_aside() -> None:
    moved = (a_movement("reserved", 3), a_movement("shipped", 2), a_movement("held_claimed", 1))

    assert the_whole(some_books(movements=moved))[3] == "PASS  stock: 3 claimed = 2 shipped + 1 set aside"


def test_stock_that_does_not_add_up_fails() -> None:
    assert the_whole(some_books(movements=(a_movement("reserved", 9),)))[3].startswith(
        "FAIL  stock: 9 claimed"
    )


def test_a_mail_repeated_under_its_own_id_is_one_mail() -> None:
    ledger = Ledger(messages=(LedgerMessage(message_id="<order-SO-1.shipped.SO-1-1.1@shop>", accepted=2),))

    assert the_whole(ledger=ledger)[2].startswith("PASS  1 message, each sent once; 1 repeated")
    assert the_whole(ledger=ledger, survived=Survived())[2].startswith("FAIL")


def test_one_fact_told_under_two_ids_fails() -> None:
    ledger = Ledger(
        messages=tuple(
            LedgerMessage(message_id=f"<order-SO-1.shipped.SO-1-1.1@{host}>", accepted=1)
            for host in ("a", "b")
        )
    )

    assert the_whole(ledger=ledger)[2].startswith("FAIL")


def test_what_did_not_come_back_was_not_survived() -> None:
    assert the_whole(survived=Survived(worker_kills=1))[4] == "FAIL  survived: 1 worker kill"


def test_an_order_without_an_end_is_named() -> None:
    ended = proof.endings([a_view(a_shipment())], some_books(), Ledger(), {"messages": [], "faults": []}, [])

    first = proof.of_the_whole([ORDER], ended, some_books(), Ledger(), Survived())[0]

    assert (first.verdict, first.why) == (Verdict.FAIL, ("not there: SO-10483",))


def test_every_witness_is_heard_about_its_own_order() -> None:
    said = {
        "messages": [
            {"id": "<order-SO-10483.delayed.SO-10483-1.1@shop>", "at": "2026-11-24T10:00:00Z", "accepted": 1},
            {"id": "<order-SO-10483.delayed.SO-10483-1.2@shop>", "at": "2026-11-25T10:00:00Z", "accepted": 1},
            {"id": "<order-SO-1.lost.SO-1-1.1@shop>", "at": "2026-11-24T10:00:00Z", "accepted": 1},
        ],
        "faults": [{"kind": "reset", "match": {"order": ORDER}}, {"kind": "drop", "match": {}}],
    }
    case = CaseFact(
        case_id="x", order_id=ORDER, subject=ORDER, kind="no_scan", owner="system", state="resolved", due_at=NOON
    )  # fmt: skip
    labels = tuple(
        LedgerLabel(
            ref=ref, reference=f"{ref}:buy_label:P1:1", tracking_number=ref, cost=1, state="purchased"
        )
        for ref in (ORDER, "SO-104830")
    )

    rejections = tuple(
        RejectionFact(
            rejection_id=f"R-{shipment_id}", shipment_id=shipment_id, reason="damaged", units=1, damaged=1,
            quarantine=0, held=0, gone=0, is_counted=False,
        )
        for shipment_id in (f"{ORDER}-1", "SO-104830-1")
    )  # fmt: skip
    books = some_books(cases=(case,), rejections=rejections)

    ending = proof.endings(
        [a_view(a_shipment())], books, Ledger(labels=labels), said, [(ORDER, "seen"), ("", "else")]
    )[ORDER]

    assert ending.mails == {"delayed": datetime(2026, 11, 24, 10, tzinfo=UTC)}
    assert ending.cases == {CaseKind.NO_SCAN}
    assert ending.faults == {"reset"}
    assert [label.ref for label in ending.labels] == [ORDER]
    assert [taken.rejection_id for taken in ending.rejections] == [f"R-{ORDER}-1"]
    assert ending.notes == ("seen",)


def test_a_story_that_was_never_placed_fails() -> None:
    (line,) = proof.of_scenarios(SCENARIOS[:1], {})

    assert (line.verdict, line.why) == (Verdict.FAIL, ("was never placed",))
    assert line.text == "SO-10480 one shirt: delivered, charged once"


def a_check(*violations: str, looked_at: int = 4) -> Check:
    return Check(
        name="no oversell", invariant="I1", looked_at=looked_at, sees="levels", claim="none is negative",
        violations=violations, remedy="look",
    )  # fmt: skip


def test_every_check_of_the_audit_is_a_line_and_so_is_their_sum() -> None:
    lines = proof.of_the_audit([a_check(), a_check("TEE-BLK-M: -1"), a_check(looked_at=0)])

    assert [(line.verdict, line.text) for line in lines] == [
        (Verdict.PASS, "no oversell: 4 levels"),
        (Verdict.FAIL, "no oversell: 4 levels"),
        (Verdict.NONE, "no oversell: no levels to look at"),
        (Verdict.FAIL, "audit: 3 invariants, 1 violation"),
    ]
    assert lines[1].why == ("TEE-BLK-M: -1",)
