"""What is printed: every code on the paper is read back by a scanner's library, and says what it should."""

import re
from typing import Any

import pytest
import zxingcpp
from PIL import Image, ImageDraw

from starter.pages.codes import Code, code128, qr
from tests.starter.views import TOKEN, a_shipment, a_view
from tests.starter.world import World, a_work_item, an_open_order

SLIP = "/warehouse/print/slips/SO-10483-1"
STAFF = ("warehouse", "warehouse-key")
_SVG = re.compile(
    r'<svg class="code" viewBox="0 0 (\d+) (\d+)" width="([\d.]+)mm" height="([\d.]+)mm"[^>]*><path d="([^"]*)"'
)
_RUN = re.compile(r"M(\d+) (\d+)h(\d+)v1h-\d+z")
DOTS_PER_MM = 8  # a label printer of 203 dpi


def drawn(path: str, columns: int, rows: int, width_mm: float, height_mm: float) -> Image.Image:
    """Return a code as a printer puts it on paper."""
    paper = Image.new("L", (round(width_mm * DOTS_PER_MM), round(height_mm * DOTS_PER_MM)), 255)
    wide, high = paper.width / columns, paper.height / rows
    for x, y, length in (map(int, run) for run in _RUN.findall(path)):
        box = (round(x * wide), round(y * high), round((x + length) * wide) - 1, round((y + 1) * high) - 1)
        ImageDraw.Draw(paper).rectangle(box, fill=0)
    return paper


def read(page: str) -> list[tuple[str, str]]:
    """Return what a scanner reads from each code on a page, with its kind."""
    found = []
    for columns, rows, width, height, path in _SVG.findall(page):
        (code,) = zxingcpp.read_barcodes(drawn(path, int(columns), int(rows), float(width), float(height)))
        found.append((code.format.name, code.text))
    return found


@pytest.mark.parametrize("text", ["SO-10483-1", "TEE-BLK-M", "1Z999AA10123456784", "9400111899223197428490"])
def test_a_bar_code_is_read_as_what_it_was_made_of(text: str) -> None:
    code = code128(text)

    assert scanned(code) == ("Code128", text)


def test_a_qr_code_of_a_link_is_read_as_the_link() -> None:
    code = qr(f"https://shop.example/t/{TOKEN}")

    assert scanned(code) == ("QRCode", f"https://shop.example/t/{TOKEN}")


def scanned(code: Code) -> tuple[str, str]:
    (found,) = zxingcpp.read_barcodes(
        drawn(code.path, code.columns, code.rows, code.width_mm, code.height_mm)
    )
    return found.format.name, found.text


@pytest.fixture
def paper(open_door: Any) -> Any:
    """A member of the warehouse in front of the browser."""
    door = open_door("")
    door.auth = STAFF
    return door


async def test_a_packing_slip_has_its_shipment_to_scan_and_the_customers_link(
    paper: Any, world: World
) -> None:
    an_open_order(world.books)

    page = (await paper.get(SLIP)).text

    assert read(page) == [
        ("Code128", "SO-10483-1"),
        ("QRCode", f"https://shop.example/t/{world.books.orders['SO-10483'].tracking_token}"),
    ]
    assert "Packing slip" in page
    assert "$" not in page


async def test_a_slip_says_how_many_pieces_come_in_another_parcel(paper: Any, world: World) -> None:
    view = an_open_order(world.books)
    other = a_shipment(shipment_id="SO-10483-2")
    world.books.change(view.order.order_id, shipments=(*view.shipments, other))
    pieces = sum(units.count for units in other.units)

    page = (await paper.get(SLIP)).text

    assert f"{pieces} more piece" in page
    assert "in another parcel" in page


async def test_a_slip_of_a_shipment_that_is_not_there_is_not_printed(paper: Any, world: World) -> None:
    an_open_order(world.books)

    assert (await paper.get("/warehouse/print/slips/SO-10483-7")).status_code == 404


async def test_a_pick_list_has_a_code_for_each_shipment_and_each_sku_and_leaves_out_what_is_held(
    paper: Any, world: World
) -> None:
    world.books.work_items = [
        a_work_item(),
        a_work_item(shipment_id="SO-10484-1", held=("fraud",)),
        a_work_item(shipment_id="SO-10485-1", location_id="wh-lehigh"),
    ]

    page = (await paper.get("/warehouse/print/picks", params={"location": "wh-reno"})).text

    assert read(page) == [("Code128", "SO-10483-1"), ("Code128", "MUG-12")]
    assert "SO-10484-1" not in page
    assert a_view().order.ship_to.name not in page, "who picks need not know for whom"
