"""How parcels fared, read from `transits` as what one service did around a lane."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from fulfillment.domain.carrier_choice import Quote
from fulfillment.domain.reliability import (
    AGES,
    HALF_LIFE_DAYS,
    NEWEST,
    PEAK_BEGINS,
    WINDOW_DAYS,
    Circle,
    Experience,
    Lane,
    Seen,
    is_peak,
    ladder,
    working_days_from,
)
from fulfillment.domain.tracking import CarrierStatus, Flag

_AROUND: Final = {
    Circle.LANE: "AND location_id = :there AND country = :country AND area = :area",
    Circle.ZONE: "AND location_id = :there AND country = :country AND starts_with(area, :zone)",
    Circle.SERVICE: "",
}
# Beyond the lane ways are longer or shorter, as carriers themselves say: days are taken as if they had led here.
_DAYS: Final = {
    Circle.LANE: "days",
    Circle.ZONE: "days + coalesce(w.stated - stated_days, 0) AS days",
    Circle.SERVICE: "days + coalesce(w.stated - stated_days, 0) AS days",
}
# What came back tells nothing of the way there.
_NEWEST: Final = """
(SELECT '{circle}' AS circle, parcel_id, left_date, {days}, outcome FROM transits
    WHERE carrier = w.carrier AND carrier_service = w.service AND left_date >= :since
        AND outcome IS DISTINCT FROM 'returned' {around}
    ORDER BY left_date DESC LIMIT :newest)
"""
_EXPERIENCE: Final = text(f"""
SELECT w.carrier, w.service, c.circle, c.days, c.outcome,
    CASE WHEN c.outcome IS NULL THEN c.left_date END AS under_way_since,
    (extract(month FROM c.left_date), extract(day FROM c.left_date)) >= (:peak_month, :peak_day) AS peak,
    coalesce(:damaged = ANY (p.flags), FALSE) AS damaged,
    width_bucket(:today - c.left_date, CAST(:ages AS int[])) AS age,
    sum(power(0.5, (:today - c.left_date) / CAST(:half_life AS float))) AS weight
FROM unnest(CAST(:carriers AS text[]), CAST(:services AS text[]), CAST(:stated AS int[])) AS w (carrier, service, stated)
CROSS JOIN LATERAL (
    {" UNION ALL ".join(_NEWEST.format(circle=c, around=_AROUND[c], days=_DAYS[c]) for c in Circle)}
) AS c
JOIN parcels p USING (parcel_id)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
""")


def experience(
    conn: Connection, way: Lane, quotes: Sequence[Quote], *, today: date
) -> Mapping[tuple[str, str], tuple[Experience, ...]]:
    """Return what these services did around a lane, by carrier and service, from the narrowest circle to the widest."""
    offered = {(quote.carrier, quote.service): quote for quote in quotes}
    asked = {
        "carriers": [carrier for carrier, _ in offered],
        "services": [service for _, service in offered],
        "stated": [_stated(quote, today) for quote in offered.values()],
        "there": way.location_id,
        "country": way.country,
        "area": way.area,
        "zone": way.zone,
        "today": today,
        "since": today - timedelta(days=WINDOW_DAYS),
        "newest": NEWEST,
        "half_life": HALF_LIFE_DAYS,
        "ages": list(AGES),
        "damaged": Flag.DAMAGED.value,
        "peak_month": PEAK_BEGINS[0],
        "peak_day": PEAK_BEGINS[1],
    }
    seen: dict[tuple[str, str], dict[Circle, list[Seen]]] = defaultdict(lambda: defaultdict(list))
    for row in conn.execute(_EXPERIENCE, asked):
        seen[row.carrier, row.service][Circle(row.circle)].append(_seen(row, today))
    return {by: ladder(circles, peak=is_peak(today)) for by, circles in seen.items()}


def _stated(quote: Quote, today: date) -> int | None:
    """Return the working days that a carrier says it takes."""
    return None if quote.days is None else working_days_from(today, today + timedelta(days=quote.days))


def _seen(row: Row[Any], today: date) -> Seen:
    gone = row.outcome in (CarrierStatus.LOST.value, CarrierStatus.DESTROYED.value)
    return Seen(
        weight=row.weight,
        days=row.days,
        out_for=working_days_from(row.under_way_since, today) if row.under_way_since else 0,
        lost=gone,
        damaged=row.damaged,
        peak=row.peak,
        age=row.age,
    )
