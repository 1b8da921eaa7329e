"""Object stores of tests: a folder behind the plugin `fs`, and an S3 server on loopback."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.workflow import Workflow

BUCKET = "survey"
CUBE = "cubes/datacube_{field}.parquet"
_STARTED = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")
_REQUEST = re.compile(r'"(?:\x1b\[\d+m)*([A-Z]+) (/\S*) HTTP')


class FolderStore:
    """A folder of the run's own, which the plugin `fs` treats as a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep_all(self, workflow: Workflow) -> list[str]:
        """Name stored cubes; return the options that store results."""
        workflow.config["paths"]["datacube_template"] = CUBE
        prefix = os.path.relpath(self.folder, workflow.folder)
        return ["--default-storage-provider", "fs", "--default-storage-prefix", prefix]

    def put(self, path: Path, name: str) -> None:
        """Store a file, with the time of now."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self.folder / name)

    def requests(self) -> list[tuple[str, str]]:
        """None: no server is asked."""
        return []

    def names(self) -> set[str]:
        """Names of stored files."""
        return {str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file()}


class S3Store:
    """A bucket of an S3 server, whose requests are in a log."""

    def __init__(self, url: str, log: Path) -> None:
        import boto3
        from botocore.config import Config

        self.url, self.log = url, log
        secrets = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests"}
        place = {"endpoint_url": url, "region_name": "us-east-1"}
        self._client = boto3.client("s3", **place, **secrets, config=Config(proxies={}))
        self._client.create_bucket(Bucket=BUCKET)

    def keep_cubes(self, workflow: Workflow) -> list[str]:
        """Name stored cubes, of results on this machine."""
        given = {"ENDPOINT_URL": self.url, "ACCESS_KEY": "tests", "SECRET_KEY": "tests"}
        workflow.variables |= {f"SNAKEMAKE_STORAGE_S3_{key}": v for key, v in given.items()}
        workflow.variables |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        workflow.config["paths"]["datacube_template"] = f"s3://{BUCKET}/{CUBE}"
        return []

    def keep_all(self, workflow: Workflow) -> list[str]:
        """Name stored cubes; return the options that store results."""
        self.keep_cubes(workflow)
        workflow.config["paths"]["datacube_template"] = CUBE
        prefix = f"s3://{BUCKET}"
        return ["--default-storage-provider", "s3", "--default-storage-prefix", prefix]

    def put(self, path: Path, name: str) -> None:
        """Store a file."""
        self._client.put_object(Bucket=BUCKET, Key=name, Body=path.read_bytes())

    def names(self) -> set[str]:
        """Names of stored files."""
        listed = self._client.list_objects_v2(Bucket=BUCKET)
        return {each["Key"] for each in listed.get("Contents", ())}

    def requests(self) -> list[tuple[str, str]]:
        """Method and path, without a query, of every request so far."""
        found = _REQUEST.findall(self.log.read_text())
        return [(method, path.partition("?")[0]) for method, path in found]


@contextmanager
def s3_store(folder: Path) -> Iterator[S3Store]:
    """An S3 server on a free port of loopback, with an empty bucket."""
    log = folder / "s3.log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with log.open("w") as stream, subprocess.Popen(command, stderr=stream, stdout=stream) as server:
        try:
            yield S3Store(_address(server, log), log)
        finally:
            server.terminate()


def _address(server: subprocess.Popen, log: Path) -> str:
    """Where the server listens, once it does."""
    for _ in range(600):
        if started := _STARTED.search(log.read_text()):
            return started[1]
        if server.poll() is not None:
            break
        time.sleep(0.1)
    return pytest.fail(f"the S3 server did not start: {log.read_text()}", pytrace=False)


def require_fs() -> None:
    """Skip the test where the plugin `fs`, or the program that it copies with, is missing."""
    _require("snakemake_storage_plugin_fs")
    if shutil.which("rsync") is None:
        pytest.skip("the storage plugin fs needs the program rsync")


def require_s3() -> None:
    """Skip the test where the plugin of S3 or the server is missing."""
    for name in ("snakemake_storage_plugin_s3", "moto", "flask_cors"):
        _require(name)


def _require(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed; pip install -e '.[dev]' brings it")
