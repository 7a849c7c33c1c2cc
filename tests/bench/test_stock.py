"""The bench of claims: whatever the machine, both schemes promise every unit once, and the figures are of what they did."""

from devstack.bench import stock


def test_neither_scheme_promises_a_unit_twice_and_what_is_short_is_refused() -> None:
    lines: list[str] = []

    found = stock.measure(claims=320, rounds=1, say=lines.append)

    assert found.oversold == 0
    assert [(run.scheme, run.skus) for run in found.runs] == [
        ("each alone", 1),
        ("in groups", 1),
        ("each alone", 1000),
        ("in groups", 1000),
    ]
    assert [run.granted for run in found.runs if run.skus == 1] == [288, 288]
    assert [ratio.skus for ratio in found.ratios] == [1, 1000]
    assert len(lines) == 4
