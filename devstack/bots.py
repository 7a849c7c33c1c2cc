"""Pickers, packers and the dock, over HTTP like people; and the hands that give parcels to the physical world.

`python -m devstack.bots` works for every location until SIGTERM. Nothing is kept here: what is to be done is asked
of the API, and every step is safe to repeat, so that a killed bot is only a slow one.
"""

import heapq
import itertools
import logging
import math
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

from pydantic_settings import BaseSettings, SettingsConfigDict

from fulfillment.domain.label import HEAVIEST_G
from fulfillment.http import ApiAway, ApiRefused, api_client

log = logging.getLogger("bots")

_STEP: Final = MappingProxyType(
    {"released": "start", "picking": "picked", "picked": "packed", "labeled": "handed_over"}
)
_FOLLOWS: Final = MappingProxyType({"start": "picked", "picked": "packed"})
_TELL: Final = "tell the carrier"
_RECEIVE: Final = "receive"

_FIRST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 5.0
_BUSY: Final = 429
_RECEIPTS_EVERY: Final = 2.0
_LAST_WORDS: Final = 2.0
_HEAVIEST_G: Final = 30_000  # which every carrier takes; what nobody weighed is no heavier
_FREIGHT: Final = "freight, for which no carrier here has a label: the rest goes with it"


class BotSettings(BaseSettings):
    """Where the shop and the physical world are, and how fast bots work. Minutes are shop time."""

    model_config = SettingsConfigDict(env_prefix="WAYBILL_", extra="ignore")

    public_url: str = "http://localhost:8000"
    api_key: str = ""
    simulator_url: str = ""
    speed: float = 1.0
    ready_file: Path | None = None

    bots_threads: int = 6
    bots_look_seconds: float = 0.5
    bots_pick_minutes: float = 10.0
    bots_pack_minutes: float = 5.0
    bots_load_minutes: float = 15.0
    bots_stopped_minutes: float = 60.0
    bots_piece_g: int = 400


class Api(Protocol):
    """What bots need of an HTTP client (`fulfillment.http.ApiClient`)."""

    def get(self, path: str, **params: str | int | None) -> Any: ...

    def post(self, path: str, body: Any = None) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The next thing to do about a shipment, a parcel at the dock or a delivery of goods."""

    subject: str
    step: str
    body: Mapping[str, Any] = field(default_factory=dict)
    tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many real seconds each step takes, and how long a stopped shipment is left alone."""

    before: Mapping[str, float]
    stopped: float

    @classmethod
    def of(cls, settings: BotSettings) -> "Pace":
        """Return the pace at the shop's speed."""
        minute = 60.0 / settings.speed
        before = {
            "picked": settings.bots_pick_minutes * minute,
            "packed": settings.bots_pack_minutes * minute,
            "handed_over": settings.bots_load_minutes * minute,
        }
        return cls(before=before, stopped=max(1.0, settings.bots_stopped_minutes * minute))


class Agenda:
    """Jobs by the moment they are due. Threads may share one."""

    def __init__(self) -> None:
        self._jobs: list[tuple[float, int, Job]] = []
        self._turn = itertools.count()
        self._news = threading.Condition()
        self._closed = False

    def put(self, job: Job, *, after: float = 0.0) -> None:
        """Add a job that is due in `after` seconds."""
        with self._news:
            heapq.heappush(self._jobs, (time.monotonic() + after, next(self._turn), job))
            self._news.notify()

    def take(self) -> Job | None:
        """Return the next job when it is due; None once the agenda is closed."""
        with self._news:
            while not self._closed:
                wait = self._jobs[0][0] - time.monotonic() if self._jobs else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._jobs)[2]
                self._news.wait(wait)
            return None

    def close(self) -> None:
        """Let every waiting thread go; what is left stays undone."""
        with self._news:
            self._closed = True
            self._news.notify_all()


