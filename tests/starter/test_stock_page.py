"""The buyer's page: what is low stands out, and one SKU is drawn over time."""

import base64
import re
from typing import Any

import pytest

from starter.pages.stock import WIDTH, chart
from tests.starter.views import DAY, NOON
from tests.starter.world import World, a_stock_row


@pytest.fixture
def staff(open_door: Any) -> Any:
    client = open_door("")
    password = base64.b64encode(b"maria:operator-key").decode()
    client.headers["Authorization"] = f"Basic {password}"
    return client


async def test_everything_is_listed_and_what_is_low_is_marked(staff: Any) -> None:
    page = (await staff.get("/stock")).text

    assert re.findall(r'<tr class="low">\s*<th scope="row"><a href="([^"]+)"', page) == ["/stock?sku=MUG-12"]
    assert "/stock?sku=TEE-BLK-M" in page
    assert "<svg" not in page


async def test_only_what_is_low(staff: Any, world: World) -> None:
    page = (await staff.get("/stock?low=true")).text
    world.books.shelves = []
    none = (await staff.get("/stock?low=true")).text

    assert "TEE-BLK-M" not in page
    assert "Nothing is low" in none


async def test_one_sku_is_drawn_without_a_script_or_a_style(staff: Any) -> None:
    answer = await staff.get("/stock?sku=MUG-12")

    assert answer.text.count("<path") == 1
    assert answer.text.count("<circle") == 2
    assert "<script" not in answer.text
    assert "style=" not in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]


async def test_a_sku_that_is_not_there_is_no_way_to_write_into_the_page(staff: Any) -> None:
    page = (await staff.get("/stock", params={"sku": "<script>x"})).text

    assert "No location holds &lt;script&gt;x" in page


def test_the_curve_begins_with_the_first_movement_and_goes_on_until_now(world: World) -> None:
    drawn = chart(world.books.points, [a_stock_row()], now=NOON)

    assert drawn is not None
    (curve,) = drawn.curves
    assert curve.path.startswith("M52.0,")
    assert curve.path.endswith(f"H{WIDTH - 16}.0")
    assert [tick.text for tick in drawn.units] == ["0", "10", "20", "30"]
    assert [dot.text for dot in curve.dots] == ["24 came on 2026-11-03", "24 came on 2026-11-07"]
    assert chart((), [a_stock_row()], now=NOON) is None
    assert chart(world.books.points, [], now=NOON - 90 * DAY) is None
