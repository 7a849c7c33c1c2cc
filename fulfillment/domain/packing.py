"""At the bench: every unit is scanned into its carton, and the scales must say what the catalogue says."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from fulfillment.domain.cartons import Packing
from fulfillment.domain.errors import FulfillmentError


class ScanOutcome(StrEnum):
    """What a scan at the bench came to."""

    COUNTED = "counted"
    WRONG = "wrong"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitScan:
    """A unit that was scanned. `scan_id` is the scanner's: the same one again counts nothing.

    `serial` is the number of this very unit, where its SKU has such numbers.
    """

    scan_id: str
    code: str
    serial: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchLine:
    """Units of one SKU at the bench. `weight_g` is of one unit."""

    sku: str
    name: str
    quantity: int
    verified: int
    weight_g: int
    fragile: bool = False
    has_serials: bool = False
    serials: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """How many units are still to be scanned."""
        return self.quantity - self.verified

    def with_scanned(self, serial: str) -> "BenchLine":
        """Return the line with one more unit verified."""
        serials = (*self.serials, serial) if serial else self.serials
        return replace(self, verified=self.verified + 1, serials=serials)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A shipment at the bench. While `problem` is not empty, nothing is scanned until `problem_scan` is acknowledged.

    `round` counts how often its content changed after the floor had begun; scans of an earlier one do not count.
    `expected_g` is what it should weigh in the cartons of the proposal, None where something was never weighed.
    `to_send_again` are those scans of the request that came after a wrong one: they did not count, and their ids are
    free.
    """

    shipment_id: str
    order_id: str
    round: int
    lines: tuple[BenchLine, ...]
    packing: Packing
    expected_g: int | None
    packer: str
    station: str
    problem: str = ""
    problem_scan: str | None = None
    to_send_again: tuple[str, ...] = ()

    @property
    def is_verified(self) -> bool:
        """Test whether every unit was scanned and nothing is wrong."""
        return not self.problem and not any(line.missing for line in self.lines)


class NotVerified(FulfillmentError):
    """Not every unit of the shipment was scanned at the bench: there is no label until then."""

    code = "not_verified"

    def __init__(self, shipment_id: str, missing: Mapping[str, int]) -> None:
        units = ", ".join(f"{quantity} of {sku}" for sku, quantity in sorted(missing.items()))
        super().__init__(f"{shipment_id}: scan what is missing first: {units}")
        self.shipment_id, self.missing = shipment_id, missing


class ProblemStands(FulfillmentError):
    """Something wrong lies on the bench, and nobody has acknowledged it yet."""

    code = "packing_problem"

    def __init__(self, shipment_id: str, problem: str, scan_id: str) -> None:
        super().__init__(f"{shipment_id}: {problem}")
        self.shipment_id, self.problem, self.scan_id = shipment_id, problem, scan_id


class NoSuchProblem(FulfillmentError):
    """What somebody has seen is no wrong scan of this shipment."""

    code = "no_such_problem"

    def __init__(self, shipment_id: str, scan_id: str, problem: str, problem_scan: str | None) -> None:
        stands = f"what stands is scan {problem_scan}: {problem}" if problem else "nothing wrong lies there"
        super().__init__(f"{shipment_id}: scan {scan_id} was not wrong; {stands}")
        self.shipment_id, self.scan_id, self.problem_scan = shipment_id, scan_id, problem_scan


class WeightOff(FulfillmentError):
    """The scales say something else than the catalogue: something is missing, or too much."""

    code = "weight_off"

    def __init__(self, shipment_id: str, weight_g: int, expected_g: int) -> None:
        less = "too light" if weight_g < expected_g else "too heavy"
        super().__init__(
            f"{shipment_id}: {weight_g} g is {less}, it should be {expected_g} g: look inside and weigh it again, "
            "or say in `weight_reason` why it is right"
        )
        self.shipment_id, self.weight_g, self.expected_g = shipment_id, weight_g, expected_g


class AtAnotherBench(FulfillmentError):
    """Somebody else packs this shipment."""

    code = "at_another_bench"

    def __init__(self, shipment_id: str, packer: str, station: str) -> None:
        place = f" at {station}" if station else ""
        super().__init__(f"{shipment_id} is packed by {packer}{place}: leave it, or take it over")
        self.shipment_id, self.packer, self.station = shipment_id, packer, station


class NotAtBench(FulfillmentError):
    """Nobody has begun to pack this shipment."""

    code = "not_at_bench"

    def __init__(self, shipment_id: str) -> None:
        super().__init__(f"nobody has begun to pack {shipment_id} as it is now: begin first")
        self.shipment_id = shipment_id


class UnknownCarton(FulfillmentError):
    """There is no such kind of carton."""

    code = "unknown_carton"

    def __init__(self, carton_id: str) -> None:
        super().__init__(f"there is no carton {carton_id}")
        self.carton_id = carton_id


class SerialNeeded(FulfillmentError):
    """A unit that has a number of its own was scanned without it. Nothing of the request was counted."""

    code = "serial_needed"

    def __init__(self, shipment_id: str, sku: str) -> None:
        super().__init__(f"{shipment_id}: scan the serial number of this {sku} too, and send it as `serial`")
        self.shipment_id, self.sku = shipment_id, sku


def judge(scan: UnitScan, lines: Mapping[str, BenchLine]) -> tuple[ScanOutcome, str]:
    """Return what a scanned unit is for this shipment, and what to do about it; "" when it counts."""
    line = lines.get(scan.code)
    if line is None:
        return (
            ScanOutcome.WRONG,
            f"{scan.code} does not belong in this shipment: take it out, put it back on the shelf",
        )
    if not line.missing:
        return (
            ScanOutcome.TOO_MANY,
            f"all {line.quantity} of {scan.code} are in already: take this one out, put it back on the shelf",
        )
    if scan.serial and scan.serial in line.serials:
        return (
            ScanOutcome.TOO_MANY,
            f"{scan.code} number {scan.serial} was scanned already: count what lies in the carton",
        )
    return ScanOutcome.COUNTED, ""


def is_off(weight_g: int, expected_g: int, *, tolerance: float, slack_g: int) -> bool:
    """Test whether a weight is further from what it should be than cartons, paper and scales explain."""
    return abs(weight_g - expected_g) > max(tolerance * expected_g, slack_g)
