rule finetune:
    """Encoder and a linear classifier trained further on shares of the labels; only if `finetune` names any."""
    input:
        index=shard_index,
        weights=rules.pretrain.output.weights,
        encoder=rules.pretrain.output.encoder,
    output:
        record="<fine>/finetune.json",
        correct="<fine>/correct.parquet",
    log:
        "logs/finetune/<name>.log",
    benchmark:
        "benchmarks/finetune/<name>.tsv"
    threads: 1
    resources:
        gpu=gpu,
        device=PARAMS.machine.device,
        decoded_mb=str(PARAMS.machine.decoded_mb),
        cache_mb=str(PARAMS.machine.cache_mb),
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=120,
    params:
        job=jobs.finetune_job(PARAMS).json_text(),
        shards=subpath(input.index, parent=True),
        encoder=subpath(input.weights, parent=True),
        out=subpath(output.record, parent=True),
        code=steps.finetune_code(*PARAMS.encoder.modules()),
    shell:
        "exec python -m eqssl finetune --job {params.job:q} --shards {params.shards:q} "
        "--encoder {params.encoder:q} --cell {wildcards.cell_id} --out {params.out:q} "
        "--device {resources.device:q} --decoded-mb {resources.decoded_mb} "
        "--cache-mb {resources.cache_mb} > {log:q} 2>&1"
