"""Why orders ship from where they do: written with the plan, as it was decided, and read by people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select

from fulfillment.domain.division import Boxes, added_up
from fulfillment.domain.inventory import Level
from fulfillment.domain.order import Order, OrderLine
from fulfillment.domain.policy import Policy
from fulfillment.domain.sourcing import Candidate, Decision, Site, Sourced, demand, source
from fulfillment.storage.movements import Place
from fulfillment.storage.tables import sourcing_decisions

_SHOWN: Final = 8  # the best of them: with many locations there are hundreds of ways

_KEEP: Final = insert(sourcing_decisions)
_OF_ORDER: Final = (
    select(sourcing_decisions)
    .where(sourcing_decisions.c.order_id == bindparam("the_order"))
    .order_by(sourcing_decisions.c.at, sourcing_decisions.c.operation_key)
)


def keep(
    conn: Connection,
    order: Order,
    available: Mapping[Place, int],
    *,
    key: str,
    sites: Sequence[Site],
    may_wait: Mapping[str, int | None],
    now: datetime,
    policy: Policy,
    boxes: Boxes,
) -> None:
    """Keep what was decided for an order when this was available: the same inputs give the same answer again.

    `boxes` says how many parcels it makes, by what was known then of goods and cartons.
    """
    levels = [
        Level(sku=sku, location_id=there, on_hand=units, reserved=0, allocated=0)
        for (sku, there), units in sorted(available.items())
    ]
    asked = demand(order.lines)
    decided = source(
        order.lines,
        levels=levels,
        sites=sites,
        ship_to=order.ship_to,
        may_wait=may_wait,
        policy=policy,
        parcels=lambda units: boxes.share(units, asked),
    )
    row = {
        "operation_key": key,
        "order_id": order.order_id,
        "at": now,
        "policy_version": policy.version,
        "inputs": _inputs(order, levels, sites, may_wait, policy),
        "candidates": [asdict(candidate) for candidate in decided.candidates[:_SHOWN]],
        "why": "; ".join([decided.why, *divided(decided, order.lines, boxes)]),
    }
    conn.execute(_KEEP, row)


def divided(decided: Sourced, lines: Sequence[OrderLine], boxes: Boxes) -> list[str]:
    """Say of each location that sends several parcels how many and why."""
    sku_of = {line.line_no: line.sku for line in lines}
    said = []
    for location_id, units in decided.from_location.items():
        division = boxes.divide(added_up(units, sku_of))
        if division.why:
            parcels = len(division.parcels)
            said.append(
                f"{location_id} sends {f'{parcels} parcels' if parcels > 1 else 'it'}: {division.why}"
            )
    return said


def of_order(conn: Connection, order_id: str) -> tuple[Decision, ...]:
    """Return what was decided for an order, in turn."""
    return tuple(
        Decision(
            at=row.at,
            policy_version=row.policy_version,
            inputs=row.inputs,
            candidates=tuple(
                Candidate(**kept | {"locations": tuple(kept["locations"])}) for kept in row.candidates
            ),
            why=row.why,
        )
        for row in conn.execute(_OF_ORDER, {"the_order": order_id})
    )


def _inputs(
    order: Order,
    levels: Sequence[Level],
    sites: Sequence[Site],
    may_wait: Mapping[str, int | None],
    policy: Policy,
) -> dict[str, Any]:
    return {
        "asked": demand(order.lines),
        "available": [
            {"sku": level.sku, "location_id": level.location_id, "units": level.on_hand} for level in levels
        ],
        "may_wait": dict(may_wait),
        "locations": [asdict(site) for site in sites],
        "to": {"country": order.ship_to.country, "region": order.ship_to.region},
        "rules": list(policy.sourcing),
        "max_parcels": policy.max_parcels,
        "split_min_value": policy.split_min_value,
    }
