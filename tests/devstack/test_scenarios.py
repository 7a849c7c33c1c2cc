"""The demo's stories: orders the API takes, people who do what they should, and ends that are judged."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from devstack import endings
from devstack.endings import Ending
from devstack.scenarios import SCENARIOS, Scenario, another
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.invariants.facts import Effect, LedgerLabel, LedgerPayment
from fulfillment.domain.order import OrderStatus, Outcome
from fulfillment.domain.payment import OrderPayment
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.domain.view import OrderView, PaymentSummary, ScanView
from fulfillment.http import ApiRefused
from starter.api.schemas import PlaceOrder
from tests.starter.views import DAY, HOUR, NOON, TEES, a_case, a_hold, a_parcel, a_shipment, a_view


def scenario(order_id: str) -> Scenario:
    return next(one for one in SCENARIOS if one.order_id == order_id)


def delivered(**changes: Any) -> OrderView:
    parcel = a_parcel(carrier_status=CarrierStatus.DELIVERED, delivered_at=NOON + 4 * DAY)
    part = a_shipment(parcel=parcel, work_status=WorkStatus.CLOSED)
    paid = PaymentSummary(status=OrderPayment.PAID, authorized=6600, captured=6600, refunded=0)
    return a_view(
        part, status=OrderStatus.COMPLETED, **{"outcome": Outcome.DELIVERED, "payment": paid} | changes
    )


def captures(*amounts: int, again: bool = False) -> LedgerPayment:
    effects = tuple(
        Effect(kind="capture", key=f"SO-10483:capture:SO-10483-1:{1 if again else n}", amount=amount)
        for n, amount in enumerate(amounts, start=1)
    )
    total = sum(amounts)
    return LedgerPayment(
        ref="pi_1", order_id="SO-10483", state="succeeded", authorized=total, captured=total, refunded=0,
        effects=effects,
    )  # fmt: skip


def a_label(ref: str = "shp_1", state: str = "purchased") -> LedgerLabel:
    return LedgerLabel(
        ref=ref, reference="SO-10483:buy_label:SO-10483-P1:1", tracking_number=ref, cost=722, state=state
    )


def a_good_ending(**changes: Any) -> Ending:
    ending = Ending(
        view=delivered(),
        mails={"confirmed": NOON, "shipped": NOON + DAY, "delivered": NOON + 4 * DAY},
        payments=(captures(6600),),
        labels=(a_label(),),
    )
    return replace(ending, **changes)


# --- the orders ------------------------------------------------------------------------------------------


def test_there_are_thirty_four_stories_with_numbers_in_a_row() -> None:
    assert [one.order_id for one in SCENARIOS] == [f"SO-{number}" for number in range(10480, 10514)]


def test_every_story_has_a_name_of_its_own_and_is_judged() -> None:
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)
    assert all(one.expects for one in SCENARIOS)


@pytest.mark.parametrize("one", [*SCENARIOS, another(10514)], ids=lambda one: one.order_id)
def test_every_story_is_told_in_eighty_columns(one: Scenario) -> None:
    assert len(f"PASS  {one.order_id} {one.name}: {one.ends}") <= 80


@pytest.mark.parametrize("one", [*SCENARIOS, another(10514)], ids=lambda one: one.order_id)
def test_the_api_takes_every_order(one: Scenario) -> None:
    order = PlaceOrder.model_validate(one.body).order(one.order_id, placed_at=NOON)

    assert order.total == one.body["total"]


def test_a_free_order_costs_nothing() -> None:
    assert scenario("SO-10498").body["total"] == 0


# --- how they must end -----------------------------------------------------------------------------------


def test_a_plain_order_that_went_well_has_no_complaints() -> None:
    assert scenario("SO-10480").complaints(a_good_ending()) == ()


@pytest.mark.parametrize(
    ("order_id", "ending", "complaint"),
    [
        ("SO-10480", a_good_ending(view=a_view(a_shipment())), "is in_fulfillment, not delivered"),
        ("SO-10480", a_good_ending(payments=()), "0 was charged for goods of 6600"),
        ("SO-10480", a_good_ending(payments=(captures(6600), captures(6600))), "13200 was charged"),
        ("SO-10480", a_good_ending(payments=(captures(3300, 3300, again=True),)), "6600 was charged"),
        ("SO-10480", a_good_ending(mails={"confirmed": NOON}), "not told: shipped, delivered"),
        ("SO-10482", a_good_ending(), "the fault http_5xx did not strike"),
        ("SO-10482", a_good_ending(faults=frozenset({"http_5xx"})), "no case carrier_down"),
        ("SO-10485", a_good_ending(cases=frozenset({CaseKind.DELAYED})), "not told before it came"),
        ("SO-10488", a_good_ending(), "1 parcels and 1 labels, not 2"),
        ("SO-10489", a_good_ending(), "no part of it was cancelled"),
        ("SO-10491", a_good_ending(), "is delivered, not expired"),
        ("SO-10491", a_good_ending(), "6600 was charged"),
        ("SO-10494", a_good_ending(labels=(a_label(), a_label("shp_2"))), "1 parcels and 2 labels"),
        ("SO-10500", a_good_ending(), "was not seen: 409 too_late"),
        ("SO-10502", a_good_ending(), "no case bad_signal"),
        ("SO-10504", a_good_ending(), "was not seen: confirmed with the bank"),
        ("SO-10506", a_good_ending(), "not told: changed"),
        ("SO-10507", a_good_ending(), "no label was given back"),
        ("SO-10508", a_good_ending(), "0 was refunded, 0 by our books, not 24900"),
    ],
)
def test_a_wrong_end_is_named(order_id: str, ending: Ending, complaint: str) -> None:
    complaints = scenario(order_id).complaints(ending)

    assert any(complaint in said for said in complaints), complaints


def test_a_customer_told_before_it_came_is_no_complaint() -> None:
    ending = a_good_ending(mails={"delayed": NOON + 3 * DAY})

    assert endings.told_before_it_came(ending) is None


def test_a_customer_told_after_it_came_is_one() -> None:
    ending = a_good_ending(mails={"delayed": NOON + 5 * DAY})

    assert endings.told_before_it_came(ending) == "the customer was not told before it came"


def test_a_label_that_was_given_back_does_not_count() -> None:
    ending = a_good_ending(labels=(a_label(), a_label("shp_2", state="refunded")))

    assert endings.came_in(1)(ending) is None


def test_a_refund_must_be_whole_in_both_books() -> None:
    paid = replace(captures(6600), refunded=6600)
    back = PaymentSummary(status=OrderPayment.REFUNDED, authorized=6600, captured=6600, refunded=6600)

    assert endings.refunded(a_good_ending(payments=(paid,))) == "6600 of 6600 was refunded"
    assert endings.refunded(a_good_ending(payments=(paid,), view=delivered(payment=back))) is None


def test_lines_in_the_end_are_counted() -> None:
    assert endings.has_lines(2)(a_good_ending()) is None
    assert endings.has_lines(3)(a_good_ending()) == "has 2 lines, not 3"


def test_cancelled_units_are_a_lost_part() -> None:
    assert endings.lost_a_part(a_good_ending(view=delivered(cancelled_units=TEES))) is None


def test_a_scan_that_counts_twice_is_seen() -> None:
    scan = ScanView(at=NOON, status=CarrierStatus.IN_TRANSIT, text="Departed facility", place="Reno, NV")
    twice = a_view(a_shipment(parcel=a_parcel(scans=(scan, scan))))
    once = a_view(a_shipment(parcel=a_parcel(scans=(scan, replace(scan, at=NOON + HOUR)))))

    assert endings.every_scan_once(a_good_ending(view=twice)) == "a scan counts twice"
    assert endings.every_scan_once(a_good_ending(view=once)) is None


def test_a_parcel_that_moves_after_its_delivery_is_seen() -> None:
    late = ScanView(at=NOON + 5 * DAY, status=CarrierStatus.IN_TRANSIT, text="Departed", place="Reno, NV")
    parcel = a_parcel(delivered_at=NOON + 4 * DAY, scans=(late,))

    assert endings.in_scan_order(a_good_ending(view=a_view(a_shipment(parcel=parcel))))
    assert endings.in_scan_order(a_good_ending()) is None


# --- what people do --------------------------------------------------------------------------------------


class Played:
    """A world in which everything is written down, and views come as they are given."""

    def __init__(self, *views: OrderView, refusal: ApiRefused | None = None, slow: int = 0) -> None:
        self.did: list[str] = []
        self.notes: list[str] = []
        self._views, self._refusal, self._slow = list(views), refusal, slow

    def fault(self, **what: Any) -> None:
        self.did.append(f"fault {what['kind']}")

    def travels(self, order_id: str, profile: str) -> None:
        self.did.append(f"travels {profile}")

    def scan(self, order_id: str, **what: str) -> None:
        self.did.append(f"scan {what['status']} {what['status_detail']}")

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        self.did.append(f"ask {path.removeprefix('/v1/orders/')}")
        if self._refusal and not path.endswith("/refunds"):
            raise self._refusal
        return {"id": "SO-10508-F1"}

    def confirms(self, order_id: str) -> bool:
        self.did.append("confirm")
        return self.did.count("confirm") > self._slow

    def approves(self, refund_id: str) -> Any:
        self.did.append(f"approve {refund_id}")

    def release(self, order_id: str, reason: str) -> Any:
        self.did.append(f"release {reason}")

    def signal(self, order_id: str, name: str, body: Any) -> None:
        self.did.append(f"signal {name}")

    def see(self, order_id: str, there: Callable[[OrderView], bool]) -> OrderView:
        return next(view for view in self._views if there(view))

    def pause(self, seconds: float) -> None:
        assert 0 < seconds < 30

    def note(self, order_id: str, what: str) -> None:
        self.notes.append(what)


def play(order_id: str, world: Played) -> Played:
    one = scenario(order_id)
    if one.before:
        one.before(world, order_id)
    if one.then:
        one.then(world, order_id)
    return world


@pytest.mark.parametrize(
    ("order_id", "did"),
    [
        ("SO-10482", ["fault http_5xx"]),
        ("SO-10484", ["travels silent"]),
        ("SO-10487", ["fault carrier_error"]),
        ("SO-10490", ["ask SO-10490/payment"]),
        ("SO-10492", ["fault reset"]),
        ("SO-10496", ["travels duplicates", "fault duplicate"]),
        ("SO-10497", ["travels disordered", "fault reorder"]),
        ("SO-10499", ["ask SO-10499/cancel"]),
        ("SO-10501", ["ask SO-10501/holds", "release manual"]),
        ("SO-10504", ["confirm"]),
        ("SO-10505", ["ask SO-10505/cancel"]),
        ("SO-10506", ["ask SO-10506/items"]),
    ],
)
def test_a_story_does_what_it_says(order_id: str, did: list[str]) -> None:
    assert play(order_id, Played()).did == did


def test_support_waits_for_the_hold_before_releasing_it() -> None:
    world = play("SO-10483", Played(a_view(), a_view(a_shipment(), holds=(a_hold(HoldReason.FRAUD),))))

    assert world.did == ["release fraud"]


MOVING = a_view(a_shipment(parcel=a_parcel(carrier_status=CarrierStatus.IN_TRANSIT)))


def in_trouble(kind: CaseKind) -> OrderView:
    return replace(MOVING, cases=(a_case(kind),), attention=kind)


def made_good(with_: str) -> OrderView:
    return delivered(shipments=(replace(delivered().shipments[0], settled=with_),))


@pytest.mark.parametrize(
    ("order_id", "kind", "did"),
    [
        ("SO-10486", CaseKind.LOST, ["travels lost", "scan failure lost"]),
        ("SO-10509", CaseKind.LOST, ["travels lost", "scan failure lost"]),
        ("SO-10510", CaseKind.DAMAGED, ["travels damaged", "scan delivered delivered"]),
        (
            "SO-10511",
            CaseKind.RETURN_TO_SENDER,
            [
                "travels lost",
                "scan return_to_sender return",
                "ask SO-10511/cases/answer",
                *["ask /v1/returned_units"] * 2,  # a line each
            ],
        ),
        (
            "SO-10512",
            CaseKind.REFUSED,
            [
                "travels lost",
                "scan in_transit refused",
                "scan return_to_sender return",
                *["ask /v1/returned_units"] * 2,  # a line each
            ],
        ),
        ("SO-10513", CaseKind.NOT_RECEIVED, ["ask SO-10513/not_received", "ask SO-10513/cases/answer"]),
    ],
)
def test_trouble_on_the_way_befalls_a_parcel_and_people_do_their_part(
    order_id: str, kind: CaseKind, did: list[str]
) -> None:
    assert play(order_id, Played(MOVING, in_trouble(kind), made_good("reship"))).did == did


def test_a_part_that_was_not_made_good_as_it_should_is_named() -> None:
    assert endings.made_good("reship")(a_good_ending()) == "was made good with nothing, not reship"
    assert endings.made_good("refund")(a_good_ending(view=made_good("refund"))) is None


def test_a_refused_cancel_is_shown_with_its_code() -> None:
    no = ApiRefused(409, {"code": "too_late", "detail": "SO-10500-P1 was handed to USPS."})

    world = play("SO-10500", Played(a_view(a_shipment()), a_view(a_shipment(parcel=a_parcel())), refusal=no))

    assert world.notes == ["cancel refused: 409 too_late. SO-10500-P1 was handed to USPS."]


def test_a_customer_who_was_too_slow_for_the_bank_pays_once_more() -> None:
    world = play("SO-10504", Played(slow=1))

    assert world.did == ["confirm", "ask SO-10504/payment", "confirm"]
    assert world.notes == ["the customer confirmed with the bank"]


def test_a_customer_who_is_always_too_slow_is_not_said_to_have_confirmed() -> None:
    assert play("SO-10504", Played(slow=2)).notes == []


def test_an_address_changes_once_the_label_is_there_and_the_parcel_is_kept() -> None:
    packed, labeled = (a_view(a_shipment(work_status=at)) for at in (WorkStatus.PACKED, WorkStatus.LABELED))

    assert play("SO-10507", Played(a_view(), packed, labeled)).did == [
        "fault latency",
        "ask SO-10507/holds",
        "ask SO-10507/address",
        "release address",
    ]


def test_a_large_refund_is_refused_to_who_asked_and_allowed_by_another() -> None:
    back = PaymentSummary(status=OrderPayment.REFUNDED, authorized=6600, captured=6600, refunded=6600)
    no = ApiRefused(409, {"code": "not_allowed", "detail": "You asked for it."})

    world = play("SO-10508", Played(a_view(), delivered(payment=back), refusal=no))

    assert world.did == [
        "ask SO-10508/refunds",
        "ask /v1/refunds/SO-10508-F1/approve",
        "approve SO-10508-F1",
    ]
    assert world.notes[0] == "support may not approve its own refund: 409 not_allowed"


def test_nonsense_is_sent_as_a_signal() -> None:
    assert play("SO-10502", Played(a_view(a_shipment()))).did == ["signal cancel"]
