"""A shop with everything that can happen to it, each a rule: what it chooses, it chooses by the chance it is given.

A rule may be refused by the shop: then nothing has happened. Anything else that goes wrong is a bug.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, TypeVar

from sqlalchemy import Engine, Table, select
from temporalio.exceptions import ApplicationError

from activities.payments import PaymentActivities
from activities.shipping import ShippingActivities
from fulfillment.domain.catalogue import Product
from fulfillment.domain.change import (
    AddLines,
    CancelUnits,
    ChangeAddress,
    ChangeService,
    LineQuantity,
    NewLine,
)
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.counts import CountState
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.invariants import Check, Evidence, Ledger, judge
from fulfillment.domain.invariants.facts import LedgerMessage
from fulfillment.domain.inventory import Condition, Disposition
from fulfillment.domain.order import OrderLine, UnitRange
from fulfillment.domain.payment import DeclineGroup, PaymentStatus, RefundStatus
from fulfillment.domain.payment_news import DisputeHint, MethodHint, ReviewHint
from fulfillment.domain.picking import CheckGrade, CheckNeeded, Look, Rejection, Settled
from fulfillment.domain.policy import OnExpiry, Policy, SplitCapture, Substitution
from fulfillment.domain.record import PlaceHold, ReleaseHold
from fulfillment.domain.refund import RefundCause, RefundState, RequestRefund
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.tracking import CarrierStatus, Scan
from fulfillment.storage.audit import AuditStore
from fulfillment.storage.reconciliation import ReconciliationStore
from fulfillment.storage.rejections import Reject, RejectionStore
from fulfillment.storage.stock import StockStore
from fulfillment.storage.tables import (
    disputes,
    labels,
    order_lines,
    refunds,
    rejections,
    shipments,
    stock_levels,
    unit_ranges,
)
from tests.property.conductor import Conductor
from tests.property.strangers import ASKS, FRAUD, GOOD, RISKY, Event, Post, Provider, Trouble
from tests.storage.house import DEPOT, HOME, MUG, TEA, House, an_order

T = TypeVar("T")

RENO, LEHIGH = "wh-reno", "wh-lehigh"
POT = "POT"
SKUS, PLACES = (MUG, TEA, POT), (RENO, LEHIGH)
PRICES = {MUG: 1200, TEA: 500, POT: 3999}
WEIGHTS = {MUG: 300, TEA: 300, POT: 13_000}  # a third pot is a parcel of its own
METHODS = (GOOD,) * 6 + (ASKS,) * 3 + ("pm_later", "pm_poor", "pm_stolen", RISKY, FRAUD)
ELSEWHERE = replace(HOME, line1="2 Side St", city="Elko")
_MOST_OPEN = 9
_MOST_TURNS = 30
_JOURNEY = (
    CarrierStatus.PICKED_UP,
    CarrierStatus.IN_TRANSIT,
    CarrierStatus.OUT_FOR_DELIVERY,
    CarrierStatus.DELIVERED,
    CarrierStatus.DELIVERED,
    CarrierStatus.RETURNED,
    CarrierStatus.LOST,
)


class NeverRests(AssertionError):
    """Orders that nothing moves any more, and that have not ended."""


class Shop:
    """Orders that compete for little stock in two places, a bank and a carrier that fail, and people."""

    def __init__(self, engine: Engine, chance: Random) -> None:
        self.policy = Policy(
            split_capture=chance.choice(list(SplitCapture)), on_expiry=chance.choice(list(OnExpiry))
        )
        self.house = House(engine)
        self.bank, self.post = Provider(engine, self.house.now), Post()
        self.bank.multicapture = chance.random() < 0.5
        self.money = PaymentActivities(self.bank, self.house.payments, public_url="https://shop.example")
        self.shipping = ShippingActivities(self.post, self.house.shipping)
        self.conductor = Conductor(self.house, self.money, self.shipping, self.policy)
        self.delivered: dict[str, Event] = {}
        self.sent_mail: list[str] = []
        self.orders: list[str] = []
        self.names = 0
        self._stock(chance)
        self._equals(chance)

    def _equals(self, chance: Random) -> None:
        """Let half of the shops send what is as good by itself, dearer and cheaper."""
        automatic = chance.random() < 0.5
        policy = Policy(substitution=Substitution.AUTOMATIC if automatic else Substitution.OFF)
        self.house.stock = StockStore(self.house.engine, self.house.now, policy=policy)
        self.house.rejections = RejectionStore(self.house.engine, self.house.now, policy=policy)
        self.house.reconciliation = ReconciliationStore(
            self.house.engine, self.house.now, ShopClock(), policy=policy
        )
        for sku, instead in ((MUG, [TEA, POT]), (TEA, [MUG]), (POT, [MUG])):
            self.house.stock.set_substitutes(sku, instead, by="test")

    def _stock(self, chance: Random) -> None:
        stock = self.house.stock
        stock.add_location(RENO, name="Reno", address=DEPOT, priority=1)
        stock.add_location(LEHIGH, name="Lehigh", address=HOME, priority=2)
        shelf = [
            Product(
                sku=sku,
                name=sku.title(),
                weight_g=WEIGHTS[sku],
                price=PRICES[sku],
                on_hand=chance.randint(2, 7),
                backorderable=sku != TEA,
            )
            for sku in SKUS
        ]
        stock.set_catalogue(shelf, by="test")
        for sku in SKUS:
            stock.receive(sku, LEHIGH, chance.randint(1, 5), key=f"start-{sku}", by="dock")

    # --- what the rules share ---------------------------------------------------------------------------

    def name(self, prefix: str) -> str:
        """Return a name nobody has had."""
        self.names += 1
        return f"{prefix}-{self.names}"

    def open_orders(self) -> list[str]:
        """Return the orders that have not ended, oldest first."""
        return [order_id for order_id in self.orders if not self.conductor.is_over(order_id)]

    def rows(self, table: Table, **equal: Any) -> list[dict[str, Any]]:
        """Return rows in the order of their keys, so that a run can be repeated."""
        query = select(table).where(*(table.c[name] == value for name, value in equal.items()))
        with self.house.engine.connect() as conn:
            found = conn.execute(query.order_by(*table.primary_key.columns)).mappings()
            return [dict(row) for row in found]

    def deliver(self, event: Event) -> None:
        """Let a webhook arrive."""
        self.house.payment_news.record("stripe", event.event_id, event.hint, {})
        self.delivered.setdefault(event.event_id, event)

    def late(self) -> list[Event]:
        """Return the webhooks that have not arrived yet, oldest first."""
        return [event for event in self.bank.events if event.event_id not in self.delivered]

    def scan(self, label: dict[str, Any], status: CarrierStatus, event_id: str) -> None:
        """Let the carrier report."""
        seen = Scan(status=status, occurred_at=self.house.now(), code=str(status), place="Reno")
        self.house.shipping.record_report(
            "easypost", event_id, label["carrier"], label["tracking_number"], (seen,), None, {}
        )

    # --- at rest ----------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Do what the reconciliation does."""
        found = self.house.reconciliation.sweep()
        for fact in found.unheard:
            self.conductor.hear(fact)
        for parcel_id in found.silent_parcels:
            self.shipping.ask_carrier(parcel_id)
            self.house.reconciliation.silence(parcel_id)
        for key in found.doubtful_operations:
            if not self._tried(lambda key=key: self.money.ask_about_operation(key)):
                self.house.reconciliation.doubt(key)
        for payment_id in found.surplus_payments:
            self._tried(lambda one=payment_id: self.money.void_payment(one))
        for refund_id in found.due_refunds:
            self.conductor.pay_refund(refund_id)

    def send_mail(self) -> None:
        """Send what customers are to be told."""
        while messages := self.house.outbox.lease(50):
            for message in messages:
                fact = f"order-{message.order_id}.{message.fact}.{message.subject}.{message.version}"
                self.sent_mail.append(f"<{fact}@waybill>")
                self.house.outbox.sent(message.notification_id)

    def come_to_rest(self, chance: Random) -> None:
        """Let everybody answer, and everything that was begun come to its end.

        Raises:
            NeverRests: an order does not end, whatever is done for it.
        """
        self.bank.trouble, self.bank.meanwhile, self.post.loses = None, None, False
        for sku in SKUS:
            for place in PLACES:
                self.house.stock.receive(sku, place, 40, key=self.name("last"), by="dock")
        for _ in range(40):
            self._answer_everything(chance)
            for order_id in self.open_orders():
                for _ in range(_MOST_TURNS):
                    if not self.conductor.turn(order_id, chance):
                        break
            self._work_the_floor()
            self.house.wait(timedelta(hours=1))
            self.bank.time_passed()
            self.sweep()
            if not self.open_orders():
                break
        self._close_the_books()
        if still_open := self.open_orders():
            raise NeverRests(", ".join(still_open))

    def _close_the_books(self) -> None:
        for _ in range(3):
            self._settle_refunds()
            for event in self.late():
                self.deliver(event)
            self.house.wait(timedelta(minutes=20))
            self.sweep()
        self.send_mail()

    def _answer_everything(self, chance: Random) -> None:
        """The bank, its customers and the support desk do what they are waited for."""
        for reference, intent in sorted(self.bank.intents.items()):
            if intent.snapshot.status is PaymentStatus.ACTION_REQUIRED and chance.random() < 0.5:
                self.bank.becomes(reference, PaymentStatus.AUTHORIZED)
        for event in self.late():
            self.deliver(event)
        self._settle_refunds()
        for dispute in self.rows(disputes, is_over=False):
            self.end_dispute(dispute, "won")
        for order_id in self.open_orders():
            quietly(lambda one=order_id: self.release_all(one))
            self.conductor.another_method(order_id, GOOD, "ann", self.name("method"))
        for row in self.rows(shipments, work_status=WorkStatus.HANDED_OVER.value):
            for label in self._used_label(row["shipment_id"]):
                self.scan(label, CarrierStatus.DELIVERED, self.name("scan"))

    def _settle_refunds(self) -> None:
        for reference, operation in self.bank.refunds(RefundStatus.PENDING):
            self.bank.refund_ends(reference, operation, RefundStatus.SUCCEEDED)
        for refund in self.rows(refunds):
            match RefundState(refund["state"]):
                case RefundState.REQUESTED:
                    self.house.refunds.approve(refund["refund_id"], by="boss")
                case RefundState.FAILED | RefundState.MANUAL:
                    name = self.name("wire")
                    self.house.refunds.book_by_hand(refund["refund_id"], reference=name, by="boss")
                case _:
                    pass

    def release_all(self, order_id: str) -> None:
        self.house.records.release_hold(
            ReleaseHold(order_id=order_id, reason=None, by="ann", request_id=self.name("release"))
        )

    def _work_the_floor(self) -> None:
        for work in self.house.floor.work():
            quietly(lambda work=work: step_of_the_floor(self, work.shipment_id, work.work_status))

    def _used_label(self, shipment_id: str) -> list[dict[str, Any]]:
        parcel_id = self.conductor.processes[shipment_id.rpartition("-")[0]].packed.get(shipment_id)
        return [row for row in self.rows(labels, state="used") if row["parcel_id"] == parcel_id]

    def end_dispute(self, dispute: dict[str, Any], state: str) -> None:
        (reference,) = (ref for ref, i in self.bank.intents.items() if i.operation == dispute["payment_id"])
        self.bank.say(
            DisputeHint(
                kind="charge.dispute.closed",
                reference=reference,
                dispute=dispute["dispute_id"],
                reason=dispute["reason"],
                amount=dispute["amount"],
                state=state,
                is_over=True,
            )
        )

    def _tried(self, deed: Callable[[], object]) -> bool:
        try:
            return bool(deed())
        except ApplicationError:
            return False

    def audited(self) -> tuple[Check, ...]:
        """Judge the books beside the ledgers of the bank and the carrier."""
        mail = tuple(LedgerMessage(message_id=one, accepted=1) for one in self.sent_mail)
        ledger = Ledger(payments=self.bank.ledger(), labels=self.post.ledger(), messages=mail)
        books = AuditStore(self.house.engine, self.house.now).books()
        return judge(Evidence(books=books, ledger=ledger))


