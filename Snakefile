# The pipeline: `snakemake --cores 8 all` runs the grid of params.yaml, `snakemake cell` its active cell.
from snakemake.utils import min_version

min_version("9.20")


# Before Snakemake's own reader, which would expand aliases without end and run the code of a template.
include: "workflow/rules/bounds.smk"


configfile: "params.yaml"


report: "workflow/report/workflow.rst"


# Used with --software-deployment-method apptainer only: an image that you build from requirements.lock.
container: "eqssl.sif"


include: "workflow/rules/limits.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/cell.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/transfer.smk"
include: "workflow/rules/report.smk"


localrules:
    all,
    cell,
    data_page,
    html,
    publish,
    summary,
    transfer_table,


rule all:
    default_target: True
    input:
        rules.summary.output,
        rules.html.output,
        expand(rules.data_page.output, dataset=PARAMS.grid.dataset),
        rules.publish.output,
        rules.transfer_table.output if TRANSFERS else [],
        faulty=lambda wildcards: faulty(grid=True),


rule cell:
    input:
        rules.publish.output,
        ACTIVE_TRANSFERS,
        faulty=lambda wildcards: faulty(grid=False),
