"""What is printed: every code on the paper is read back by a scanner's library, and says what it should."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import zxingcpp
from PIL import Image, ImageDraw

from fulfillment.domain.hand_over import Evidence, Proof
from fulfillment.domain.manifests import Departure
from fulfillment.domain.scan_forms import FormState, ScanForm
from fulfillment.storage.warehouse import Item
from starter.pages.codes import Code, code128, qr
from tests.starter.views import NOON, TOKEN, a_shipment, a_view
from tests.starter.world import World, a_manifest, a_work_item, an_open_order

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


async def test_a_manifest_has_a_code_for_itself_and_each_parcel_and_a_line_to_sign_on(paper: Any) -> None:
    page = (await paper.get("/warehouse/print/manifests/M-1")).text

    assert read(page) == [("Code128", "M-1"), ("Code128", "1Z999AA10123456784")]
    assert "signature" in page


async def test_a_manifest_that_was_handed_over_says_by_whom_to_whom_and_what_was_missing(
    paper: Any, world: World
) -> None:
    made = a_manifest()
    line = replace(made.lines[0], outcome=Departure.MISSING, why="it was not among what was taken")
    proof = Proof(evidence=Evidence.DRIVER_SCAN, ref="J. Doe")
    world.books.manifests["M-1"] = replace(
        made, lines=(line,), proof=proof, handed_over_by="pia", handed_over_at=NOON
    )

    page = (await paper.get("/warehouse/print/manifests/M-1")).text

    assert "by pia: driver_scan, J. Doe" in page
    assert "it was not among what was taken" in page


async def test_a_manifest_says_which_scan_forms_belong_to_it(paper: Any, world: World) -> None:
    asked = {"manifest_id": "M-1", "by": "pia", "at": NOON}
    made = ScanForm(
        form_id="M-1-F1", state=FormState.MADE, parcels=("SO-10483-P1", "SO-10484-P1"), said="", **asked
    )
    no = ScanForm(form_id="M-1-F2", state=FormState.REFUSED, parcels=(), said="not today", **asked)
    world.books.manifests["M-1"] = a_manifest(forms=(made, no))

    page = (await paper.get("/warehouse/print/manifests/M-1")).text

    assert "Scan form M-1-F1: made, 2 parcels" in page
    assert "Scan form M-1-F2: refused, 0 parcels (not today)" in page


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


async def test_a_pick_list_says_where_things_lie_and_when_they_leave_by_the_clock_of_the_place(
    paper: Any, world: World
) -> None:
    nowhere = Item(sku="TEA", name="Tea", quantity=2, bin="")
    first = a_work_item(ship_by=datetime(2026, 11, 28, 1, 0, tzinfo=UTC))
    world.books.work_items = [replace(first, items=(*first.items, nowhere))]

    page = (await paper.get("/warehouse/print/picks", params={"location": "wh-reno"})).text

    assert re.findall(r'<td class="bin">([^<]*)</td>', page) == ["A-03-2", "no bin"]
    assert "leaves by Fri 27 Nov, 5:00 pm PST" in page
    assert "UTC" not in page


async def test_a_pick_list_of_places_in_several_zones_says_each_cut_off_by_its_own_clock(
    paper: Any, world: World
) -> None:
    at = datetime(2026, 11, 28, 1, 0, tzinfo=UTC)
    world.books.work_items = [a_work_item(ship_by=at), a_work_item(ship_by=at, zone="Europe/Berlin")]

    page = (await paper.get("/warehouse/print/picks")).text

    assert "leaves by Fri 27 Nov, 5:00 pm PST" in page
    assert "leaves by Sat 28 Nov, 2:00 am CET" in page
