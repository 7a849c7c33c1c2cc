"""The real deeds of money on real books, repeated as Temporal repeats them, against a provider that misbehaves."""

from collections.abc import Callable
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from itertools import count
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.payments import AuthorizePayments, CapturePayment, PaymentActivities
from fulfillment.domain.invariants import Evidence, Ledger, ledgers, money
from fulfillment.domain.invariants.facts import LabelFact, LedgerLabel
from fulfillment.domain.operation import Authorization
from fulfillment.domain.record import DeclareLost
from fulfillment.domain.refund import RefundCause, RequestRefund
from fulfillment.providers.payments.stripe import webhook
from fulfillment.providers.payments.stripe.client import StripeGateway
from fulfillment.storage.audit import AuditStore
from fulfillment.storage.tables import inbox, parcels, payments, provider_operations
from tests.devstack.simulators.conftest import Listener, Simulator, wait_for
from tests.storage.house import House
from workers.audit import read_ledger

PATIENCE = 1.0  # seconds the adapter waits for an answer
OPEN = ("claimed", "accepted", "unknown")
PROMISES = (
    money.amounts_add_up,
    money.equals_stand_for_units,
    money.money_once,
    money.captured_what_shipped,
    money.nothing_shipped_unpaid,
    money.nothing_left_in_doubt,
    money.never_both,
    ledgers.both_books_agree,
)
_numbers = count(1)


class Door(Listener):
    """Takes the provider's news and hands it to the till that is open."""

    def __init__(self) -> None:
        self._till: Till | None = None
        super().__init__()

    def opens_to(self, till: "Till | None") -> None:
        self._till = till

    def take(self, path: str, headers: dict[str, str], body: bytes, handler: BaseHTTPRequestHandler) -> None:
        if self._till is not None:
            self._till.hears(body)
        super().take(path, headers, body, handler)


