from __future__ import annotations

import pytest

from helpers.workflow import Workflow, run_further, run_once, tiny


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Workflow:
    """The tiny sky, run to the end once for all tests that only look at it."""
    return run_once(tmp_path_factory, "tiny")


@pytest.fixture(scope="session")
def used(tmp_path_factory) -> Workflow:
    """The finished workflow, with its model put to use, and compared with variants of it."""
    targets = ("embed", "predict", "export", "ablations")
    return run_further(tmp_path_factory, "used", lambda run: run.run(*targets))


@pytest.fixture
def fresh(tmp_path) -> Workflow:
    """The tiny sky before anything has run."""
    return tiny(tmp_path)
