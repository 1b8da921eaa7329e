"""One of several training processes: ``python -m astromodal.training.worker TASK.json``.

The launcher starts it and tells it its rank. Only the first one writes to the log; the others speak
up when they fail.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import torch

from astromodal.errors import AstromodalError, machine_error
from astromodal.training.distributed import Group, process_group
from astromodal.training.task import TrainingTask


def main(path: str) -> None:
    """Join the group and train; what goes wrong is logged, and the exit status is 1."""
    task = TrainingTask.read(Path(path))
    torch.set_num_threads(max(1, task.threads // task.config.training.gpus))
    torch.set_float32_matmul_precision("high")
    # The processes of a single node meet at a file beside the task, those of several at a port.
    meeting = Path(path).with_name("processes") if task.config.training.nodes == 1 else None
    with process_group(meeting) as group:
        logger = _logger(task.log, group)
        torch.manual_seed(task.config.training.seed)
        try:
            task.run(group, logger)
        except Exception as error:
            told = machine_error(error) or error
            if not isinstance(told, AstromodalError):
                logger.exception("process %d failed", group.rank)
                raise
            logger.error("process %d: %s", group.rank, told)  # the user can mend it: no traceback
            sys.exit(1)


def _logger(log: str, group: Group) -> logging.Logger:
    """The job's messages from the first process, errors from the others."""
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


if __name__ == "__main__":
    main(sys.argv[1])
