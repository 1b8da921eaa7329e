"""Settings of the transformer's loss."""

from __future__ import annotations

from pydantic import Field, model_validator

from astromodal.config.base import NotNegative, Positive, Settings


class MeaningfulLossSettings(Settings):
    """Cross-entropy, and reconstruction: squared error between expected and true centroids."""

    enabled: bool = Field(True, description="Add the reconstruction terms to the cross-entropy.")
    sample_k_per_modality: Positive = Field(
        64, description="Positions of a sequence, a modality, that the terms are computed on."
    )
    lambda_cross_entropy: NotNegative = Field(
        1.0,
        description="Weight of the cross-entropy; at 0 the model learns means and no "
        "probabilities, and the best validation is that of the reconstruction terms.",
    )
    lambda_image: NotNegative = Field(0.1, description="Weight of the image term.")
    lambda_scalar: NotNegative = Field(0.1, description="Weight of the scalar term.")
    lambda_spectrum: NotNegative = Field(0.1, description="Weight of the spectrum term.")
    extra: dict[str, NotNegative] = Field(
        {},
        description="Weights of further terms by name, each a loss term that a Python file of "
        "yours registers.",
    )

    @property
    def reconstructs(self) -> bool:
        """Whether any reconstruction term takes part."""
        weights = (self.lambda_image, self.lambda_scalar, self.lambda_spectrum)
        return self.enabled and any(weights)

    @model_validator(mode="after")
    def _teaches(self) -> MeaningfulLossSettings:
        in_use = self.reconstructs or any(self.extra.values())
        if not self.lambda_cross_entropy and not in_use:
            raise ValueError("must have a weight above 0 that is in use: nothing would be learned")
        return self
