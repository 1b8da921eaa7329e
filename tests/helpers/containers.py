"""Images without a registry and without Docker: Buildah builds them, in a folder of the test's own.

The base of the recipe is made of Debian's packages, under the name that the recipe gives it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

PYTHON = "3.11"
"""Of Debian 12, and of the recipe."""
BASE = """\
FROM scratch
COPY . /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
"""
STORAGE = """\
[storage]
driver = "vfs"
graphroot = "{folder}/images"
runroot = "{folder}/running"
"""
PIP = "[global]\nno-index = true\nfind-links = /opt/wheels\n"
UV = 'offline = true\n[pip]\nfind-links = ["/opt/wheels"]\n'


def missing() -> str | None:
    """Return why no image can be built here, or None."""
    if os.geteuid() != 0:
        return "needs root, to build images without Docker"
    lacking = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if lacking:
        return f"needs {' and '.join(lacking)}: apt-get install buildah debootstrap"
    if sys.version_info[:2] != (3, 11):
        return f"needs Python {PYTHON}, for which the recipe's packages are downloaded"
    return None


@dataclass
class Builder:
    """Buildah with a storage of its own."""

    folder: Path
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        storage = self.folder / "storage.conf"
        storage.write_text(STORAGE.format(folder=self.folder))
        self.environment = os.environ | {"CONTAINERS_STORAGE_CONF": str(storage)}

    def call(self, *words: str) -> str:
        """Call Buildah; its output, which an error shows the end of."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run(["buildah", *words], env=self.environment, **pipes)
        if done.returncode:
            raise RuntimeError(f"buildah {words[0]} failed:\n{done.stdout[-6000:]}")
        return done.stdout.strip()

    def make_base(self) -> None:
        """Make the image that the recipe begins with: Debian with a Python that pip may change."""
        root, recipe = self.folder / "debian", self.folder / "Base"
        packages = f"--include=python{PYTHON},python3-pip,ca-certificates"
        make = ["debootstrap", "--variant=minbase", packages, "bookworm", str(root)]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        (root / f"usr/lib/python{PYTHON}/EXTERNALLY-MANAGED").unlink()
        for name in ("python", "python3"):
            (root / "usr/local/bin" / name).symlink_to(f"/usr/bin/python{PYTHON}")
        recipe.write_text(BASE)
        self.bud("-t", f"python:{PYTHON}-slim", "-f", str(recipe), str(root))
        shutil.rmtree(root)

    def build(self, checkout: Path, wheels: Path) -> str:
        """Build the recipe as it is, with packages from a folder alone; a container of it."""
        mounts = ["-v", f"{wheels}:/opt/wheels:ro"]
        for text, inside in ((PIP, "/etc/pip.conf"), (UV, "/etc/uv/uv.toml")):
            path = self.folder / Path(inside).name
            path.write_text(text)
            mounts += ["-v", f"{path}:{inside}:ro"]
        recipe = checkout / "envs/Dockerfile"
        ignored = ["--ignorefile", f"{recipe}.dockerignore"]
        self.bud(*ignored, *mounts, "-f", str(recipe), "-t", "astromodal", str(checkout))
        return self.call("from", "--isolation", "chroot", "astromodal")

    def bud(self, *words: str) -> None:
        """Build an image; without a network of its own, and without the kernel's namespaces."""
        self.call("bud", "--isolation", "chroot", "--format", "docker", *words)

    def entry(self, container: str) -> list[str]:
        """The command that the container starts with."""
        return json.loads(self.call("inspect", container))["OCIv1"]["config"]["Entrypoint"]

    def run(self, container: str, data: Path, user: int, *command: str) -> str:
        """Run a command as a user, with a folder of that user mounted at /data."""
        who = ["--user", f"{user}:{user}", "-v", f"{data}:/data"]
        return self.call("run", "--isolation", "chroot", *who, container, "--", *command)

    def mounted(self, container: str) -> Path:
        """The folder that holds the container's files."""
        return Path(self.call("mount", container).splitlines()[-1])

    def remove_all(self) -> None:
        """Remove containers, mounts and images."""
        self.call("rm", "--all")
        self.call("rmi", "--all", "--force")