def one(chance: Random, things: Sequence[T]) -> T | None:
    """Choose one of the things, if there are any."""
    return chance.choice(things) if things else None


def quietly(deed: Callable[[], object]) -> bool:
    """Do a deed; False when it was refused."""
    try:
        deed()
    except FulfillmentError:
        return False
    return True


# --- customers --------------------------------------------------------------------------------------------


def place(shop: Shop, chance: Random) -> None:
    """An order of one to three SKUs is placed, sometimes twice under the same number."""
    if len(shop.open_orders()) >= _MOST_OPEN:
        return
    order_id = f"SO-{len(shop.orders) + 1}"
    skus = chance.sample(SKUS, chance.randint(1, 3))
    lines = tuple(
        OrderLine(
            line_no=n,
            sku=sku,
            name=sku.title(),
            quantity=(quantity := chance.randint(1, 4)),
            unit_price=PRICES[sku],
            discount=chance.choice([0, 0, 100, 333]),
            tax=chance.choice([0, 77]) * quantity,
        )
        for n, sku in enumerate(skus, start=1)
    )
    fee = chance.choice([0, 0, 495, 1001])
    order = an_order(
        order_id,
        lines=lines,
        shipping_fee=fee,
        total=sum(line.value for line in lines) + fee,
        payment_method=chance.choice(METHODS),
        placed_at=shop.house.now(),
        external_ref=order_id,
    )
    for _ in range(chance.choice([1, 1, 2])):
        shop.house.orders.accept(order, by="web")
        shop.conductor.start(order_id)
    shop.orders.append(order_id)


