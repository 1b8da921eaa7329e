"""A throw-away Grid Engine in a network of its own, from Debian's packages, in a folder of its own.

Its daemons take connections on all addresses, so that they get a network namespace that has
nothing but loopback. There the host's name is `localhost`. It has one host, which is said to have
more slots and memory than the machine has, and two GPUs that are none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import psutil

from helpers.slurm import Job, is_script, wait_for

COMMANDS = ("qsub", "qstat", "qdel", "qconf", "qacct")
PROGRAMS = ("/usr/sbin/sge_qmaster", "/usr/sbin/sge_execd", "/usr/lib/gridengine/spoolinit")
PROGRAMS += tuple(f"/usr/bin/{name}" for name in COMMANDS)
LIBRARY, SHARE = Path("/usr/lib/gridengine"), Path("/usr/share/gridengine")

_BOOTSTRAP = """\
admin_user none
default_domain none
ignore_fqdn false
spooling_method classic
spooling_lib libspoolc
spooling_params {common};{folder}/master
binary_path /usr/sbin
qmaster_spool_dir {folder}/master
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
"""
_SETTINGS = {
    "execd_spool_dir": "{folder}/hosts", "min_uid": "0", "min_gid": "0", "mailer": "/bin/true",
    "load_report_time": "00:00:02",
    "reporting_params": "accounting=true reporting=false flush_time=00:00:01 joblog=false",
}  # fmt: skip
"""Differences from the packages' configuration: root may submit, and what ends is seen soon."""
_SCHEDULER = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
_STATES = {"r": "RUNNING", "Rr": "RUNNING", "qw": "PENDING", "Rq": "PENDING"}
_PARALLEL = {
    "pe_name": "smp", "slots": "999", "user_lists": "NONE", "xuser_lists": "NONE",
    "start_proc_args": "NONE", "stop_proc_args": "NONE", "allocation_rule": "$pe_slots",
    "control_slaves": "FALSE", "job_is_first_task": "TRUE", "urgency_slots": "min",
    "accounting_summary": "FALSE", "qsort_args": "NONE",
}  # fmt: skip
_LIMITS = ("rt", "cpu", "fsize", "data", "stack", "core", "rss", "vmem")
_NONE = (
    "load_thresholds", "suspend_thresholds", "ckpt_list", "prolog", "epilog", "starter_method",
    "suspend_method", "resume_method", "terminate_method", "owner_list", "user_lists",
    "xuser_lists", "subordinate_list", "complex_values", "projects", "xprojects", "calendar",
)  # fmt: skip
_QUEUE = {
    "qname": "all.q", "hostlist": "localhost", "seq_no": "0", "nsuspend": "1",
    "suspend_interval": "00:05:00", "priority": "0", "min_cpu_interval": "00:05:00",
    "processors": "UNDEFINED", "qtype": "BATCH", "pe_list": "smp", "rerun": "FALSE",
    "slots": "64", "tmpdir": "/tmp", "shell": "/bin/sh", "shell_start_mode": "posix_compliant",
    "notify": "00:00:60", "initial_state": "default",
    **dict.fromkeys(_NONE, "NONE"),
    **{f"{kind}_{name}": "INFINITY" for kind in "sh" for name in _LIMITS},
}  # fmt: skip
_HOST = {
    "hostname": "localhost", "complex_values": "gpu=2,memory=256G",
    **dict.fromkeys(("load_scaling", "user_lists", "xuser_lists", "projects", "xprojects"), "NONE"),
    "usage_scaling": "NONE", "report_variables": "NONE",
}  # fmt: skip
_RESOURCES = "gpu gpu INT <= YES YES 0 0\nmemory memory MEMORY <= YES YES 0 0\n"
"""Both count per slot."""


