"""`waybill demo`: the whole world on this computer, 40 orders, blows on the way, and the proof at the end."""

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from rich.console import Console
from sqlalchemy import Engine
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

from devstack import proof, report, running, table
from devstack import temporal as embedded_temporal
from devstack.blows import Blows
from devstack.board import Board, Counts
from devstack.hands import Hands
from devstack.journeys import Happened
from devstack.processes import Stopped
from devstack.proof import Line
from devstack.scenarios import GOODS, SCENARIOS, Scenario, another
from devstack.screen import Screen, is_interactive, keyboard, screen
from devstack.seed import seed
from devstack.stack import Stack, StackSpec, forget
from devstack.state import AlreadyRunning, Clock, State
from fulfillment import temporal
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.notifications import NotificationState
from fulfillment.http import api_client
from fulfillment.settings import load_settings, shop_now
from fulfillment.storage.audit import AuditStore
from fulfillment.storage.engine import connect
from fulfillment.storage.stock import StockStore
from fulfillment.storage.views import OrderViews
from workers.audit import Report as AuditReport
from workers.audit import read_ledger, run_audit

Result = TypeVar("Result")

SPEED: Final = 7200.0
WORKERS: Final = 2

# Real seconds.
_SPREAD: Final = 15.0
_KILL_AFTER: Final = 9.0
_STOP_AFTER: Final = 22.0
_STORIES_WITHIN: Final = 20.0
_SCRIPTED_STOP: Final = 5.0
_KEYED_STOP: Final = 10.0
_LONGEST: Final = 150.0
_A_NIGHT: Final = timedelta(hours=13)  # quiet hours, and time to send
_LOOK_EVERY: Final = 0.4
_BLINK: Final = 1.0
_BEAT: Final = 0.1

