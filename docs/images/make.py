"""The pictures of the README, taken while the demo runs: `python docs/images/make.py`. Needs a chromium."""

import io
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOT: Final = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from playwright.sync_api import sync_playwright
from rich.console import Console

from devstack import demo, table
from devstack.board import Change
from devstack.screen import PlainScreen
from devstack.table import Frame
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.stage import Stage
from fulfillment.domain.view import OrderView

HERE: Final = Path(__file__).parent
TABLE: Final = HERE / "demo.svg"
PAGE: Final = HERE / "tracking.png"
_CHROMIUMS: Final = ("chromium", "chromium-browser", "google-chrome")
_QUIET: Final = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_FONTS: Final = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_ENDED: Final = (Stage.DELIVERED, Stage.CANCELLED, Stage.LOST, Stage.RETURNED)
_ON_THE_WAY: Final = (Stage.IN_TRANSIT, Stage.OUT_FOR_DELIVERY)


class Camera(PlainScreen):
    """Watches the demo, keeps its most varied moment, and photographs the page of a parcel that is late."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._best: tuple[tuple[int, int], Frame] | None = None
        self._photographed = False

    def show(self, frame: Frame, changes: list[Change]) -> None:
        """Look at the demo."""
        super().show(frame, changes)
        varied = _variety(frame)
        if self._best is None or varied > self._best[0]:
            self._best = varied, frame
        for change in changes:
            if not self._photographed and _is_telling(change.view):
                self._photographed = True
                photograph(change.view)

    def draw(self) -> None:
        """Write the most varied moment as a picture."""
        if self._best is not None:
            paper = Console(record=True, width=table.WIDTH, file=io.StringIO(), force_terminal=True)
            paper.print(table.picture(self._best[1], width=table.WIDTH))
            drawn = paper.export_svg(title="./waybill demo")
            TABLE.write_text(_FONTS.sub("", drawn))  # a picture that loads nothing from elsewhere


def _variety(frame: Frame) -> tuple[int, int]:
    """How much there is to see: different stages first, then orders that still move."""
    if len(frame.rows) < frame.orders or frame.away:
        return 0, 0
    stages = [row.stage for row in frame.rows]
    return len(set(stages)), sum(stage not in _ENDED for stage in stages)


def _is_telling(view: OrderView) -> bool:
    return view.stage in _ON_THE_WAY and view.attention is CaseKind.DELAYED


def photograph(view: OrderView) -> None:
    """Write a picture of the customer's page of this order, as on a telephone."""
    chromium = next((found for name in _CHROMIUMS if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_QUIET)
        page = browser.new_page(viewport={"width": 390, "height": 780}, device_scale_factor=2)
        page.goto(f"{_web}/t/{view.tracking_token}")
        page.screenshot(path=str(PAGE))
        browser.close()


_web = ""


class _Filmed(demo.Demo):
    def run(self) -> bool:
        global _web  # the address is known once the stack is up
        _web = self.stack.urls["web"]
        return super().run()


def main() -> int:
    """Run the demo once and take both pictures."""
    camera = Camera(Console())

    @contextmanager
    def filmed(_: Console) -> Iterator[Camera]:
        yield camera
        camera.draw()

    demo.screen, demo.Demo = filmed, _Filmed  # type: ignore[assignment,misc]  # a camera instead of a terminal
    with TemporaryDirectory() as folder:
        return demo.demo(Console(), Path(folder) / "state", Path(folder) / "report.html")


if __name__ == "__main__":
    sys.exit(main())