def missing() -> str | None:
    """Why there can be no such cluster here, or None."""
    if os.geteuid() != 0:
        return "a throw-away Grid Engine needs root"
    absent = [name for name in PROGRAMS if not os.path.exists(name)]
    if absent:
        return (
            f"no {', '.join(absent)}: apt-get install gridengine-master gridengine-exec "
            "gridengine-client (Debian)"
        )
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        return "no unshare, nsenter or ip: apt-get install util-linux iproute2 (Debian)"
    tried = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True, check=False)
    return f"no network of its own: {tried.stderr.decode().strip()}" if tried.returncode else None


@dataclass
class GridEngine:
    """A running Grid Engine.

    Attributes
    ----------
    folder : path
        Holds its configuration, logs and state.
    daemons : dict of str to Popen
        Its daemons, and the process that holds its network, by name.
    """

    folder: Path
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which Grid Engine's commands find this cluster, inside its network."""
        ports = {"SGE_QMASTER_PORT": "6444", "SGE_EXECD_PORT": "6445"}
        return {"SGE_ROOT": str(self.folder / "root"), "SGE_CELL": "default", **ports}

    @property
    def prefix(self) -> list[str]:
        """What stands before a command that is to find this cluster: it runs inside the network."""
        return ["nsenter", f"--target={self.daemons['network'].pid}", "--net", "--uts"]

    def start(self) -> None:
        """Start the daemons; return when the host takes jobs."""
        inside = "hostname localhost && ip link set lo up && echo up && exec sleep infinity"
        self._daemon("network", ["unshare", "--net", "--uts", "sh", "-c", inside])
        wait_for(lambda: "up" in (self.folder / "network.out").read_text(), "the network")
        self._initialise()
        foreground = {"SGE_ND": "1"}
        self._daemon("master", [*self.prefix, "/usr/sbin/sge_qmaster"], foreground)
        wait_for(lambda: self.run("qconf", "-sh", check=False).returncode == 0, "sge_qmaster")
        self._configure()
        self._daemon("host", [*self.prefix, "/usr/sbin/sge_execd"], foreground)
        wait_for(lambda: self.ask("qstat", "-f").count(" lx-amd64 "), "the host")

    def stop(self) -> None:
        """Delete all jobs and stop the daemons, and nothing else."""
        if "host" in self.daemons:
            self.ask("qdel", "-u", "*")
            with suppress(TimeoutError):
                wait_for(lambda: not self.jobs(), "the end of all jobs", 60)
        left = self.processes()
        for name in ("host", "master", "network"):
            if name in self.daemons:
                self.daemons[name].terminate()
                try:
                    self.daemons[name].wait(20)
                except subprocess.TimeoutExpired:
                    self.daemons[name].kill()
                    self.daemons[name].wait()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.daemons.clear()

    def processes(self) -> list[psutil.Process]:
        """All processes inside its network: its daemons, its jobs, and what calls it."""
        found = []
        if "network" in self.daemons:
            own = os.readlink(f"/proc/{self.daemons['network'].pid}/ns/net")
            for process in psutil.process_iter():
                with suppress(OSError):
                    if os.readlink(f"/proc/{process.pid}/ns/net") == own:
                        found.append(process)
        return found

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a command inside the network."""
        return subprocess.run(
            [*self.prefix, *command],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
        )

    def ask(self, *command: str) -> str:
        """What a command prints, whether or not it succeeds."""
        return self.run(*command, check=False).stdout

    def jobs(self, rule: str = "", states: str = "all", run: str = "") -> list[Job]:
        """Jobs in the queue that run or wait, in order; a job's name holds its rule."""
        listed = ElementTree.fromstring(self.ask("qstat", "-xml", "-u", "*"))
        rows = [{each.tag: each.text or "" for each in row} for row in listed.iter("job_list")]
        found = [
            Job(int(row["JB_job_number"]), _STATES.get(row["state"], row["state"]), "", name)
            for row in rows
            if rule in (name := row["JB_name"])
        ]
        chosen = found if states == "all" else [job for job in found if job.state in states]
        return sorted(chosen, key=lambda job: job.number)

    def all_of(self, number: int) -> list[psutil.Process]:
        """The processes of a job."""
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
                if process.environ().get("JOB_ID") == str(number):
                    found.append(process)
        return found

    def script_of(self, number: int) -> psutil.Process | None:
        """The process in which a rule's script runs, of a job."""
        for process in self.all_of(number):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if is_script(process):
                    return process
        return None

    def record(self, number: int) -> dict[str, str]:
        """What Grid Engine knows of a job that is in the queue, by the names of its record."""
        rows = self.ask("qstat", "-j", str(number)).splitlines()
        return {key: text.strip() for key, found, text in (r.partition(":") for r in rows) if found}

    def ended(self, number: int) -> dict[str, str]:
        """The accounting record of a job that has ended, once it is written."""
        text = wait_for(lambda: self.ask("qacct", "-j", str(number)), f"the record of job {number}")
        rows = (line.split(None, 1) for line in text.splitlines())
        return {row[0]: row[1].strip() for row in rows if len(row) == 2}

    def _initialise(self) -> None:
        root = self.folder / "root"
        common = root / "default/common"
        for folder in (root / "bin", root / "utilbin", common, self.folder / "hosts"):
            folder.mkdir(parents=True)
        for name in ("bin", "utilbin"):
            (root / name / "lx-amd64").symlink_to(LIBRARY)
        (root / "util").symlink_to(SHARE / "util")
        (self.folder / "master/job_scripts").mkdir(parents=True)
        (common / "act_qmaster").write_text("localhost\n")
        (common / "bootstrap").write_text(_BOOTSTRAP.format(common=common, folder=self.folder))
        settings = {name: value.format(folder=self.folder) for name, value in _SETTINGS.items()}
        standard = (SHARE / "default-configuration").read_text()
        configuration = self._file("configuration", _replaced(standard, settings))
        spool = f"{common};{self.folder / 'master'}"
        self.run(str(LIBRARY / "spoolinit"), "classic", "libspoolc", spool, "init")
        resources = str(SHARE / "util/resources")
        for part in (
            ("configuration", configuration),
            ("complexes", f"{resources}/centry"),
            ("usersets", f"{resources}/usersets"),
            ("managers", "root"),
        ):
            self.run(str(LIBRARY / "spooldefaults"), *part)

    def _configure(self) -> None:
        self.run("qconf", "-as", "localhost")
        resources = self.ask("qconf", "-sc") + _RESOURCES
        self.run("qconf", "-Mc", self._file("resources", resources))
        self.run("qconf", "-Ap", self._file("parallel", _lines(_PARALLEL)))
        self.run("qconf", "-Ae", self._file("host", _lines(_HOST)))
        self.run("qconf", "-Aq", self._file("queue", _lines(_QUEUE)))
        scheduler = _replaced(self.ask("qconf", "-ssconf"), _SCHEDULER)
        self.run("qconf", "-Msconf", self._file("scheduler", scheduler))

    def _file(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def _daemon(
        self, name: str, command: list[str], variables: dict[str, str] | None = None
    ) -> None:
        with (self.folder / f"{name}.out").open("ab") as output:
            self.daemons[name] = subprocess.Popen(
                command,
                env=os.environ | self.environment | (variables or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


def _lines(settings: dict[str, str]) -> str:
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def _replaced(text: str, settings: dict[str, str]) -> str:
    """Lines of names and values, with other values."""
    rows = dict(line.split(None, 1) for line in text.splitlines() if line[:1] not in ("", "#"))
    return _lines(rows | settings)


@contextmanager
def running_grid_engine(folder: Path) -> Iterator[GridEngine]:
    """A Grid Engine that runs inside the context."""
    grid = GridEngine(folder)
    try:
        grid.start()
        yield grid
    finally:
        grid.stop()


def listens_outside(grid: GridEngine) -> set[int]:
    """Ports of its daemons on which somebody listens in this process's own network."""
    ports = {int(value) for name, value in grid.environment.items() if name.endswith("PORT")}
    here = psutil.net_connections("inet")
    return {c.laddr.port for c in here if c.status == psutil.CONN_LISTEN} & ports
