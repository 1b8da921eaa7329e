# The simulated sky: included only where the config names no cubes of its own.


rule simulate_field:
    """Simulate one field of stars, galaxies and quasars."""
    output:
        cube=PATHS.cube(),
    log:
        PATHS.log("simulate_field", "{field}"),
    conda:
        "../envs/cpu.yaml"
    params:
        *code("simulate_field"),
        settings=one_simulated_field,
    script:
        "../scripts/simulate_field.py"
