"""The bots: they do the floor's steps in order, leave what is stopped, and outlive an API that is away."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from devstack.bots import Bots, BotSettings, Pace
from fulfillment.http import ApiAway, ApiRefused

ROOT = Path(__file__).parents[2]
PIECES = [{"sku": "MUG-12", "quantity": 3}, {"sku": "TEE-BLK-M", "quantity": 1}]
AFTER = {"start": "picking", "picked": "picked", "packed": "packed", "handed_over": "handed_over"}


class Shop:
    """A floor in memory. `spoil` may raise instead of, or after, a step."""

    def __init__(self, *shipments: str) -> None:
        self.status = dict.fromkeys(shipments, "released")
        self.deliveries: list[dict[str, Any]] = []
        self.steps: list[tuple[str, str]] = []
        self.receipts: dict[str, Any] = {}
        self.weights: dict[str, int] = {}
        self.scans: dict[str, dict[str, str]] = {}
        self.expected_g: int | None = None
        self.mugs = 3
        self.held: set[str] = set()
        self.rejected: list[tuple[str, dict[str, Any]]] = []
        self.looked = 0
        self.spoil: Callable[[str, str], None] = lambda shipment, step: None
        self.spoil_after: Callable[[str, str], None] = lambda shipment, step: None

    def get(self, path: str, **params: str | int | None) -> Any:
        if path == "/v1/receipts/due":
            return {"due": [d for d in self.deliveries if d["replenishment_id"] not in self.receipts]}
        self.looked += 1
        return {"work": [self._item(s, w) for s, w in self.status.items() if w != "handed_over"]}

    def _item(self, shipment: str, status: str) -> dict[str, Any]:
        held = ["fraud"] if shipment in self.held else []
        item = {"shipment_id": shipment, "work_status": status, "items": self._pieces(shipment), "held": held}
        return item | {"order_id": shipment.rpartition("-")[0]}

    def _pieces(self, shipment: str) -> list[dict[str, Any]]:
        mugs = self.mugs - sum(body["quantity"] for whose, body in self.rejected if whose == shipment)
        return [PIECES[0] | {"quantity": mugs}, PIECES[1]]

    def post(self, path: str, body: Any = None) -> Any:
        if path == "/v1/receipts":
            self.receipts[body["key"]] = body
            return {"filled": []}
        shipment, _, step = path.removeprefix("/v1/warehouse/shipments/").partition("/")
        if step.startswith("bench"):
            return self._bench(shipment, body.get("scans", []))
        if step == "rejections":
            if any(said["scan_id"] == body["scan_id"] and said != body for _, said in self.rejected):
                raise ApiRefused(409, {"code": "id_used"})
            self.rejected.append((shipment, body))
            return {"left": 3}
        self.spoil(shipment, step)
        self.steps.append((shipment, step))
        self.status[shipment] = AFTER[step]
        if step == "packed":
            assert all(line["verified"] == line["quantity"] for line in self._bench(shipment, [])["lines"])
            self.weights[shipment] = body["weight_g"]
            self.status[shipment] = "labeled"
        self.spoil_after(shipment, step)
        return {"tracking_number": f"1Z-{shipment}"}

    def _bench(self, shipment: str, scans: list[dict[str, str]]) -> dict[str, Any]:
        """Count each scan once; nobody knows what the goods should weigh."""
        seen = self.scans.setdefault(shipment, {})
        seen |= {scan["scan_id"]: scan["code"] for scan in scans}
        there = list(seen.values())
        lines = [piece | {"verified": there.count(piece["sku"])} for piece in self._pieces(shipment)]
        return {"shipment_id": shipment, "round": 0, "lines": lines, "expected_g": self.expected_g}


class World:
    """The physical world: which parcels the carrier was given."""

    def __init__(self) -> None:
        self.parcels: list[str] = []
        self.surprises: list[dict[str, Any]] = []

    def get(self, path: str, **params: str | int | None) -> Any:
        assert path == "/_sim/shelves"
        return {"surprises": self.surprises}

    def post(self, path: str, body: Any = None) -> Any:
        self.parcels.append(path.split("/")[3])


@pytest.fixture
def world() -> World:
    return World()


def at_work(shop: Shop, world: World, until: Callable[[], bool], seconds: float = 5.0) -> None:
    """Let bots work until the condition holds."""
    pace = Pace(before=dict.fromkeys(("picked", "packed", "handed_over"), 0.0), stopped=0.05)
    bots = Bots(shop, world, pace, piece_g=400)
    threads = bots.start(3)
    deadline = time.monotonic() + seconds
    while not until() and time.monotonic() < deadline:
        bots.look_at_the_board()
        bots.look_for_deliveries()
        time.sleep(0.01)
    bots.stop()
    for thread in threads:
        thread.join(2)
    assert until()


def test_a_shipment_is_started_picked_packed_and_handed_over_in_this_order(world: World) -> None:
    shop = Shop("SO-1-1")

    at_work(shop, world, lambda: world.parcels == ["1Z-SO-1-1"])

    assert [step for _, step in shop.steps] == ["start", "picked", "packed", "handed_over"]
    assert shop.weights == {"SO-1-1": 1600}


def test_what_is_wrong_on_the_shelf_is_said_once_and_the_rest_goes_on(world: World) -> None:
    shop = Shop("SO-1-1", "SO-2-1")
    world.surprises = [{"id": 1, "order": "SO-1", "sku": "MUG-12", "reason": "damaged", "units": 1}]

    at_work(shop, world, lambda: len(world.parcels) == 2)

    said = {"sku": "MUG-12", "reason": "damaged", "quantity": 1, "scan_id": "surprise-1"}
    assert shop.rejected == [("SO-1-1", said | {"photo": "photos/surprise-1.jpg"})]
    assert shop.weights == {"SO-1-1": 1200, "SO-2-1": 1600}


def test_bots_that_follow_others_go_on_with_what_those_left_of_it(world: World) -> None:
    shop = Shop("SO-1-1")
    shop.rejected = [
        ("SO-1-1", {"sku": "MUG-12", "reason": "damaged", "quantity": 2, "scan_id": "surprise-1"})
    ]
    world.surprises = [{"id": 1, "order": "SO-1", "sku": "MUG-12", "reason": "damaged", "units": 2}]

    at_work(shop, world, lambda: bool(world.parcels))

    assert len(shop.rejected) == 1
    assert shop.weights == {"SO-1-1": 800}


def test_every_unit_is_scanned_into_its_carton_and_the_parcel_weighs_what_it_should(world: World) -> None:
    shop = Shop("SO-1-1")
    shop.expected_g = 1170

    at_work(shop, world, lambda: bool(world.parcels))

    assert sorted(shop.scans["SO-1-1"].values()) == ["MUG-12", "MUG-12", "MUG-12", "TEE-BLK-M"]
    assert shop.weights == {"SO-1-1": 1170}


def test_what_nobody_weighed_is_no_heavier_than_carriers_take(world: World) -> None:
    shop = Shop("SO-1-1")
    shop.mugs = 1000

    at_work(shop, world, lambda: bool(world.parcels))

    assert shop.weights == {"SO-1-1": 30_000}


def test_a_held_shipment_is_not_even_touched(world: World) -> None:
    shop = Shop("SO-1-1", "SO-2-1")
    shop.held = {"SO-1-1"}

    at_work(shop, world, lambda: world.parcels == ["1Z-SO-2-1"] and shop.looked > 10)

    assert shop.status["SO-1-1"] == "released"


def test_many_shipments_are_in_work_at_once_and_each_parcel_is_given_to_the_carrier_once(
    world: World,
) -> None:
    shop = Shop(*(f"SO-{n}-1" for n in range(60)))

    at_work(shop, world, lambda: len(world.parcels) >= 60)

    assert sorted(world.parcels) == sorted(f"1Z-SO-{n}-1" for n in range(60))


def test_a_shipment_found_half_done_is_finished_from_where_it_is(world: World) -> None:
    shop = Shop("SO-1-1")
    shop.status["SO-1-1"] = "picked"

    at_work(shop, world, lambda: bool(world.parcels))

    assert [step for _, step in shop.steps] == ["packed", "handed_over"]


def test_a_stopped_shipment_is_left_and_the_others_go_on_until_it_may_go_too(world: World) -> None:
    shop = Shop("SO-1-1", "SO-2-1")
    held = True

    def stop(shipment: str, step: str) -> None:
        if held and (shipment, step) == ("SO-1-1", "packed"):
            raise ApiRefused(409, {"code": "stop", "detail": "STOP SO-1-1: held"})

    shop.spoil = stop
    at_work(shop, world, lambda: world.parcels == ["1Z-SO-2-1"])
    held = False

    at_work(shop, world, lambda: "1Z-SO-1-1" in world.parcels)


@pytest.mark.parametrize(
    "trouble", [ApiAway("nobody"), ApiRefused(503, {"code": "temporarily_unavailable"}), ApiRefused(429, {})]
)
def test_an_api_that_is_away_is_asked_again(world: World, trouble: Exception) -> None:
    shop = Shop("SO-1-1")
    left = ["start", "picked", "packed", "handed_over"]

    def fail_once(shipment: str, step: str) -> None:
        if step in left:
            left.remove(step)
            raise trouble

    shop.spoil = fail_once

    at_work(shop, world, lambda: bool(world.parcels))

    assert not left


def test_a_lost_answer_at_the_dock_does_not_leave_the_parcel_standing_there(world: World) -> None:
    shop = Shop("SO-1-1")
    answers = iter([ApiAway("the answer was lost")])

    def lose(shipment: str, step: str) -> None:
        if step == "handed_over" and (lost := next(answers, None)):
            raise lost

    shop.spoil_after = lose

    at_work(shop, world, lambda: bool(world.parcels))

    assert shop.steps.count(("SO-1-1", "handed_over")) == 2


def test_a_carrier_that_does_not_answer_is_told_again_without_handing_over_twice(world: World) -> None:
    shop = Shop("SO-1-1")
    away = iter([ApiAway("no carrier")])
    given = world.post

    def post(path: str, body: Any = None) -> Any:
        if trouble := next(away, None):
            raise trouble
        return given(path, body)

    world.post = post  # type: ignore[method-assign]  # the first call fails

    at_work(shop, world, lambda: bool(world.parcels))

    assert shop.steps.count(("SO-1-1", "handed_over")) == 1


def test_goods_that_a_vendor_brought_are_booked_once_under_the_number_of_their_order(world: World) -> None:
    shop = Shop()
    delivery = {"sku": "MUG-12", "location_id": "wh-reno", "quantity": 40, "replenishment_id": "RO-7"}
    shop.deliveries = [delivery | {"vendor": "Exotic Liquids"}]

    at_work(shop, world, lambda: bool(shop.receipts))

    assert shop.receipts == {"RO-7": delivery | {"key": "RO-7"}}


def test_steps_take_shop_time() -> None:
    pace = Pace.of(BotSettings(speed=7200, bots_pick_minutes=12, bots_stopped_minutes=10))

    assert pace.before["picked"] == pytest.approx(0.1)
    assert pace.stopped == 1.0


@pytest.fixture
def served() -> Iterator[tuple[str, Shop, World]]:
    """A shop and a world behind real HTTP."""
    shop, world = Shop("SO-1-1"), World()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            door: Shop | World = world if self.path.startswith("/_sim") else shop
            self._answer(door.get(self.path))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "null")
            door: Shop | World = world if self.path.startswith("/_sim") else shop
            self._answer(door.post(self.path, body))

        def _answer(self, said: Any) -> None:
            content = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", shop, world
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_program_says_when_it_works_and_stops_at_once_when_told(
    served: tuple[str, Shop, World], tmp_path: Path
) -> None:
    url, _, world = served
    ready = tmp_path / "ready"
    env = {
        "WAYBILL_PUBLIC_URL": url,
        "WAYBILL_SIMULATOR_URL": url,
        "WAYBILL_SPEED": "36000",
        "WAYBILL_READY_FILE": str(ready),
        "WAYBILL_BOTS_LOOK_SECONDS": "0.05",
    }
    bots = subprocess.Popen([sys.executable, "-m", "devstack.bots"], cwd=ROOT, env={**os.environ, **env})
    try:
        _wait_for(lambda: ready.exists() and bool(world.parcels))
        began = time.monotonic()
        bots.send_signal(signal.SIGTERM)
        code = bots.wait(5)
    finally:
        bots.kill()
        bots.wait()

    assert code == 0
    assert time.monotonic() - began < 3
    assert world.parcels == ["1Z-SO-1-1"]


def _wait_for(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
