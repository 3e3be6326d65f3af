ACTIVE_CELL = jobs.cell_folder(PARAMS, PARAMS.cell)
ACTIVE_PROBE = jobs.probe_folder(PARAMS, PARAMS.cell)
CORRECT = f"eval-{EVALUATION_ID}/probe-{PROBE_ID}/correct.parquet"
PREDICTIONS = f"eval-{EVALUATION_ID}/probe-{PROBE_ID}/predictions.csv"
TEMPLATES = [
    sha256(path) for path in sorted((PACKAGE / "report/templates").glob("*.*"))
]
PICTURED = [
    "encoder.json",
    "encoder.safetensors",
    f"eval-{EVALUATION_ID}/equivariance.json",
    f"eval-{EVALUATION_ID}/features/test.parquet",
    f"eval-{EVALUATION_ID}/features/turned.parquet",
]
FINETUNED = f"fine-{FINE_ID}/finetune.json" if PARAMS.finetune.shares else None
METRICS = f"eval-{EVALUATION_ID}/probe-{PROBE_ID}/metrics.json"


rule publish:
    """Copy the active cell to fixed paths, so that DVC compares like with like."""
    input:
        metrics=f"{ACTIVE_PROBE}/metrics.json",
        predictions=f"{ACTIVE_PROBE}/predictions.csv",
        loss=f"{ACTIVE_CELL}/loss.csv",
        record=f"{ACTIVE_CELL}/pretrain.json",
        weights=f"{ACTIVE_CELL}/encoder.safetensors",
        encoder=f"{ACTIVE_CELL}/encoder.json",
        finetuned=[f"{ACTIVE_CELL}/{FINETUNED}"] if FINETUNED else [],
    output:
        metrics="metrics/cell.json",
        predictions="metrics/predictions.csv",
        loss=report(
            "metrics/loss.csv", category="Active cell", caption="../report/loss.rst"
        ),
        weights="model/encoder.safetensors",
        encoder="model/encoder.json",
    log:
        "logs/publish.log",
    params:
        encoder=subpath(input.weights, parent=True),
        finetuned=lambda wildcards, input: option("--finetuned", input.finetuned),
        code=steps.publish_code(),
    shell:
        "exec python -m eqssl publish --metrics {input.metrics:q} --encoder {params.encoder:q} "
        "--into metrics model {params.finetuned:q} > {log:q} 2>&1"


rule summary:
    """One row for each cell of the grid."""
    input:
        metrics=cells(METRICS),
        finetuned=cells(FINETUNED) if FINETUNED else [],
    output:
        table=report("metrics/grid.csv", category="Grid", caption="../report/grid.rst"),
        summary="metrics/grid.json",
    log:
        "logs/summary.log",
    params:
        finetuned=lambda wildcards, input: option("--finetuned", input.finetuned),
        code=steps.summary_code(),
    shell:
        "exec python -m eqssl summary --table {output.table:q} --summary {output.summary:q} "
        "{input.metrics:q} {params.finetuned:q} > {log:q} 2>&1"


rule html:
    """The report: one HTML file that needs nothing else."""
    input:
        metrics=cells(METRICS),
        predictions=cells(PREDICTIONS),
        correct=cells(CORRECT),
        losses=cells("loss.csv"),
        records=cells("pretrain.json"),
        finetuned=cells(FINETUNED) if FINETUNED else [],
        # read for pictures of a few cells, which ones depends on the accuracies
        pictures=[path for name in PICTURED for path in first_seeds(name)],
        indices=[f"{shard_folder(name)}/index.json" for name in PARAMS.grid.dataset],
    output:
        report("report/index.html", category="Grid", caption="../report/index.rst"),
    log:
        "logs/report.log",
    params:
        cells=lambda wildcards, input: [
            word
            for pair in zip(input.metrics, input.losses)
            for word in ("--cell", *pair)
        ],
        shards=[
            word
            for name in PARAMS.grid.dataset
            for word in ("--shards", shard_folder(name))
        ],
        finetuned=lambda wildcards, input: option("--finetuned", input.finetuned),
        twins=json.dumps(PARAMS.twins()),
        claims=json.dumps(claims_of(PARAMS)),
        code=steps.report_code(),
        pages=[word for name in PARAMS.grid.dataset for word in ("--data-page", name)],
        templates=TEMPLATES,
    shell:
        "exec python -m eqssl report --out {output:q} --twins {params.twins:q} --claims {params.claims:q} "
        "{params.shards:q} {params.pages:q} {params.cells:q} {params.finetuned:q} > {log:q} 2>&1"


rule data_page:
    """What is in a data set: pictures, counts, and what was decided at sharding."""
    input:
        index=lambda wildcards: f"{shard_folder(wildcards.dataset)}/index.json",
    output:
        report(
            "report/data/{dataset}.html", category="Data", caption="../report/data.rst"
        ),
    log:
        "logs/data_page/{dataset}.log",
    params:
        shards=subpath(input.index, parent=True),
        settings=lambda wildcards: data_page_job(wildcards.dataset).json_text(),
        code=lambda wildcards: steps.data_page_code(data_page_job(wildcards.dataset)),
        templates=TEMPLATES,
    shell:
        "exec python -m eqssl data-page --shards {params.shards:q} --settings {params.settings:q} "
        "--out {output:q} > {log:q} 2>&1"
