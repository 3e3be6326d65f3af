rule shard:
    """A source into WebDataset tars and index.json, which holds their hashes."""
    output:
        index="<shards>/index.json",
        tars=[
            f"<shards>/{split}-{i:05d}.tar"
            for split in SPLITS
            for i in range(PARAMS.shards.count)
        ],
    log:
        "logs/shard/{dataset}-{shard_id}.log",
    benchmark:
        "benchmarks/shard/{dataset}-{shard_id}.tsv"
    # Snakemake gives a job no more than the cores that it has
    threads: 4
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        job=shard_job,
        out=subpath(output.index, parent=True),
        raw=lambda wildcards: raw_version(wildcards.dataset),
        code=shard_code,
    shell:
        "exec python -m eqssl shard --job {params.job:q} --raw={params.raw:q} --out {params.out:q} "
        "--threads {threads} "
        "> {log:q} 2>&1"
