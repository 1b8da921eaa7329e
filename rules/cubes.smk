# From raw survey files to cubes, included only where the config names sources.

from astromodal.sources.plan import raw_versions


rule index_source:
    """Index the raw files of one source: rows, positions, ids and cells of the sky."""
    output:
        files=PATHS.source_files(),
    log:
        PATHS.log("index_source", "{source}"),
    benchmark:
        PATHS.benchmark("index_source", "{source}")
    conda:
        "../envs/cpu.yaml"
    threads: 4
    params:
        files=lambda wildcards: raw_versions(CONFIG, wildcards.source),
        results=PATHS.results,
        settings=settings("sources", "cubes"),
        code=code("index_source"),
    script:
        "../scripts/index_source.py"


rule build_cube:
    """Match the sources of one field, and write its cube."""
    input:
        stamp=PATHS.stamp(WHOLE),
    output:
        cube=PATHS.cube(),
    log:
        PATHS.log("build_cube", "{field}"),
    benchmark:
        PATHS.benchmark("build_cube", "{field}")
    conda:
        "../envs/cpu.yaml"
    params:
        results=PATHS.results,
        settings=settings(
            "sources",
            "cubes",
            "columns.{id,ra,dec}",
            "selection.column",
            "tokenizers.image.size",
        ),
        code=code("build_cube"),
    script:
        "../scripts/build_cube.py"
