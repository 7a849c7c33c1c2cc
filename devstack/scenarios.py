"""The demo's orders: what each buys, what befalls it, what a person does about it, and how it must end.

A scenario is data and small functions. It knows neither the stack nor the screen: what it does goes through `World`,
and how it ended is judged by `Ending`, so that tests can play and judge it without either.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, Protocol

from devstack.endings import (
    Ending,
    Expect,
    addressed,
    came_from,
    came_in,
    captured_in,
    charged,
    ended,
    every_scan_once,
    fell_over_from,
    had,
    has_lines,
    in_scan_order,
    lost_a_part,
    made_good,
    never_charged,
    noted,
    put_off,
    refunded,
    refunded_in_part,
    relabeled,
    struck,
    taken_out,
    tells,
    told,
    told_before_it_came,
)
from devstack.seed import CATALOGUE, LEHIGH, RENO
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.catalogue import Product
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import ENDED, Outcome
from fulfillment.domain.reasons import Reason
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.tracking import MOVING
from fulfillment.domain.view import OrderView
from fulfillment.http import ApiRefused

Body = dict[str, Any]


class World(Protocol):
    """What a story may do. Everything is tried again until somebody answers; a refusal is raised."""

    def fault(self, **what: Any) -> None:
        """Arm a fault at the providers."""
        ...

    def shelf(self, order_id: str, **what: Any) -> None:
        """Let whoever picks for the order find something wrong on the shelf."""
        ...

    def travels(self, order_id: str, profile: str) -> None:
        """Let the order's parcels have this fate on the road."""
        ...

    def scan(self, order_id: str, **what: str) -> None:
        """Let the carrier scan the order's parcel now."""
        ...

    def ask(self, path: str, body: Body) -> Any:
        """Ask our API for a change. Raises ApiRefused."""
        ...

    def pays(self, order_id: str, method: str) -> Any:
        """Let the customer give another way to pay, as soon as the order waits for one. Raises ApiRefused."""
        ...

    def confirms(self, order_id: str) -> bool:
        """Let the customer say yes on the bank's page; False where the bank does not ask, or asks no more."""
        ...

    def approves(self, refund_id: str) -> Any:
        """Let a second person allow a refund. Raises ApiRefused."""
        ...

    def release(self, order_id: str, reason: str) -> Any:
        """End a hold over our API. Raises ApiRefused."""
        ...

    def signal(self, order_id: str, name: str, body: Any) -> None:
        """Send a signal straight to the order's workflow, as somebody in the Temporal UI would."""
        ...

    def see(self, order_id: str, there: Callable[[OrderView], bool]) -> OrderView:
        """Return the order's view as soon as it is as wanted."""
        ...

    def reads(self, order_id: str, fact: Fact) -> None:
        """Wait until this news about the order is in its customer's mailbox."""
        ...

    def pause(self, seconds: float) -> None:
        """Let real time pass."""
        ...

    def note(self, order_id: str, what: str) -> None:
        """Tell the audience, and keep it for the judgement."""
        ...


