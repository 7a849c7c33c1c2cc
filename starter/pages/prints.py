"""What the floor prints: the slip in the parcel, the list to pick by, the list that the driver signs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import HTMLResponse

from fulfillment.domain.order import UnitRange
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.view import OrderView
from fulfillment.storage.locks import UnknownShipment
from fulfillment.storage.warehouse import WorkItem
from starter.access import Caller, NeedsOnPage, Scope
from starter.api.manifests import ManifestId
from starter.api.warehouse import ShipmentId, order_of
from starter.doors import Standing
from starter.pages.codes import Code, code128, qr
from starter.pages.links import tracking_url
from starter.pages.rendering import page

router = APIRouter(prefix="/warehouse/print", include_in_schema=False)

Printing = Annotated[Caller, Depends(NeedsOnPage(Scope.WAREHOUSE))]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlipLine:
    """Units of one SKU in the parcel, without a price: it may be a present."""

    sku: str
    name: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """The slip of one shipment. `elsewhere` units of the order are not in this parcel."""

    shipment_id: str
    order_id: str
    ordered_at: datetime
    address: tuple[str, ...]
    lines: tuple[SlipLine, ...]
    elsewhere: int
    shipment_code: Code
    tracking_code: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """A shipment on the pick list, with a code to take it by and one for each SKU. `leaves_by` is in its place's zone."""

    item: WorkItem
    leaves_by: datetime
    shipment_code: Code
    sku_codes: Mapping[str, Code]


@router.get("/slips/{shipment_id}", response_class=HTMLResponse)
def slip(shipment_id: ShipmentId, doors: Standing, _caller: Printing) -> Response:
    """Print the packing slip of a shipment."""
    view = doors.views.view(order_of(shipment_id))
    return page("print/slip.html", shop=doors.shop_name, slip=slip_of(view, shipment_id, doors.public_url))


@router.get("/picks", response_class=HTMLResponse)
def picks(
    doors: Standing, _caller: Printing, location: Annotated[str | None, Query(max_length=64)] = None
) -> Response:
    """Print what is to be picked at a location, what is latest first, each in the order of a walk; not what is held."""
    wanted = [
        item
        for item in doors.floor.work(location)
        if item.work_status is WorkStatus.RELEASED and not item.held
    ]
    zones = {item.zone for item in wanted}
    here = ZoneInfo(zones.pop() if len(zones) == 1 else "UTC")
    return page(
        "print/picks.html",
        shop=doors.shop_name,
        location=location or "every location",
        picks=[_pick(item) for item in wanted],
        as_of=doors.now().astimezone(here),
    )


@router.get("/manifests/{manifest_id}", response_class=HTMLResponse)
def manifest(manifest_id: ManifestId, doors: Standing, _caller: Printing) -> Response:
    """Print the list that the driver signs, with a code for each parcel."""
    found = doors.manifests.show(manifest_id)
    return page(
        "print/manifest.html",
        shop=doors.shop_name,
        manifest=found,
        code=code128(manifest_id),
        codes={line.parcel_id: code128(line.tracking_number) for line in found.lines},
    )


def slip_of(view: OrderView, shipment_id: str, public_url: str) -> Slip:
    """Return the slip of one of an order's shipments.

    Raises:
        UnknownShipment: the order has no such shipment.
    """
    ours = [shipment for shipment in view.shipments if shipment.shipment_id == shipment_id]
    if not ours:
        raise UnknownShipment(shipment_id)
    (shipment,) = ours
    order = view.order
    return Slip(
        shipment_id=shipment_id,
        order_id=order.order_id,
        ordered_at=order.placed_at,
        address=_address(view),
        lines=_lines(view, shipment.units),
        elsewhere=sum(
            units.count for other in view.shipments if other is not shipment for units in other.units
        ),
        shipment_code=code128(shipment_id),
        tracking_code=qr(tracking_url(public_url, view.tracking_token)),
    )


def _address(view: OrderView) -> tuple[str, ...]:
    to = view.order.ship_to
    town = " ".join(part for part in (to.city, to.region, to.postal_code) if part)
    return tuple(part for part in (to.name, to.company, to.line1, to.line2, town, to.country) if part)


def _lines(view: OrderView, units: tuple[UnitRange, ...]) -> tuple[SlipLine, ...]:
    counted: dict[int, int] = {}
    for span in units:
        counted[span.line_no] = counted.get(span.line_no, 0) + span.count
    return tuple(
        SlipLine(sku=line.sku, name=line.name, quantity=counted[line.line_no])
        for line in view.order.lines
        if line.line_no in counted
    )


def _pick(item: WorkItem) -> Pick:
    return Pick(
        item=item,
        leaves_by=item.ship_by.astimezone(ZoneInfo(item.zone)),
        shipment_code=code128(item.shipment_id),
        sku_codes={one.sku: code128(one.sku) for one in item.items},
    )
