"""The fault table of money: each deed at the provider times each way in which it can go wrong.

Whatever happens, the deed is done once by the provider's own record, our books say that it was, and both agree.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from tests.devstack.simulators.conftest import wait_for
from tests.faults.till import PATIENCE, Till, once, until_done

SLOWLY = int(PATIENCE * 600)  # late, and still in time
TOO_LATE = int(PATIENCE * 1000 * 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A deed of money: what stands before it, how it is asked for, and what it leaves behind."""

    before: Callable[[Till], None]
    do: Callable[[Till], None]
    route: str
    payment: tuple[str, int, int]
    effects: tuple[str, ...]


VALUE = 2900
DEEDS = {
    "authorize": Deed(
        before=Till.reserved,
        do=Till.authorize,
        route="POST /v1/payment_intents",
        payment=("authorized", 0, 0),
        effects=("authorize",),
    ),
    "capture": Deed(
        before=Till.left,
        do=Till.capture,
        route="POST /v1/payment_intents/*/capture",
        payment=("captured", VALUE, 0),
        effects=("authorize", "capture"),
    ),
    "void": Deed(
        before=Till.authorized,
        do=Till.void,
        route="POST /v1/payment_intents/*/cancel",
        payment=("voided", 0, 0),
        effects=("authorize", "void"),
    ),
    "refund": Deed(
        before=Till.promised,
        do=Till.pay_back,
        route="POST /v1/refunds",
        payment=("captured", VALUE, 600),
        effects=("authorize", "capture", "refund"),
    ),
}


def the_reply_is_lost_after_the_effect(till: Till, deed: Deed) -> None:
    till.fault("reset", "after_commit", route=deed.route)
    until_done(lambda: deed.do(till))


def it_times_out_before_the_effect(till: Till, deed: Deed) -> None:
    till.fault("timeout", "before", route=deed.route, ms=TOO_LATE)
    until_done(lambda: deed.do(till))


def a_500_is_stored_under_the_key(till: Till, deed: Deed) -> None:
    till.fault("http_5xx", "after_commit", route=deed.route)
    until_done(lambda: deed.do(till))


def the_provider_is_too_busy(till: Till, deed: Deed) -> None:
    till.fault("http_429", route=deed.route)
    until_done(lambda: deed.do(till))


def the_key_is_pruned_after_the_effect(till: Till, deed: Deed) -> None:
    till.fault("reset", "after_commit", route=deed.route)
    once(lambda: deed.do(till))
    till.a_day_passes()
    until_done(lambda: deed.do(till))


def the_key_is_pruned_before_the_effect(till: Till, deed: Deed) -> None:
    till.fault("reset", "before", route=deed.route)
    once(lambda: deed.do(till))
    till.a_day_passes()
    until_done(lambda: deed.do(till))


def the_webhook_comes_first(till: Till, deed: Deed) -> None:
    till.fault("latency", "after_commit", route=deed.route, ms=SLOWLY)
    heard = len(till.heard)
    until_done(lambda: deed.do(till))
    assert any(open_then for _, open_then in till.heard[heard:]), "the news came after our own record"


def the_webhook_never_comes_and_nobody_tries_again(till: Till, deed: Deed) -> None:
    till.fault("drop", times=None)
    till.fault("reset", "after_commit", route=deed.route)
    once(lambda: deed.do(till))
    assert till.open_operations()
    till.sweep()


TROUBLES = (
    the_reply_is_lost_after_the_effect,
    it_times_out_before_the_effect,
    a_500_is_stored_under_the_key,
    the_provider_is_too_busy,
    the_key_is_pruned_after_the_effect,
    the_key_is_pruned_before_the_effect,
    the_webhook_comes_first,
    the_webhook_never_comes_and_nobody_tries_again,
)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
@pytest.mark.parametrize("name", DEEDS)
def test_the_deed_is_done_once_and_the_books_agree(
    till: Till, name: str, trouble: Callable[[Till, Deed], None]
) -> None:
    deed = DEEDS[name]
    deed.before(till)

    trouble(till, deed)
    till.sweep()

    assert till.payment() == deed.payment
    assert (name, "succeeded") in till.operations()
    assert till.open_operations() == []
    assert till.effects() == list(deed.effects)
    assert till.sums_there() == deed.payment[1:]
    assert till.broken_promises() == []


@pytest.mark.parametrize("name", DEEDS)
def test_p24_nothing_is_locked_while_the_provider_is_waited_for(till: Till, name: str) -> None:
    """Attacks the claim that is committed before the call: inside its transaction the order stays locked."""
    deed = DEEDS[name]
    till.fault("drop", times=None)  # what the door writes is no matter here
    deed.before(till)
    till.fault("latency", "before", route=deed.route, ms=SLOWLY)

    with ThreadPoolExecutor(1) as worker, till.house.engine.connect() as onlooker:
        done = worker.submit(until_done, lambda: deed.do(till))
        wait_for(lambda: till.provider.http.get("/_sim/faults").json()["faults"][-1]["fired"])
        waiting = onlooker.execute(_OPEN_TRANSACTIONS).scalar_one()
        assert not done.done(), "the provider had answered before anybody looked"
        done.result()

    assert waiting == 0


_OPEN_TRANSACTIONS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid != pg_backend_pid() AND state LIKE 'idle in transaction%'"
)
