"""The demo's stories: orders the API takes, people who do what they should, and ends that are judged."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from devstack import endings
from devstack.endings import Ending
from devstack.scenarios import SCENARIOS, Scenario, another
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.invariants.facts import Effect, LedgerLabel, LedgerPayment, RejectionFact
from fulfillment.domain.notifications import Fact, NotificationState
from fulfillment.domain.order import OrderStatus, Outcome
from fulfillment.domain.payment import OrderPayment
from fulfillment.domain.promise import Promise, Source, Telling
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.domain.view import OrderView, PaymentSummary, ScanView
from fulfillment.http import ApiRefused
from starter.api.schemas import PlaceOrder
from tests.starter.views import (
    DAY,
    FRIDAY,
    HOUR,
    MUG,
    NOON,
    SATURDAY,
    TEES,
    a_case,
    a_hold,
    a_parcel,
    a_shipment,
    a_view,
)


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


def a_label(ref: str = "shp_1", **changes: Any) -> LedgerLabel:
    label = LedgerLabel(
        ref=ref, reference="SO-10483:buy_label:SO-10483-P1:1", tracking_number=ref, cost=722,
        state="purchased", carrier="FedEx", to="103 Main St, 83702 Boise",
    )  # fmt: skip
    return replace(label, **changes)


def a_rejection(**changes: Any) -> RejectionFact:
    taken = RejectionFact(
        rejection_id="surprise-1", shipment_id="SO-10483-1", reason="not_found", units=1, damaged=0, quarantine=0,
        held=1, gone=0, is_counted=True,
    )  # fmt: skip
    return replace(taken, **changes)


def a_good_ending(**changes: Any) -> Ending:
    ending = Ending(
        view=delivered(),
        mails={"confirmed": NOON, "shipped": NOON + DAY, "delivered": NOON + 4 * DAY},
        payments=(captures(6600),),
        labels=(a_label(),),
    )
    return replace(ending, **changes)


# --- the orders ------------------------------------------------------------------------------------------


def test_there_are_forty_stories_with_numbers_in_a_row() -> None:
    assert [one.order_id for one in SCENARIOS] == [f"SO-{number}" for number in range(10480, 10520)]


def test_every_story_has_a_name_of_its_own_and_is_judged() -> None:
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)
    assert all(one.expects for one in SCENARIOS)


@pytest.mark.parametrize("one", [*SCENARIOS, another(10520)], ids=lambda one: one.order_id)
def test_every_story_is_told_in_eighty_columns(one: Scenario) -> None:
    assert len(f"PASS  {one.order_id} {one.name}: {one.ends}") <= 80


@pytest.mark.parametrize("one", [*SCENARIOS, another(10520)], ids=lambda one: one.order_id)
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
        ("SO-10487", a_good_ending(), "the decision does not say why not USPS"),
        ("SO-10488", a_good_ending(), "sent was 1 MUG-12, 2 TEE-BLK-M from wh-reno"),
        ("SO-10488", a_good_ending(), "1 parcels and 1 labels, not 2"),
        ("SO-10489", a_good_ending(), "no part of it was cancelled"),
        ("SO-10491", a_good_ending(), "is delivered, not expired"),
        ("SO-10491", a_good_ending(), "6600 was charged"),
        ("SO-10494", a_good_ending(labels=(a_label(), a_label("shp_2"))), "1 parcels and 2 labels"),
        ("SO-10495", a_good_ending(), "nowhere it says: The carrier tried once"),
        ("SO-10500", a_good_ending(), "was not seen: 409 too_late"),
        ("SO-10502", a_good_ending(), "no case bad_signal"),
        ("SO-10504", a_good_ending(), "was not seen: confirmed with the bank"),
        ("SO-10506", a_good_ending(), "not told: changed"),
        ("SO-10507", a_good_ending(), "no label was given back"),
        ("SO-10508", a_good_ending(), "0 was refunded, 0 by our books, not 24900"),
        ("SO-10514", a_good_ending(), "not one not_found now held"),
        ("SO-10515", a_good_ending(), "not one damaged now damaged"),
        ("SO-10516", a_good_ending(), "the decision does not say why not UPS"),
        ("SO-10517", a_good_ending(), "goes to 103 Main St, 83702 Boise"),
        ("SO-10518", a_good_ending(), "was promised for"),
        ("SO-10519", a_good_ending(), "1 parcels and 1 labels, not 4"),
        ("SO-10519", a_good_ending(), "1 captures, not 4"),
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


def test_a_case_that_nobody_solved_is_named() -> None:
    noticed = frozenset({CaseKind.DELAYED})
    still_open = delivered(cases=(a_case(CaseKind.DELAYED),))

    assert endings.had(CaseKind.DELAYED)(a_good_ending(cases=noticed)) is None
    assert endings.had(CaseKind.DELAYED)(a_good_ending(cases=noticed, view=still_open)) == (
        "its case delayed is still open"
    )


def test_each_part_comes_from_where_it_should_with_what_it_should_have() -> None:
    whole = "1 MUG-12, 2 TEE-BLK-M from wh-reno"
    gone = a_shipment(2, units=MUG, work_status=WorkStatus.CANCELLED)
    split = a_view(a_shipment(units=TEES), a_shipment(2, units=MUG, location_id="wh-lehigh"))

    assert endings.came_from(whole)(a_good_ending(view=a_view(a_shipment(), gone))) is None
    assert (
        endings.came_from("2 TEE-BLK-M from wh-reno", "1 MUG-12 from wh-lehigh")(a_good_ending(view=split))
        is None
    )
    assert endings.came_from(whole)(a_good_ending(view=split)) == (
        "sent was 1 MUG-12 from wh-lehigh; 2 TEE-BLK-M from wh-reno"
    )


@pytest.mark.parametrize(
    "found",
    [
        (),
        (a_rejection(units=2, held=2),),
        (a_rejection(reason="damaged"),),
        (a_rejection(held=0, gone=1),),
        (a_rejection(), a_rejection()),
    ],
)
def test_only_one_unit_is_taken_out_and_lies_where_its_reason_says(found: tuple[RejectionFact, ...]) -> None:
    expected = endings.taken_out("not_found", "held")

    assert expected(a_good_ending(rejections=(a_rejection(),))) is None
    assert expected(a_good_ending(rejections=found))


def decided(*offers: tuple[str, str], said: tuple[str, ...] = ()) -> OrderView:
    """A delivered order whose label was chosen among these carriers' offers, with why each was left out.

    `said` is by carriers that made no offer.
    """
    options = [{"carrier": carrier, "left_out": why} for carrier, why in offers]
    part = delivered().shipments[0]
    assert part.parcel is not None
    parcel = replace(part.parcel, decision={"options": options, "said": list(said)})
    return delivered(shipments=(replace(part, parcel=parcel),))


WHY = ("UPS", "its labels fail since 13:00 UTC")


@pytest.mark.parametrize(
    ("labels", "view", "complaint"),
    [
        ((a_label(), a_label("shp_2", state="refunded", carrier="UPS")), decided(WHY, ("FedEx", "")), None),
        ((), decided(WHY), "bought was of nobody"),
        ((a_label(carrier="UPS"),), decided(WHY), "bought was of UPS"),
        ((a_label(), a_label("shp_2", carrier="USPS")), decided(WHY), "bought was of FedEx, USPS"),
        ((a_label(),), decided(("FedEx", ""), said=("UPS: carrier did not respond in time",)), None),
        ((a_label(),), decided(("FedEx", ""), said=("USPS: no",)), "the decision does not say why not UPS"),
        ((a_label(),), decided(("UPS", "")), "the decision does not say why not UPS"),
        ((a_label(),), decided(("FedEx", "")), "the decision does not say why not UPS"),
    ],
)
def test_a_label_is_bought_elsewhere_and_the_decision_says_why(
    labels: tuple[LedgerLabel, ...], view: OrderView, complaint: str | None
) -> None:
    assert endings.fell_over_from("UPS")(a_good_ending(labels=labels, view=view)) == complaint


@pytest.mark.parametrize(
    ("labels", "to", "is_right"),
    [
        ((a_label(),), "103 Main St, 83702 Boise", True),
        ((a_label(),), "103 Main St, 83703 Boise", False),
        ((a_label(to="9 Elm St, 83702 Boise"),), "103 Main St, 83702 Boise", False),
        ((a_label(), a_label("shp_2", state="refunded", to="9 Elm St")), "103 Main St, 83702 Boise", False),
        ((), "103 Main St, 83702 Boise", False),
    ],
)
def test_every_label_is_for_the_address_to_which_the_order_goes(
    labels: tuple[LedgerLabel, ...], to: str, is_right: bool
) -> None:
    assert (endings.addressed(to)(a_good_ending(labels=labels)) is None) is is_right


def promised(*later: Promise, came: datetime = NOON + 4 * DAY) -> Ending:
    """An order promised for Friday first, which came on that Friday or at another moment."""
    first = Promise(n=1, day=FRIDAY, source=Source.CONFIRMED, reason="", at=NOON, told=(told_at(NOON),))
    parcel = a_parcel(carrier_status=CarrierStatus.DELIVERED, delivered_at=came)
    part = a_shipment(parcel=parcel, work_status=WorkStatus.CLOSED)
    return a_good_ending(view=delivered(shipments=(part,), promises=(first, *later)))


def told_at(moment: datetime, state: NotificationState = NotificationState.SENT) -> Telling:
    return Telling(channel="email", state=state, sent_at=moment)


SNOW = Promise(
    n=2, day=SATURDAY, source=Source.CARRIER, reason="weather_delay", at=NOON, told=(told_at(NOON + 2 * DAY),)
)  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "complaint"),
    [
        (promised(SNOW, came=NOON + 5 * DAY), None),
        (promised(), "was promised for 2026-11-27 ()"),
        (promised(SNOW, replace(SNOW, n=3)), "was promised for 2026-11-27 ()"),
        (promised(SNOW, replace(SNOW, n=3, reason="it is slower")), "was promised for 2026-11-27 ()"),
        (promised(replace(SNOW, told=())), "told 0 times"),
        (promised(replace(SNOW, told=(*SNOW.told, *SNOW.told))), "told 2 times"),
        (promised(replace(SNOW, told=(told_at(NOON, NotificationState.WITHDRAWN),))), "told 0 times"),
        (promised(replace(SNOW, told=(told_at(NOON + 4 * DAY),))), "not before the old one"),
        (promised(SNOW, came=NOON + 6 * DAY), "did not come by the day"),
    ],
)
def test_a_promise_is_moved_once_told_in_time_and_kept(ending: Ending, complaint: str | None) -> None:
    said = endings.put_off("weather_delay")(ending)

    assert said is None if complaint is None else complaint in (said or "")


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

    def shelf(self, order_id: str, **what: Any) -> None:
        self.did.append(f"shelf {what['sku']} {what['reason']}")

    def travels(self, order_id: str, profile: str) -> None:
        self.did.append(f"travels {profile}")

    def scan(self, order_id: str, **what: str) -> None:
        self.did.append(" ".join(["scan", *what.values()]))

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        self.did.append(f"ask {path.removeprefix('/v1/orders/')}")
        if self._refusal and not path.endswith("/refunds"):
            raise self._refusal
        return {"id": "SO-10508-F1"}

    def pays(self, order_id: str, method: str) -> Any:
        self.did.append(f"pay {method}")

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

    def reads(self, order_id: str, fact: Fact) -> None:
        self.did.append(f"read {fact}")

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
        ("SO-10490", ["pay pm_card_mastercard"]),
        ("SO-10492", ["fault reset"]),
        ("SO-10496", ["travels duplicates", "fault duplicate"]),
        ("SO-10497", ["travels disordered", "fault reorder"]),
        ("SO-10499", ["ask SO-10499/cancel"]),
        ("SO-10501", ["ask SO-10501/holds", "release manual"]),
        ("SO-10504", ["confirm"]),
        ("SO-10505", ["ask SO-10505/cancel"]),
        ("SO-10506", ["ask SO-10506/items"]),
        ("SO-10516", ["fault carrier_error"]),
    ],
)
def test_a_story_does_what_it_says(order_id: str, did: list[str]) -> None:
    assert play(order_id, Played(a_view(a_shipment()))).did == did


def test_support_waits_for_the_hold_before_releasing_it() -> None:
    world = play("SO-10483", Played(a_view(), a_view(a_shipment(), holds=(a_hold(HoldReason.FRAUD),))))

    assert world.did == ["release fraud"]


def test_the_customer_reads_what_is_asked_before_accepting_another_address() -> None:
    world = play("SO-10517", Played(a_view(), a_view(a_shipment(), holds=(a_hold(HoldReason.ADDRESS),))))

    assert world.did == ["read address_asked", "ask SO-10517/address/suggested"]


def test_snow_puts_a_parcel_off_and_it_goes_on_once_the_customer_knows() -> None:
    told = replace(MOVING, promises=(SNOW,))

    assert play("SO-10518", Played(a_view(), MOVING, told, delivered())).did == [
        "travels lost",
        "scan in_transit weather_delay 2026-11-28",
        "scan out_for_delivery out_for_delivery",
        "scan delivered delivered",
    ]


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
                "read returning",
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
                "read refused",
                "scan return_to_sender return",
                *["ask /v1/returned_units"] * 2,  # a line each
            ],
        ),
        ("SO-10514", CaseKind.SHORT_PICK, ["shelf ROPE-20 not_found"]),
        ("SO-10515", CaseKind.DAMAGED_PICK, ["shelf BTL-750 damaged"]),
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

    assert world.did == ["confirm", "pay pm_card_authenticationRequired", "confirm"]
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