def pay_another_way(shop: Shop, chance: Random) -> None:
    """A customer gives another way to pay, by API or on the bank's page."""
    if order_id := one(chance, shop.open_orders()):
        method = chance.choice(METHODS)
        if chance.random() < 0.5:
            shop.conductor.another_method(order_id, method, "customer", shop.name("method"))
        else:
            shop.bank.say(
                MethodHint(kind="checkout.completed", reference="cs_1", order_id=order_id, method=method)
            )


def confirm_3d_secure(shop: Shop, chance: Random) -> None:
    """A customer confirms a payment at their bank, refuses it, or confirms it after all."""
    waiting = [
        reference
        for reference, intent in sorted(shop.bank.intents.items())
        if intent.snapshot.status in (PaymentStatus.ACTION_REQUIRED, PaymentStatus.DECLINED)
    ]
    if reference := one(chance, waiting):
        if chance.random() < 0.7:
            shop.bank.becomes(reference, PaymentStatus.AUTHORIZED)
        elif shop.bank.intents[reference].snapshot.status is PaymentStatus.ACTION_REQUIRED:
            shop.bank.becomes(reference, PaymentStatus.DECLINED, decline_group=DeclineGroup.CHECK_DETAILS)


def cancel_all(shop: Shop, chance: Random) -> None:
    """A customer cancels what has not left."""
    if (order_id := _changeable(shop, chance)) is not None:
        shop.conductor.cancel(order_id, "changed my mind", by="ann", request_id=shop.name("cancel"))


