"""The year of lanes: what the shop's choice must show beside simple rules, on a small year."""

from dataclasses import replace

from devstack.bench import carriers, lanes, year_plot


def measured() -> carriers.Found:
    return carriers.measure(per_day=6, areas=3, seed=7, say=lambda _: None)


def test_the_shops_choice_is_surer_than_the_cheapest_and_cheaper_than_the_fastest_on_the_same_year() -> None:
    found = measured()

    ours, cheap, fast = (found.of(rule) for rule in (lanes.WAYBILL, lanes.CHEAPEST, lanes.FASTEST))
    assert found.holds
    assert ours.bad_in_time > cheap.bad_in_time + 0.1
    assert ours.postage < fast.postage / 2
    assert 0 < ours.tried < 0.06
    assert len({ours.parcels, cheap.parcels, fast.parcels}) == 1
    assert not replace(found, results=(replace(ours, in_time=0.0), cheap, fast)).holds


def test_a_parcel_fares_the_same_with_a_service_whoever_asks() -> None:
    parcels = list(lanes.year(per_day=1, areas=3, seed=7))[:40]
    quote = lanes.offers(parcels[0])[0]

    assert [lanes.fate(p, quote, 7) for p in parcels] == [lanes.fate(p, quote, 7) for p in reversed(parcels)][
        ::-1
    ]
    assert [lanes.fate(p, quote, 7) for p in parcels] != [lanes.fate(p, quote, 8) for p in parcels]


def test_what_has_not_happened_yet_is_not_known() -> None:
    memory, parcels = lanes.Memory(), list(lanes.year(per_day=1, areas=1, seed=7))
    first, quote = parcels[0], lanes.offers(parcels[0])[0]
    memory.note(lanes.Sent(parcel=first, quote=quote, fate=lanes.fate(first, quote, 7)))

    (seen,) = memory.market(parcels[1], [quote]).experience[quote.carrier, quote.service][0].seen

    assert (seen.days, seen.out_for) == (None, 1)


def test_the_year_is_drawn_with_a_line_a_rule_in_both_panels() -> None:
    drawn = year_plot.drawn(measured())

    assert drawn.count("<polyline") == 2 * len(lanes.RULES)
    assert "nan" not in drawn
