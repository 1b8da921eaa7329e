# The simulated sky, included only where the config names no datacubes.


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