def cancel_units(shop: Shop, chance: Random) -> None:
    """A customer cancels some units of a line, sometimes by the same request twice."""
    if (order_id := _changeable(shop, chance)) is None:
        return
    line = chance.choice(shop.rows(order_lines, order_id=order_id))
    request = CancelUnits(
        order_id=order_id,
        lines=(LineQuantity(line_no=line["line_no"], quantity=chance.randint(1, 2)),),
        reason="too many",
        by="ann",
        request_id=shop.name("less"),
    )
    for _ in range(chance.choice([1, 1, 2])):
        shop.conductor.less(order_id, shop.house.records.cancel_units(request))


def add_lines(shop: Shop, chance: Random) -> None:
    """A customer adds to an order; when that is not paid, it is taken back."""
    if (order_id := _confirmed(shop, chance)) is None:
        return
    lines = (NewLine(sku=chance.choice(SKUS), quantity=chance.randint(1, 3)),)
    request = AddLines(order_id=order_id, lines=lines, by="ann", request_id=shop.name("more"))
    shop.conductor.take_over(order_id, shop.house.records.add_lines(request))


def change_address(shop: Shop, chance: Random) -> None:
    """A customer moves."""
    if (order_id := _confirmed(shop, chance)) is None:
        return
    request_id, records = shop.name("address"), shop.house.records
    records.propose_address(order_id, chance.choice([HOME, ELSEWHERE]), by="ann", request_id=request_id)
    request = ChangeAddress(order_id=order_id, by="ann", request_id=request_id)
    shop.conductor.take_over(order_id, records.change_address(request))


