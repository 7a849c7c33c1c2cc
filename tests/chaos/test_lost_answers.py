"""A provider's answer that gets lost is found again: nothing is done twice, and every order ends."""

from collections import Counter

from devstack.chaos import ROUTES, TROUBLES, Arena, in_lanes
from workers.audit import read_ledger


def test_the_answer_to_every_change_at_a_provider_is_lost() -> None:
    after = {
        trouble.deed for trouble in TROUBLES if (trouble.kind, trouble.when) == ("reset", "after_commit")
    }

    assert after == set(ROUTES)


async def test_lost_answers_cost_time_and_nothing_is_done_twice(chaos: Arena) -> None:
    orders = await in_lanes([chaos.lose(trouble) for trouble in TROUBLES])

    fired = chaos.faults_fired()
    assert {order_id: fired[order_id] for order_id in orders} == dict.fromkeys(orders, 1)
    ledger = read_ledger(chaos.stack.urls["simulator"])
    done = Counter(
        (payment.order_id, effect.kind)
        for payment in ledger.payments
        if payment.order_id in orders
        for effect in payment.effects
    )
    assert set(done.values()) == {1}
    assert {order_id for order_id, kind in done if kind == "authorize"} == set(orders)
    report = await chaos.verdict()
    assert report.clean, "\n".join(report.lines())
