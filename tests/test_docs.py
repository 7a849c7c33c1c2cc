"""The documentation against the code: links, paths, commands, generated parts, and every example run."""

import importlib.util
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
from temporalio.client import Client

from devstack.cli import app
from devstack.stack import EVERYTHING, Stack, StackSpec
from devstack.temporal import SEARCH_ATTRIBUTES
from fulfillment.domain.cases import OWNER, SEVERITY, CaseKind
from fulfillment.domain.policy import Policy
from fulfillment.domain.stage import Stage
from fulfillment.settings import Settings
from starter.api.schemas import Placement
from workflows.contract import OrderStart

ROOT = Path(__file__).parents[1]
ROOMS = ("devstack", "starter", "workers", "workflows", "activities", "fulfillment")
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
OUR_PATH = re.compile(rf"`((?:{'|'.join(ROOMS)}|tests|docs)/[\w./*-]*)`")
COMMAND = re.compile(r"\./waybill ([a-z-]+)")
BLOCK = re.compile(r"^```(\w+) (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = _generator()
PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in generate.pages()]


# --- pages and code agree -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_what_is_generated_is_what_the_code_says(page: Path) -> None:
    text = page.read_text()

    assert generate.generated(text) == text, "run: python docs/generate.py"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [found[0] or found[1] for found in LINK.findall(page.read_text())]

    broken = [link for link in links if not link.startswith("http") and not leads_somewhere(page, link)]

    assert not broken


def leads_somewhere(page: Path, link: str) -> bool:
    file, _, anchor = link.partition("#")
    target = (page.parent / file).resolve() if file else page
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_file_a_page_names_is_there(page: Path) -> None:
    missing = [path for path in OUR_PATH.findall(page.read_text()) if not list(ROOT.glob(path.rstrip("/")))]

    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_every_command_a_page_names_exists(page: Path) -> None:
    commands = set(typer.main.get_group(app).commands)

    assert set(COMMAND.findall(page.read_text())) <= commands


def test_every_setting_is_explained() -> None:
    assert set(generate.SETTINGS) == set(Settings.model_fields)


def test_every_rule_of_the_policy_is_explained_and_read_somewhere() -> None:
    source = "\n".join(
        file.read_text()
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        if file != ROOT / "fulfillment" / "domain" / "policy.py"
    )
    names = [field.name for field in fields(Policy)]

    unread = {name for name in names if not re.search(rf"\.{name}\b", source)}

    assert set(generate.POLICY) == set(names)
    assert unread == set()


def test_every_search_attribute_is_explained() -> None:
    assert set(generate.ATTRIBUTES) == set(SEARCH_ATTRIBUTES)


@pytest.mark.parametrize("kind", CaseKind)
def test_every_kind_of_trouble_has_a_runbook_that_names_who_acts(kind: CaseKind) -> None:
    page = (DOCS / "runbooks" / f"{kind}.md").read_text()

    assert page.startswith(f"# {kind}\n\nWho acts: **{OWNER[kind]}**. Severity {SEVERITY[kind]}.\n")
    for part in ("**It means.**", "**By itself.**", "**Do.**", "**It is over when**"):
        assert part in page


def test_no_runbook_is_about_trouble_that_does_not_exist() -> None:
    pages = {page.stem for page in (DOCS / "runbooks").glob("*.md")} - {"README"}

    assert pages == set(CaseKind)


def test_every_decision_is_listed_and_says_what_keeps_it() -> None:
    decisions = sorted((DOCS / "decisions").glob("0*.md"))
    index = (DOCS / "decisions" / "README.md").read_text()

    assert [page.name for page in decisions] == re.findall(r"\((0\d{3}-[\w-]+\.md)\)", index)
    for page in decisions:
        for part in (
            "**Context.**",
            "**Decision.**",
            "**Consequences.**",
            "**Alternatives.**",
            "**Kept so by**",
        ):
            assert part in page.read_text(), page.name


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_integrators_read_every_stage_and_every_answer_to_placing() -> None:
    page = (DOCS / "integrating.md").read_text()

    assert [word for word in (*Stage, *Placement.__args__) if f"`{word}`" not in page] == []


def test_a_workflow_starts_with_nothing_personal() -> None:
    """Decision 5. A new field here goes into every history: think before you add to this list."""
    assert {field.name for field in fields(OrderStart)} == {
        "order_id",
        "currency",
        "total",
        "policy",
        "clock",
        "goes_on",
    }


# --- examples run ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A shop with stock and nobody in the warehouse: what is placed stays where it is."""
    spec = StackSpec(
        state=tmp_path_factory.mktemp("docs") / ".waybill",
        services=EVERYTHING - {"bots"},
        workers=1,
        speed=60,
        frugal=True,
        quiet_ports=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATABASE_URL", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"):
            patch.delenv(name, raising=False)
        with Stack(spec) as running:
            yield running


@dataclass(frozen=True)
class Example:
    """What a page tells the reader to run, and what it says the answer holds."""

    setup: str
    run: str
    answer: Any


def examples(page: Path) -> Iterator[Example]:
    """The blocks ```sh run of a page, each after every ```sh setup before it and with the ```json answer after it."""
    setup, blocks = "", [(kind, text) for _, kind, text in BLOCK.findall(page.read_text())]
    for number, (kind, text) in enumerate(blocks):
        if kind == "setup":
            setup += text
        if kind == "run":
            follows, answer = blocks[number + 1] if number + 1 < len(blocks) else ("", "")
            yield Example(setup, text, json.loads(answer) if follows == "answer" else {})


@pytest.mark.parametrize("name", ["README.md", "docs/integrating.md"])
def test_every_example_answers_as_the_page_says(name: str, shop: Stack) -> None:
    found = list(examples(ROOT / name))

    assert found
    for example in found:
        told = run(shop, example)
        assert told, example.run
        assert holds(json.loads(told), example.answer), f"{example.run}\nanswered {told}"


def run(shop: Stack, example: Example) -> str:
    script = (example.setup + example.run).replace("http://localhost:8000", shop.urls["web"])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=shop.spec.state.parent,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{script}\n{done.stderr}"
    return done.stdout


def holds(answer: Any, told: Any) -> bool:
    """Test whether an answer has everything the page shows of it; "*" stands for any text."""
    if told == "*":
        return isinstance(answer, str) and bool(answer)
    if isinstance(told, dict):
        return isinstance(answer, dict) and all(
            name in answer and holds(answer[name], part) for name, part in told.items()
        )
    if isinstance(told, list):
        return isinstance(answer, list) and len(answer) == len(told) and all(map(holds, answer, told))
    return bool(answer == told)


async def test_temporal_understands_every_saved_view(shop: Stack) -> None:
    client = await Client.connect(shop.env["TEMPORAL_ADDRESS"], namespace=shop.env["TEMPORAL_NAMESPACE"])

    for query in generate.VIEWS.values():
        async for _ in client.list_workflows(query):
            pass
