"""The context of an evaluation: fields, settings, the folder of figures, the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
    """

    fields: Sequence[EvaluatedField]
    settings: Config
    figures: Path
    progress: Progress = quiet
    device: torch.device | None = None


# A class of its own: a job that does not run the model must not depend on the model's code.
@dataclass(frozen=True)
class ModelContext(EvaluationContext):
    """The inputs of a section that evaluates the trained model.

    Attributes
    ----------
    run : path
        Folder of the trained model.
    """

    run: Path = field(kw_only=True)

    @cached_property
    def model(self) -> AstroModel:
        """The trained model, loaded when it is first used."""
        from astromodal.inference.model import AstroModel

        return AstroModel.from_run(self.run, self.device or "cpu", self.settings.predict)
