# Inputs and settings of single rules: functions that common.smk has no room for.
from astromodal.core.fields import starting_model


def one_simulated_field(wildcards):
    """Return the settings of the simulated sky, of the fields only this one."""
    sky = plain_settings("simulate", CONFIG)
    return {
        "simulate": {**sky, "fields": {wildcards.field: sky["fields"][wildcards.field]}}
    }


def start_of_training():
    """Return the model that training starts from, as an input; none for a `last` checkpoint."""
    start = starting_model(CONFIG)
    return {} if start is None else {"init_from": start}


def ablation_settings(wildcards):
    """Return the settings that train a variant, with its seed."""
    config = seeded(VARIANTS[wildcards.variant], int(wildcards.seed))
    return settings(*RUN_SETTINGS, config=config)


def every_prediction(wildcards):
    """Return the predictions of every field; an error where there is no column to predict."""
    request.require_columns(request.requested_columns(CONFIG))
    return expand(PATHS.predictions(), field=FIELDS.every)
