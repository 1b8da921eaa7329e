"""The context of an evaluation: fields, settings, the folder of figures, the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from astromodal.config.schema import Config
from astromodal.core.progress import Progress, quiet
from astromodal.errors import ConfigError, must_be
from astromodal.evaluation.held_out import EvaluatedField

if TYPE_CHECKING:
    import torch

    from astromodal.inference.model import AstroModel


@dataclass(frozen=True)
class EvaluationContext:
    """The inputs that the evaluations of all sections have in common.

    Attributes
    ----------
    fields : sequence of EvaluatedField
        The fields, with the files that the section reads.
    settings : Config
        Settings of the run; in a job only those that its rule names.
    figures : path
        Folder for the section's figures.
    progress : Progress
        Wraps long loops.
    device : torch.device, optional
        Where networks run; None: on the CPU.
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
        """The trained model, loaded when it is first used.

        Raises
        ------
        ConfigError
            Where the context has no `run`.
        """
        from astromodal.inference.model import AstroModel

        if self.run is None:
            must = "the folder of a trained model"
            raise ConfigError(must_be("run of the evaluation's context", must, None))
        return AstroModel.from_run(self.run, self.device or "cpu", self.settings.predict)