# A caller's own servers are full of their own data, and not ours to stop.
_OUTSIDE: Final = ("DATABASE_URL", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE")
_HELP: Final = (
    "k  kills a worker as a crash would: its orders go on with the other one",
    "d  stops PostgreSQL for 10 s: everybody waits and nothing is lost",
    "t  stops Temporal for 10 s: orders are taken all the same, and started later",
    "n  places one more order    q  ends the demo; its data stays until the next one",
)


def demo(console: Console, folder: Path, report_file: Path) -> int:
    """Run the demo in a fresh `folder` and return its exit code: 0 if everything holds.

    Raises:
        AlreadyRunning: another demo uses the folder.
        ChildFailed, PostgresMissing, TemporalMissing: the stack does not start.
    """
    if (other := State(folder).running()) is not None:
        raise AlreadyRunning(other)
    began = time.monotonic()
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    for name in _OUTSIDE:
        if os.environ.pop(name, None):
            say(f"{name} is left alone: the demo makes servers of its own")
    forget(folder)
    wind_clock(State(folder), datetime.now(UTC))
    stack = Stack(StackSpec(state=folder, workers=WORKERS, speed=SPEED), say=say)
    with running.stopped_by_signals(stack):
        try:
            with stack:
                return 0 if Demo(stack, console, report_file, began).run() else 1
        except Stopped:
            say("stopped before the end: nothing is proved")
            return 1


def wind_clock(state: State, now: datetime) -> None:
    """Let shop time begin on a Monday noon, so that every run has the same week before it.

    Both clocks agree a little before `now`: since then the fast one has run ahead to that Monday.
    """
    monday = (now + timedelta(days=7 - now.weekday())).replace(hour=12, minute=0, second=0, microsecond=0)
    anchor = now - (monday - now) / (SPEED - 1)
    state.set_clock(Clock(speed=SPEED, anchor=anchor.isoformat(timespec="milliseconds")))


@dataclass
class Demo:
    """One run of the demo on a stack that is up. `began` is when the command was given."""

    stack: Stack
    console: Console
    report_file: Path
    began: float
    scenarios: list[Scenario] = field(default_factory=lambda: list(SCENARIOS))

    def __post_init__(self) -> None:
        os.environ.update(self.stack.env)  # the audit and the Temporal client read their settings there
        for name in embedded_temporal.foreign_settings():
            if name not in self.stack.env:
                os.environ.pop(name, None)
        self._settings = load_settings("database_url", "api_key", "simulator_url")
        self._clock: ShopClock = self._settings.clock
        self._happened: list[Happened] = []
        self._lock = threading.Lock()
        self._unsaid: list[str] = []
        self._playing: set[str] = set()
        self._quit = False
        self._blows = Blows(self.stack, self._now, self._tell)

    def run(self) -> bool:
        """Play, prove, report; return whether everything holds."""
        with self._books() as engine, self._hands(engine) as hands:
            self._set_the_scene(engine)
            first = hands.place(SCENARIOS[0])
            self._say_ready(engine, str(first["tracking_url"]))
            with screen(self.console) as shown:
                self._play(hands, shown)
            if self._quit:
                raise Stopped
            lines = self._prove(engine, hands)
        self._say("")
        for said in lines:
            self.console.print(table.verdict(said.verdict, said.text), soft_wrap=True)
            for why in said.why:
                self._say(f"      {why}")
        self._say(f"wrote {_short(self.report_file)}")
        self._stay()
        return all(said.passed for said in lines)

    # --- before the first order

    @contextmanager
    def _books(self) -> Iterator[Engine]:
        engine = connect(self._settings.database_url, pool_size=2)
        try:
            yield engine
        finally:
            engine.dispose()

    @contextmanager
    def _hands(self, engine: Engine) -> Iterator[Hands]:
        board = Board(OrderViews(engine, self._now), [s.order_id for s in self.scenarios], self._now)
        with (
            api_client(self.stack.urls["web"], self._settings.api_key) as shop,
            api_client(self.stack.urls["web"], self.stack.state.secrets()["second_key"]) as second,
            api_client(self._settings.simulator_url) as simulator,
        ):
            yield Hands(
                shop=shop,
                second=second,
                simulator=simulator,
                board=board,
                told=self._tell,
                stopping=lambda: self.stack.is_stopping or self._quit,
            )

    def _set_the_scene(self, engine: Engine) -> None:
        stock = StockStore(engine, self._now)
        seed(stock)
        for goods in GOODS:
            stock.set_catalogue([goods.product], by="demo", location_id=goods.location_id)

    def _say_ready(self, engine: Engine, tracking_url: str) -> None:
        took = time.monotonic() - self.began
        parts = [f"PostgreSQL {_postgres_version(engine)}", f"Temporal {asyncio.run(_temporal_version())}"]
        self._say(f"ready in {took:.1f} s   {' · '.join([*parts, f'{WORKERS} workers', 'web'])}")
        self._say(f"logs {_short(self.stack.state.logs)}")
        for name, url in _pages(self.stack.urls, tracking_url):
            self._say(f"  {name:15} {url}")
        self._say("")

    # --- the play

    def _play(self, hands: Hands, shown: Screen) -> None:
        """Run until every order has its end, or waits for somebody, or time is up."""
        self._playing = {scenario.order_id for scenario in self.scenarios}
        for number, scenario in enumerate(self.scenarios):
            self._begin(hands, scenario, after=number * _SPREAD / len(self.scenarios))
        threading.Thread(target=self._strike, args=(hands,), name="blows", daemon=True).start()
        deadline = time.monotonic() + _LONGEST
        while not self._is_over(hands.board) and not self._quit:
            if self.stack.is_stopping:
                raise Stopped
            if time.monotonic() > deadline:
                self._say_who_is_missing(hands.board)
                break
            self._look(hands, shown)
        self._look(hands, shown)

    def _look(self, hands: Hands, shown: Screen) -> None:
        began = time.monotonic()
        changes = hands.board.look()
        for said in self._take_unsaid():
            shown.say(said)
        shown.show(self._frame(hands.board), changes)
        self._obey(shown.key(), hands, shown)
        time.sleep(max(0.0, _LOOK_EVERY - (time.monotonic() - began)))

    def _frame(self, board: Board) -> table.Frame:
        views, now = board.views, self._now()
        return table.Frame(
            rows=tuple(table.Row.of(view, now) for view in views.values()),
            counts=Counts.of(views.values()),
            orders=len(board.wanted),
            speed=self._clock.speed,
            now=now,
            away=self._blows.away or ("the database does not answer" if board.blind_for > _BLINK else ""),
            said=(self._happened[-1].text,) if self._happened else (),
        )

    def _begin(self, hands: Hands, scenario: Scenario, *, after: float) -> None:
        story = threading.Thread(target=self._tell_story, args=(hands, scenario, after), daemon=True)
        story.name = scenario.order_id
        story.start()

    def _tell_story(self, hands: Hands, scenario: Scenario, after: float) -> None:
        try:
            hands.pause(after)
            hands.place(scenario)
            if scenario.then:
                scenario.then(hands, scenario.order_id)
        except Stopped:
            pass
        except Exception as trouble:  # noqa: BLE001 a broken story is a finding, not the end
            self._tell(scenario.order_id, f"its story broke: {type(trouble).__name__} {trouble}")
        finally:
            with self._lock:
                self._playing.discard(scenario.order_id)

    def _strike(self, hands: Hands) -> None:
        """One worker killed and one stop of the database, whether anybody presses a key or not."""
        with suppress(Stopped):
            hands.pause(_KILL_AFTER)
            self._blows.kill_worker()
            hands.pause(_STOP_AFTER - _KILL_AFTER)
            self._wait_for_the_stories(hands)
            self._blows.stop_database(_SCRIPTED_STOP)

    def _wait_for_the_stories(self, hands: Hands) -> None:
        """Let people finish what they do: a story is about its own trouble, not about this one."""
        for _ in range(int(_STORIES_WITHIN / _BEAT)):
            with self._lock:
                if len(self._playing) <= 1:
                    return
            hands.pause(_BEAT)

    def _obey(self, key: str, hands: Hands, shown: Screen) -> None:
        match key:
            case "k":
                self._blows.kill_worker()
            case "d":
                self._blows.stop_database(_KEYED_STOP)
            case "t":
                self._blows.stop_temporal(_KEYED_STOP)
            case "n":
                self._place_another(hands)
            case "?":
                for said in _HELP:
                    shown.say(said)
            case "q":
                self._quit = True

    def _place_another(self, hands: Hands) -> None:
        scenario = another(int(self.scenarios[-1].order_id.removeprefix("SO-")) + 1)
        self.scenarios.append(scenario)
        hands.board.add(scenario.order_id)
        with self._lock:
            self._playing.add(scenario.order_id)
        self._begin(hands, scenario, after=0.0)

    def _is_over(self, board: Board) -> bool:
        views = board.views
        with self._lock:
            playing = bool(self._playing)
        return (
            not playing
            and not self._blows.away
            and all(name in views and proof.is_there(views[name]) for name in board.wanted)
        )

    def _say_who_is_missing(self, board: Board) -> None:
        views = board.views
        missing = [name for name in board.wanted if name not in views or not proof.is_there(views[name])]
        self._say(f"after {_LONGEST:g} s not there: {', '.join(missing) or 'nobody, but a story goes on'}")

    # --- the proof

    def _prove(self, engine: Engine, hands: Hands) -> list[Line]:
        self._say("waiting for the morning's mails and for rest, then the audit ..")
        self._wait_for_the_morning(engine)
        audit: AuditReport = _beside(partial(run_audit, self._settings), self.stack)
        hands.board.look()
        books = AuditStore(engine, self._now, speed=self._clock.speed).books()
        ledger, said = read_ledger(self._settings.simulator_url), hands.simulator.get("/_sim/ledger")
        views = hands.board.views
        notes = [(happened.order_id, happened.text) for happened in self._happened]
        ended = proof.endings(views.values(), books, ledger, said, notes)
        of_scenarios = proof.of_scenarios(self.scenarios, ended)
        of_the_whole = proof.of_the_whole(hands.board.wanted, ended, books, ledger, self._blows.survived)
        of_the_audit = proof.of_the_audit(audit.checks)
        report.write(
            self.report_file,
            report.Report(
                scenarios=tuple(self.scenarios),
                of_scenarios=tuple(of_scenarios),
                of_the_whole=tuple(of_the_whole),
                of_the_audit=tuple(of_the_audit),
                views=views,
                changes=hands.board.changes,
                happened=tuple(self._happened),
                outages=self._blows.outages,
                speed=self._clock.speed,
                took=time.monotonic() - self.began,
                until=self._now(),
            ),
        )
        return [*of_scenarios, *of_the_audit[:-1], *of_the_whole, of_the_audit[-1]]

    def _wait_for_the_morning(self, engine: Engine) -> None:
        """Let the news of the night arrive: no customer is woken, and a night lasts some seconds here."""
        until = self._now() + _A_NIGHT
        books = AuditStore(engine, self._now, speed=self._clock.speed).books
        while self._now() < until and any(
            message.state == NotificationState.PENDING and message.not_before < until
            for message in books().messages
        ):
            time.sleep(_BEAT)

    def _stay(self) -> None:
        """On a terminal the stack stays until somebody says so."""
        if not is_interactive(self.console):
            return
        with keyboard() as keys:
            self._say("everything still runs: look around; [q] stops it, data kept")
            while not self.stack.is_stopping:
                with suppress(queue.Empty):
                    if keys.get(timeout=_BEAT) == "q":
                        return

    # --- what is told

    def _now(self) -> datetime:
        return shop_now(self._clock)

    def _tell(self, order_id: str, what: str) -> None:
        happened = Happened(at=self._now(), order_id=order_id, text=what)
        with self._lock:
            self._happened.append(happened)
            about = f"{order_id}  " if order_id else ""
            self._unsaid.append(f"{happened.at:%a %d %H:%M}  {about}-- {what}")

    def _take_unsaid(self) -> list[str]:
        with self._lock:
            unsaid, self._unsaid = self._unsaid, []
        return unsaid

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _beside(work: Callable[[], Result], stack: Stack) -> Result:
    """Do some work beside the main thread, so that Ctrl-C need not wait for its end.

    Raises:
        Stopped: the stack is being stopped.
    """
    future: Future[Result] = Future()
    threading.Thread(target=_do, args=(work, future), daemon=True).start()
    while not wait([future], timeout=_BEAT).done:
        if stack.is_stopping:
            raise Stopped
    return future.result()


def _do(work: Callable[[], Result], future: "Future[Result]") -> None:
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001 handed on to whoever asks for the result
        future.set_exception(error)


def _pages(urls: dict[str, str], tracking_url: str) -> Iterator[tuple[str, str]]:
    web = urls["web"]
    yield "Storefront API", f"{web}/docs"
    yield "Track an order", tracking_url
    yield "Temporal UI", urls["temporal_ui"]
    yield "Simulator", f"{urls['simulator']}/_sim"
    yield "Mail", f"{urls['simulator']}/mail"


def _postgres_version(engine: Engine) -> str:
    with engine.connect() as conn:
        return str(conn.exec_driver_sql("SHOW server_version").scalar_one()).split()[0]


async def _temporal_version() -> str:
    client = await temporal.connect()
    about = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    return about.server_version


def _short(path: Path) -> str:
    """Return a path as people type it from where they are."""
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
