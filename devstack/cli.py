"""The whole command line: the doors' verbs, and what only a computer with the whole world on it can do."""

import json
import os
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from devstack import checks, running
from devstack.bench.commands import app as bench_commands
from devstack.postgres import PostgresMissing
from devstack.processes import ChildFailed
from devstack.stack import DEFAULT_SPEED, EVERYTHING, Stack, StackSpec, forget, state_folder
from devstack.state import AlreadyRunning, StackFile, State
from devstack.temporal import TemporalMissing
from starter.cli import app as doors
from workers.audit import main as run_audit

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they would show passwords
    help="Waybill: order fulfillment and tracking.",
)
console = Console(highlight=False, soft_wrap=True)

# Commands that make their own world; every other one speaks to the stack that runs.
_WITHOUT_STACK: Final = {"up", "down", "demo", "test", "check", "bench", "chaos"}
_PAGES: Final = (
    ("Storefront API", "web", "/docs"),
    ("Temporal UI", "temporal_ui", ""),
    ("Simulator", "simulator", "/_sim"),
    ("Mail", "simulator", "/mail"),
)
_NEEDS: Final = {"web": "web", "temporal_ui": "temporal", "simulator": "simulator"}

StateOption = Annotated[Path | None, typer.Option("--state", help="State folder, .waybill by default.")]


@app.callback()
def before_every_command(context: typer.Context) -> None:
    if context.invoked_subcommand not in _WITHOUT_STACK:
        speak_to_running_stack(State(state_folder()))


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when ready; `down` stops it.")
    ] = False,
    speed: Annotated[
        float | None, typer.Option(min=1, help="Shop seconds per second, 7200 at first.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    only: Annotated[
        list[str] | None, typer.Option(help=f"Parts to start: {', '.join(sorted(EVERYTHING))}.")
    ] = None,
    state: StateOption = None,
    plain: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Start the whole stack, data kept: databases, Temporal, simulator, workers, web, bots."""
    folder = (state or state_folder()).resolve()
    spec = StackSpec(state=folder, speed=_speed(folder, speed), workers=workers, services=_services(only))
    try:
        _up_behind(spec) if detach else _up(spec, plain=plain)
    except AlreadyRunning as taken:
        _say_already_running(taken.running)
        raise typer.Exit(1 if plain else 0) from None
    except (ChildFailed, PostgresMissing, TemporalMissing) as trouble:
        _print(f"{trouble}" if detach else f"{trouble}\nlogs: {spec.state / 'logs'}")
        raise typer.Exit(1) from None


@app.command()
def down(
    forget_data: Annotated[bool, typer.Option("--forget", help="Delete the data too.")] = False,
    state: StateOption = None,
) -> None:
    """Stop the stack; the data is kept."""
    folder = (state or state_folder()).resolve()
    console.print("stopped" if running.stop(folder) else "nothing was running")
    if forget_data:
        forget(folder)
        console.print(f"deleted {folder}", markup=False)


@app.command()
def demo(
    state: Annotated[
        Path | None, typer.Option("--state", help="State folder, .waybill/demo by default.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Where its page goes, .waybill/demo-report.html by default."),
    ] = None,
) -> None:
    """Run everything once, with 40 orders and faults on the way, and prove that it holds."""
    folder = (state or state_folder() / "demo").resolve()
    # Imported here: it brings the whole house with it, for which every other command would wait.
    from devstack.demo import demo as run_demo

    try:
        raise typer.Exit(run_demo(console, folder, report or state_folder() / "demo-report.html"))
    except AlreadyRunning as taken:
        _say_already_running(taken.running)
        raise typer.Exit(1) from None
    except (ChildFailed, PostgresMissing, TemporalMissing) as trouble:
        _print(f"{trouble}\nlogs: {folder / 'logs'}")
        raise typer.Exit(1) from None


@app.command()
def chaos(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
    seed: Annotated[int, typer.Option(help="Chooses the faults; the same seed chooses the same.")] = 1,
    orders: Annotated[int, typer.Option(min=24, help="How many orders are put through it.")] = 80,
    broken: Annotated[
        str, typer.Option(help="Take a defence away (no-key): then violations must be found.")
    ] = "",
) -> None:
    """Kill workers at every crash point, lose providers' answers, and audit: 0 when nothing broke."""
    # Imported here, as for the demo.
    from devstack import siege

    if broken and broken not in siege.BROKEN_BUILDS:
        raise typer.BadParameter(f"one of {', '.join(siege.BROKEN_BUILDS)}", param_hint="--broken")
    say = (lambda line: None) if as_json else _print
    figures = siege.besiege(seed=seed, orders=orders, broken=broken, say=say)
    if as_json:
        print(json.dumps(figures.as_json(), indent=2))
    else:
        for line in figures.lines():
            _print(line)
    raise typer.Exit(0 if figures.held else 1)


_PASSED_ON: Final = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": ["--usage"],
}


