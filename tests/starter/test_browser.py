"""The customer's page in a real browser: it follows the news by itself, and everybody can read it."""

import shutil
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright

from tests.starter import states
from tests.starter.states import STATES
from tests.starter.views import NOON, TOKEN
from tests.starter.world import World

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
SOON = 10_000

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium on this computer")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        await browser.close()


async def shown(browser: Browser, url: str, **context: Any) -> Any:
    page = await browser.new_page(**context)
    page.set_default_timeout(SOON)
    await page.goto(f"{url}/t/{TOKEN}")
    return page


async def test_the_page_follows_the_news_by_itself(browser: Browser, served_at: str, world: World) -> None:
    before, after = states.in_transit(), states.delivered()
    world.books.put(before)
    page = await shown(browser, served_at)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    await page.get_by_text("Live", exact=True).wait_for()

    world.books.put(after)

    await page.get_by_role("heading", name="Delivered Fri 27 Nov").wait_for()
    assert await page.title() == "Delivered Fri 27 Nov, 2:15 pm · SO-10483"
    assert "Delivered" in await page.get_by_role("status").inner_text()
    assert await page.locator("link[rel=icon]").get_attribute("href") == "/static/icon-done.svg"
    assert complaints == []
    await page.close()


async def test_the_page_says_when_it_was_cut_off(browser: Browser, served_at: str, world: World) -> None:
    world.books.put(states.in_transit())
    page = await shown(browser, served_at)
    await page.get_by_text("Live", exact=True).wait_for()

    await page.context.set_offline(True)
    await page.evaluate("stream.dispatchEvent(new Event('error'))")

    assert await page.get_by_text("Reconnecting. Shown as of").is_visible()
    await page.close()


async def test_the_page_is_complete_without_scripts(browser: Browser, served_at: str, world: World) -> None:
    world.books.put(states.in_two_parts())

    page = await shown(browser, served_at, java_script_enabled=False)

    headline = await page.get_by_role("heading", level=1).inner_text()
    assert headline.replace("\u00a0", " ") == "Now arriving Sat 28 Nov"
    assert await page.locator(".card").count() == 2
    assert await page.locator("#live").is_hidden()
    await page.close()


async def test_the_page_asks_nobody_else_for_anything(browser: Browser, served_at: str, world: World) -> None:
    world.books.put(states.in_transit())
    asked: list[str] = []
    page = await browser.new_page()
    page.on("request", lambda request: asked.append(request.url))

    await page.goto(f"{served_at}/t/{TOKEN}")
    await page.get_by_text("Live", exact=True).wait_for()

    assert all(url.startswith(served_at) for url in asked)
    assert await page.context.cookies() == []
    await page.close()


@pytest.mark.parametrize("state", ["two_parts", "declined", "asked_by_bank", "held"])
async def test_everybody_can_read_it_and_nothing_sticks_out(
    browser: Browser, served_at: str, world: World, state: str
) -> None:
    make, _, _, world.now = STATES[state]
    world.books.put(make())
    page = await shown(browser, served_at, bypass_csp=True)
    await page.add_script_tag(path=AXE)

    for width, scheme in product((320, 390, 1280), ("light", "dark")):
        await page.set_viewport_size({"width": width, "height": 800})
        await page.emulate_media(color_scheme=scheme)
        found = await page.evaluate("axe.run()")

        assert [one["id"] for one in found["violations"]] == [], (width, scheme)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.close()


@pytest.mark.parametrize("path", ["/stock", "/stock?sku=MUG-12"])
async def test_staff_can_read_the_page_of_stock_on_a_telephone_too(
    browser: Browser, served_at: str, world: World, path: str
) -> None:
    world.now = NOON
    login = {"username": "maria", "password": "operator-key"}
    page = await browser.new_page(bypass_csp=True, http_credentials=login)
    await page.goto(f"{served_at}{path}")
    await page.add_script_tag(path=AXE)

    for width, scheme in product((390, 1280), ("light", "dark")):
        await page.set_viewport_size({"width": width, "height": 800})
        await page.emulate_media(color_scheme=scheme)
        found = await page.evaluate("axe.run()")

        assert [one["id"] for one in found["violations"]] == [], (width, scheme)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.close()


async def test_the_five_steps_stand_below_each_other_where_they_would_collide(
    browser: Browser, served_at: str, world: World
) -> None:
    world.now = NOON
    world.books.put(states.in_transit())
    tops = "[...document.querySelectorAll('.steps li')].map(li => Math.round(li.getBoundingClientRect().top))"

    narrow = await shown(browser, served_at, viewport={"width": 320, "height": 800})
    wide = await shown(browser, served_at, viewport={"width": 390, "height": 800})

    assert len(set(await narrow.evaluate(tops))) == 5
    assert len(set(await wide.evaluate(tops))) == 1
    await narrow.close()
    await wide.close()


async def test_the_api_page_opens_without_the_internet(browser: Browser, served_at: str) -> None:
    page = await browser.new_page()
    page.set_default_timeout(SOON)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    await page.goto(f"{served_at}/docs")

    await page.get_by_role("heading", name="Waybill").first.wait_for()
    await page.get_by_text("Place an order", exact=True).first.wait_for()
    assert all(url.startswith((served_at, "data:")) for url in asked)
    await page.close()
