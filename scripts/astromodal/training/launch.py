"""The start of several training processes, on one node or, under Slurm, on several.

PyTorch's elastic agent starts the processes of a node, tells them where to meet, and ends them all
where one fails. Each reads the task from a file; nothing passes through a shell or a pickle.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from astromodal.errors import AstromodalError, ConfigError, must_be
from astromodal.training import worker
from astromodal.training.run import EXIT_INTERRUPTED, TrainingInterrupted
from astromodal.training.worker import TrainingTask

_SCRIPTS = Path(__file__).parents[2]
_SAVE_SECONDS = 300
"""How long processes that were told to stop have for their step and a checkpoint (s)."""


def launch(task: TrainingTask) -> None:
    """Train in as many processes as the task's settings say; return when all are done.

    Parameters
    ----------
    task : TrainingTask
        What to train. Of several nodes each runs `launch_node`, by ``srun`` inside the Slurm job.

    Raises
    ------
    TrainingInterrupted
        After SIGTERM or SIGUSR1, to this process or to one of them, once they have saved.
    ConfigError
        Where there are fewer GPUs than processes, or several nodes and no Slurm job.
    AstromodalError
        Where a process failed.
    """
    nodes = task.config.training.nodes
    if nodes == 1:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "task.json"
            task.write(path)
            launch_node(path, str(Path(folder) / "agent"), uuid.uuid4().hex)
        return
    if "SLURM_JOB_ID" not in os.environ:
        do = "submit with profiles/slurm, or raise training.gpus"
        raise ConfigError(must_be("training.nodes", "1 outside a Slurm job", nodes, do))
    # Beside the outputs, where every node can read it.
    path = Path(task.files["final_model"]).parent / f".task_{os.environ['SLURM_JOB_ID']}.json"
    task.write(path)
    try:
        _on_nodes(path, nodes)
    finally:
        path.unlink(missing_ok=True)


def launch_node(path: Path, endpoint: str, run: str, first: bool = True) -> None:
    """Start one node's processes, and wait for them.

    Parameters
    ----------
    path : path
        The task's file.
    endpoint : str
        Host and port at which the nodes meet. Of a single node a file to be: PyTorch's store would
        listen to all the world, and the processes of a node need none.
    run : str
        Name of the run, the same on all nodes.
    first : bool
        Whether this node is the host of the endpoint.
    """
    training = TrainingTask.read(path).config.training
    found = torch.cuda.device_count()
    if torch.cuda.is_available() and found < training.gpus:
        must = f"at most {found}, the GPUs of the node"
        raise ConfigError(must_be("training.gpus", must, training.gpus, "ask for more GPUs"))
    alone = training.nodes == 1
    with _environment(alone), _usr1_means_term():
        config = LaunchConfig(
            min_nodes=training.nodes,
            max_nodes=training.nodes,
            nproc_per_node=training.gpus,
            run_id=run,
            rdzv_backend="c10d",
            rdzv_endpoint=endpoint,
            rdzv_configs={"store_type": "file"} if alone else {"is_host": first},
            max_restarts=0,  # a failure is the workflow's to retry, from the last checkpoint
            local_addr="localhost" if alone else None,
        )
        try:
            elastic_launch(config, sys.executable)("-m", worker.__name__, str(path))
        except SignalException as error:
            raise TrainingInterrupted from error
        except ChildFailedError as error:
            raise _failure({f.exitcode for f in error.failures.values()}) from error


def _failure(statuses: set[int]) -> BaseException:
    """What processes that ended with these statuses come to."""
    own = statuses - {-signal.SIGTERM}  # the agent's end of those that were left
    if own <= {EXIT_INTERRUPTED}:
        return TrainingInterrupted()
    got = f"exit status {', '.join(map(str, sorted(own)))}"
    do = "look for their errors above; training goes on from its last checkpoint"
    return AstromodalError(must_be("training processes", "all done without error", got, do))


@contextmanager
def _environment(alone: bool) -> Iterator[None]:
    """Inside, processes that are started import this very package and have time to save.

    The agent of a node that is `alone` opens no port for them.
    """
    set_here = {
        "PYTHONPATH": os.pathsep.join([str(_SCRIPTS), *filter(None, [os.getenv("PYTHONPATH")])]),
        "PYTHONSAFEPATH": "1",  # else a file of the working folder could stand for a library's
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(_SAVE_SECONDS),
        **({"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"} if alone else {}),
    }
    before = {name: os.environ.get(name) for name in set_here}
    os.environ.update(set_here)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _usr1_means_term() -> Iterator[None]:
    """Inside, SIGUSR1 does what SIGTERM does, which the elastic agent passes on."""

    def terminate(number: int, frame: FrameType | None) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGUSR1, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def _on_nodes(path: Path, nodes: int) -> None:
    """Run `main` once on each node of the Slurm job."""
    command = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    command += [sys.executable, "-m", "astromodal.training.launch", str(path)]
    with _environment(alone=False):
        started = subprocess.Popen(command)

    def pass_on(number: int, frame: FrameType | None) -> None:
        started.send_signal(signal.SIGTERM)

    signals = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, pass_on) for number in signals}
    try:
        status = started.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if status:
        raise _failure({status})


def main(path: str) -> None:
    """Start this node's processes, as ``srun`` runs it on each node of a Slurm job."""
    job, node = os.environ["SLURM_JOB_ID"], os.environ["SLURM_NODEID"]
    # Two jobs that share a node must not meet at one port.
    port = 20_000 + int(job) % 20_000
    endpoint = f"{os.environ['SLURM_LAUNCH_NODE_IPADDR']}:{port}"
    launch_node(Path(path), endpoint, f"astromodal-{job}", first=node == "0")


if __name__ == "__main__":
    main(sys.argv[1])