@app.command(context_settings=_PASSED_ON, add_help_option=False)
def audit(context: typer.Context) -> None:
    """Compare our books, the providers' ledgers and Temporal: 0 when every promise is kept."""
    raise typer.Exit(run_audit(context.args))


@app.command(context_settings=_PASSED_ON)
def test(context: typer.Context) -> None:
    """Run the test suite; arguments go to pytest."""
    raise typer.Exit(checks.test(context.args, _print))


@app.command(context_settings=_PASSED_ON)
def check(context: typer.Context) -> None:
    """Run what CI runs: format, lint, types, import contracts, tests."""
    raise typer.Exit(checks.check(context.args, _print))


# The doors' verbs stand at the top level, beside ours: show, explain, cancel, hold, release, import ...
app.add_typer(bench_commands, name="bench")
app.add_typer(doors)


def speak_to_running_stack(state: State) -> None:
    """Take the addresses and the key of the stack that runs here, unless the caller named a server of their own."""
    if any(os.environ.get(name) for name in ("DATABASE_URL", "TEMPORAL_ADDRESS", "WAYBILL_PUBLIC_URL")):
        return
    stack = state.running()
    if stack is not None:
        for name, value in stack.env.items():
            os.environ.setdefault(name, value)


def print_urls(urls: dict[str, str], services: frozenset[str]) -> None:
    """Print where a person goes; the name in front, so that a narrow terminal cuts nothing."""
    for name, server, path in _PAGES:
        if server in urls and _NEEDS[server] in services:
            console.print(f"  {name:15} {urls[server]}{path}", markup=False)


def _up(spec: StackSpec, *, plain: bool) -> None:
    stack = Stack(spec, say=_print, note=_print)
    running.run_until_stopped(stack, lambda: None if plain else _say_ready(stack))
    _print("stopped, data kept")


def _up_behind(spec: StackSpec) -> None:
    state = State(spec.state)
    if (taken := state.running()) is not None:
        raise AlreadyRunning(taken)
    stack = running.start_behind(spec, _print)
    _print("ready; ./waybill down stops it")
    print_urls(stack.urls, spec.services)


def _say_ready(stack: Stack) -> None:
    _print(f"ready in {stack.took:.1f} s\nlogs {stack.state.logs}")
    print_urls(stack.urls, stack.spec.services)
    _print("Ctrl-C stops everything, data kept")


def _say_already_running(stack: StackFile | None) -> None:
    if stack is None or not stack.ready:
        _print("already starting or stopping in this folder; ./waybill down stops it")
        return
    _print("already running; ./waybill down stops it")
    print_urls(stack.urls, EVERYTHING)


def _speed(folder: Path, asked: float | None) -> float:
    """Return the speed of the folder's data, of which its times are full, or the one asked for if it has none."""
    state = State(folder)
    if not state.has_clock():
        return asked or DEFAULT_SPEED
    known = state.clock(DEFAULT_SPEED).speed
    if asked is not None and asked != known:
        _print(f"the data in {folder} runs at speed {known:g}: so does this stack")
        _print("./waybill down --forget deletes it; the next start takes the new speed")
    return known


def _services(only: list[str] | None) -> frozenset[str]:
    if not only:
        return EVERYTHING
    if unknown := set(only) - EVERYTHING:
        raise typer.BadParameter(f"no such part: {', '.join(sorted(unknown))}", param_hint="--only")
    return frozenset(only)


def _print(line: str) -> None:
    console.print(line, markup=False)
