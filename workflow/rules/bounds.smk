# params.yaml is read within bounds first. (A file after --configfile is Snakemake's own to read.)
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(workflow.basedir))

from eqssl.config.yaml_files import read_yaml

try:
    if Path("params.yaml").exists():
        read_yaml("params.yaml")
except (ValueError, OSError) as error:
    raise WorkflowError(str(error)) from None