Story = Callable[[World, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """Something only the demo sells, and where it lies."""

    product: Product
    location_id: str


# Only in the one warehouse, and only in the other; not on the shelf yet; and one last piece of what is made no more.
STOOL: Final = Product(sku="STL-1", name="Camp stool", weight_g=850, price=5400, vendor="Trailmakers",
                       reorder_point=1, on_hand=40)  # fmt: skip
TENT: Final = Product(sku="TENT-2", name="Trail tent, 2 persons", weight_g=1900, price=24900,
                      vendor="Trailmakers", reorder_point=1, on_hand=20)  # fmt: skip
COMPASS: Final = Product(sku="CMPS-1", name="Field compass", weight_g=70, price=3900, vendor="Lumen Works",
                         backorderable=True, lead_time_days=1)  # fmt: skip
LANTERN: Final = Product(sku="LNTN-0", name="Oil lantern, old series", weight_g=510, price=4200,
                         vendor="Lumen Works", archived=True, on_hand=1)  # fmt: skip
SPYGLASS: Final = Product(sku="SPYG-1", name="Spyglass, the last one", weight_g=320, price=6100,
                          vendor="Lumen Works", archived=True, on_hand=1)  # fmt: skip
ROPE: Final = Product(sku="ROPE-20", name="Climbing rope, 20 m", weight_g=1200, price=5900,
                      vendor="Trailmakers", reorder_point=1, on_hand=2)  # fmt: skip
# So heavy that no carton carries two of them.
STOVE: Final = Product(sku="STV-IRON", name="Tent stove, cast iron", weight_g=17_000, price=14900,
                       vendor="Trailmakers", reorder_point=1, on_hand=8)  # fmt: skip
GOODS: Final = (
    Goods(product=STOOL, location_id=RENO),
    Goods(product=TENT, location_id=LEHIGH),
    Goods(product=COMPASS, location_id=RENO),
    Goods(product=LANTERN, location_id=RENO),
    Goods(product=SPYGLASS, location_id=RENO),
    Goods(product=ROPE, location_id=RENO),
    Goods(product=replace(ROPE, on_hand=20), location_id=LEHIGH),
    Goods(product=STOVE, location_id=RENO),
)
_PRODUCTS: Final = MappingProxyType(
    {product.sku: product for product in (*CATALOGUE, *(goods.product for goods in GOODS))}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buyer:
    """Who orders, and where they live."""

    name: str
    line1: str
    city: str
    region: str
    postal_code: str
    country: str = "US"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One order of the demo. `lines` are SKUs with quantities; `ends` says in a sentence how it must end.

    `before` is what befalls it, armed before it is placed; `then` is what people do once it is.
    """

    order_id: str
    name: str
    ends: str
    buyer: Buyer
    lines: tuple[tuple[str, int], ...] = (("TEE-BLK-M", 1),)
    card: str = "pm_card_visa"
    service: str = "standard"
    free: bool = False
    before: Story | None = None
    then: Story | None = None
    expects: tuple[Expect, ...] = ()

    @property
    def body(self) -> Body:
        """What is posted to `/v1/orders`."""
        lines = [_line(_PRODUCTS[sku], quantity, free=self.free) for sku, quantity in self.lines]
        first, _, last = self.buyer.name.lower().partition(" ")
        return {
            "order_id": self.order_id,
            "channel": "storefront-us",
            "customer": {"id": f"cus_{self.order_id[-5:]}", "email": f"{first}.{last}@example.com"},
            "lines": lines,
            "currency": "USD",
            "total": sum(line["unit_price"] * line["quantity"] - line["discount"] for line in lines),
            "ship_to": {name: getattr(self.buyer, name) for name in Buyer.__dataclass_fields__},
            "payment": {"method": self.card},
            "service": self.service,
        }

    def complaints(self, ending: Ending) -> tuple[str, ...]:
        """Return what is not as it must be."""
        return tuple(wrong for expect in self.expects if (wrong := expect(ending)))


def _line(product: Product, quantity: int, *, free: bool) -> Body:
    return {
        "sku": product.sku,
        "name": product.name,
        "quantity": quantity,
        "unit_price": product.price,
        "discount": product.price * quantity if free else 0,
    }


_DELIVERED: Final = (ended(Outcome.DELIVERED), charged, told("confirmed", "shipped", "delivered"))


# --- what befalls an order, and what people do -----------------------------------------------------------


def _travels(profile: str) -> Story:
    return lambda world, order_id: world.travels(order_id, profile)


def _picker_finds(sku: str, reason: str) -> Story:
    """Let one unit of it be missing, or not fit to be sold."""
    return lambda world, order_id: world.shelf(order_id, sku=sku, reason=reason, units=1)


def _goes_on(world: World, order_id: str) -> None:
    """Nobody does anything: the order finds its way by itself."""
    world.see(order_id, _is_over)


def _loses_answer(provider: str, route: str) -> Story:
    """Let it happen and lose the answer, the first time."""

    def before(world: World, order_id: str) -> None:
        match = {"provider": provider, "route": route, "order": order_id}
        world.fault(match=match, when="after_commit", kind="reset", times=1)

    return before


def _label_provider_is_down(world: World, order_id: str) -> None:
    match = {"provider": "easypost", "route": "POST /v2/shipments/*/buy", "order": order_id}
    # More often than the first patience lasts: so a case is opened before it is over.
    world.fault(match=match, kind="http_5xx", status=503, times=_LABEL_FAILURES)


def _usps_says_nothing(world: World, order_id: str) -> None:
    world.fault(match={"carrier": "USPS", "order": order_id}, kind="carrier_error")


def _ups_makes_no_label(world: World, order_id: str) -> None:
    """Let UPS make offers, and no label of any."""
    match = {"carrier": "UPS", "route": "POST /v2/shipments/*/buy", "order": order_id}
    world.fault(match=match, kind="carrier_error")


def _everything_twice(world: World, order_id: str) -> None:
    world.travels(order_id, "duplicates")
    world.fault(match={"provider": "easypost", "order": order_id}, kind="duplicate")


def _newest_first(world: World, order_id: str) -> None:
    world.travels(order_id, "disordered")
    world.fault(match={"provider": "easypost", "order": order_id}, kind="reorder", ms=3000)


def _support_clears_fraud(world: World, order_id: str) -> None:
    world.see(order_id, lambda view: bool(view.holds))
    world.pause(_SUPPORT_THINKS)
    world.release(order_id, "fraud")
    world.note(order_id, "support released the fraud hold")


def _pays_another_way(world: World, order_id: str) -> None:
    world.pause(_CUSTOMER_LOOKS)
    world.pays(order_id, "pm_card_mastercard")
    world.note(order_id, "the customer paid with another card")


def _confirms_with_the_bank(world: World, order_id: str) -> None:
    # The bank waits an hour of the shop's, which is half a second here: a slow customer pays once more.
    if not world.confirms(order_id):
        world.pays(order_id, _ASKS_THE_BANK)
        if not world.confirms(order_id):
            return
    world.note(order_id, "the customer confirmed with the bank")


def _wants_one_less(world: World, order_id: str) -> None:
    lines = [{"line_no": 1, "quantity": 1}]
    world.ask(f"/v1/orders/{order_id}/cancel", {"reason": "one is enough", "lines": lines})
    world.note(order_id, "the customer cancelled one of them")


def _wants_one_more(world: World, order_id: str) -> None:
    world.see(order_id, lambda view: view.promise_date is not None)  # nothing is added before it is confirmed
    world.ask(f"/v1/orders/{order_id}/items", {"add": [{"sku": "SOCK-2", "quantity": 1}]})
    world.note(order_id, "the customer added a line")


def _label_takes_its_time(world: World, order_id: str) -> None:
    match = {"provider": "easypost", "route": "POST /v2/shipments/*/buy", "order": order_id}
    world.fault(match=match, kind="latency", ms=_LABEL_TAKES_MS, times=1)


def _moves_after_the_label(world: World, order_id: str) -> None:
    """Hold the parcel while its label is bought: else it would have left before anybody could write."""
    world.see(order_id, lambda view: stands(view, WorkStatus.PACKED))
    world.ask(f"/v1/orders/{order_id}/holds", {"reason": "address", "note": "the customer is moving"})
    world.see(order_id, lambda view: stands(view, WorkStatus.LABELED))
    world.ask(f"/v1/orders/{order_id}/address", asdict(_NEW_HOME))
    world.note(order_id, "the customer moved: the label is bought again")
    world.release(order_id, "address")


def _accepts_the_suggestion(world: World, order_id: str) -> None:
    world.see(order_id, lambda view: any(hold.reason is HoldReason.ADDRESS for hold in view.holds))
    world.reads(order_id, Fact.ADDRESS_ASKED)
    world.ask(f"/v1/orders/{order_id}/address/suggested", {})
    world.note(order_id, "the customer accepted the address that the carriers suggest")


def _large_refund(world: World, order_id: str) -> None:
    """The one who asks may not allow it; another person does."""
    world.see(order_id, lambda view: view.outcome == Outcome.DELIVERED)
    wanted = {"cause": "damaged", "units": [{"line": 1, "first": 1, "count": 1}]}
    refund = world.ask(f"/v1/orders/{order_id}/refunds", wanted)
    try:
        world.ask(f"/v1/refunds/{refund['id']}/approve", {})
    except ApiRefused as no:
        world.note(order_id, f"support may not approve its own refund: {no.status} {no.code}")
    world.approves(refund["id"])
    world.note(order_id, "a second person approved the refund")
    world.see(order_id, lambda view: view.payment.refunded > 0)


def _changes_mind(world: World, order_id: str) -> None:
    world.ask(f"/v1/orders/{order_id}/cancel", {"reason": "changed my mind"})
    world.note(order_id, "the customer cancelled before it left")


def _cancels_too_late(world: World, order_id: str) -> None:
    world.see(order_id, has_left)
    try:
        world.ask(f"/v1/orders/{order_id}/cancel", {"reason": "changed my mind"})
    except ApiRefused as no:
        world.note(order_id, f"cancel refused: {no.status} {no.code}. {no.detail}")


def _held_and_released(world: World, order_id: str) -> None:
    note = "the customer asked us to wait"
    world.ask(f"/v1/orders/{order_id}/holds", {"reason": "manual", "note": note})
    world.note(order_id, f"support holds it: {note}")
    world.pause(_CUSTOMER_WAITS)
    world.release(order_id, "manual")
    world.note(order_id, "support released it")


def _first_travels(profile: str) -> Story:
    """Let this befall the first parcel only: what is sent instead travels as it should."""
    return lambda world, order_id: world.travels(f"{order_id}:buy_label:{order_id}-P1", profile)


def _carrier_admits_the_loss(world: World, order_id: str) -> None:
    world.see(order_id, _is_moving)
    world.pause(_TRACE)
    world.scan(order_id, status="failure", status_detail="lost")
    world.note(order_id, "the carrier traced it and calls it lost")
    world.see(order_id, _is_over)


def _snow_falls(world: World, order_id: str) -> None:
    """The carrier says of a parcel under way that it comes a day later than promised, and keeps to that."""
    view = world.see(order_id, _is_moving)
    named = [part.parcel.edd_date for part in view.shipments if part.parcel and part.parcel.edd_date]
    day = max(day for day in (view.promise_date, *named) if day) + timedelta(days=1)
    said = {"status": "in_transit", "status_detail": "weather_delay", "est_delivery_date": day.isoformat()}
    world.scan(order_id, **said)
    world.see(order_id, _was_told_of_snow)
    world.note(order_id, f"it snows: the customer was told that it comes by {day:%A}")
    world.scan(order_id, status="out_for_delivery", status_detail="out_for_delivery")
    world.scan(order_id, status="delivered", status_detail="delivered")
    world.see(order_id, _is_over)


def _was_told_of_snow(view: OrderView) -> bool:
    return any(one.reason == Reason.WEATHER_DELAY and one.told_at for one in view.promises)


def _broken_box_arrives(world: World, order_id: str) -> None:
    """Nobody decides: after a day the playbook does. The broken one is delivered all the same."""
    world.see(order_id, lambda view: view.attention is CaseKind.DAMAGED)
    world.see(order_id, lambda view: any(part.settled for part in view.shipments))
    world.note(order_id, "nobody decided: the policy made it good")
    world.scan(order_id, status="delivered", status_detail="delivered")
    world.see(order_id, _is_over)


def _comes_back_and_goes_elsewhere(world: World, order_id: str) -> None:
    world.see(order_id, _is_moving)
    world.scan(order_id, status="return_to_sender", status_detail="return")
    world.see(order_id, lambda view: view.attention is CaseKind.RETURN_TO_SENDER)
    world.reads(order_id, Fact.RETURNING)
    body = {"kind": "return_to_sender", "answer": "reship", "ship_to": asdict(_NEW_HOME)}
    world.ask(f"/v1/orders/{order_id}/cases/answer", body)
    world.note(order_id, "the customer wants it again, at another address")
    _dock_takes_it_in(world, order_id)
    world.see(order_id, _is_over)


def _refused_at_the_door(world: World, order_id: str) -> None:
    world.see(order_id, _is_moving)
    world.scan(order_id, status="in_transit", status_detail="refused")
    world.see(order_id, lambda view: view.attention is CaseKind.REFUSED)
    world.reads(order_id, Fact.REFUSED)
    world.scan(order_id, status="return_to_sender", status_detail="return")
    world.pause(_TRACE)
    _dock_takes_it_in(world, order_id)
    world.see(order_id, _is_over)


def _dock_takes_it_in(world: World, order_id: str) -> None:
    """The first parcel is at our dock again, and nothing is wrong with what is in it."""
    view = world.see(order_id, lambda view: bool(view.shipments))
    first = view.shipments[0]
    for units in first.units:
        body = {
            "order_id": order_id,
            "line_no": units.line_no,
            "units": list(range(units.first, units.first + units.count)),
            "disposition": "restock",
            "location_id": first.location_id,
            "key": f"{order_id}:back:{units.line_no}:{units.first}",
        }
        world.ask("/v1/returned_units", body)
    world.note(order_id, "the dock took it in again")


def _was_never_at_the_door(world: World, order_id: str) -> None:
    world.see(order_id, lambda view: view.outcome == Outcome.DELIVERED)
    world.ask(f"/v1/orders/{order_id}/not_received", {"note": "nothing at the door"})
    world.see(order_id, lambda view: view.attention is CaseKind.NOT_RECEIVED)
    world.pause(_CUSTOMER_LOOKS)
    answer = {"kind": "not_received", "answer": "refund"}
    world.ask(f"/v1/orders/{order_id}/cases/answer", answer)
    world.note(order_id, "support gave the money back")
    world.see(order_id, _is_over)


def _nonsense_from_the_ui(world: World, order_id: str) -> None:
    world.see(order_id, lambda view: bool(view.shipments))
    world.signal(order_id, "cancel", {"raisin": 42})
    world.note(order_id, 'somebody sent it the signal cancel {"raisin": 42}')


def _is_moving(view: OrderView) -> bool:
    return any(part.parcel and part.parcel.carrier_status in MOVING for part in view.shipments)


def _is_over(view: OrderView) -> bool:
    return view.status in ENDED


def stands(view: OrderView, status: WorkStatus) -> bool:
    """Test whether a part of the order stands there."""
    return any(part.work_status is status for part in view.shipments)


def has_left(view: OrderView) -> bool:
    """Test whether every part of the order is with a carrier."""
    gone = (WorkStatus.HANDED_OVER, WorkStatus.CLOSED)
    return bool(view.shipments) and all(part.work_status in gone for part in view.shipments)


_LABEL_FAILURES: Final = 6
_LABEL_TAKES_MS: Final = 4000
_ASKS_THE_BANK: Final = "pm_card_authenticationRequired"
_NEW_HOME: Final = Buyer(name="Bo Lang", line1="350 New St", city="Eugene", region="OR", postal_code="97401")
# Real seconds.
_SUPPORT_THINKS: Final = 5.0
_CUSTOMER_LOOKS: Final = 2.0
_CUSTOMER_WAITS: Final = 6.0
_TRACE: Final = 3.0

# --- the orders, as they are placed ----------------------------------------------------------------------

SCENARIOS: Final = (
    Scenario(
        order_id="SO-10480",
        name="one shirt",
        ends="delivered, charged once",
        buyer=Buyer(name="Ada Brook", line1="12 Hill St", city="Boise", region="ID", postal_code="83702"),
        expects=_DELIVERED,
    ),
    Scenario(
        order_id="SO-10481",
        name="backordered, then a receipt",
        ends="delivered once it was there",
        buyer=Buyer(name="Ben Ito", line1="4 Bay Rd", city="Portland", region="OR", postal_code="97205"),
        lines=(("CMPS-1", 2),),
        expects=(*_DELIVERED, told("backordered")),
    ),
    Scenario(
        order_id="SO-10482",
        name="label provider answers 503",
        ends="delivered with one label",
        buyer=Buyer(name="Cleo Marsh", line1="77 Elm Ave", city="Denver", region="CO", postal_code="80202"),
        before=_label_provider_is_down,
        expects=(*_DELIVERED, struck("http_5xx"), had(CaseKind.CARRIER_DOWN), came_in(1)),
    ),
    Scenario(
        order_id="SO-10483",
        name="fraud hold, support released it",
        ends="delivered after that",
        buyer=Buyer(name="Noor Haddad", line1="103 Main St", city="Boise", region="ID", postal_code="83702"),
        lines=(("TEE-BLK-M", 2), ("MUG-12", 1)),
        card="pm_card_riskLevelElevated",
        then=_support_clears_fraud,
        expects=(*_DELIVERED, had(CaseKind.FRAUD_REVIEW), noted("released the fraud hold")),
    ),
    Scenario(
        order_id="SO-10484",
        name="silent parcel",
        ends="delivered; its silence was noticed",
        buyer=Buyer(name="Dan Silva", line1="9 Ridge Way", city="Boise", region="ID", postal_code="83702"),
        lines=(("BTL-750", 1),),
        before=_travels("silent"),
        expects=(*_DELIVERED, had(CaseKind.NO_SCAN)),
    ),
    Scenario(
        order_id="SO-10485",
        name="late parcel",
        ends="delivered, customer told before it came",
        buyer=Buyer(
            name="Eve Carter", line1="31 Lake St", city="Minneapolis", region="MN", postal_code="55401"
        ),
        lines=(("HOOD-GRY-M", 1),),
        before=_travels("weather_delay"),
        expects=(*_DELIVERED, had(CaseKind.DELAYED), told_before_it_came),
    ),
    Scenario(
        order_id="SO-10486",
        name="lost parcel",
        ends="another one sent for nothing, delivered",
        buyer=Buyer(name="Finn Olsen", line1="8 Pier 2", city="Seattle", region="WA", postal_code="98101"),
        lines=(("LAMP-HD", 1),),
        before=_first_travels("lost"),
        then=_carrier_admits_the_loss,
        expects=(*_DELIVERED, had(CaseKind.LOST), made_good("reship"), told("reshipped")),
    ),
    Scenario(
        order_id="SO-10487",
        name="abroad, a carrier gives no price",
        ends="delivered by another",
        buyer=Buyer(
            name="Greta Kern",
            line1="Lindenstr. 5",
            city="Berlin",
            region="",
            postal_code="10969",
            country="DE",
        ),
        lines=(("PACK-30", 1),),
        before=_usps_says_nothing,
        expects=(*_DELIVERED, struck("carrier_error"), fell_over_from("USPS")),
    ),
    Scenario(
        order_id="SO-10488",
        name="two parcels from two warehouses",
        ends="both delivered and paid",
        buyer=Buyer(name="Hal Jones", line1="60 Lake Dr", city="Chicago", region="IL", postal_code="60601"),
        lines=(("STL-1", 2), ("TENT-2", 1)),
        expects=(*_DELIVERED, came_in(2), came_from(f"2 STL-1 from {RENO}", f"1 TENT-2 from {LEHIGH}")),
    ),
    Scenario(
        order_id="SO-10489",
        name="part that never comes again",
        ends="part cancelled, rest charged",
        buyer=Buyer(name="Iris Wolf", line1="2 Mill Ln", city="Denver", region="CO", postal_code="80202"),
        lines=(("MUG-12", 2), ("LNTN-0", 3)),
        expects=(*_DELIVERED, lost_a_part, told("part_cancelled")),
    ),
    Scenario(
        order_id="SO-10490",
        name="declined, paid another way",
        ends="delivered, the other card charged",
        buyer=Buyer(name="Jon Reyes", line1="18 Palm Ct", city="San Diego", region="CA", postal_code="92101"),
        card="pm_card_chargeDeclinedInsufficientFunds",
        then=_pays_another_way,
        expects=(*_DELIVERED, told("payment_declined"), noted("another card")),
    ),
    Scenario(
        order_id="SO-10491",
        name="declined, never paid",
        ends="expired, nothing charged",
        buyer=Buyer(name="Kay Doyle", line1="5 Fort St", city="Austin", region="TX", postal_code="78701"),
        card="pm_card_chargeDeclinedLostCard",
        expects=(ended(Outcome.EXPIRED), never_charged, told("payment_declined")),
    ),
    Scenario(
        order_id="SO-10492",
        name="answer lost after the reservation",
        ends="delivered, charged once",
        buyer=Buyer(name="Lou Baker", line1="40 Oak St", city="Boise", region="ID", postal_code="83702"),
        lines=(("TEE-BLK-L", 3),),
        before=_loses_answer("stripe", "POST /v1/payment_intents"),
        expects=(*_DELIVERED, struck("reset")),
    ),
    Scenario(
        order_id="SO-10493",
        name="answer lost after the charge",
        ends="delivered, charged once",
        buyer=Buyer(name="Mia Stone", line1="71 Pine St", city="Denver", region="CO", postal_code="80202"),
        lines=(("BTL-750", 1), ("MUG-12", 1)),
        before=_loses_answer("stripe", "POST /v1/payment_intents/*/capture"),
        expects=(*_DELIVERED, struck("reset")),
    ),
    Scenario(
        order_id="SO-10494",
        name="answer lost after the label",
        ends="delivered with one label",
        buyer=Buyer(name="Ned Frost", line1="3 Cedar Rd", city="Denver", region="CO", postal_code="80202"),
        before=_loses_answer("easypost", "POST /v2/shipments/*/buy"),
        expects=(*_DELIVERED, struck("reset"), came_in(1)),
    ),
    Scenario(
        order_id="SO-10495",
        name="failed attempt",
        ends="delivered at the second attempt",
        buyer=Buyer(name="Ola Berg", line1="26 Vine St", city="Boise", region="ID", postal_code="83702"),
        lines=(("SOCK-2", 1),),
        before=_travels("failed_attempt"),
        expects=(
            *_DELIVERED,
            had(CaseKind.FAILED_ATTEMPT),
            told("failed_attempt"),
            tells("The carrier tried once to deliver your parcel and could not; it comes again on"),
        ),
    ),
    Scenario(
        order_id="SO-10496",
        name="every scan and webhook twice",
        ends="delivered, told once per fact",
        buyer=Buyer(name="Pia Nowak", line1="15 Lark Ln", city="Boise", region="ID", postal_code="83702"),
        before=_everything_twice,
        expects=(*_DELIVERED, struck("duplicate"), every_scan_once),
    ),
    Scenario(
        order_id="SO-10497",
        name="scans out of order",
        ends="delivered, and stays delivered",
        buyer=Buyer(name="Quinn Hale", line1="88 Fir St", city="Denver", region="CO", postal_code="80202"),
        before=_newest_first,
        expects=(*_DELIVERED, struck("reorder"), in_scan_order),
    ),
    Scenario(
        order_id="SO-10498",
        name="free of charge",
        ends="delivered, no card needed",
        buyer=Buyer(name="Rae Lind", line1="1 Gift Way", city="Boise", region="ID", postal_code="83702"),
        lines=(("MUG-12", 1),),
        free=True,
        expects=(ended(Outcome.DELIVERED), never_charged, told("confirmed", "shipped", "delivered")),
    ),
    Scenario(
        order_id="SO-10499",
        name="cancelled before hand-over",
        ends="cancelled, nothing charged",
        buyer=Buyer(name="Sam Okoye", line1="52 Bell St", city="Seattle", region="WA", postal_code="98101"),
        lines=(("HOOD-GRY-M", 1),),
        then=_changes_mind,
        expects=(ended(Outcome.CANCELLED), never_charged, told("cancelled")),
    ),
    Scenario(
        order_id="SO-10500",
        name="cancelled after hand-over",
        ends="refused (409 too_late), delivered",
        buyer=Buyer(name="Tess Ward", line1="19 Main St", city="Boise", region="ID", postal_code="83702"),
        then=_cancels_too_late,
        expects=(*_DELIVERED, noted("409 too_late")),
    ),
    Scenario(
        order_id="SO-10501",
        name="held for a customer, then released",
        ends="delivered after the hold",
        buyer=Buyer(name="Uma Patel", line1="6 Rose St", city="Denver", region="CO", postal_code="80202"),
        lines=(("LAMP-HD", 2),),
        then=_held_and_released,
        expects=(*_DELIVERED, noted("support holds it"), noted("support released it")),
    ),
    Scenario(
        order_id="SO-10502",
        name="malformed signal",
        ends="delivered; the signal is shown as rejected",
        buyer=Buyer(name="Vic Moreau", line1="23 Dock St", city="Boise", region="ID", postal_code="83702"),
        then=_nonsense_from_the_ui,
        expects=(*_DELIVERED, had(CaseKind.BAD_SIGNAL)),
    ),
    Scenario(
        order_id="SO-10503",
        name="several lines",
        ends="delivered in one parcel, charged once",
        buyer=Buyer(name="Wes Tran", line1="90 Gate Rd", city="Denver", region="CO", postal_code="80202"),
        lines=(("TEE-BLK-M", 2), ("SOCK-2", 1), ("MUG-12", 1), ("LAMP-HD", 1)),
        expects=(*_DELIVERED, came_in(1)),
    ),
    Scenario(
        order_id="SO-10504",
        name="the bank asks first (3-D Secure)",
        ends="confirmed, delivered",
        buyer=Buyer(name="Yuki Mori", line1="5 Bank St", city="Boise", region="ID", postal_code="83702"),
        card=_ASKS_THE_BANK,
        then=_confirms_with_the_bank,
        expects=(*_DELIVERED, noted("confirmed with the bank")),
    ),
    Scenario(
        order_id="SO-10505",
        name="one of three cancelled",
        ends="two delivered and charged",
        buyer=Buyer(name="Zoe Katz", line1="44 Hop Ln", city="Denver", region="CO", postal_code="80202"),
        lines=(("MUG-12", 3),),
        then=_wants_one_less,
        expects=(*_DELIVERED, lost_a_part, came_in(1), noted("cancelled one of them")),
    ),
    Scenario(
        order_id="SO-10506",
        name="a line added afterwards",
        ends="all delivered and charged",
        buyer=Buyer(name="Amir Fox", line1="61 Sand Rd", city="Boise", region="ID", postal_code="83702"),
        lines=(("BTL-750", 1),),
        then=_wants_one_more,
        expects=(*_DELIVERED, has_lines(2), told("changed")),
    ),
    Scenario(
        order_id="SO-10507",
        name="moved after the label",
        ends="new label, delivered, charged once",
        buyer=Buyer(name="Bo Lang", line1="1 Old St", city="Portland", region="OR", postal_code="97205"),
        before=_label_takes_its_time,
        then=_moves_after_the_label,
        expects=(*_DELIVERED, struck("latency"), relabeled, told("changed")),
    ),
    Scenario(
        order_id="SO-10508",
        name="large refund",
        ends="paid once a second person approved",
        buyer=Buyer(name="Cy Dunn", line1="70 Elk St", city="Denver", region="CO", postal_code="80202"),
        lines=(("TENT-2", 1), ("MUG-12", 1)),
        then=_large_refund,
        expects=(
            *_DELIVERED,
            refunded_in_part(24900),
            noted("may not approve its own"),
            told("refunded"),
        ),
    ),
    Scenario(
        order_id="SO-10509",
        name="lost, and it was the last one",
        ends="lost, money given back",
        buyer=Buyer(name="Dee Hart", line1="3 Star St", city="Boise", region="ID", postal_code="83702"),
        lines=(("SPYG-1", 1),),
        before=_first_travels("lost"),
        then=_carrier_admits_the_loss,
        expects=(ended(Outcome.LOST), refunded, had(CaseKind.LOST), told("lost")),
    ),
    Scenario(
        order_id="SO-10510",
        name="damaged on its way",
        ends="made good by itself after a day",
        buyer=Buyer(name="Eli Voss", line1="29 Ash St", city="Denver", region="CO", postal_code="80202"),
        lines=(("MUG-12", 2),),
        before=_first_travels("damaged"),
        then=_broken_box_arrives,
        expects=(*_DELIVERED, had(CaseKind.DAMAGED), made_good("reship"), told("reshipped")),
    ),
    Scenario(
        order_id="SO-10511",
        name="comes back, wanted again",
        ends="sent to another address, charged once",
        buyer=Buyer(name="Bo Lang", line1="1 Old St", city="Portland", region="OR", postal_code="97205"),
        lines=(("TEE-BLK-M", 1),),
        before=_first_travels("lost"),
        then=_comes_back_and_goes_elsewhere,
        expects=(*_DELIVERED, made_good("reship"), told("returning", "reshipped"), noted("took it in")),
    ),
    Scenario(
        order_id="SO-10512",
        name="refused at the door",
        ends="came back, money given back",
        buyer=Buyer(name="Gil Pratt", line1="64 Rye St", city="Boise", region="ID", postal_code="83702"),
        lines=(("HOOD-GRY-M", 1),),
        before=_first_travels("lost"),
        then=_refused_at_the_door,
        expects=(ended(Outcome.RETURNED), refunded, had(CaseKind.REFUSED), told("refused", "refunded")),
    ),
    Scenario(
        order_id="SO-10513",
        name="delivered, but not received",
        ends="goes on, money given back",
        buyer=Buyer(name="Hope Finch", line1="11 Gate St", city="Boise", region="ID", postal_code="83702"),
        lines=(("SOCK-2", 1),),
        then=_was_never_at_the_door,
        expects=(ended(Outcome.DELIVERED), refunded, made_good("refund"), told("not_received", "refunded")),
    ),
    Scenario(
        order_id="SO-10514",
        name="short pick",
        ends="the missing one came from elsewhere",
        buyer=Buyer(name="Ivo Marsh", line1="7 Peak Rd", city="Boise", region="ID", postal_code="83702"),
        lines=(("ROPE-20", 2),),
        before=_picker_finds("ROPE-20", "not_found"),
        then=_goes_on,
        expects=(
            *_DELIVERED,
            had(CaseKind.SHORT_PICK),
            taken_out("not_found", "held"),
            came_in(2),
            came_from(f"1 ROPE-20 from {RENO}", f"1 ROPE-20 from {LEHIGH}"),
        ),
    ),
    Scenario(
        order_id="SO-10515",
        name="damaged at pick",
        ends="replaced, delivered, charged once",
        buyer=Buyer(name="Jan Kroll", line1="90 Mill St", city="Boise", region="ID", postal_code="83702"),
        lines=(("BTL-750", 2),),
        before=_picker_finds("BTL-750", "damaged"),
        then=_goes_on,
        expects=(
            *_DELIVERED,
            had(CaseKind.DAMAGED_PICK),
            taken_out("damaged", "damaged"),
            came_in(1),
            came_from(f"2 BTL-750 from {RENO}"),
        ),
    ),
    Scenario(
        order_id="SO-10516",
        name="carrier down",
        ends="the label is another carrier's",
        buyer=Buyer(name="Kim Tanaka", line1="48 Pine St", city="Boise", region="ID", postal_code="83702"),
        lines=(("STV-IRON", 1),),
        service="express",  # the fastest, which is UPS whatever its lane was like so far
        before=_ups_makes_no_label,
        expects=(*_DELIVERED, came_in(1), fell_over_from("UPS")),
    ),
    Scenario(
        order_id="SO-10517",
        name="bad address",
        ends="asked, corrected, delivered there, charged once",
        buyer=Buyer(
            name="Lea Hoff",
            line1="40 Misspelt Ambiguous Oak Ln",
            city="Boise",
            region="ID",
            postal_code="83702",
        ),
        lines=(("SOCK-2", 1),),
        then=_accepts_the_suggestion,
        expects=(
            *_DELIVERED,
            had(CaseKind.ADDRESS_PROBLEM),
            told("address_asked"),
            came_in(1),
            addressed("40 Oak Ln, 83703 Boise"),
        ),
    ),
    Scenario(
        order_id="SO-10518",
        name="weather delay",
        ends="told once and why, delivered by the new day",
        buyer=Buyer(name="Max Stern", line1="5 Snow Rd", city="Denver", region="CO", postal_code="80202"),
        lines=(("LAMP-HD", 1),),
        before=_first_travels("lost"),
        then=_snow_falls,
        expects=(*_DELIVERED, had(CaseKind.DELAYED), told("delayed"), put_off(Reason.WEATHER_DELAY)),
    ),
    Scenario(
        order_id="SO-10519",
        name="too heavy for one parcel",
        ends="four labels, four captures",
        buyer=Buyer(name="Ida Stone", line1="11 Quarry Rd", city="Reno", region="NV", postal_code="89502"),
        lines=(("STV-IRON", 4),),
        expects=(*_DELIVERED, came_in(4), captured_in(4), came_from(*[f"1 STV-IRON from {RENO}"] * 4)),
    ),
)


def another(number: int) -> Scenario:
    """Return one more ordinary order, for whoever presses the key."""
    buyer = Buyer(name="Xan Grey", line1="7 Key St", city="Boise", region="ID", postal_code="83702")
    return Scenario(
        order_id=f"SO-{number}",
        name="ordered from this keyboard",
        ends="delivered, charged once",
        buyer=buyer,
        expects=_DELIVERED,
    )
