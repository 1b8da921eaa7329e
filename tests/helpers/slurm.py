"""A throw-away Slurm on this machine's loopback, from Debian's packages, in a folder of its own.

Its nodes are daemons on this machine: `cpu1`, and `gpu1` and `gpu2`, which have fake GPUs; they are
said to have more cores and memory than the machine has. No accounting database. Nothing outside the
folder is written, and only processes that were started here are ended.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct")
PROGRAMS = ("munged", "slurmctld", "slurmd", *CLIENTS)
NODES = {"cpu1": 0, "gpu1": 2, "gpu2": 2}
"""Fake GPUs of each node."""
ACTIVE = "PENDING,CONFIGURING,RUNNING,COMPLETING,SUSPENDED"

_CONF = """\
ClusterName=astromodal
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SrunPortRange={first}-{last}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SwitchType=switch/none
MpiDefault=none
TaskPlugin=task/none
ProctrackType=proctrack/linuxproc
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=0
KillWait=30
MinJobAge=3600
SlurmdParameters=config_overrides
GresTypes=gpu
DefMemPerCPU=1000
{nodes}
PartitionName=cpu Nodes=cpu1 Default=YES PriorityTier=1 PreemptMode=REQUEUE
PartitionName=gpu Nodes=gpu1,gpu2 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str | None:
    """Why there can be no such cluster here, or None."""
    if os.geteuid() != 0:
        return "a throw-away Slurm needs root"
    absent = [name for name in PROGRAMS if _program(name) is None]
    if absent:
        return (
            f"no {', '.join(absent)}: apt-get install munge slurmctld slurmd slurm-client (Debian)"
        )
    host = socket.gethostname()
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None, socket.AF_INET)}
    except OSError:
        addresses = set()
    if not addresses or not all(address.startswith("127.") for address in addresses):
        return f"the host's name {host} must resolve to 127.0.0.1 alone: see /etc/hosts"
    return None


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    """Ports of loopback on which nothing listens."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_for(
    condition: Callable[[], object], what: str, seconds: float = 60, every: float = 0.2
) -> object:
    """What the condition gives once that is true; an error that names it where it never is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(every)
    raise TimeoutError(f"waited {seconds} s for {what}")


def munged(folder: Path) -> list[str]:
    """The call of munged with its files in a folder."""
    command = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket"]
    return command + [f"--{n}-file={folder}/munge.{n}" for n in ("key", "log", "pid", "seed")]


