"""Listed equals for units that are not there: claimed like any other stock, and lines of the order from then on."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select

from fulfillment.domain.change import Changed, ChangeKind
from fulfillment.domain.inventory import Level
from fulfillment.domain.order import Order, UnitRange
from fulfillment.domain.policy import Policy
from fulfillment.domain.sourcing import Sourced, source
from fulfillment.domain.substitution import Equal, Instead, instead
from fulfillment.storage import changes, claims, substitutes
from fulfillment.storage.changes import Made
from fulfillment.storage.movements import Place as Shelf
from fulfillment.storage.orders import OUT_OF_STOCK, owe
from fulfillment.storage.sourcing import Place
from fulfillment.storage.tables import order_lines, replacements, substitutions

# What is sent again for nothing stands for paid units of its own SKU: its customer gets that, or the money.
_SENT_AGAIN: Final = select(replacements.c.line_no).where(replacements.c.order_id == bindparam("the_order"))
_ADD_LINES: Final = insert(order_lines)
_ADD: Final = insert(substitutions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Equals that were claimed under a key, and where they ship from."""

    key: str
    lines: tuple[Instead, ...]
    sourced: Sourced
    amounts: Mapping[Shelf, int]


def claim(
    conn: Connection,
    order: Order,
    short: Sequence[UnitRange],
    *,
    unless: Collection[str] = (),
    key: str,
    places: Sequence[Place],
    now: datetime,
    policy: Policy,
) -> Taken | None:
    """Claim equals for these units of the locked order, for as many as there are; None where there are none.

    An equal in `unless` is not taken. Where the chosen ones lie in more places than may ship, none is taken.
    """
    again = set(conn.execute(_SENT_AGAIN, {"the_order": order.order_id}).scalars())
    short = [units for units in short if units.line_no not in again]
    equals = substitutes.listed(conn, {order.line(units.line_no).sku for units in short}, now=now)
    equals = {sku: [one for one in those if one.sku not in unless] for sku, those in equals.items()}
    choice = _Choice(order, short, equals, places, policy)
    if not (asked := frozenset(equal.sku for those in equals.values() for equal in those)):
        return None
    (claimed,) = claims.judge(
        conn,
        [
            claims.Ask(
                key=key,
                order_id=order.order_id,
                skus=asked,
                plan=choice,
                expires_at=now + policy.reservation_ttl,
                by=order.channel,
                at=now,
            )
        ],
    )
    if isinstance(claimed, Exception):
        raise claimed
    if choice.sourced is None:
        return None
    return Taken(key=key, lines=choice.lines, sourced=choice.sourced, amounts=claimed.amounts)


class _Choice:
    """Which equals are taken: chosen while what is there is locked."""

    def __init__(
        self,
        order: Order,
        short: Sequence[UnitRange],
        equals: Mapping[str, Sequence[Equal]],
        places: Sequence[Place],
        policy: Policy,
    ) -> None:
        self._order, self._short, self._equals = order, short, equals
        self._places, self._policy = places, policy
        self.lines: tuple[Instead, ...] = ()
        self.sourced: Sourced | None = None

    def __call__(self, levels: Sequence[Level]) -> Mapping[Shelf, int]:
        self.lines = instead(self._order, self._short, self._equals, substitutes.units_there(levels))
        if not self.lines:
            return {}
        lines = [one.line for one in self.lines]
        sourced = source(
            lines,
            levels=levels,
            sites=[place.site for place in self._places],
            ship_to=self._order.ship_to,
            may_wait={},
            policy=self._policy,
        )
        if sourced.cancelled:
            return {}
        self.sourced, amounts = sourced, Counter[Shelf]()
        sku_of = {line.line_no: line.sku for line in lines}
        for location_id, ranges in sourced.from_location.items():
            for units in ranges:
                amounts[sku_of[units.line_no], location_id] += units.count
        return amounts


def add_lines(conn: Connection, order_id: str, taken: Taken) -> None:
    """Add the lines of claimed equals to the locked order: it costs so much more, and what they stand for goes."""
    rows = [asdict(one.line) | {"order_id": order_id} for one in taken.lines]
    conn.execute(_ADD_LINES, rows)
    owe(conn, order_id, _value(taken))


def keep(
    conn: Connection,
    order: Order,
    taken: Taken,
    *,
    instead_of: int,
    added: tuple[str, ...],
    stopped: tuple[str, ...] = (),
    by: str,
    request_id: str = "",
    now: datetime,
) -> Changed:
    """Write down which units the lines stand for, and let everybody know.

    `order` has the new lines, `instead_of` is what the customer would have paid, in minor units.
    """
    change, delta = changes.next_id(conn, order.order_id), _value(taken) - instead_of
    gone = ", ".join(f"{one.units.count} × {order.line(one.units.line_no).name}" for one in taken.lines)
    sent = ", ".join(f"{one.line.quantity} × {one.line.name}" for one in taken.lines)
    text = f"Not in stock: {gone}. We send you instead, at no higher price: {sent}."
    made = Made(
        change_id=change,
        kind=ChangeKind.SUBSTITUTE,
        text=text + changes.difference(delta, order.currency),
        delta=delta,
        by=by,
        request_id=request_id,
        reason=OUT_OF_STOCK,
        added=added,
        stopped=stopped,
        before={"replaced": [_replaced(order, one) for one in taken.lines]},
    )
    answer = changes.keep(conn, order, made, now=now)
    conn.execute(_ADD, [_row(order.order_id, change, one) for one in taken.lines])
    return answer


def _value(taken: Taken) -> int:
    return sum(one.line.value for one in taken.lines)


def _replaced(order: Order, one: Instead) -> dict[str, Any]:
    old = order.line(one.units.line_no)
    return {"sku": old.sku, "name": old.name, "substitute": one.line.sku, "instead": one.line.name} | {
        "quantity": one.line.quantity
    }


def _row(order_id: str, change: str, one: Instead) -> dict[str, Any]:
    root = {"root_line": one.units.line_no, "root_unit": one.units.first}
    return {"order_id": order_id, "line_no": one.line.line_no, "change_id": change} | root
