"""``python -m snakemake`` that looks at its jobs every two seconds.

Slurm's executor looks at them ever more rarely, and a test would wait for that minutes on end.
"""

from __future__ import annotations

import asyncio

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def sleep(executor: RemoteExecutor) -> None:
    """The time between two looks."""
    await asyncio.sleep(2)


if __name__ == "__main__":
    RemoteExecutor.sleep = sleep
    main()