@dataclass
class Cluster:
    """A running Slurm.

    Attributes
    ----------
    folder : path
        Holds its configuration, logs and state.
    daemons : dict of str to Popen
        Its daemons, by name.
    """

    folder: Path
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """What stands before a command that is to find this cluster."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which Slurm's commands find this cluster.

        Snakemake's executor drops those of Slurm inside a job: there, commands of the same names
        come first that set them again.
        """
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def start(self) -> None:
        """Start the daemons; return when all nodes take jobs."""
        self._configure()
        self.daemon("munged", munged(self.folder))
        wait_for((self.folder / "munge.socket").exists, "munged's socket")
        self.daemon("slurmctld", ["slurmctld", "-D"])
        wait_for(lambda: "is UP" in self.ask("scontrol", "ping"), "slurmctld")
        for node in NODES:
            self.start_node(node)
        for node in NODES:
            wait_for(lambda node=node: self.state_of(node) == "idle", f"node {node}")

    def start_node(self, node: str, variables: Mapping[str, str] | None = None) -> None:
        """Start the daemon of a node, with further variables in its environment."""
        self.daemon(node, ["slurmd", "-D", "-N", node], variables)

    def end(self, name: str) -> None:
        """Stop a daemon, and nothing else."""
        process = self.daemons.pop(name)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Cancel all jobs and stop the daemons, and nothing else."""
        if set(NODES) <= set(self.daemons):
            self.ask("scancel", "--user=root")
            self.wait_until_idle()
        for name in reversed([*self.daemons]):
            self.end(name)

    @contextmanager
    def down(self, node: str) -> Iterator[None]:
        """Inside, a node is down; afterwards it takes jobs again, whatever happened."""
        self.run("scontrol", "update", f"NodeName={node}", "State=down", "Reason=test")
        try:
            yield
        finally:
            self.run("scontrol", "update", f"NodeName={node}", "State=resume")
            wait_for(lambda: self.state_of(node) in ("idle", "mix", "alloc"), f"node {node}")

    def start_soon(self, number: int) -> None:
        """Start a job that was queued again, which Slurm lets wait for two minutes.

        Not at once: nodes refuse a job that starts in the second in which it was taken away.
        """
        self.run("scontrol", "update", f"JobId={number}", "StartTime=now+3")

    def wait_until_idle(self) -> None:
        wait_for(lambda: not self.jobs(states=ACTIVE), "the end of all jobs", 120)

    def processes(self) -> dict[psutil.Process, dict[str, str]]:
        """The cluster's daemons and the processes of its jobs, with their environments."""
        conf = str(self.folder / "slurm.conf")
        found = {}
        for process in psutil.process_iter():
            try:
                variables = process.environ()
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
            if variables.get("SLURM_CONF") == conf:
                found[process] = variables
        return found

    def script_of(self, number: int) -> psutil.Process | None:
        """The process in which a rule's script runs, of a job."""
        for process, variables in self.processes().items():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                own = variables.get("SLURM_JOB_ID") == str(number)
                if own and is_script(process):
                    return process
        return None

    def trainers(self, number: int) -> list[psutil.Process]:
        """The processes that train together in a job on several nodes."""
        found = self.processes().items()
        own = [p for p, variables in found if variables.get("SLURM_JOB_ID") == str(number)]
        return [p for p in own if {"astromodal.training.launch", "process"} <= {*p.cmdline()}]

    def all_of(self, node: str) -> list[psutil.Process]:
        """The daemon of a node and what runs there: no more is left of it once these are killed."""
        tasks = [p for p, v in self.processes().items() if v.get("SLURMD_NODENAME") == node]
        above = {task.parent() for task in tasks}
        steps = [p for p in above if p is not None and p.name().startswith("slurmstepd")]
        return [psutil.Process(self.daemons[node].pid), *steps, *tasks]

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run one of Slurm's commands on this cluster."""
        return subprocess.run(
            command,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
        )

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands prints, whether or not it succeeds."""
        return self.run(*command, check=False).stdout

    def state_of(self, node: str) -> str:
        return self.ask("sinfo", "--noheader", f"--nodes={node}", "--format=%t").split("\n")[0]

    def jobs(self, rule: str = "", states: str = "all", run: str = "") -> list[Job]:
        """Jobs in any of these states, of a rule and of one run of Snakemake, in order."""
        command = ["squeue", "--noheader", f"--states={states}", "--format=%i|%T|%P|%k"]
        if run:
            command.append(f"--name={run}")
        rows = [row.split("|") for row in self.ask(*command).splitlines()]
        found = [Job(int(row[0]), *row[1:]) for row in rows if len(row) == 4]
        return sorted((job for job in found if rule in job.comment), key=lambda job: job.number)

    def record(self, number: int) -> dict[str, str]:
        """What Slurm knows of a job, by the names of its record."""
        words = self.ask("scontrol", "--oneliner", "show", "job", str(number)).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def _configure(self) -> None:
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir(parents=True)
        key = self.folder / "munge.key"
        key.touch(0o400)
        key.write_bytes(secrets.token_bytes(128))
        names = ("controller", *NODES)
        ports = dict(zip(names, _free_ports(len(names)), strict=True))
        last = min(ports.values())  # some free ports for srun
        host = socket.gethostname().split(".")[0]
        nodes = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[node]} "
            f"CPUs=64 RealMemory=256000{f' Gres=gpu:{gpus}' if gpus else ''}"
            for node, gpus in NODES.items()
        ]
        text = _CONF.format(
            host=host,
            folder=self.folder,
            controller=ports["controller"],
            first=last - 100,
            last=last - 1,
            nodes="\n".join(nodes),
        )
        (self.folder / "slurm.conf").write_text(text)
        lines = [
            f"NodeName={node} Name=gpu File={device}\n"
            for node, gpus in NODES.items()
            for device in ("/dev/null", "/dev/zero")[:gpus]  # any devices: no job opens them
        ]
        for name in CLIENTS:
            script = self.folder / "bin" / name
            conf = shlex.quote(str(self.folder / "slurm.conf"))
            script.write_text(
                f'#!/bin/sh\nSLURM_CONF={conf} exec {shlex.quote(_program(name))} "$@"\n'
            )
            script.chmod(0o755)
        (self.folder / "gres.conf").write_text("AutoDetect=off\n" + "".join(lines))
        (self.folder / "cgroup.conf").write_text("ConstrainCores=no\nConstrainRAMSpace=no\n")

    def daemon(
        self, name: str, command: list[str], variables: Mapping[str, str] | None = None
    ) -> None:
        """Start a daemon, with further variables in its environment."""
        program = _program(command[0])
        with (self.folder / f"{name}.out").open("ab") as output:
            self.daemons[name] = subprocess.Popen(
                [program, *command[1:]],
                env=os.environ | self.environment | dict(variables or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


@dataclass(frozen=True)
class Job:
    """A job of the cluster: the plugin writes the rule and its wildcards into the comment."""

    number: int
    state: str
    partition: str
    comment: str


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster that runs inside the context."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def is_script(process: psutil.Process) -> bool:
    """Whether a process is the Python that runs a rule's script."""
    words = process.cmdline()
    return len(words) > 1 and "python" in words[0] and "/.snakemake/scripts/" in words[1]


def listens_on(process: psutil.Process) -> set[str]:
    """Addresses on which a process takes connections."""
    found = process.net_connections("inet")
    return {each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN}
