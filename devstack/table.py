"""The live table of the demo: eighty columns, no emoji, a word before any colour; and the same as plain lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Final

from rich.text import Text

from devstack.board import Counts
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.explanation import explain
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.money import format_minor
from fulfillment.domain.order import ENDED, OrderStatus
from fulfillment.domain.payment import OrderPayment
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.stage import Stage
from fulfillment.domain.view import OrderView, ParcelView, ShipmentSummary

WIDTH: Final = 80
BAR: Final = 8
_DONE, _OPEN = "━", "╌"
_FRAME: Final = 8  # lines around the rows
_FULL: Final = MappingProxyType(
    {
        Stage.RECEIVED: 0,
        Stage.CONFIRMED: 1,
        Stage.BACKORDERED: 1,
        Stage.ALLOCATED: 2,
        Stage.PICKING: 3,
        Stage.PACKED: 4,
        Stage.IN_TRANSIT: 6,
        Stage.OUT_FOR_DELIVERY: 7,
        Stage.DELIVERED: 8,
        Stage.RETURNED: 8,
        Stage.LOST: 6,
        Stage.CANCELLED: 0,
    }
)
_STYLES: Final = MappingProxyType(
    {Stage.DELIVERED: "green", Stage.LOST: "red", Stage.CANCELLED: "dim", Stage.BACKORDERED: "yellow"}
)
_KEYS: Final = (
    "[k] kill a worker  [d] stop database 10 s  [t] stop Temporal 10 s",
    "[n] new order  [?] help  [q] quit, data kept",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One order as the table shows it. `trouble` asks for attention, beside what the words say."""

    order_id: str
    stage: Stage
    eta: str
    text: str
    trouble: bool = False

    @classmethod
    def of(cls, view: OrderView, now: datetime) -> "Row":
        """Return the row of an order."""
        return cls(
            order_id=view.order.order_id,
            stage=view.stage,
            eta=_eta(view),
            text=happening(view, now),
            trouble=view.attention is not None and view.status not in ENDED,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Everything one picture of the table shows; `away` names what does not answer at this moment."""

    rows: tuple[Row, ...]
    counts: Counts
    orders: int
    speed: float
    now: datetime
    away: str = ""
    said: tuple[str, ...] = ()
    keys: bool = True


# --- what is happening, in the width that is left ---------------------------------------------------------


def happening(view: OrderView, now: datetime) -> str:
    """Return in a few words what the order waits for or how it ended."""
    if view.status in ENDED or view.stage in (Stage.DELIVERED, Stage.LOST):
        return _ended(view)
    return _held(view) or _in_trouble(view) or _under_way(view, now)


def _ended(view: OrderView) -> str:
    match view.status:
        case OrderStatus.EXPIRED:
            return "no payment came, nothing charged"
        case OrderStatus.REJECTED:
            return "nothing of it can ship"
        case OrderStatus.CANCELLED:
            return "cancelled, nothing charged" if not view.payment.captured else _given_back(view)
    if view.stage is Stage.LOST:
        return f"lost; {_given_back(view)}"
    late = _days_late(view, _last_delivery(view))
    told = f"{_days(late)} late, customer told" if late > 0 else "on time"
    return f"{told}{_where(view)}"


def _given_back(view: OrderView) -> str:
    back = format_minor(view.payment.refunded, view.order.currency)
    return f"{back} given back" if view.payment.status is OrderPayment.REFUNDED else f"{back} back so far"


def _where(view: OrderView) -> str:
    places = {part.parcel.place for part in view.shipments if part.parcel and part.parcel.place}
    return f", {places.pop()}" if len(places) == 1 else ""


def _held(view: OrderView) -> str:
    if not view.holds:
        return ""
    hold = view.holds[0]
    if hold.reason in (HoldReason.FRAUD, HoldReason.MANUAL):
        return f"{hold.reason}: waybill release {view.order.order_id}"
    return f"held: {hold.note or hold.reason}"


_TROUBLE: Final[Mapping[CaseKind, str]] = MappingProxyType(
    {
        CaseKind.PAYMENT_DECLINED: "card declined; waits for another",
        CaseKind.FRAUD_REVIEW: "support checks it for fraud",
        CaseKind.ON_HOLD: "held longer than it should be",
        CaseKind.CAPTURE_FAILED: "it left, and the card failed",
        CaseKind.OPERATION_UNKNOWN: "asks the bank what happened",
        CaseKind.REFUND_FAILED: "the bank refuses the refund",
        CaseKind.CARRIER_DOWN: "no label: carrier is down; retries",
        CaseKind.LABEL_REFUSED: "no carrier takes it as it is",
        CaseKind.WAREHOUSE_LATE: "the warehouse is late",
        CaseKind.NO_FIRST_SCAN: "no first scan; asks the carrier",
        CaseKind.NO_SCAN: "silent parcel; asks the carrier",
        CaseKind.FAILED_ATTEMPT: "nobody home; it comes again",
        CaseKind.LAST_ATTEMPT: "nobody home; it comes no more",
        CaseKind.ADDRESS_PROBLEM: "the address cannot be found",
        CaseKind.REFUSED: "refused at the door",
        CaseKind.CUSTOMS: "held by customs",
        CaseKind.DAMAGED: "damaged on its way",
        CaseKind.RETURN_TO_SENDER: "it is coming back",
        CaseKind.CARRIER_PROBLEM: "the carrier has a problem",
        CaseKind.CUSTOMER_UNREACHABLE: "nobody can reach the customer",
        CaseKind.LOST: "lost; its money goes back",
        CaseKind.BAD_SIGNAL: "bad signal rejected; it goes on",
    }
)
_WHY_LATE: Final[Mapping[str, str]] = MappingProxyType(
    {"weather_delay": "weather", "carrier_sorting_error": "missorted", "customs_delay": "customs"}
)


def _in_trouble(view: OrderView) -> str:
    if view.attention is None:
        return ""
    return _TROUBLE.get(view.attention) or _late(view)


def _late(view: OrderView) -> str:
    why = next((part.parcel.reason for part in view.shipments if part.parcel and part.parcel.reason), "")
    because = f": {_WHY_LATE[why]}" if why in _WHY_LATE else ""
    late = _days_late(view, view.promise_date)
    return f"{_days(late)} late{because}; customer told" if late > 0 else f"late{because}; customer told"


def _under_way(view: OrderView, now: datetime) -> str:
    behind = next((part for part in view.shipments if part.stage is view.stage), None)
    if behind is None or view.stage is Stage.RECEIVED:
        return f"waits for {explain(view, now).waits_for}"
    if behind.parcel and behind.parcel.handed_over_at:
        return f"{_which(view, behind)}{_with_the_carrier(behind.parcel)}"
    return f"{_which(view, behind)}{_before_it_leaves(view, behind)}"


def _which(view: OrderView, part: ShipmentSummary) -> str:
    return f"part {part.n} of {len(view.shipments)}: " if len(view.shipments) > 1 else ""


def _with_the_carrier(parcel: ParcelView) -> str:
    carrier = parcel.carrier or "carrier"
    return f"{carrier}, {parcel.place}" if parcel.place else f"{carrier} has it"


_FLOOR: Final[Mapping[WorkStatus, str]] = MappingProxyType(
    {
        WorkStatus.RELEASED: "{} picks next",
        WorkStatus.PICKING: "{} picks",
        WorkStatus.PICKED: "{} packs",
        WorkStatus.PACKED: "buys a label",
        WorkStatus.LABELED: "{} hands over",
    }
)


def _before_it_leaves(view: OrderView, part: ShipmentSummary) -> str:
    if part.waits_for is WaitsFor.STOCK and part.work_status is WorkStatus.SCHEDULED:
        skus = ", ".join(dict.fromkeys(view.order.line(unit.line_no).sku for unit in part.units))
        return f"waits for a receipt of {skus}"
    if part.work_status is WorkStatus.SCHEDULED:
        return (
            f"waits for {part.waits_for}" if part.waits_for is not WaitsFor.NOTHING else "goes to the floor"
        )
    return _FLOOR.get(part.work_status, "{}").format(part.location_id)


def _eta(view: OrderView) -> str:
    if view.stage in (Stage.CANCELLED, Stage.LOST):
        return ""
    day = _last_delivery(view) if view.stage is Stage.DELIVERED else _expected(view)
    return f"{day:%a} {day.day:02}" if day else ""


def _expected(view: OrderView) -> date | None:
    days = [part.parcel.edd_date for part in view.shipments if part.parcel and part.parcel.edd_date]
    waiting = [part for part in view.shipments if part.parcel is None]
    return max(days) if days and not waiting else view.promise_date


def _last_delivery(view: OrderView) -> date | None:
    days = [part.parcel.delivered_at for part in view.shipments if part.parcel and part.parcel.delivered_at]
    return max(days).date() if days else None


def _days_late(view: OrderView, day: date | None) -> int:
    first = view.promise_first_date
    return (day - first).days if day and first else 0


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


# --- how it looks ----------------------------------------------------------------------------------------


def head(frame: Frame) -> str:
    """Return the line above the table."""
    hours = frame.speed / 3600
    pace = f"{hours:g} h" if hours >= 1 else f"{frame.speed / 60:g} min"
    return f"{frame.orders} orders · 1 s here = {pace} in the shop · shop time {when(frame.now)}"


def when(moment: datetime) -> str:
    """Return a shop moment as people write it: `Mon 23 Nov 12:02`."""
    return f"{moment:%a} {moment.day} {moment:%b} {moment:%H:%M}"


def bar(stage: Stage) -> str:
    """Return how far a stage is, in eight signs."""
    full = _FULL[stage]
    return _DONE * full + _OPEN * (BAR - full)


def line(row: Row, *, width: int = WIDTH) -> str:
    """Return a row as text; only its last column is cut."""
    stage = row.stage.replace("_", " ")
    return _cut(f"  {row.order_id:<8}  {stage:<16} {bar(row.stage)} {row.eta:<6}  {row.text}", width)


def totals(counts: Counts) -> str:
    """Return the line below the table."""
    needing = f"{counts.need_a_person} need{'s' if counts.need_a_person == 1 else ''} a person"
    words = ("placed", "paid", "packed", "shipped", "delivered")
    return " · ".join([*(f"{getattr(counts, word)} {word}" for word in words), needing])


def picture(frame: Frame, *, width: int = WIDTH, height: int | None = None) -> Text:
    """Return the whole table, cut to what a terminal can show: what has ended gives way first."""
    width = min(width, WIDTH)
    rows, hidden = _fitting(frame.rows, height)
    text = Text(no_wrap=True, overflow="crop", end="")
    text.append(f"{_cut(head(frame), width)}\n", style="bold")
    text.append(f"{'  Order     Stage                     ETA     What is happening'[:width]}\n", style="dim")
    for row in rows:
        _append_row(text, row, width)
    if hidden:
        text.append(f"  and {hidden} more that have ended or stand below\n", style="dim")
    text.append(f"{_cut(totals(frame.counts), width)}\n")
    text.append(f"{_cut(_news(frame), width)}\n", style="bold yellow" if frame.away else "")
    if frame.keys:
        text.append("\n".join(_cut(keys, width) for keys in _KEYS), style="dim")
    return text


def _news(frame: Frame) -> str:
    return f"recovering: {frame.away}" if frame.away else (frame.said[-1] if frame.said else "")


def _append_row(text: Text, row: Row, width: int) -> None:
    whole = line(row, width=width)
    style = _STYLES.get(row.stage, "yellow" if row.trouble else "")
    text.append(whole[:12])
    text.append(whole[12:37], style=style)
    text.append(f"{whole[37:]}\n")


def _fitting(rows: Sequence[Row], height: int | None) -> tuple[list[Row], int]:
    """Return the rows there is room for, in their order, and how many are left out."""
    room = len(rows) if height is None else max(3, height - _FRAME)
    over = (Stage.DELIVERED, Stage.CANCELLED, Stage.LOST, Stage.RETURNED)
    by_need = sorted(range(len(rows)), key=lambda n: (rows[n].stage in over, n))
    shown = sorted(by_need[:room])
    return [rows[n] for n in shown], len(rows) - len(shown)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def plain(row: Row, now: datetime) -> str:
    """Return a change of an order as one line, for logs and pipes."""
    stage = row.stage.replace("_", " ")
    return _cut(f"{now:%a %d %H:%M}  {row.order_id:<8}  {stage:<16} {row.eta:<6}  {row.text}", 110)


def verdict(word: str, text: str) -> Text:
    """Return a line of the proof; the word comes before its colour."""
    style = {"PASS": "bold green", "FAIL": "bold red"}.get(word, "dim")
    return Text.assemble((f"{word:<4}", style), f"  {text}")
