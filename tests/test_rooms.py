"""The rules of the house that no compiler knows: what each room may touch, and what every table and handler must have."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from temporalio import workflow

import activities
import fulfillment.domain
from fulfillment.domain.clock import ShopClock
from fulfillment.settings import Settings
from workers import wiring
from workers.worker import WORKFLOWS, Deeds
from workflows import contract

ROOT = Path(__file__).parents[1]
ROOMS = ("devstack", "starter", "workers", "workflows", "activities", "fulfillment")
NOTES_TO_ONESELF = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME)\b")
LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"


# --- reading source ----------------------------------------------------------------------------------------


def sources(*places: str) -> Iterator[Path]:
    for place in places or ROOMS:
        yield from sorted((ROOT / place).rglob("*.py"))


@cache
def parsed(source: Path) -> ast.Module:
    return ast.parse(source.read_text(), filename=str(source))


def imported(source: Path) -> set[str]:
    """The top-level packages a file imports, inside functions too."""
    found = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def calls(source: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(parsed(source)) if isinstance(node, ast.Call))


def callee(call: ast.Call) -> str:
    """The last part of the name that is called."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def modules_of(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


# --- rooms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_ours_and_not_somebody_elses_package_of_that_name(room: str) -> None:
    spec = find_spec(room)

    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).parent == ROOT / room


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LINT_IMPORTS, "--no-cache"],
        cwd=ROOT,
        check=False,
        text=True,
        capture_output=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr


# --- imports -----------------------------------------------------------------------------------------------


def test_httpx_is_imported_in_one_module_alone() -> None:
    simulators = ROOT / "devstack" / "simulators"  # another program, with a client of its own

    importers = {
        source for source in sources() if simulators not in source.parents and "httpx" in imported(source)
    }

    assert importers == {ROOT / "fulfillment" / "http.py"}


def test_the_domain_imports_the_standard_library_alone() -> None:
    allowed = sys.stdlib_module_names | {"fulfillment"}

    strange = {
        source.name: imported(source) - allowed
        for source in sources("fulfillment/domain")
        if imported(source) - allowed
    }

    assert not strange


# --- states ------------------------------------------------------------------------------------------------


def transition_tables() -> list[Any]:
    """Every mapping called NEXT... of the domain, with its place."""
    return [
        pytest.param(table, id=f"{module.__name__.rpartition('.')[2]}.{name}")
        for module in modules_of(fulfillment.domain)
        for name, table in vars(module).items()
        if name.startswith("NEXT") and isinstance(table, Mapping)
    ]


@pytest.mark.parametrize("table", transition_tables())
def test_a_transition_table_knows_every_status(table: Mapping[Enum, frozenset[Enum]]) -> None:
    statuses = type(next(iter(table)))

    assert set(table) == set(statuses)
    assert set().union(*table.values()) <= set(statuses)


@pytest.mark.parametrize("table", transition_tables())
def test_every_status_can_be_reached_from_the_first_one(table: Mapping[Enum, frozenset[Enum]]) -> None:
    first = next(iter(type(next(iter(table)))))

    assert reachable(table, first) == set(table)


@pytest.mark.parametrize("table", transition_tables())
def test_every_status_leads_to_an_end_and_ends_lead_nowhere(table: Mapping[Enum, frozenset[Enum]]) -> None:
    ends = {status for status, following in table.items() if not following}

    assert ends
    assert all(reachable(table, status) & ends for status in table)


def reachable(table: Mapping[Enum, frozenset[Enum]], start: Enum) -> set[Enum]:
    found, waiting = {start}, [start]
    while waiting:
        new = table[waiting.pop()] - found
        found |= new
        waiting += new
    return found


# --- activities --------------------------------------------------------------------------------------------


def test_every_activity_has_a_caption_where_it_is_called() -> None:
    captions = {name for name, caption in activity_calls() if caption is not None}

    assert captions == set(activity_names())


def test_no_call_of_an_activity_goes_without_a_caption() -> None:
    silent = [name for name, caption in activity_calls() if caption is None]

    assert not silent


def test_every_activity_is_registered_with_exactly_one_queue() -> None:
    registered = Counter(activity_name(deed) for queue in deeds_by_queue().values() for deed in queue)

    assert registered == Counter(activity_names())


def test_no_workflow_calls_an_activity_but_through_its_line_in_steps() -> None:
    direct = {
        f"{source.name}:{call.lineno}"
        for source in sources("workflows")
        if source.name != "steps.py"
        for call in calls(source)
        if callee(call).startswith(("execute_activity", "execute_local_activity", "start_activity"))
    }

    assert not direct


