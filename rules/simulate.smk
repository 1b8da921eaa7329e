# The simulated sky: included only where the config names no cubes of its own.


def one_simulated_field(wildcards):
    """The sky's settings with this field's own, so that another field's change nothing here."""
    sky = plain_settings("simulate", CONFIG)
    return {
        "simulate": {**sky, "fields": {wildcards.field: sky["fields"][wildcards.field]}}
    }


rule simulate_field:
    """Simulate one field of stars, galaxies and quasars."""
    output:
        cube=PATHS.cube(),
    log:
        PATHS.log("simulate_field", "{field}"),
    conda:
        "../envs/cpu.yaml"
    params:
        settings=one_simulated_field,
        code=code("simulate_field"),
    script:
        "../scripts/simulate_field.py"