class Bots:
    """The people of every warehouse. `world` is the physical world behind the dock; None where there is none."""

    def __init__(self, shop: Api, world: Api | None, pace: Pace, *, piece_g: int) -> None:
        self._shop, self._world, self._pace, self._piece_g = shop, world, pace, piece_g
        self._agenda = Agenda()
        self._taken: set[str] = set()
        self._left: dict[str, float] = {}
        self._surprises: list[dict[str, Any]] = []
        self._told: set[int] = set()
        self._lock = threading.Lock()

    def start(self, threads: int) -> list[threading.Thread]:
        """Let `threads` bots work until `stop`."""
        workers = [threading.Thread(target=self._work, name=f"bot-{n}", daemon=True) for n in range(threads)]
        for worker in workers:
            worker.start()
        return workers

    def stop(self) -> None:
        """Let everybody finish what is in their hands and go home."""
        self._agenda.close()

    def look_at_the_board(self) -> int:
        """Take up every shipment that is on the floor and in nobody's hands; return how many."""
        return self._look("the board", self._read_board)

    def look_for_deliveries(self) -> int:
        """Take up the goods that vendors have brought; return how many deliveries."""
        return self._look("deliveries", self._read_deliveries)

    # --- what there is to do

    def _look(self, what: str, read: Callable[[], list[Job]]) -> int:
        try:
            jobs = read()
        except (ApiAway, ApiRefused) as trouble:
            log.warning("cannot read %s: %s", what, trouble)
            return 0
        taken = [job for job in jobs if self._takes(job.subject)]
        for job in taken:
            self._agenda.put(job, after=self._pace.before.get(job.step, 0.0))
        return len(taken)

    def _read_board(self) -> list[Job]:
        if self._world is not None:
            self._surprises = self._world.get("/_sim/shelves")["surprises"]
        items = self._shop.get("/v1/warehouse/work")["work"]
        self._forget_what_is_gone({item["shipment_id"] for item in items})
        return [
            Job(subject=item["shipment_id"], step=step, body=item)
            for item in items
            if not item["held"] and (step := _STEP.get(item["work_status"]))
        ]

    def _read_deliveries(self) -> list[Job]:
        due = self._shop.get("/v1/receipts/due")["due"]
        return [Job(subject=delivery["replenishment_id"], step=_RECEIVE, body=delivery) for delivery in due]

    def _takes(self, subject: str) -> bool:
        with self._lock:
            if subject in self._taken or self._left.get(subject, -math.inf) > time.monotonic():
                return False
            self._taken.add(subject)
            return True

    def _forget_what_is_gone(self, on_the_board: set[str]) -> None:
        with self._lock:
            self._left = {subject: until for subject, until in self._left.items() if subject in on_the_board}

    # --- doing it

    def _work(self) -> None:
        while (job := self._agenda.take()) is not None:
            try:
                self._do(job)
            except ApiAway as trouble:
                self._again(job, trouble)
            except ApiRefused as no:
                self._again(job, no) if no.status >= 500 or no.status == _BUSY else self._leave(job, no)
            except Exception:  # one strange answer must not cost a pair of hands
                log.exception("%s: %s", job.subject, job.step)
                self._done(job.subject)

    def _do(self, job: Job) -> None:
        if job.step == _TELL:
            self._tell(job)
        elif job.step == _RECEIVE:
            self._receive(job)
        else:
            self._step(job)

    def _step(self, job: Job) -> None:
        if job.step == "picked" and self._finds_something_wrong(job):
            self._done(job.subject)  # the board says what is left of it
            return
        answer = self._take_step(job)
        if job.step == "handed_over":
            # The parcel stands on the dock: from here on only the carrier can be late.
            self._work_on(replace(job, step=_TELL, tries=0, body=answer))
        elif follows := _FOLLOWS.get(job.step):
            self._agenda.put(replace(job, step=follows, tries=0), after=self._pace.before[follows])
        else:
            self._done(job.subject)

    def _take_step(self, job: Job) -> Any:
        path = f"/v1/warehouse/shipments/{job.subject}/{job.step}"
        try:
            return self._shop.post(path, self._words(job))
        except ApiRefused as no:
            if no.code != "check_needed":
                raise
            self._look_at(job, no.problem["skus"])
        return self._shop.post(path, self._words(job))

    def _look_at(self, job: Job, skus: list[str]) -> None:
        """Find the condition of these good, all units of each."""
        for item in job.body["items"]:
            if item["sku"] in skus:
                seen = {"sku": item["sku"], "quantity": item["quantity"], "grade": "A"}
                check = seen | {"check_id": uuid.uuid4().hex}
                self._shop.post(f"/v1/warehouse/shipments/{job.subject}/checks", check)

    def _finds_something_wrong(self, job: Job) -> bool:
        """Say what is wrong with units of it, each thing once; return whether there was anything."""
        found = [
            surprise
            for surprise in self._surprises
            if surprise["order"] == job.body["order_id"]
            and surprise["id"] not in self._told
            and _wants(job, surprise["sku"])
        ]
        for surprise in found:
            self._reject(job, surprise)
            self._told.add(surprise["id"])
        return bool(found)

    def _reject(self, job: Job, surprise: Mapping[str, Any]) -> None:
        scan_id = f"surprise-{surprise['id']}"
        words = {name: surprise[name] for name in ("sku", "reason", "found_sku") if name in surprise}
        there = next(item["quantity"] for item in job.body["items"] if item["sku"] == surprise["sku"])
        units = min(there, surprise["units"])
        words |= {"scan_id": scan_id, "quantity": units, "photo": f"photos/{scan_id}.jpg"}
        try:
            self._shop.post(f"/v1/warehouse/shipments/{job.subject}/rejections", words)
        except ApiRefused as no:
            if no.code != "id_used":  # bots that ran before us said it, when there was more in it
                raise

    def _words(self, job: Job) -> dict[str, Any] | None:
        return self._packed(job) if job.step == "packed" else None

    def _packed(self, job: Job) -> dict[str, Any]:
        """Scan every unit into its carton; return what the scales say."""
        path = f"/v1/warehouse/shipments/{job.subject}/bench"
        bench = self._shop.post(path, {"station": "bots", "take_over": True})
        if scans := _scans(bench):
            bench = self._shop.post(f"{path}/scans", {"scans": scans})
        pieces = sum(line["quantity"] for line in bench["lines"])
        return _weighed(bench["expected_g"] or min(_HEAVIEST_G, self._piece_g * pieces))

    def _work_on(self, job: Job) -> None:
        try:
            self._do(job)
        except ApiAway as trouble:
            self._again(job, trouble)

    def _tell(self, job: Job) -> None:
        if self._world is not None and (number := job.body.get("tracking_number")):
            self._world.post(f"/_sim/parcels/{number}/handed_over")
        self._done(job.subject)

    def _receive(self, job: Job) -> None:
        words = {name: job.body[name] for name in ("sku", "location_id", "quantity", "replenishment_id")}
        self._shop.post("/v1/receipts", words | {"key": job.subject})
        self._done(job.subject)

    def _again(self, job: Job, trouble: Exception) -> None:
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2**job.tries)
        log.warning("%s: %s, again in %.1f s: %s", job.subject, job.step, wait, trouble)
        self._agenda.put(replace(job, tries=min(job.tries + 1, 10)), after=wait)

    def _leave(self, job: Job, no: ApiRefused) -> None:
        log.info("%s: left at %s: %s", job.subject, job.step, no.detail)
        with self._lock:
            self._left[job.subject] = time.monotonic() + self._pace.stopped
            self._taken.discard(job.subject)

    def _done(self, subject: str) -> None:
        with self._lock:
            self._taken.discard(subject)


