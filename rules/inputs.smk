# Inputs of rules: cubes with their stamps, and inputs and settings of single rules.
from astromodal.core.fields import starting_model


def cube(*modalities):
    """Return the inputs of a job that reads these modalities of a field's cube.

    The time of a cube counts if the cube is simulated or on an object store. That of another does
    not: the stamp of a modality changes with its content.
    """
    if not (STAMPED or SOURCES):
        return {"cube": stored(CUBE)}
    stamps = [PATHS.stamp(m) for m in modalities]
    return {"cube": lambda w: _cube(w.field, modalities), "stamps": stamps}


def _cube(field, modalities):
    """Return a field's cube; its time counts only where it is built again for a modality.

    Snakemake does not look at the other inputs of jobs behind a job that runs.
    """
    path = CUBE.format(field=field)
    return path if SOURCES and builds_again(PATHS, field, modalities) else ancient(path)


def cubes(fields, *modalities):
    """Return the inputs of a job that reads these modalities of several fields' cubes."""
    if not (STAMPED or SOURCES):
        return {"cubes": cube_files(fields)}
    stamps = [PATHS.stamp(m) for m in modalities]
    return {
        "cubes": [_cube(field, modalities) for field in fields],
        "stamps": expand(stamps, field=fields),
    }


def cube_files(fields):
    """Return the cubes of several fields."""
    return [stored(CUBE.format(field=field)) for field in fields]


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


def every_photoz(wildcards):
    """Return what photo-z tools read of every field; an error where there is no such column."""
    formats = CONFIG.photoz.formats
    suffixes = [suffix for suffix in formats if suffix != "hdf5"]
    paths = expand(PATHS.catalogue(), field=FIELDS.every, suffix=suffixes)
    if suffixes:
        request.require_columns(request.requested_columns(CONFIG))
    if "hdf5" in formats:
        request.photoz_column(CONFIG)
        paths += expand(PATHS.photoz(), field=FIELDS.every)
    return paths


def unless_frozen(part, paths):
    """Return paths as inputs, without regard to their times where the config freezes the part."""
    if part not in CONFIG.freeze:
        return paths
    return {name: ancient(path) for name, path in paths.items()}
