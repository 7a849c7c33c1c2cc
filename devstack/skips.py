"""A pytest plugin that says loudly what was skipped, and in CI counts it as a failure."""

import os

import pytest


class _Skips:
    def __init__(self) -> None:
        self.reasons: dict[str, int] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A test that is expected to fail is reported as skipped too, but it ran.
        if report.skipped and not hasattr(report, "wasxfail"):
            self._count(report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._count(report.longrepr)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
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
    config.pluginmanager.register(_Skips(), "waybill-skips")


def _in_ci() -> bool:
    return os.environ.get("WAYBILL_CI") == "1"