def activity_names() -> list[str]:
    """Every activity that is defined, by its name on the wire."""
    return [
        activity_name(member)
        for module in modules_of(activities)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__
        for _, member in inspect.getmembers(kind, inspect.isfunction)
        if hasattr(member, "__temporal_activity_definition")
    ]


def activity_name(deed: Callable[..., Any]) -> str:
    name: str = deed.__temporal_activity_definition.name  # type: ignore[attr-defined]  # set by @activity.defn
    return name


def activity_calls() -> Iterator[tuple[str, ast.expr | None]]:
    """Every call of an activity in `steps.py`, with its caption."""
    for call in calls(ROOT / "workflows" / "steps.py"):
        if not call.args or not isinstance(call.args[0], ast.Attribute):
            continue
        if callee(call) in ("_in_database", "_with_money"):
            yield call.args[0].attr, call.args[2]
        elif callee(call).endswith("activity_method"):
            yield call.args[0].attr, next((k.value for k in call.keywords if k.arg == "summary"), None)


def deeds_by_queue() -> dict[str, list[Callable[..., Any]]]:
    deeds = registered_deeds()
    return {
        contract.ORDERS_QUEUE: list(deeds.orders),
        contract.PAYMENTS_QUEUE: list(deeds.payments),
        contract.CARRIERS_QUEUE: list(deeds.carriers),
    }


@cache
def registered_deeds() -> Deeds:
    settings = Settings(
        database_url="postgresql://nobody@localhost/nowhere",  # an engine connects when it is used
        stripe_key="sk_test_nobody",
        easypost_key="EZTKnobody",
    )
    return wiring.deeds(wiring.engine(settings), wiring.world(settings), ShopClock())


# --- handlers of workflows ---------------------------------------------------------------------------------


def definitions() -> list[workflow._Definition]:
    return [workflow._Definition.must_from_class(kind) for kind in WORKFLOWS]


def handlers() -> list[Any]:
    """Every signal and update handler that has a name, and every validator."""
    named = [
        (f"{d.name}.{kind}.{name}", handler)
        for d in definitions()
        for kind, group in (("signal", d.signals), ("update", d.updates))
        for name, handler in group.items()
        if name is not None
    ]
    found = [pytest.param(handler.fn, id=place) for place, handler in named]
    return found + [
        pytest.param(handler.validator, id=f"{place}.validator")
        for place, handler in named
        if getattr(handler, "validator", None)
    ]


@pytest.mark.parametrize("handler", handlers())
def test_a_handler_takes_anything_so_that_nothing_malformed_is_dropped_or_blocks(
    handler: Callable[..., Any],
) -> None:
    """A strict signature makes the SDK drop a signal, or fail the workflow's task for ever."""
    _, request, more = inspect.signature(handler).parameters.values()

    assert request.default is None
    assert request.annotation is Any
    assert more.kind is inspect.Parameter.VAR_POSITIONAL


@pytest.mark.parametrize("definition", definitions(), ids=lambda d: str(d.name))
def test_a_workflow_that_hears_signals_can_show_a_rejected_one(definition: workflow._Definition) -> None:
    if not definition.signals and not definition.updates:
        return

    assert callable(getattr(definition.cls, "command_rejected", None))
    assert None in definition.signals, "a signal nobody knows must be shown, not lost"


@pytest.mark.parametrize("definition", definitions(), ids=lambda d: str(d.name))
def test_every_update_that_reads_its_request_is_validated(definition: workflow._Definition) -> None:
    unchecked = [
        name
        for name, update in definition.updates.items()
        if update.validator is None and "request" in inspect.signature(update.fn).parameters
    ]

    assert not unchecked


@pytest.mark.parametrize("definition", definitions(), ids=lambda d: str(d.name))
def test_people_in_the_temporal_ui_read_what_each_handler_is_for(definition: workflow._Definition) -> None:
    silent = [
        name
        for group in (definition.signals, definition.updates, definition.queries)
        for name, handler in group.items()
        if name is not None and not handler.description
    ]

    assert not silent


# --- crash points, notes -----------------------------------------------------------------------------------


def test_a_crash_point_is_written_out_and_stands_in_one_place() -> None:
    names = [
        ast.literal_eval(call.args[0])
        for source in sources()
        for call in calls(source)
        if callee(call) == "crashpoint"
    ]

    assert names
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_nobody_left_a_note_to_themselves() -> None:
    kinds = {".py", ".md", ".html", ".css", ".js", ".toml", ".yml", ".in"}
    written = [
        path
        for place in (*ROOMS, "tests", "docs", "")
        for path in ((ROOT / place).rglob("*") if place else ROOT.glob("*"))
        if path.is_file() and path.suffix in kinds and "vendor" not in path.parts
    ]

    found = [path.relative_to(ROOT) for path in written if NOTES_TO_ONESELF.search(path.read_text())]

    assert not found