class Till:
    """One order of one shipment and its money."""

    def __init__(self, house: House, provider: Simulator) -> None:
        self.house, self.provider = house, provider
        self.house.time = self._shop_time()
        self.order_id = f"SO-F{next(_numbers)}"
        self.shipment_id = f"{self.order_id}-1"
        self.number = f"1Z999AA1{next(_numbers):010}"
        self.gateway = StripeGateway(
            key="sk_test_1", now=house.now, base_url=f"{provider.url}/stripe", read_timeout=PATIENCE
        )
        self.deeds = PaymentActivities(self.gateway, house.payments, public_url="http://shop.test")
        self.heard: list[tuple[str, list[str]]] = []
        self.answer: Authorization | None = None

    def close(self) -> None:
        self.gateway.close()

    # The deeds

    def authorize(self) -> None:
        (self.answer,) = self.deeds.authorize_payments(
            AuthorizePayments(order_id=self.order_id, attempt=1, groups=((self.shipment_id,),))
        )

    def capture(self) -> None:
        self.deeds.capture_payment(CapturePayment(shipment_id=self.shipment_id))

    def void(self) -> None:
        self.deeds.void_authorization(self.shipment_id)

    def refund(self) -> None:
        self.deeds.refund_payment(self.shipment_id)

    def pay_back(self) -> None:
        self.deeds.pay_refund(f"{self.order_id}-F1")

    # What stands before a deed

    def reserved(self, method: str = "pm_card_visa", **stock: int) -> None:
        """The order has its stock and waits for its money."""
        self.house.stocked(**stock)
        self.house.reserved(self.order_id, payment_method=method)

    def authorized(self, method: str = "pm_card_visa") -> None:
        self.reserved(method)
        until_done(self.authorize)

    def left(self, method: str = "pm_card_visa") -> None:
        """The parcel has left, so its money is due."""
        self.authorized(method)
        self.leaves()

    def leaves(self) -> None:
        """Pick, pack, label and hand over."""
        floor = self.house.floor
        floor.start_picking(self.shipment_id, by="pia")
        floor.picked(self.shipment_id, by="pia")
        self.house.label(self.house.pack(self.shipment_id), number=self.number)
        floor.hand_over(self.shipment_id, by="dock")

    def captured(self, method: str = "pm_card_visa") -> None:
        self.left(method)
        until_done(self.capture)

    def lost(self, method: str = "pm_card_visa") -> None:
        """The parcel is lost, so its money is owed back."""
        self.captured(method)
        parcel_id = self.house.row(parcels, order_id=self.order_id)["parcel_id"]
        self.house.records.declare_lost(DeclareLost(order_id=self.order_id, parcel_id=parcel_id))

    def promised(self) -> None:
        """A part of the money is promised back: a part, because of the whole the provider pays no second one."""
        self.captured()
        wish = {"cause": RefundCause.GOODWILL, "by": "sue", "request_id": "r1", "amount": 600}
        self.house.refunds.request(RequestRefund(order_id=self.order_id, **wish))  # type: ignore[arg-type]

    # Time and the provider

    def fault(self, kind: str, when: str = "before", *, route: str = "", **more: Any) -> None:
        match = {"provider": "stripe", "order": self.order_id} | ({"route": route} if route else {})
        self.provider.fault(kind, when, match=match, **more)

    def a_day_passes(self) -> None:
        """The provider forgets the keys."""
        self.house.wait(timedelta(hours=25))
        self.provider.http.post("/_sim/keys/forget", json={"order": self.order_id}).raise_for_status()

    def hears(self, body: bytes) -> None:
        """Take an event into the books, as the door does after its signature was good."""
        news = webhook.parse(body)
        self.heard.append((news.hint.kind, self.open_operations()))
        self.house.payment_news.record("stripe", news.event_id, news.hint, {})

    def _shop_time(self) -> datetime:
        return datetime.fromisoformat(self.provider.http.get("/_sim/clock").json()["shop_time"])

    # What the books and the provider say

    def open_operations(self) -> list[str]:
        rows = self.house.rows(provider_operations, order_id=self.order_id)
        return [row["operation_key"] for row in rows if row["state"] in OPEN]

    def sweep(self) -> None:
        """Ask about everything in doubt, as the schedule does."""
        for key in self.open_operations():
            until_done(lambda key=key: self.deeds.ask_about_operation(key))  # type: ignore[misc]

    def operations(self) -> list[tuple[str, str]]:
        rows = self.house.rows(provider_operations, order_id=self.order_id)
        return [(row["kind"], row["state"]) for row in rows if row["kind"] != "buy_label"]

    def payment(self) -> tuple[str, int, int]:
        """Return the payment's status, what was captured and what was given back."""
        row = self.house.row(payments, order_id=self.order_id)
        return row["status"], row["captured"], row["refunded"]

    def reference(self) -> str:
        """Return the provider's id of the payment."""
        return str(self.house.row(payments, order_id=self.order_id)["provider_ref"])

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what the order's workflow will hear."""
        return [(fact.name, dict(fact.body)) for fact in self.house.signals.for_order(self.order_id)]

    def hear(self, kind: str) -> None:
        """Wait until the provider's news of this kind is in the books."""
        wait_for(lambda: self.house.rows(inbox, kind=kind))

    def at_the_provider(self, what: str) -> dict[str, Any]:
        """Return the one object of a kind, a refund or a dispute, that the provider has about the payment."""
        asked = {"params": {"payment_intent": self.reference()}, "headers": {"authorization": "Bearer sk"}}
        (found,) = self.provider.http.get(f"/stripe/v1/{what}", **asked).json()["data"]
        return dict(found)

    def sums_there(self) -> tuple[int, int]:
        """Return what was captured and given back by the provider's own record."""
        paid = self.provider.payment(self.order_id)
        return paid["captured"], paid["refunded"]

    def effects(self) -> list[str]:
        """Return what the provider did with money, by its own record."""
        return [done["kind"] for done in self.provider.payment(self.order_id)["operations"]]

    def broken_promises(self) -> list[str]:
        """Judge our books and the provider's beside each other, an hour later, when nothing is on its way."""
        self.house.wait(timedelta(hours=1))
        books = AuditStore(self.house.engine, self.house.now).books()
        all_of = read_ledger(self.provider.url)
        ours = tuple(paid for paid in all_of.payments if paid.order_id == self.order_id)
        labels = tuple(_printed(label) for label in books.labels)  # by a carrier who is no matter here
        evidence = Evidence(books=books, ledger=Ledger(payments=ours, labels=labels))
        return [wrong for promise in PROMISES for wrong in promise(evidence).violations]


def _printed(label: LabelFact) -> LedgerLabel:
    return LedgerLabel(
        ref=label.provider_shipment_ref or "",
        reference=label.label_id,
        tracking_number=label.tracking_number or "",
        cost=label.cost or 0,
        state="purchased",
    )


def until_done(deed: Callable[[], Any], *, times: int = 6) -> None:
    """Do a deed as Temporal does: again after trouble, never after a refusal."""
    for _ in range(times):
        try:
            deed()
        except ApplicationError as error:
            if error.non_retryable:
                raise
        else:
            return
    raise AssertionError(f"not done after {times} times")


def once(deed: Callable[[], Any]) -> None:
    """Do a deed whose worker is gone afterwards: nobody tries it again."""
    with pytest.raises(ApplicationError) as trouble:
        deed()
    assert not trouble.value.non_retryable
