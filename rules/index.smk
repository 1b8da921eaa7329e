# The index of similar objects: the space of embeddings, one file per field, and their list.


rule train_index:
    """Learn the space in which embeddings are compared."""
    input:
        embeddings=expand(PATHS.embeddings(), field=FIELDS.training),
    output:
        space=PATHS.similarity_space,
    log:
        PATHS.log("train_index"),
    benchmark:
        PATHS.benchmark("train_index")
    conda:
        "../envs/cpu.yaml"
    threads: 4
    params:
        settings=settings("index.{n_components,max_objects,n_lists,seed}"),
        code=code("train_index"),
    script:
        "../scripts/train_index.py"


rule index_field:
    """Write the objects of one field into the index."""
    input:
        space=PATHS.similarity_space,
        embeddings=PATHS.embeddings(),
    output:
        vectors=PATHS.similarity_vectors(),
    log:
        PATHS.log("index_field", "{field}"),
    benchmark:
        PATHS.benchmark("index_field", "{field}")
    conda:
        "../envs/cpu.yaml"
    params:
        code=code("index_field"),
    script:
        "../scripts/index_field.py"


rule assemble_index:
    """List the files of the index."""
    input:
        space=PATHS.similarity_space,
        vectors=expand(PATHS.similarity_vectors(), field=FIELDS.every),
    output:
        index=PATHS.similarity_index,
    log:
        PATHS.log("assemble_index"),
    benchmark:
        PATHS.benchmark("assemble_index")
    conda:
        "../envs/cpu.yaml"
    params:
        fields=list(FIELDS.every),
        settings=settings("index.{exact_below,n_probe}"),
        code=code("assemble_index"),
    script:
        "../scripts/assemble_index.py"