def change_service(shop: Shop, chance: Random) -> None:
    """A customer wants it faster, for a fee, or not after all."""
    if (order_id := _confirmed(shop, chance)) is None:
        return
    service, fee = chance.choice([("express", 900), ("express", 0), ("standard", 0)])
    request = ChangeService(
        order_id=order_id, service=service, fee=fee, by="ann", request_id=shop.name("service")
    )
    shop.conductor.take_over(order_id, shop.house.records.change_service(request))


def _changeable(shop: Shop, chance: Random) -> str | None:
    """Return an order whose customer is served now: it is planned, and no other change of it is under way."""
    planned = {row["order_id"] for row in shop.rows(shipments)}
    return one(
        chance,
        [o for o in shop.open_orders() if o in planned and not shop.conductor.processes[o].is_changing],
    )


def _confirmed(shop: Shop, chance: Random) -> str | None:
    order_id = _changeable(shop, chance)
    return order_id if order_id and shop.conductor.processes[order_id].confirmed else None


# --- the support desk -------------------------------------------------------------------------------------


def hold(shop: Shop, chance: Random) -> None:
    """Somebody holds an order."""
    if order_id := one(chance, shop.open_orders()):
        shop.house.records.place_hold(
            PlaceHold(
                order_id=order_id,
                reason=chance.choice([HoldReason.MANUAL, HoldReason.CUSTOMER, HoldReason.FRAUD]),
                by="sam",
                request_id=shop.name("hold"),
                due_at=shop.house.now() + timedelta(hours=chance.choice([1, 72])),
            )
        )


def release(shop: Shop, chance: Random) -> None:
    """Somebody lets an order go on."""
    if order_id := one(chance, shop.open_orders()):
        shop.release_all(order_id)


def ask_for_refund(shop: Shop, chance: Random) -> None:
    """Money goes back: for a unit, an amount, or all that is left; sometimes it is asked for twice."""
    if not (order_id := one(chance, shop.orders)):
        return
    how: dict[str, Any] = {}
    if (kind := chance.random()) < 0.4:
        how["amount"] = chance.randint(1, 3000)
    elif kind < 0.8 and (
        carried := one(chance, [r for r in shop.rows(unit_ranges, order_id=order_id) if r["shipment_id"]])
    ):
        how["units"] = (UnitRange(line_no=carried["line_no"], first=carried["first_unit"], count=1),)
    request = RequestRefund(
        order_id=order_id, cause=RefundCause.GOODWILL, by="sam", request_id=shop.name("refund"), **how
    )
    for _ in range(chance.choice([1, 2])):
        shop.house.refunds.request(request)


def decide_refund(shop: Shop, chance: Random) -> None:
    """A second person allows a refund or rejects it."""
    if waiting := one(chance, shop.rows(refunds, state=RefundState.REQUESTED.value)):
        decide = chance.choice([shop.house.refunds.approve, shop.house.refunds.reject])
        decide(waiting["refund_id"], by=chance.choice(["sam", "boss"]), request_id=shop.name("decide"))


def pay_refund(shop: Shop, chance: Random) -> None:
    """A refund that is allowed is paid, or one that failed is tried again or paid by hand."""
    states = (RefundState.APPROVED, RefundState.RUNNING, RefundState.FAILED)
    open_ones = [row["refund_id"] for row in shop.rows(refunds) if row["state"] in states]
    if refund_id := one(chance, open_ones):
        shop.bank.refunds_are = chance.choice([RefundStatus.SUCCEEDED, RefundStatus.PENDING])
        if chance.random() < 0.1:
            shop.house.refunds.book_by_hand(refund_id, reference=shop.name("wire"), by="sam")
        else:
            shop.conductor.pay_refund(refund_id)


# --- the bank ---------------------------------------------------------------------------------------------


