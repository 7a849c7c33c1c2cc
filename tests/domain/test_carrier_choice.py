"""Which offer is taken: price, promise and how surely it is kept, always the same for the same parcel."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest

from fulfillment.domain.carrier_choice import (
    Choice,
    Errand,
    Market,
    NobodyMayCarry,
    Quote,
    RateExpired,
    choose,
    choose_again,
    highest,
)
from fulfillment.domain.policy import CarrierChoice, Policy
from fulfillment.domain.reliability import Circle, Experience, Seen

MONDAY = date(2026, 11, 23)
POLICY = Policy(explore_percent=0)
ERRAND = Errand(
    parcel_id="SO-1-P1", today=MONDAY, promise_date=MONDAY + timedelta(days=3), days=3, value=4000
)


def offer(carrier: str, price: int, days: int | None = 3, service: str = "Ground") -> Quote:
    quote_id = f"rate_{carrier}_{service}_{price}"
    return Quote(quote_id=quote_id, carrier=carrier, service=service, price=price, currency="USD", days=days)


def fared(
    *, in_time: float = 0, late: float = 0, lost: float = 0, damaged: float = 0
) -> tuple[Experience, ...]:
    seen = (
        Seen(weight=in_time, days=2, out_for=0),
        Seen(weight=late, days=6, out_for=0),
        Seen(weight=lost, days=None, out_for=0, lost=True),
        Seen(weight=damaged, days=2, out_for=0, damaged=True),
    )
    return (Experience(circle=Circle.LANE, seen=seen),)


def market(**carriers: tuple[Experience, ...]) -> Market:
    return Market(experience={(carrier, "Ground"): seen for carrier, seen in carriers.items()})


def chosen(
    quotes: Sequence[Quote], known: Market, errand: Errand = ERRAND, policy: Policy = POLICY
) -> Choice:
    choice = choose(quotes, errand, policy=policy, market=known)
    assert choice is not None
    return choice


def test_the_cheapest_of_those_that_are_sure_is_taken_and_not_the_cheapest_of_all() -> None:
    quotes = [offer("Cheap", 500), offer("Sure", 700), offer("Dear", 1900)]
    known = market(Cheap=fared(in_time=60, late=40), Sure=fared(in_time=98, late=2), Dear=fared(in_time=100))

    assert chosen(quotes, known).chosen.carrier == "Sure"


def test_a_mean_that_is_good_enough_is_not_taken_for_sure_while_it_rests_on_few_parcels() -> None:
    quotes = [offer("New", 500), offer("Known", 700)]
    known = market(New=fared(in_time=15), Known=fared(in_time=190, late=10))

    choice = chosen(quotes, known)

    new = next(option for option in choice.options if option.quote.carrier == "New")
    assert new.reliability.likely >= POLICY.carrier_sure > new.reliability.at_least
    assert choice.chosen.carrier == "Known"


def test_while_nobody_is_sure_lateness_is_weighed_against_the_price() -> None:
    quotes = [offer("Slow", 600), offer("Fast", 700)]
    known = market(Slow=fared(in_time=60, late=40), Fast=fared(in_time=85, late=15))

    assert chosen(quotes, known).chosen.carrier == "Fast"
    assert chosen([offer("Slow", 600), offer("Fast", 1600)], known).chosen.carrier == "Slow"


def test_where_nobody_keeps_the_promise_the_likeliest_is_taken_whatever_it_costs() -> None:
    quotes = [offer("Slow", 400, 9), offer("Slower", 500, 8)]

    choice = chosen(quotes, market(Slow=fared(late=50), Slower=fared(in_time=10, late=40)))

    assert choice.chosen.carrier == "Slower"
    assert "nobody keeps the promise" in choice.why


def test_valuable_goods_do_not_travel_with_a_carrier_that_loses_them() -> None:
    quotes = [offer("Loses", 600), offer("Keeps", 690)]
    known = market(Loses=fared(in_time=80, lost=6, late=14), Keeps=fared(in_time=80, late=20))

    assert chosen(quotes, known, replace(ERRAND, value=100_000)).chosen.carrier == "Keeps"


def test_what_was_paid_to_be_express_goes_by_the_fastest() -> None:
    quotes = [offer("Cheap", 500, 3), offer("Fast", 2500, 1)]

    assert chosen(quotes, Market(), replace(ERRAND, express=True)).chosen.carrier == "Fast"


@pytest.mark.parametrize(
    ("rule", "carrier"),
    [
        (CarrierChoice.CHEAPEST, "Cheap"),
        (CarrierChoice.FASTEST, "Fast"),
        (CarrierChoice.MOST_RELIABLE, "Sure"),
        (CarrierChoice.LEAST_COST, "Sure"),
    ],
)
def test_a_shop_may_have_another_rule(rule: CarrierChoice, carrier: str) -> None:
    quotes = [offer("Cheap", 500, 3), offer("Sure", 700, 3), offer("Fast", 2500, 1)]
    known = market(Cheap=fared(late=60), Sure=fared(in_time=200), Fast=fared(in_time=90, late=10))

    assert chosen(quotes, known, policy=replace(POLICY, carrier_choice=rule)).chosen.carrier == carrier


def test_every_offer_is_kept_beside_the_one_taken_with_what_it_was_weighed_by() -> None:
    quotes = [offer("Cheap", 500), offer("Sure", 700)]

    choice = chosen(quotes, market(Sure=fared(in_time=200)))

    assert [option.quote for option in choice.options] == quotes
    assert all(option.expected >= option.quote.price for option in choice.options)
    assert (choice.promise_date, choice.policy_version) == (ERRAND.promise_date, POLICY.version)


def test_without_any_offer_nothing_is_chosen() -> None:
    assert choose([], ERRAND, policy=POLICY) is None


# --- carriers that are not used -----------------------------------------------------------------------


def test_a_paused_carrier_is_never_taken_not_even_as_the_only_one_in_time() -> None:
    known = Market(paused={"Cheap": "paused by olga: strike"})

    choice = chosen([offer("Cheap", 500), offer("Late", 900, 9)], known)

    assert choice.chosen.carrier == "Late"
    assert choice.options[0].left_out == "paused by olga: strike"


def test_where_every_carrier_is_paused_the_purchase_waits_and_says_for_whom() -> None:
    with pytest.raises(NobodyMayCarry, match="UPS paused by olga: strike"):
        choose(
            [offer("UPS", 500)],
            ERRAND,
            policy=POLICY,
            market=Market(paused={"UPS": "paused by olga: strike"}),
        )


def test_a_carrier_whose_labels_fail_gives_way_to_the_next_that_keeps_the_promise() -> None:
    away = Market(away={"Cheap": "its labels fail since 08:00 UTC"})

    assert chosen([offer("Cheap", 500), offer("Next", 900)], away).chosen.carrier == "Next"


def test_a_carrier_whose_labels_fail_is_tried_on_where_nobody_else_keeps_the_promise() -> None:
    away = Market(away={"Cheap": "its labels fail since 08:00 UTC"})

    assert chosen([offer("Cheap", 500), offer("Late", 900, 9)], away).chosen.carrier == "Cheap"


def test_once_nobody_keeps_the_promise_a_carrier_whose_labels_fail_is_waited_for_no_longer() -> None:
    away = Market(away={"Cheap": "its labels fail since 08:00 UTC"})

    assert chosen([offer("Cheap", 500, 9), offer("Late", 900, 9)], away).chosen.carrier == "Late"


def test_a_carrier_whose_labels_fail_is_tried_on_where_it_is_the_only_one() -> None:
    away = Market(away={"Cheap": "its labels fail since 08:00 UTC"})

    assert chosen([offer("Cheap", 500, 9)], away).chosen.carrier == "Cheap"


# --- trials -------------------------------------------------------------------------------------------


def test_few_parcels_try_what_little_is_known_of_and_it_costs_little_more() -> None:
    quotes = [offer("Known", 700), offer("New", 850), offer("TooDear", 1000)]
    known, policy = market(Known=fared(in_time=300)), replace(POLICY, explore_percent=3, explore_over=200)

    choices = [chosen(quotes, known, replace(ERRAND, parcel_id=f"SO-{n}-P1"), policy) for n in range(2000)]

    tried = [choice for choice in choices if choice.tried]
    assert 0.02 < len(tried) / len(choices) < 0.04
    assert {choice.chosen.carrier for choice in tried} == {"New"}
    assert {choice.chosen.carrier for choice in choices if not choice.tried} == {"Known"}


def test_the_same_parcel_tries_the_same_however_often_it_is_asked() -> None:
    quotes, policy = [offer("Known", 700), offer("New", 800)], replace(POLICY, explore_percent=50)
    known, errands = market(Known=fared(in_time=300)), [replace(ERRAND, parcel_id=f"P{n}") for n in range(40)]

    first = [chosen(quotes, known, errand, policy).chosen for errand in errands]
    again = [chosen(list(reversed(quotes)), known, errand, policy).chosen for errand in errands]

    assert first == again
    assert len(set(first)) == 2


def test_nothing_is_tried_with_what_will_rather_be_late() -> None:
    quotes, policy = [offer("Known", 700), offer("Bad", 600)], replace(POLICY, explore_percent=100)

    choice = chosen(quotes, market(Known=fared(in_time=300), Bad=fared(late=60)), policy=policy)

    assert (choice.chosen.carrier, choice.tried) == ("Known", False)


# --- offers that rose (P45) ---------------------------------------------------------------------------


def test_p45_what_rose_within_the_tolerance_is_bought() -> None:
    before, now = offer("UPS", 5000), offer("UPS", 5400)

    choice = choose_again([now], ERRAND, before=before, accept=False, policy=POLICY)

    assert choice is not None
    assert (choice.chosen, choice.dearer) == (now, False)


def test_p45_what_rose_beyond_the_tolerance_gives_way_to_the_next_that_keeps_the_promise() -> None:
    rose, other = offer("UPS", 5600), offer("FedEx", 5300)
    known = market(UPS=fared(in_time=300), FedEx=fared(in_time=30, late=20))

    choice = choose_again(
        [rose, other], ERRAND, before=offer("UPS", 5000), accept=False, policy=POLICY, market=known
    )

    assert choice is not None
    assert choice.chosen == other


def test_p45_where_everything_rose_a_person_is_asked_before_it_is_paid() -> None:
    quotes = [offer("UPS", 9000), offer("FedEx", 8000)]

    with pytest.raises(RateExpired, match="8000 instead of 5000"):
        choose_again(quotes, ERRAND, before=offer("UPS", 5000), accept=False, policy=POLICY)
    choice = choose_again(quotes, ERRAND, before=offer("UPS", 5000), accept=True, policy=POLICY)

    assert choice is not None
    assert choice.dearer


@pytest.mark.parametrize(("quoted", "most"), [(500, 700), (2000, 2200), (5000, 5500)])
def test_p45_the_tolerance_is_a_tenth_or_two_whichever_is_more(quoted: int, most: int) -> None:
    assert highest(quoted, POLICY) == most
