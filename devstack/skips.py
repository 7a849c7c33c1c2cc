"""A pytest plugin that says loudly what was skipped, and in CI counts it as a failure; and what is run only where asked for."""

import os
from collections import Counter
from collections.abc import Sequence
from typing import Final

import pytest

_ASKED_FOR: Final = ("benchmark", "karrio", "northwind")


class _Skips:
    def __init__(self, config: pytest.Config) -> None:
        self.reasons: dict[str, int] = {}
        self._means = dict(line.split(": ", 1) for line in config.getini("markers") if ": " in line)
        self._left_out: Counter[str] = Counter()

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._left_out.update(
            mark for item in items for mark in _ASKED_FOR if item.get_closest_marker(mark) is not None
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A test that is expected to fail is reported as skipped too, but it ran.
        if report.skipped and not hasattr(report, "wasxfail"):
            self._count(report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._count(report.longrepr)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for mark, count in sorted(self._left_out.items()):
            terminalreporter.write_line(f"{count} left out: {mark}: {self._means[mark]}")
        if self.reasons:
            terminalreporter.section("NOT TESTED HERE", sep="!", red=True, bold=True)
            for reason, count in sorted(self.reasons.items()):
                terminalreporter.write_line(f"{count} skipped: {reason}")
            if _in_ci():
                terminalreporter.write_line("WAYBILL_CI=1: a skipped test is a failure")

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if (
            self.reasons
            and _in_ci()
            and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _count(self, longrepr: object) -> None:
        reason = str(longrepr[2] if isinstance(longrepr, tuple) else longrepr).removeprefix("Skipped: ")
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Skips(config), "waybill-skips")


def _in_ci() -> bool:
    return os.environ.get("WAYBILL_CI") == "1"
