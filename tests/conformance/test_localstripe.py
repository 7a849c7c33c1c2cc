"""Our adapter against localstripe, a Stripe that nobody of this project wrote, in a process of its own.

What it lacks is left out here and tested against the simulator: idempotency keys, multicapture, decline codes,
amounts of partial captures, disputes, 3-D Secure by a page. See the table in the design of the providers.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from fulfillment.domain.money import Money
from fulfillment.domain.payment import (
    Declined,
    DeclineGroup,
    PaymentSnapshot,
    PaymentStatus,
    RefundStatus,
)
from fulfillment.domain.payment_news import PaymentHint
from fulfillment.domain.provider_errors import AuthConfig, NotFound, Rejected
from fulfillment.providers.payments.stripe import webhook
from fulfillment.providers.payments.stripe.client import StripeGateway
from tests.devstack.simulators.conftest import Listener, free_port, wait_for

AMOUNT = Money(minor=6600, currency="USD")
ORDER = "SO-1"
OPERATION = f"{ORDER}:authorize:{ORDER}-1:1"

# Its own command listens on every interface, needs IPv6 and writes to one file that all of its instances share.
# The application is left as it is; only where it listens is ours to say.
START = """
import sys
from aiohttp import web
from localstripe import resources, server
type(resources.store).dump_to_disk = lambda store: None
web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


@pytest.fixture(scope="session")
def server() -> Iterator[httpx.Client]:
    """The other Stripe, running."""
    if importlib.util.find_spec("localstripe") is None:
        pytest.skip("localstripe is not installed: it is in requirements-dev.lock")  # in CI a failure
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", START, str(port)])
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"authorization": "Bearer sk_test_1"}
    ) as http:
        try:
            wait_for(lambda: _answers(http), seconds=20)
            yield http
        finally:
            process.terminate()
            process.wait(timeout=10)


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/v1/customers").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def stripe(server: httpx.Client) -> httpx.Client:
    """The other Stripe, empty."""
    server.delete("/_config/data").raise_for_status()
    return server


@pytest.fixture
def gateway(stripe: httpx.Client) -> Iterator[StripeGateway]:
    gateway = _gateway(stripe)
    yield gateway
    gateway.close()


def _gateway(server: httpx.Client, key: str = "sk_test_1") -> StripeGateway:
    return StripeGateway(key=key, now=lambda: datetime.now(UTC), base_url=str(server.base_url))


def authorize(
    gateway: StripeGateway, method: str = "pm_card_visa", *, operation: str = OPERATION, several: bool = False
) -> PaymentSnapshot:
    return gateway.authorize(
        AMOUNT, method=method, key=operation, operation=operation, order_id=ORDER, several=several
    )


def _card(server: httpx.Client, number: str) -> str:
    form = {
        "type": "card", "card[number]": number, "card[exp_month]": "12", "card[exp_year]": "2030",
        "card[cvc]": "123",
    }  # fmt: skip
    return str(server.post("/v1/payment_methods", data=form).raise_for_status().json()["id"])


@pytest.mark.parametrize("several", [False, True])
def test_money_is_held_taken_and_given_back(gateway: StripeGateway, several: bool) -> None:
    held = authorize(gateway, several=several)
    taken = gateway.capture(held.reference, AMOUNT, key="capture", final=True)
    refund = gateway.refund(
        held.reference, Money(minor=600, currency="USD"), key="refund", operation="refund-1"
    )

    assert (held.status, held.authorized, held.captured) == (PaymentStatus.AUTHORIZED, 6600, 0)
    assert (taken.status, taken.authorized, taken.captured) == (PaymentStatus.CAPTURED, 6600, 6600)
    assert (refund.status, refund.reason) == (RefundStatus.SUCCEEDED, "")
    assert gateway.ask(held.reference).refunded == 600
    assert held.multicapture is False


def test_money_is_held_and_let_go(gateway: StripeGateway) -> None:
    held = authorize(gateway)

    gone = gateway.void(held.reference, key="void")

    assert (gone.status, gone.captured) == (PaymentStatus.VOIDED, 0)
    assert gateway.ask(held.reference) == gone


def test_a_payment_whose_answer_was_lost_is_found_by_what_we_called_it(gateway: StripeGateway) -> None:
    held = authorize(gateway)
    authorize(gateway, operation=f"{ORDER}:authorize:{ORDER}-2:1")

    assert gateway.find(OPERATION) == held
    assert gateway.find("SO-2:authorize:SO-2-1:1") is None