def _wants(job: Job, sku: str) -> bool:
    return any(item["sku"] == sku for item in job.body["items"])


def _weighed(weight_g: int) -> dict[str, Any]:
    if weight_g > HEAVIEST_G:
        return {"weight_g": _HEAVIEST_G, "weight_reason": _FREIGHT}
    return {"weight_g": weight_g}


def _scans(bench: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a scan of each unit that is still missing; always the same one of the same unit."""
    return [
        {
            "scan_id": f"{bench['shipment_id']}.{bench['round']}.{line['sku']}.{n}",
            "code": line["sku"],
            "serial": f"{line['sku']}-{bench['shipment_id']}-{n}",
        }
        for line in bench["lines"]
        for n in range(line["verified"] + 1, line["quantity"] + 1)
    ]


def run(settings: BotSettings, stopping: threading.Event) -> None:
    """Work until `stopping` is set."""
    world = api_client(settings.simulator_url) if settings.simulator_url else None
    bots = Bots(
        api_client(settings.public_url, settings.api_key, read_timeout=10.0),
        world,
        Pace.of(settings),
        piece_g=settings.bots_piece_g,
    )
    threads = bots.start(settings.bots_threads)
    if settings.ready_file:
        settings.ready_file.touch()
    next_deliveries = 0.0
    while not stopping.wait(settings.bots_look_seconds):
        bots.look_at_the_board()
        if time.monotonic() >= next_deliveries:
            bots.look_for_deliveries()
            next_deliveries = time.monotonic() + _RECEIPTS_EVERY
    bots.stop()
    until = time.monotonic() + _LAST_WORDS
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def main() -> None:
    """Run the bots of the stack this environment names."""
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s")
    log.setLevel(logging.INFO)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    run(BotSettings(), stopping)


if __name__ == "__main__":
    main()
