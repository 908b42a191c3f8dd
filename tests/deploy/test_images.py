"""What of the images can be checked without an engine that builds them."""

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from infra.deployments import ROOT

FOLDER = ROOT / "infra" / "docker"
IMAGES = sorted(path.name for path in FOLDER.glob("*Dockerfile"))


def copied(image: str) -> list[str]:
    """What an image is made of: the sources of its COPY lines, those between stages left out."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", (FOLDER / image).read_text(), re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def let_through(path: str) -> bool:
    """Whether `.dockerignore`, which begins with `*`, lets the path through."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return any(fnmatch(path, line[1:]) for line in lines if line.startswith("!"))


@pytest.mark.parametrize("image", IMAGES)
def test_what_an_image_copies_is_there_and_reaches_the_build(image: str) -> None:
    for source in copied(image):
        assert (ROOT / source).exists(), source
        assert let_through(source), source


@pytest.mark.parametrize("image", sorted({*IMAGES} - {"dispatcher.Dockerfile"}))
def test_a_functions_image_carries_nothing_of_infra(image: str) -> None:
    assert [source for source in copied(image) if source.startswith("infra")] == [
        "infra/__init__.py"
    ]


def test_the_dispatchers_image_carries_all_that_it_imports_and_no_function(tmp_path: Path) -> None:
    for source in copied("dispatcher.Dockerfile"):
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / source, tmp_path / source)
    script = "import sys, infra.dispatcher.__main__; print(infra.__file__, *sys.modules)"
    imported = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert imported[0] == str(tmp_path / "infra" / "__init__.py")
    assert not [name for name in imported if name.partition(".")[0] in ("functions", "psycopg")]
