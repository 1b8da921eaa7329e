"""Training in several processes, on one node or, under Slurm, on several.

PyTorch's elastic agent starts the processes of a node, gives them an address to meet at, and ends
all of them where one fails. Each reads the task from a file; nothing passes through a shell or a
pickle. Run as a program, this module is an agent (``node``) or a process of it (``process``).
"""

from __future__ import annotations

import atexit
import gc
import logging
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

from astromodal.errors import AstromodalError, ConfigError, machine_error, must_be
from astromodal.extensions import load_inherited
from astromodal.training.batches import Group, process_group
from astromodal.training.run import EXIT_INTERRUPTED, TrainingInterrupted, TrainingTask

_SCRIPTS = Path(__file__).parents[2]
_PROGRAM = ("-m", "astromodal.training.launch")
_SAVE_SECONDS = 300
"""Time that interrupted processes have to end a step and write a checkpoint (s)."""


def launch(task: TrainingTask) -> None:
    """Train in as many processes as the task's settings name; return when all have ended.

    Parameters
    ----------
    task : TrainingTask
        The training. On several nodes, ``srun`` runs `launch_node` on each inside the Slurm job.

    Raises
    ------
    TrainingInterrupted
        After SIGTERM or SIGUSR1 to this process or to one of them, once they have saved.
    ConfigError
        Where there are fewer GPUs than processes, or several nodes without a Slurm job.
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
    # Beside the outputs, which every node can read.
    path = Path(task.files["final_model"]).parent / f".task_{os.environ['SLURM_JOB_ID']}.json"
    task.write(path)
    try:
        _on_nodes(path, nodes)
    finally:
        path.unlink(missing_ok=True)


def launch_node(path: Path, endpoint: str, run: str, first: bool = True) -> None:
    """Start the processes of one node, and wait for them.

    Parameters
    ----------
    path : path
        The task's file.
    endpoint : str
        Host and port at which the nodes meet. For a single node, the path of a new file: PyTorch's
        store would listen on all network interfaces.
    run : str
        Name of the run, the same on all nodes.
    first : bool
        Whether this node hosts the endpoint.
    """
    training = TrainingTask.read(path).config.training
    n_gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and n_gpus < training.gpus:
        must = f"at most {n_gpus}, the GPUs of the node"
        raise ConfigError(must_be("training.gpus", must, training.gpus, "request more GPUs"))
    alone = training.nodes == 1
    with _environment(alone), _usr1_as_term():
        config = LaunchConfig(
            min_nodes=training.nodes,
            max_nodes=training.nodes,
            nproc_per_node=training.gpus,
            run_id=run,
            rdzv_backend="c10d",
            rdzv_endpoint=endpoint,
            rdzv_configs={"store_type": "file"} if alone else _meeting(first),
            max_restarts=0,  # the workflow retries a failed job, from the last checkpoint
            local_addr="localhost" if alone else None,
        )
        try:
            elastic_launch(config, sys.executable)(*_PROGRAM, "process", str(path))
        except SignalException as error:
            raise TrainingInterrupted from error
        except ChildFailedError as error:
            raise _failure({f.exitcode for f in error.failures.values()}) from error


def _meeting(first: bool) -> dict[str, str | bool]:
    """Return how agents of several nodes meet, where the first one hosts the endpoint.

    Every 5 s, an agent shares that it is alive, with the time of its own clock. It counts as
    dead if that time is too old: after 15 s in PyTorch, after an hour here, because the clocks of
    nodes may differ. Slurm finds dead nodes.
    """
    return {"is_host": first, "keep_alive_max_attempt": str(3600 // 5)}


def _failure(statuses: set[int]) -> BaseException:
    """Return the exception for processes that ended with these exit statuses."""
    own = statuses - {-signal.SIGTERM}  # the agent ends the remaining processes with it
    if own <= {EXIT_INTERRUPTED}:
        return TrainingInterrupted()
    got = f"exit status {', '.join(map(str, sorted(own)))}"
    do = "read their errors above; training continues from its last checkpoint"
    return AstromodalError(must_be("training processes", "ended without error", got, do))


@contextmanager
def _environment(alone: bool) -> Iterator[None]:
    """Inside, started processes import this copy of the package and have time to save.

    The agent of a single node (`alone`) opens no port.
    """
    set_here = {
        "PYTHONPATH": os.pathsep.join([str(_SCRIPTS), *filter(None, [os.getenv("PYTHONPATH")])]),
        "PYTHONSAFEPATH": "1",  # no file of the working folder may shadow a library
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
def _usr1_as_term() -> Iterator[None]:
    """Inside, SIGUSR1 is turned into SIGTERM, which the elastic agent forwards."""

    def terminate(number: int, frame: FrameType | None) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGUSR1, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def _on_nodes(path: Path, nodes: int) -> None:
    """Run this module as an agent on each node of the Slurm job."""
    command = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    command += [sys.executable, *_PROGRAM, "node", str(path)]
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


def run_node(path: Path) -> None:
    """Start this node's processes, as ``srun`` does on each node of a Slurm job."""
    job, node = os.environ["SLURM_JOB_ID"], os.environ["SLURM_NODEID"]
    # Two jobs that share a node must not meet at one port.
    port = 20_000 + int(job) % 20_000
    endpoint = f"{os.environ['SLURM_LAUNCH_NODE_IPADDR']}:{port}"
    launch_node(path, endpoint, f"astromodal-{job}", first=node == "0")


def run_process(path: Path) -> None:
    """Join the group and train; an error is logged, and the exit status is then 1."""
    task = TrainingTask.read(path)
    torch.set_num_threads(max(1, task.threads // task.config.training.gpus))
    torch.set_float32_matmul_precision("high")
    # The processes of a single node meet at a file beside the task, those of several at a port.
    meeting = path.with_name("processes") if task.config.training.nodes == 1 else None
    with process_group(meeting) as group:
        logger = _logger(task.log, group)
        torch.manual_seed(task.config.training.seed)
        try:
            task.run(group, logger)
        except Exception as error:
            known = machine_error(error) or error
            if not isinstance(known, AstromodalError):
                logger.exception("process %d failed", group.rank)
                raise
            logger.error("process %d: %s", group.rank, known)  # its message says what to do
            sys.exit(1)


def _logger(log: str, group: Group) -> logging.Logger:
    """Return a logger of all messages in the first process, and of errors in the others."""
    handlers: list[logging.Handler] = [
        logging.StreamHandler(sys.stderr),
        logging.FileHandler(log, encoding="utf-8"),
    ]
    level = logging.INFO if group.first else logging.ERROR
    logging.basicConfig(
        level=level, format="%(asctime)s %(message)s", handlers=handlers, force=True
    )
    logger = logging.getLogger("astromodal.train_transformer")
    logger.info("%d processes train together, this one on %s", group.size, group.device)
    return logger


def main(role: str, path: str) -> None:
    """Run as the agent of a node, or as one of its processes."""
    gc.freeze()  # as in a job: no search for garbage in imported modules
    atexit.register(gc.freeze)
    load_inherited()
    {"node": run_node, "process": run_process}[role](Path(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
