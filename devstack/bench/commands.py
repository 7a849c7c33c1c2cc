"""`./waybill bench`: figures beside something to compare them with, because machines differ.

Each command imports what it measures: all of it together would cost every other command a second.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from devstack.bench.cost import Cost

app = typer.Typer(no_args_is_help=True, help="Measure: what an order costs, and how many go through.")

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")]


@app.command("cost")
def measure_cost(as_json: JsonOption = False) -> None:
    """Count events, actions and workflows of a plain order, and what a second shipment adds; 1 over the budget."""
    from devstack.bench import cost

    found = cost.measure()
    budget = {"plain": cost.PLAIN, "same_place": cost.SAME_PLACE, "other_place": cost.OTHER_PLACE}
    if as_json:
        limits = {what: asdict(limit) for what, limit in budget.items()}
        print(json.dumps({**asdict(found), "budget": limits}))
    else:
        print(f"a plain order: {_beside(found.plain, cost.PLAIN)}, {found.workflows} workflow")
        print(f"  actions by type: {found.actions_by_type}")
        print(f"a second parcel of the same place: {_beside(found.same_place, cost.SAME_PLACE)} more")
        print(f"a second parcel of another place: {_beside(found.other_place, cost.OTHER_PLACE)} more")
    raise typer.Exit(0 if found.within_budget else 1)


def _beside(found: "Cost", budget: "Cost") -> str:
    return f"{found.events} events (at most {budget.events}) and {found.actions} actions (at most {budget.actions})"


@app.command("throughput")
def measure_throughput(
    orders: Annotated[int, typer.Option(min=10, help="Orders per run.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of every variant; the median counts.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Measure orders per second to completion, beside a bare workflow and beside no engine, in the same run."""
    from devstack.bench import throughput

    found = throughput.measure(
        orders=orders, rounds=rounds, say=lambda line: None if as_json else print(line, flush=True)
    )
    if as_json:
        runs = [{**asdict(run), "cpu_total_ms": round(run.cpu_total_ms, 1)} for run in found.runs]
        print(json.dumps({**asdict(found), "runs": runs}))
    else:
        print(
            f"{found.of_skeleton} of the bare workflow's rate; {found.of_plain_cpu} times the CPU of no engine"
        )


@app.command("stock")
def measure_stock(
    claims: Annotated[int, typer.Option(min=64, help="Claims per run.")] = 3200,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of every scheme; the median counts.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Measure claims on stock by 32 callers, in groups beside each alone; 1 when anything was promised twice."""
    from devstack.bench import stock

    found = stock.measure(
        claims=claims, rounds=rounds, say=lambda line: None if as_json else print(line, flush=True)
    )
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        for ratio in found.ratios:
            print(f"{ratio.skus} SKUs: {ratio.rate} times the rate of each alone, {ratio.p99} of its p99")
    raise typer.Exit(0 if not found.oversold else 1)


@app.command("cartons")
def measure_cartons(
    orders: Annotated[int, typer.Option(min=1, help="Random orders.")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """Pack random orders beside another packer on the same cartons; 1 when a packing is not one."""
    from devstack.bench import cartons

    found = cartons.measure(orders=orders, say=lambda line: None if as_json else print(line, flush=True))
    if as_json:
        print(json.dumps(asdict(found)))
    elif found.other:
        print(f"orders by how many cartons more ours took: {found.worse}")
    raise typer.Exit(1 if found.faults else 0)


@app.command("parcels")
def measure_parcels(
    count: Annotated[int, typer.Option("--parcels", min=10, help="Parcels on their way.")] = 1000,
    plot: Annotated[Path | None, typer.Option(help="Where the delays are drawn, as SVG.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Send parcels on their way with real delays, losses and silence; 1 when one was not acted on or told as promised."""
    from devstack.bench import delays_plot, parcels

    found = parcels.measure(parcels=count, say=lambda line: None if as_json else print(line, flush=True))
    if plot:
        plot.write_text(delays_plot.drawn(found.late))
    print(json.dumps(asdict(found) | {"held": found.held}) if as_json else "\n".join(found.lines()))
    raise typer.Exit(0 if found.held else 1)


@app.command("carriers")
def measure_carriers(
    per_day: Annotated[int, typer.Option("--parcels", min=1, help="Parcels a working day.")] = 40,
    seed: Annotated[int, typer.Option(help="Another year.")] = 7,
    plot: Annotated[Path | None, typer.Option(help="Where the year is drawn, as SVG.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Send a simulated year in which one carrier turns bad by the shop's choice and by simple rules; 1 when it is no better."""
    from devstack.bench import carriers, year_plot

    found = carriers.measure(
        per_day=per_day, seed=seed, say=lambda line: None if as_json else print(line, flush=True)
    )
    if plot is not None:
        plot.write_text(year_plot.drawn(found))
    if as_json:
        print(json.dumps({"rules": [asdict(result) for result in found.results], "holds": found.holds}))
    raise typer.Exit(0 if found.holds else 1)