def webhook(shop: Shop, chance: Random) -> None:
    """Webhooks arrive: the newest, any older one, or one again."""
    for _ in range(chance.randint(1, 3)):
        late = shop.late()
        if event := one(chance, late[-3:] if chance.random() < 0.5 else late):
            shop.deliver(event)
    if (again := one(chance, list(shop.delivered.values()))) and chance.random() < 0.5:
        shop.deliver(again)


def refund_news(shop: Shop, chance: Random) -> None:
    """A refund that the bank had only taken succeeds or fails; sometimes one comes back after all."""
    if pending := one(chance, shop.bank.refunds(RefundStatus.PENDING)):
        shop.bank.refund_ends(*pending, chance.choice([RefundStatus.SUCCEEDED, RefundStatus.FAILED]))
    elif chance.random() < 0.2 and (paid := one(chance, shop.bank.refunds(RefundStatus.SUCCEEDED))):
        shop.bank.refund_ends(*paid, RefundStatus.FAILED)


def dispute(shop: Shop, chance: Random) -> None:
    """A customer disputes what was taken, or a dispute is decided."""
    if (open_one := one(chance, shop.rows(disputes, is_over=False))) and chance.random() < 0.6:
        shop.end_dispute(open_one, chance.choice(["won", "lost"]))
        return
    taken = [ref for ref, i in sorted(shop.bank.intents.items()) if i.snapshot.captured]
    if reference := one(chance, taken):
        amount = shop.bank.intents[reference].snapshot.captured
        shop.bank.say(
            DisputeHint(
                kind="charge.dispute.created",
                reference=reference,
                dispute=f"dp_{reference}",
                reason="fraudulent",
                amount=amount,
                state="needs_response",
            )
        )


def review(shop: Shop, chance: Random) -> None:
    """The bank's fraud desk looks at a payment, or has looked."""
    if reference := one(chance, sorted(shop.bank.intents)):
        is_open, approved = chance.choice([(True, False), (False, True), (False, False)])
        shop.bank.say(ReviewHint(kind="review", reference=reference, is_open=is_open, approved=approved))


def bank_trouble(shop: Shop, chance: Random) -> None:
    """The next call to the bank goes wrong."""
    shop.bank.trouble = chance.choice(list(Trouble))


# --- the warehouse ----------------------------------------------------------------------------------------


def floor(shop: Shop, chance: Random) -> None:
    """The floor does what comes next with one of its shipments."""
    if work := one(chance, shop.house.floor.work()):
        step_of_the_floor(shop, work.shipment_id, work.work_status)


def step_of_the_floor(shop: Shop, shipment_id: str, status: WorkStatus) -> None:
    """Pick, pack or hand over a shipment, and look at what the policy wants looked at."""
    try:
        go_on(shop, shipment_id, status)
    except CheckNeeded as needed:
        look(shop, shipment_id, needed.skus)
        go_on(shop, shipment_id, status)


def look(shop: Shop, shipment_id: str, named: Sequence[str]) -> None:
    """Find every unit of these SKUs as new."""
    (items,) = (work.items for work in shop.house.floor.work() if work.shipment_id == shipment_id)
    for item in items:
        if item.sku in named:
            seen = Look(
                check_id=shop.name("look"),
                shipment_id=shipment_id,
                sku=item.sku,
                units=item.quantity,
                grade=CheckGrade.A,
                by="pia",
            )
            shop.house.picking.look(seen)


def go_on(shop: Shop, shipment_id: str, status: WorkStatus) -> None:
    """Take the step that comes next; labels are the order's to buy."""
    floor = shop.house.floor
    match status:
        case WorkStatus.RELEASED:
            floor.start_picking(shipment_id, by="pia")
        case WorkStatus.PICKING:
            floor.picked(shipment_id, by="pia")
        case WorkStatus.PICKED:
            shop.house.pack(shipment_id, weight_g=500)
        case WorkStatus.LABELED:
            floor.hand_over(shipment_id, by="dock")
        case _:
            pass


