"""The buyer's page: what is in stock, how long it lasts, what to order; one SKU over time as a chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import HTMLResponse

from fulfillment.domain.replenishment import ShelfPoint, StockRow
from starter.access import Caller, NeedsOnPage, Scope
from starter.doors import Standing
from starter.pages.rendering import page

router = APIRouter(include_in_schema=False)

Staff = Annotated[Caller, Depends(NeedsOnPage(Scope.SUPPORT, Scope.WAREHOUSE, Scope.OPS))]

WIDTH: Final = 960
HEIGHT: Final = 300
_LEFT: Final = 52
_RIGHT: Final = 16
_TOP: Final = 16
_BOTTOM: Final = 32
_STEPS: Final = (1, 2, 5)
_DAYS_SHOWN: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark on an axis, so many pixels from its beginning."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A receipt."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The stock of one location as an SVG path, its reorder point, and what came in."""

    location_id: str
    path: str
    reorder_y: float
    dots: list[Dot]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """All that is drawn of one SKU."""

    curves: list[Curve]
    units: list[Tick]
    days: list[Tick]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    since: datetime
    until: datetime
    most: int

    def x(self, at: datetime) -> float:
        """Return where a moment is, in pixels from the left."""
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * ((at - self.since) / (self.until - self.since)), 1)

    def y(self, units: float) -> float:
        """Return where so many units are, in pixels from the top."""
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * units / self.most, 1)


@router.get("/stock", response_class=HTMLResponse)
def stock(
    doors: Standing,
    _caller: Staff,
    sku: Annotated[str, Query(max_length=64)] = "",
    low: Annotated[bool, Query()] = False,
) -> Response:
    """Show what is in stock, of everything, of what is low, or of one SKU over time."""
    rows = [row for row in doors.expected.overview(sku or None) if row.low or not low]
    drawn = chart(doors.expected.shelf(sku), rows, now=doors.now()) if sku else None
    return page(
        "stock/page.html",
        shop=doors.shop_name,
        rows=rows,
        sku=sku,
        low=low,
        chart=drawn,
        width=WIDTH,
        height=HEIGHT,
        as_of=doors.now(),
    )


def chart(points: Sequence[ShelfPoint], rows: Sequence[StockRow], *, now: datetime) -> Chart | None:
    """Return the chart of one SKU; None while nothing of it has moved."""
    if not points or points[0].at >= now:
        return None
    most = max([1, *(p.on_hand for p in points), *(row.reorder_point for row in rows)])
    step = _step(most)
    scale = _Scale(since=points[0].at, until=now, most=-(-most // step) * step)
    return Chart(
        curves=[_curve(row, points, scale) for row in rows],
        units=[Tick(at=scale.y(n), text=str(n)) for n in range(0, scale.most + 1, step)],
        days=_days(scale),
    )


def _step(most: int) -> int:
    """Return the distance of the marks: 1, 2 or 5 and zeros, for about four of them."""
    size = 1
    while True:
        for step in _STEPS:
            if step * size * 5 >= most:
                return step * size
        size *= 10


def _curve(row: StockRow, points: Sequence[ShelfPoint], scale: _Scale) -> Curve:
    mine = [point for point in points if point.location_id == row.location_id]
    path = "".join(_to(n, point, scale) for n, point in enumerate(mine))
    return Curve(
        location_id=row.location_id,
        path=f"{path}H{scale.x(scale.until)}" if path else "",
        reorder_y=scale.y(row.reorder_point),
        dots=[
            Dot(x=scale.x(p.at), y=scale.y(p.on_hand), text=f"{p.received} came on {p.at:%Y-%m-%d}")
            for p in mine
            if p.received
        ],
    )


def _to(n: int, point: ShelfPoint, scale: _Scale) -> str:
    x, y = scale.x(point.at), scale.y(point.on_hand)
    return f"H{x}V{y}" if n else f"M{x},{y}"


def _days(scale: _Scale) -> list[Tick]:
    part = (scale.until - scale.since) / _DAYS_SHOWN
    shown = "%d %b" if part.days else "%d %b %H:%M"
    moments = [scale.since + part * n for n in range(_DAYS_SHOWN)]
    return [Tick(at=scale.x(at), text=f"{at:{shown}}".lstrip("0")) for at in moments]
