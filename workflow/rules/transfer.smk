# The features of every encoder on the data sets that `transfer` names, and probes on them.
ACTIVE_TRANSFERS = transfers([PARAMS.cell])
TRANSFERS = transfers(PARAMS.cells())


rule transfer:
    """Features of the frozen encoder on another data set; only if `transfer` names any."""
    input:
        index=target_index,
        weights=rules.pretrain.output.weights,
        encoder=rules.pretrain.output.encoder,
    output:
        features=expand(
            "<transfer>/features/{name}.parquet",
            name=[*SPLITS, "turned"],
            allow_missing=True,
        ),
        equivariance="<transfer>/equivariance.json",
    log:
        "logs/transfer/<name>-on-{target}-{transfer_id}.log",
    benchmark:
        "benchmarks/transfer/<name>-on-{target}-{transfer_id}.tsv"
    threads: 1
    resources:
        gpu=gpu,
        device=PARAMS.machine.device,
        decoded_mb=str(PARAMS.machine.decoded_mb),
        cache_mb=str(PARAMS.machine.cache_mb),
        mem_mb=lambda wildcards, attempt: 1200 * attempt,
        runtime=60,
    params:
        job=lambda wildcards: jobs.transfer_job(PARAMS, wildcards.target).json_text(),
        shards=subpath(input.index, parent=True),
        encoder=subpath(input.weights, parent=True),
        out=subpath(output.equivariance, parent=True),
        code=steps.features_code(*PARAMS.encoder.modules()),
    shell:
        "exec python -m eqssl transfer --job {params.job:q} --shards {params.shards:q} "
        "--encoder {params.encoder:q} --cell {wildcards.cell_id} --out {params.out:q} "
        "--device {resources.device:q} --decoded-mb {resources.decoded_mb} "
        "--cache-mb {resources.cache_mb} > {log:q} 2>&1"


rule transfer_probe:
    """Linear probes and nearest neighbours on the features of another data set."""
    input:
        features=rules.transfer.output.features,
        equivariance=rules.transfer.output.equivariance,
        encoder=rules.pretrain.output.encoder,
        record=rules.pretrain.output.record,
    output:
        metrics="<transfer_probe>/metrics.json",
        predictions="<transfer_probe>/predictions.csv",
        correct="<transfer_probe>/correct.parquet",
    log:
        "logs/transfer_probe/<name>-on-{target}-{transfer_id}.log",
    benchmark:
        "benchmarks/transfer_probe/<name>-on-{target}-{transfer_id}.tsv"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        job=jobs.probe_job(PARAMS).json_text(),
        evaluation=subpath(input.equivariance, parent=True),
        encoder=subpath(input.encoder, parent=True),
        out=subpath(output.metrics, parent=True),
        code=steps.probe_code(),
    shell:
        "exec python -m eqssl probe --job {params.job:q} --evaluation {params.evaluation:q} "
        "--encoder {params.encoder:q} --cell {wildcards.cell_id} --features {wildcards.transfer_id} "
        "--out {params.out:q} > {log:q} 2>&1"


rule transfer_table:
    """One row for each cell of the grid and each target."""
    input:
        metrics=TRANSFERS,
    output:
        table=transferred.TABLE,
    log:
        "logs/transfer_table.log",
    params:
        code=steps.transfer_table_code(),
    shell:
        "exec python -m eqssl transfer-table --table {output.table:q} {input.metrics:q} > {log:q} 2>&1"