def reject_units(shop: Shop, chance: Random) -> None:
    """Whoever picks or packs finds that units cannot leave, sometimes scanned twice; or what was set aside is looked at."""
    desk = shop.house.rejections
    if chance.random() < 0.2 and (kept := one(chance, shop.rows(rejections))):
        desk.inspected(kept["rejection_id"], chance.choice(list(Settled)), by="rex")
    elif work := one(chance, shop.house.floor.work()):
        item = chance.choice(work.items)
        request = Reject(
            shipment_id=work.shipment_id,
            sku=item.sku,
            units=chance.randint(1, item.quantity),
            reason=chance.choice(list(Rejection)),
            by="pia",
            scan_id=shop.name("reject"),
            photo="photo",
        )
        for _ in range(chance.choice([1, 2])):
            desk.reject(request)


def carrier_news(shop: Shop, chance: Random) -> None:
    """The carrier scans a parcel; now and then one that nobody handed over, or the same again."""
    gone = shop.rows(labels, state="used")
    if chance.random() < 0.1:
        gone = [row for row in shop.rows(labels, state="live") if _is_labeled(shop, row["parcel_id"])]
    if label := one(chance, gone):
        event_id = shop.name("scan")
        status = chance.choice(_JOURNEY)
        for _ in range(chance.choice([1, 2])):
            shop.scan(label, status, event_id)


def _is_labeled(shop: Shop, parcel_id: str) -> bool:
    work = shop.house.floor.work()
    return any(item.parcel_id == parcel_id and item.work_status is WorkStatus.LABELED for item in work)


def lose_label_answer(shop: Shop, chance: Random) -> None:
    """The answer to the next purchase of a label is lost."""
    shop.post.loses = True


def receive(shop: Shop, chance: Random) -> None:
    """Goods arrive, sometimes booked twice."""
    key = shop.name("receipt")
    sku, place_, quantity = chance.choice(SKUS), chance.choice(PLACES), chance.randint(1, 4)
    for _ in range(chance.choice([1, 1, 2])):
        shop.house.stock.receive(sku, place_, quantity, key=key, by="dock")


def adjust(shop: Shop, chance: Random) -> None:
    """A shelf is corrected, often below what is promised of it."""
    delta = chance.choice([-4, -3, -2, -1, 1])
    shop.house.stock.adjust(
        chance.choice(SKUS), chance.choice(PLACES), delta, key=shop.name("fix"), by="pia", reason="broken"
    )


def snapshot(shop: Shop, chance: Random) -> None:
    """Another system says how many there are."""
    level = chance.choice(shop.rows(stock_levels))
    counted = max(0, level["on_hand"] + chance.randint(-3, 1))
    shop.house.counts.snapshot(
        level["sku"],
        level["location_id"],
        counted,
        counted_at=shop.house.now() - timedelta(seconds=chance.choice([0, 0, 90])),
        key=shop.name("snap"),
        by="erp",
    )


def count(shop: Shop, chance: Random) -> None:
    """A shelf is counted, counted again by somebody else, and what was found decided."""
    counts = shop.house.counts
    going_on = one(chance, counts.counts(only_open=True))
    if going_on is None or chance.random() < 0.2:
        sku, place_ = chance.choice(SKUS), chance.choice(PLACES)
        counts.plan(shop.name("count"), sku, place_, by="pia", reason="cycle")
        return
    match going_on.state:
        case CountState.PLANNED:
            counts.start(going_on.count_id, by="pia")
        case CountState.COUNTING | CountState.RECOUNTING:
            (level,) = shop.rows(stock_levels, sku=going_on.sku, location_id=going_on.location_id)
            seen = max(0, level["on_hand"] + chance.choice([-6, -3, -1, 0, 2]))
            by = "pia" if going_on.state is CountState.COUNTING else "rob"
            counts.report(going_on.count_id, seen, at=shop.house.now(), by=by)
        case _:
            approve = chance.random() < 0.5
            counts.decide(going_on.count_id, approve=approve, by="boss", reason="looked")


def transfer(shop: Shop, chance: Random) -> None:
    """Goods go from one place to the other: they are sent, arrive in parts, or are given up."""
    transfers = shop.house.transfers
    going_on = one(chance, transfers.transfers(only_open=True))
    if going_on is None or chance.random() < 0.3:
        here, there = chance.sample(PLACES, 2)
        sku, quantity = chance.choice(SKUS), chance.randint(1, 3)
        transfers.send(shop.name("transfer"), sku, here, there, quantity, by="pia", reason="balance")
    elif chance.random() < 0.7:
        key = shop.name("arrival")
        for _ in range(chance.choice([1, 2])):
            transfers.receive(going_on.transfer_id, chance.randint(1, 3), key=key, by="pia")
    else:
        transfers.close(going_on.transfer_id, by="pia", reason="lost on the way")


