"""Who takes part: where each one's module is, and the environment that it needs, which is made when it is first asked for.

Imported by the harness. Peers never meet in one environment: their pins clash, and each is to have the newest client it allows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["CONTENDERS", "FLOOR", "US", "Contender", "NotInstallable"]

US, FLOOR = "indiaai", "redis-py"
SPEED = ("hiredis", "uvloop", "orjson")
INSTALL_SECONDS = 180
ROOT = Path(__file__).parent.parent.parent


class NotInstallable(Exception):
    """A contender's environment cannot be made here; the message says why."""


@dataclass(frozen=True)
class Contender:
    """One contender.

    Attributes:
        client: Module and class of its producer.
        requirements: What its environment holds; nothing: it lives in the benchmark's own.
        python: The Python that it needs at least, where that is newer than this project's.
        environment: Variables that its processes need.
    """

    client: str
    requirements: tuple[str, ...] = ()
    python: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def interpreter(self) -> str:
        """Return the Python of its environment, which is made first if need be.

        Raises:
            NotInstallable: There is no such Python, or an index does not have what it needs.
        """
        if not self.requirements:
            return sys.executable
        name = f"{self.client.partition(':')[0].rpartition('.on_')[2]}-{self.python or 'any'}"
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "indiaai-benchmarks" / name
        program, done = folder / "bin" / "python", folder / "installed"
        wanted = " ".join(self.requirements)
        if not done.exists() or done.read_text() != wanted:
            uv = shutil.which("uv", path=sysconfig.get_path("scripts")) or shutil.which("uv") or "uv"
            _run(
                uv,
                "venv",
                "--quiet",
                "--clear",
                "--python",
                self.python or sys.executable,
                "--no-python-downloads",
                f"{folder}",
            )
            _run(uv, "pip", "install", "--quiet", "--python", f"{program}", *SPEED, *self.requirements)
            done.write_text(wanted)
        return f"{program}"


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise NotInstallable(said[-1] if said else str(error)) from error


TASKIQ = ("taskiq", "taskiq-redis")
# What who works this queue installs, and nothing more: a worker opens the default backends that it finds.
OURS = tuple(f"--editable={ROOT / 'packages' / name}" for name in ("indiaai-core", "indiaai-queue-redis"))

CONTENDERS = {
    FLOOR: Contender("queues.on_redis:RedisClient"),
    US: Contender("queues.on_indiaai:UvloopClient", OURS),
    "indiaai on asyncio": Contender("queues.on_indiaai:AsyncioClient", OURS),
    "ardiq": Contender("queues.on_ardiq:ArdiqClient", ("ardiq",), python="3.12"),
    "huey": Contender("queues.on_huey:HueyClient", ("huey", "redis")),
    "saq": Contender("queues.on_saq:SaqClient", ("saq[redis,hiredis]", "typing_extensions")),
    "arq": Contender("queues.on_arq:ArqClient", ("arq",)),
    "taskiq stream": Contender("queues.on_taskiq:StreamClient", TASKIQ),
    "taskiq list": Contender("queues.on_taskiq:ListClient", TASKIQ, environment={"BENCH_TASKIQ_BROKER": "ListQueueBroker"}),
    "dramatiq": Contender("queues.on_dramatiq:DramatiqClient", ("dramatiq[redis]",)),
    "streaq": Contender("queues.on_streaq:StreaqClient", ("streaq",)),
    "bullmq": Contender("queues.on_bullmq:BullmqClient", ("bullmq",)),
    "rq": Contender("queues.on_rq:RqClient", ("rq",)),
    "celery": Contender("queues.on_celery:CeleryClient", ("celery[redis]",)),
    "procrastinate": Contender("queues.on_procrastinate:ProcrastinateClient", ("procrastinate", "psycopg[binary,pool]")),
}