def test_a_refund_whose_answer_was_lost_is_found_by_what_we_called_it(gateway: StripeGateway) -> None:
    held = authorize(gateway)
    gateway.capture(held.reference, AMOUNT, key="capture", final=True)
    refund = gateway.refund(held.reference, AMOUNT, key="refund", operation="refund-1")

    assert gateway.find_refund(held.reference, "refund-1") == refund
    assert gateway.find_refund(held.reference, "refund-2") is None


def test_a_payment_is_found_behind_more_than_a_page_of_others(gateway: StripeGateway) -> None:
    held = authorize(gateway)
    for n in range(105):
        authorize(gateway, operation=f"SO-{n + 2}:authorize:1")

    assert gateway.find(OPERATION) == held
    assert gateway.find("SO-106:authorize:1") is not None


def test_a_declined_card_is_a_decline(gateway: StripeGateway) -> None:
    with pytest.raises(Declined) as no:
        authorize(gateway, "pm_card_chargeCustomerFail")

    assert (no.value.group, no.value.code) == (DeclineGroup.OTHER_METHOD, "card_declined")
    with pytest.raises(Declined):
        gateway.find(OPERATION)


def test_a_customer_who_must_confirm_is_waited_for(gateway: StripeGateway, stripe: httpx.Client) -> None:
    asked = authorize(gateway, _card(stripe, "4000002500003155"))
    assert (asked.status, asked.authorized) == (PaymentStatus.ACTION_REQUIRED, 0)

    secret = stripe.get(f"/v1/payment_intents/{asked.reference}").json()["client_secret"]
    answer = {"client_secret": secret, "success": "true"}
    stripe.post(f"/v1/payment_intents/{asked.reference}/_authenticate", data=answer).raise_for_status()

    assert gateway.ask(asked.reference).status is PaymentStatus.AUTHORIZED
    assert gateway.capture(asked.reference, AMOUNT, key="capture", final=True).captured == 6600


def test_a_customer_who_refuses_has_declined(gateway: StripeGateway, stripe: httpx.Client) -> None:
    asked = authorize(gateway, _card(stripe, "4000002500003155"))

    secret = stripe.get(f"/v1/payment_intents/{asked.reference}").json()["client_secret"]
    answer = {"client_secret": secret, "success": "false"}
    stripe.post(f"/v1/payment_intents/{asked.reference}/_authenticate", data=answer).raise_for_status()

    refused = gateway.ask(asked.reference)
    assert (refused.status, refused.decline_code) == (
        PaymentStatus.DECLINED,
        "payment_intent_authentication_failure",
    )


def test_what_is_not_there_and_who_may_not_are_told_apart(
    gateway: StripeGateway, stripe: httpx.Client
) -> None:
    with pytest.raises(NotFound):
        gateway.ask("pi_nobody")
    with pytest.raises(NotFound):
        authorize(gateway, "pm_nobody")
    with pytest.raises(Rejected):
        authorize(gateway, "no method at all")
    stranger = _gateway(stripe, key="nobody")
    with pytest.raises(AuthConfig):
        authorize(stranger)
    stranger.close()


def test_its_events_are_genuine_and_say_what_we_read_ourselves(
    gateway: StripeGateway, stripe: httpx.Client, listener: Listener
) -> None:
    stripe.post(
        "/_config/webhooks/ours", json={"url": f"{listener.url}/local", "secret": "whsec_other"}
    ).raise_for_status()
    held = authorize(gateway)
    gateway.capture(held.reference, AMOUNT, key="capture", final=True)

    wait_for(lambda: listener.events(held.reference))

    headers, body = next((h, b) for h, b in listener.taken if held.reference.encode() in b)
    lower = {name.lower(): value for name, value in headers.items()}
    assert webhook.verify(body, lower, ["whsec_other"], now=datetime.now(UTC))
    assert not webhook.verify(body, lower, ["whsec_ours"], now=datetime.now(UTC))
    assert webhook.parse(body).hint == PaymentHint(
        kind="payment_intent.succeeded",
        reference=held.reference,
        operation=OPERATION,
        status=PaymentStatus.CAPTURED,
    )