def damage(shop: Shop, chance: Random) -> None:
    """Units are set aside, of the free ones or out of a shipment's; or come back, or are written off."""
    conditions, condition = shop.house.conditions, chance.choice(list(Condition))
    where = {"key": shop.name("condition"), "by": "pia", "reason": "wet"}
    sku, place_, units = chance.choice(SKUS), chance.choice(PLACES), chance.randint(1, 2)
    match chance.choice(["aside", "aside", "claimed", "restock", "scrap"]):
        case "aside":
            conditions.set_aside(sku, place_, units, condition, **where)
        case "claimed":
            if work := one(chance, shop.house.floor.work()):
                sku = chance.choice([item.sku for item in work.items])
                (row,) = shop.rows(shipments, shipment_id=work.shipment_id)
                conditions.set_aside(
                    sku, row["location_id"], 1, condition, shipment_id=work.shipment_id, **where
                )
        case "restock":
            conditions.restock(sku, place_, units, condition, **where)
        case _:
            conditions.scrap(sku, place_, units, condition, **where)


def come_back(shop: Shop, chance: Random) -> None:
    """A unit that left comes back."""
    carried = [row for row in shop.rows(unit_ranges) if row["shipment_id"]]
    if units := one(chance, carried):
        shop.house.returns.put_back(
            units["order_id"],
            units["line_no"],
            [units["first_unit"]],
            chance.choice(list(Disposition)),
            chance.choice(PLACES),
            key=shop.name("return"),
            by="pia",
            reason="returned",
        )


def keep_safety_stock(shop: Shop, chance: Random) -> None:
    """A few units are kept back from new orders."""
    shop.house.stock.set_safety_stock(
        chance.choice(SKUS),
        chance.choice(PLACES),
        chance.randint(0, 2),
        key=shop.name("safety"),
        by="pia",
        reason="season",
    )


# --- the machine ------------------------------------------------------------------------------------------


def order_goes_on(shop: Shop, chance: Random) -> None:
    """An order does one of the things that are due for it."""
    if order_id := one(chance, shop.open_orders()):
        shop.conductor.turn(order_id, chance)


def sweep(shop: Shop, chance: Random) -> None:
    """The reconciliation looks for what was missed, and what waits for a vendor is ordered."""
    shop.sweep()
    shop.house.replenishment.order_what_is_low()


def time_passes(shop: Shop, chance: Random) -> None:
    """Minutes, hours or days go by, and with them claims and authorizations."""
    hours = chance.choice([0.1, 0.3, 0.5, 1, 2, 12, 26, 80])
    shop.house.wait(timedelta(hours=hours))
    shop.bank.time_passed()


Rule = Callable[[Shop, Random], None]
# How often each happens, beside the others.
RULES: dict[Rule, int] = {
    order_goes_on: 60,
    floor: 30,
    place: 12,
    webhook: 14,
    pay_another_way: 6,
    confirm_3d_secure: 8,
    cancel_all: 2,
    cancel_units: 5,
    add_lines: 5,
    change_address: 2,
    change_service: 3,
    hold: 2,
    release: 4,
    ask_for_refund: 4,
    decide_refund: 3,
    pay_refund: 5,
    refund_news: 3,
    dispute: 2,
    review: 2,
    bank_trouble: 10,
    carrier_news: 8,
    reject_units: 8,
    lose_label_answer: 1,
    receive: 5,
    adjust: 3,
    snapshot: 1,
    count: 4,
    transfer: 4,
    damage: 4,
    come_back: 2,
    keep_safety_stock: 1,
    sweep: 6,
    time_passes: 4,
}
# What others may do while the bank takes its time.
MEANWHILE: tuple[Rule, ...] = (
    webhook,
    webhook,
    cancel_all,
    cancel_units,
    floor,
    receive,
    adjust,
    reject_units,
    hold,
    release,
    confirm_3d_secure,
    ask_for_refund,
)
