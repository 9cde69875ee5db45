"""Environments of their own for tests: an interpreter of this machine, packages of the index."""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSION = "import sys; print(*sys.version_info[:2])"


def clean_variables() -> dict[str, str]:
    """Return this process's variables without those that reach into an environment.

    Where runs say how they stand is kept: tests leave nothing in the home directory.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name == "MIDBAND_STATE" or not name.startswith(("PYTHON", "MIDBAND", "VIRTUAL_ENV"))
    }


def run(*command: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command with clean variables; one that fails fails the test with what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def newest_python(minimum: tuple[int, int]) -> Path:
    """Return the newest interpreter of this machine, or skip the test where all are too old."""
    found: dict[tuple[int, ...], Path] = {}
    for path in _interpreters():
        try:
            done = subprocess.run(
                [path, "-c", VERSION], capture_output=True, text=True, check=False, timeout=30
            )
        except OSError:
            continue
        if done.returncode == 0:
            found.setdefault(tuple(int(part) for part in done.stdout.split()), path)
    if not found or max(found) < minimum:
        wanted = ".".join(map(str, minimum))
        pytest.skip(f"needs Python {wanted} or newer, and there is none on this machine")
    return found[max(found)]


def make_environment(
    where: Path,
    packages: Sequence[str | Path],
    *,
    python: Path = Path(sys.executable),
    constrained: bool = True,
) -> Path:
    """Install packages into a new environment and return its folder of programs.

    `constrained` holds them to the versions of constraints.txt. The test is skipped where the
    package index cannot be reached.
    """
    uv = _uv()
    programs = where / ("Scripts" if os.name == "nt" else "bin")
    constraints = ("-c", ROOT / "constraints.txt") if constrained else ()
    if uv is not None:
        run(uv, "venv", "--quiet", "--python", python, where, cwd=where.parent)
        install: tuple[str | Path, ...] = (
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            programs / "python",
        )
    else:
        if python == Path(sys.executable):
            venv.create(where, with_pip=True)
        else:
            run(python, "-m", "venv", where, cwd=where.parent)
        install = (programs / "python", "-m", "pip", "install", "--quiet", "--retries", "1")
    done = run(*install, *constraints, *packages, cwd=where.parent, check=False)
    if done.returncode != 0:
        names = " ".join(map(str, packages))
        reason = f"cannot install {names}: {(done.stderr.strip().splitlines() or [''])[-1]}"
        offline = ("error sending request", "dns error", "Failed to fetch", "Could not connect",
                   "NewConnectionError", "from versions: none")  # fmt: skip
        if any(sign in done.stderr for sign in offline):
            pytest.skip(reason)
        pytest.fail(f"{reason}\n{done.stderr}")
    return programs


def build_wheel(source: Path, target: Path) -> Path:
    """Build the wheel of a project into a new folder."""
    target.mkdir()
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation")
    run(*build, "--outdir", target, source, cwd=target)
    (built,) = target.glob("*.whl")
    return built


def _uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.is_file() else shutil.which("uv")


def _interpreters() -> Iterable[Path]:
    yield Path(sys.executable)
    for minor in range(20, 10, -1):
        if path := shutil.which(f"python3.{minor}"):
            yield Path(path)
    versions = Path.home() / ".pyenv" / "versions"
    yield from sorted(versions.glob("3.*/bin/python"), reverse=True)
