"""A Harbor environment without containers: commands run in a folder of the trial, on this machine.

Harbor imports it by its path in the tests' own environment; it is for tasks of our own only.
"""

import asyncio
import os
import re
import shutil
from pathlib import Path

from harbor.environments.base import (  # type: ignore[import-not-found]
    BaseEnvironment,
    ExecResult,
)

_INSIDE = re.compile(r"(?<![\w./-])/(?=(?:app|installed-agent|logs|solution|tests)\b)")


class LocalEnvironment(BaseEnvironment):  # type: ignore[misc]
    """The folders of a container, below the trial's own folder."""

    @staticmethod
    def type() -> str:
        return "local"

    def _validate_definition(self) -> None:
        return

    @property
    def _root(self) -> Path:
        return Path(self.trial_paths.trial_dir).resolve() / "container"

    def _place(self, target: str | Path) -> Path:
        return self._root / str(target).lstrip("/")

    async def start(self, force_build: bool) -> None:
        for folder in ("app", "logs/agent", "logs/verifier", "logs/artifacts", "tests", "solution"):
            (self._root / folder).mkdir(parents=True, exist_ok=True)

    async def stop(self, delete: bool) -> None:
        if delete:
            shutil.rmtree(self._root, ignore_errors=True)

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        target = self._place(target_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source_path, target)

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        shutil.copytree(source_dir, self._place(target_dir), dirs_exist_ok=True)

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        shutil.copy(self._place(source_path), target_path)

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        shutil.copytree(self._place(source_dir), target_dir, dirs_exist_ok=True)

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            _INSIDE.sub(f"{self._root}/", command),
            cwd=self._place(cwd or "app"),
            env={**os.environ, **(env or {}), "ROOT": str(self._root)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), timeout_sec)
        return ExecResult(stdout=out.decode(), stderr=err.decode(), return_code=process.returncode)
