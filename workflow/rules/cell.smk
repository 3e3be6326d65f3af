rule pretrain:
    """The only expensive job: shards into an encoder. A killed one goes on from its last checkpoint."""
    input:
        index=shard_index,
    output:
        weights="<cell>/encoder.safetensors",
        encoder="<cell>/encoder.json",
        record="<cell>/pretrain.json",
        loss="<cell>/loss.csv",
        events="<cell>/log.jsonl",
    log:
        "logs/pretrain/<name>.log",
    benchmark:
        "benchmarks/pretrain/<name>.tsv"
    threads: PARAMS.pretrain.threads
    resources:
        gpu=gpu,
        device=PARAMS.machine.device,
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        checkpoint_seconds=str(PARAMS.machine.checkpoint_seconds),
        decoded_mb=str(PARAMS.machine.decoded_mb),
        cache_mb=str(PARAMS.machine.cache_mb),
        tracker=PARAMS.machine.tracker,
        runtime=120,
    params:
        job=pretrain_job,
        shards=subpath(input.index, parent=True),
        out=subpath(output.weights, parent=True),
        code=pretrain_code,
    shell:
        "exec python -m eqssl pretrain --job {params.job:q} --shards {params.shards:q} "
        "--out {params.out:q} --device {resources.device:q} "
        "--checkpoint-seconds {resources.checkpoint_seconds} --decoded-mb {resources.decoded_mb} "
        "--cache-mb {resources.cache_mb} --tracker {resources.tracker} > {log:q} 2>&1"


rule features:
    """Features of the frozen encoder, and how exact its symmetry is."""
    input:
        index=shard_index,
        weights=rules.pretrain.output.weights,
        encoder=rules.pretrain.output.encoder,
    output:
        features=expand(
            "<evaluation>/features/{name}.parquet",
            name=[*SPLITS, "turned"],
            allow_missing=True,
        ),
        equivariance="<evaluation>/equivariance.json",
    log:
        "logs/features/<name>.log",
    benchmark:
        "benchmarks/features/<name>.tsv"
    threads: 1
    resources:
        gpu=gpu,
        device=PARAMS.machine.device,
        decoded_mb=str(PARAMS.machine.decoded_mb),
        cache_mb=str(PARAMS.machine.cache_mb),
        # whatever the size of the images: eqssl.evaluation.amounts
        mem_mb=lambda wildcards, attempt: 1200 * attempt,
        runtime=60,
    params:
        job=jobs.features_job(PARAMS).json_text(),
        shards=subpath(input.index, parent=True),
        encoder=subpath(input.weights, parent=True),
        out=subpath(output.equivariance, parent=True),
        code=steps.features_code(*PARAMS.encoder.modules()),
    shell:
        "exec python -m eqssl features --job {params.job:q} --shards {params.shards:q} "
        "--encoder {params.encoder:q} --cell {wildcards.cell_id} --out {params.out:q} "
        "--device {resources.device:q} --decoded-mb {resources.decoded_mb} "
        "--cache-mb {resources.cache_mb} > {log:q} 2>&1"


rule probe:
    """Linear probes and nearest neighbours on the stored features."""
    input:
        features=rules.features.output.features,
        equivariance=rules.features.output.equivariance,
        encoder=rules.pretrain.output.encoder,
        record=rules.pretrain.output.record,
    output:
        metrics="<probe>/metrics.json",
        predictions="<probe>/predictions.csv",
        correct="<probe>/correct.parquet",
    log:
        "logs/probe/<name>.log",
    benchmark:
        "benchmarks/probe/<name>.tsv"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        job=jobs.probe_job(PARAMS).json_text(),
        features=EVALUATION_ID,
        evaluation=subpath(input.equivariance, parent=True),
        encoder=subpath(input.encoder, parent=True),
        out=subpath(output.metrics, parent=True),
        code=steps.probe_code(),
    shell:
        "exec python -m eqssl probe --job {params.job:q} --evaluation {params.evaluation:q} "
        "--encoder {params.encoder:q} --cell {wildcards.cell_id} --features {params.features} "
        "--out {params.out:q} > {log:q} 2>&1"
