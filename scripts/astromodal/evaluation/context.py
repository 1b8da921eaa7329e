"""The context of an evaluation: its fields, settings, and the folder of its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from astromodal.config.schema import Config
from astromodal.core.progress import Progress, quiet
from astromodal.evaluation.held_out import EvaluatedField

if TYPE_CHECKING:
    import torch

    from astromodal.inference.model import AstroModel


@dataclass(frozen=True)
class EvaluationContext:
    """What every section of the report is made from.

    Attributes
    ----------
    fields : sequence of EvaluatedField
        The fields, with the files that the section reads.
    settings : Config
        Settings of the run: those that the rule was given.
    figures : path
        Folder for the section's figures.
    progress : Progress
        Wraps long loops.
    device : torch.device, optional
        Where networks run.
    run : path, optional
        Folder of the trained model.
    """

    fields: Sequence[EvaluatedField]
    settings: Config
    figures: Path
    progress: Progress = quiet
    device: torch.device | None = None
    run: Path | None = None

    @cached_property
    def model(self) -> AstroModel:
        """The trained model, loaded when it is first read."""
        from astromodal.inference.model import AstroModel

        return AstroModel.from_run(self.run, self.device, self.settings.predict)
