import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FUNCTIONS = sorted(path.name for path in (ROOT / "functions").iterdir() if path.is_dir())
FUNCTIONS = [name for name in FUNCTIONS if not name.startswith("_")]
FIRST_PARTY = ("events", "functions", "shared", "infra")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ENGINES = {"transcribe": ("whisper",)}
"""Extras of engines that a function imports only where they are installed and asked for."""
SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\s+\w")
RUN = re.compile(r"\brun=\d")
HEAVY = {"torch", "faster_whisper", "ctranslate2", "llama_cpp", "pocketsphinx"}


def test_the_functions_are_those_of_the_picture() -> None:
    assert FUNCTIONS == ["ingest", "merge", "persist", "split", "summarize", "transcribe"]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("file", ["__init__.py", "handler.py", "settings.py", "main.py"])
def test_a_function_has_its_handler_its_settings_and_its_composition_root(
    name: str, file: str
) -> None:
    assert (ROOT / "functions" / name / file).is_file()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_an_extra_of_its_own_name(name: str) -> None:
    assert name in PROJECT["optional-dependencies"]


@cache
def loaded(name: str) -> frozenset[str]:
    """The modules that are loaded once a function's composition root is imported."""
    script = f"import sys, functions.{name}.main; print(*sys.modules)"
    command = [sys.executable, "-W", "error", "-c", script]
    ran = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return frozenset(ran.stdout.split())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_importing_a_function_loads_no_engine(name: str) -> None:
    assert not HEAVY & {module.partition(".")[0] for module in loaded(name)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_importing_a_function_loads_no_other_function_and_no_infrastructure(name: str) -> None:
    own = (f"functions.{name}.", f"functions.{name}")
    ours = {m for m in loaded(name) if m.startswith(("functions.", "infra"))}
    assert {module for module in ours if not module.startswith(own)} == set()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_imports_only_what_it_or_every_function_declares(name: str) -> None:
    declared: set[str] = {canonicalize_name(each) for each in declared_by(name)}
    imported = {top for path in sources(name) for top in third_party(path)}
    assert {top for top in imported if not distributions_of(top) & declared} == set()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_leaves_sql_to_the_record(name: str) -> None:
    texts = {text for path in (ROOT / "functions" / name).rglob("*.py") for text in strings(path)}
    assert {text for text in texts if SQL.search(text)} == set()


def test_runs_are_numbered_where_they_begin_and_nowhere_else() -> None:
    files = (path for part in FIRST_PARTY for path in (ROOT / part).rglob("*.py"))
    numbered = {path.relative_to(ROOT).as_posix() for path in files if RUN.search(path.read_text())}
    assert numbered == {"functions/ingest/handler.py"}


def strings(path: Path) -> Iterator[str]:
    """Every string in a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def distributions_of(top: str) -> set[str]:
    """The installed distributions that hold a top-level package."""
    return {canonicalize_name(each) for each in installed().get(top, [])}


@cache
def installed() -> Mapping[str, list[str]]:
    return packages_distributions()


def declared_by(name: str) -> Iterator[str]:
    """Distributions named in pyproject for a function, each with those of its extras."""
    for requirement in requirements(name):
        yield requirement.name
        for extra in requirement.extras:
            yield from (each.name for each in needs(requirement.name, extra))


def requirements(name: str) -> Iterator[Requirement]:
    extras = PROJECT["optional-dependencies"]
    own = (*extras[name], *(each for extra in ENGINES.get(name, ()) for each in extras[extra]))
    for requirement in map(Requirement, [*PROJECT["dependencies"], *own]):
        if requirement.name == PROJECT["name"]:
            yield from (each for extra in requirement.extras for each in requirements(extra))
        else:
            yield requirement


def needs(distribution: str, extra: str = "") -> Iterator[Requirement]:
    """What a distribution requires here, with one of its extras."""
    for requirement in map(Requirement, requires(distribution) or []):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def sources(name: str) -> set[Path]:
    """The files of a function and those of `shared` and `events` that they come to import."""
    found, coming = set[Path](), set((ROOT / "functions" / name).rglob("*.py"))
    while coming:
        path = coming.pop()
        found.add(path)
        modules = (m for m in imports(path) if m.startswith(("shared.", "events")))
        files = {file for module in modules for file in files_of(module)}
        coming |= files - found
    return found


def files_of(module: str) -> Iterator[Path]:
    path = ROOT.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    yield from (candidate for candidate in candidates if candidate.is_file())


def third_party(path: Path) -> set[str]:
    tops = {module.partition(".")[0] for module in imports(path)}
    return tops - sys.stdlib_module_names - set(FIRST_PARTY)


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
