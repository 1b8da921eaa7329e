# The simulated sky, included only where the config names no datacubes.


def one_simulated_field(wildcards):
    """Return the settings of the simulated sky, of the fields only this one."""
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
    benchmark:
        PATHS.benchmark("simulate_field", "{field}")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=one_simulated_field,
        code=code("simulate_field"),
    script:
        "../scripts/simulate_field.py"
