"""The customer's page as it comes from the server: complete without scripts, the same news everywhere."""

import re
from dataclasses import replace
from html import unescape
from typing import Any

import pytest

from tests.starter import states
from tests.starter.states import STATES
from tests.starter.views import TOKEN
from tests.starter.world import World

PAGE, API = f"/t/{TOKEN}", f"/v1/track/{TOKEN}"


def seen(page: str) -> str:
    """The text a person reads, markup left out."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", page)).replace("\u00a0", " "))


@pytest.mark.parametrize("state", STATES)
async def test_each_state_has_its_sentence_and_the_page_the_api_and_the_order_agree(
    anybody: Any, storefront: Any, world: World, state: str
) -> None:
    make, headline, line, world.now = STATES[state]
    world.books.put(make())

    page = (await anybody.get(PAGE)).text
    tracked = (await anybody.get(API)).json()
    order = (await storefront.get("/v1/orders/SO-10483")).json()

    assert f"<title>{headline}" in unescape(page)
    assert headline in seen(page)
    assert line in seen(page)
    assert tracked["headline"] == headline
    assert line in tracked["line"]
    assert order["stage_text"] == f"{tracked['headline']}. {tracked['line']}"


@pytest.mark.parametrize(
    ("state", "step"),
    [
        ("confirmed", "Ordered"),
        ("packed", "Packed"),
        ("in_transit", "On its way"),
        ("late", "On its way"),
        ("out_for_delivery", "Out for delivery"),
        ("delivered", "Delivered"),
    ],
)
async def test_one_step_is_the_current_one(anybody: Any, world: World, state: str, step: str) -> None:
    world.books.put(STATES[state][0]())

    page = (await anybody.get(PAGE)).text

    (current,) = re.findall(r'<li[^>]*aria-current="step"[^>]*>\s*<span class="step">([^<]+)', page)
    assert current == step
    assert len(re.findall(r'<span class="step">', page)) == 5


async def test_a_date_that_moved_stays_visible(anybody: Any, world: World) -> None:
    world.books.put(states.late())

    page = (await anybody.get(PAGE)).text

    assert "<del>Fri 27 Nov</del>" in page
    assert page.index("Now arriving") < page.index("<del>")


async def test_updates_are_listed_newest_first(anybody: Any, world: World) -> None:
    world.books.put(states.delivered())

    page = seen((await anybody.get(PAGE)).text)

    assert page.index("was delivered") < page.index("out for delivery.") < page.index("We received")


async def test_nobody_reads_amounts_by_the_link(anybody: Any, world: World) -> None:
    view = states.delivered()
    told = replace(view.events[0], text="We charged 178.00 USD for what has left.")
    world.books.put(replace(view, events=(*view.events, told)))

    page, answer = (await anybody.get(PAGE)).text, (await anybody.get(PAGE.replace("/t/", "/v1/track/"))).text

    assert "We charged the amount for what has left." in page
    assert "We charged the amount for what has left." in answer
    assert "178.00" not in page + answer


async def test_the_six_details_are_there(anybody: Any, world: World) -> None:
    world.books.put(states.in_transit())

    page = (await anybody.get(PAGE)).text

    for detail in ("Arriving", "On its way", "UPS", "1Z999AA10123456781", "Boise, ID", "Enamel mug 12 oz"):
        assert detail in page.replace("\u00a0", " ")
    assert 'href="https://www.ups.com/track?tracknum=1Z999AA10123456781"' in page


async def test_several_parts_have_a_card_each(anybody: Any, world: World) -> None:
    world.books.put(states.in_two_parts())

    page = seen((await anybody.get(PAGE)).text)

    assert "1 of 2 parts arrived" in page
    assert "Part 1 of 2 Delivered Thu 26 Nov, 12:00 pm" in page
    assert "Part 2 of 2 Now arriving Sat 28 Nov" in page


async def test_what_a_name_holds_is_text_and_never_markup(anybody: Any, world: World) -> None:
    view = states.in_transit()
    name = "<img src=x onerror=alert(1)>"
    lines = tuple(replace(line, name=name) for line in view.order.lines)
    world.books.put(replace(view, order=replace(view.order, lines=lines)))

    page = (await anybody.get(PAGE)).text

    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


async def test_the_page_works_without_scripts_and_loads_nothing_from_elsewhere(
    anybody: Any, world: World
) -> None:
    world.books.put(states.in_transit())

    response = await anybody.get(PAGE)

    assert '<noscript><meta http-equiv="refresh" content="60"></noscript>' in response.text
    loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', response.text)
    assert loaded
    assert all(one.startswith("/static/") for one in loaded)
    assert "<style" not in response.text
    assert len(response.content) < 14_000


async def test_the_page_is_kept_nowhere_indexed_nowhere_and_tells_nobody(anybody: Any, world: World) -> None:
    world.books.put(states.in_transit())

    for path in (PAGE, f"{PAGE}/now"):
        headers = (await anybody.get(path)).headers

        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-robots-tag"] == "noindex, nofollow"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


async def test_the_part_that_is_swapped_in_is_the_part_that_is_shown(anybody: Any, world: World) -> None:
    world.books.put(states.late())

    page, part = (await anybody.get(PAGE)).text, (await anybody.get(f"{PAGE}/now")).text

    assert part.strip() in page
    assert part.lstrip().startswith("<article")


@pytest.mark.parametrize(
    ("urls", "link"),
    [
        ({"other_url": "https://pay.example/m"}, "Choose another way to pay"),
        ({"confirm_url": "https://bank.example/c"}, "Confirm the payment with your bank"),
    ],
)
async def test_a_customer_whose_payment_waits_is_led_to_where_it_can_be_made(
    anybody: Any, storefront: Any, world: World, urls: dict[str, str], link: str
) -> None:
    view = states.declined()
    world.books.put(replace(view, payment=replace(view.payment, **urls)))

    page = (await anybody.get(PAGE)).text
    order = (await storefront.get("/v1/orders/SO-10483")).json()

    (url,) = urls.values()
    assert re.search(rf'<a href="{re.escape(url)}"[^>]*>{link}</a>', page)
    assert order["payment"]["next_action"]["url"] == url


async def test_an_order_that_is_paid_offers_no_page_to_pay(anybody: Any, world: World) -> None:
    view = states.in_transit()
    world.books.put(replace(view, payment=replace(view.payment, other_url="https://pay.example/m")))

    assert "pay.example" not in (await anybody.get(PAGE)).text


async def test_every_day_that_was_promised_stays_on_the_page_with_its_reason(
    anybody: Any, storefront: Any, world: World
) -> None:
    world.books.put(states.late())

    text = seen((await anybody.get(PAGE)).text)
    history = (await storefront.get("/v1/orders/SO-10483")).json()["promise"]["history"]

    assert "When it comes" in text
    assert text.index("Sat 28 Nov: bad weather on the way") < text.index("Fri 27 Nov: as promised first")
    assert [(day["by"], day["source"], day["told_at"]) for day in history] == [
        ("2026-11-27", "confirmed", None),
        ("2026-11-28", "carrier", "2026-11-25T12:01:00Z"),
    ]


async def test_a_promise_that_stands_has_no_history(anybody: Any, world: World) -> None:
    view = states.late()
    world.books.put(replace(states.in_transit(), promises=view.promises[:1]))

    assert "When it comes" not in (await anybody.get(PAGE)).text
