"""A cell that takes seconds: each step as the commands run it, in one process."""

from eqssl.config.evaluation import FeatureSettings, ProbeSettings
from eqssl.config.jobs import FeaturesJob, PretrainJob, ProbeJob
from eqssl.config.pretexts import PretextSettings
from eqssl.evaluation.features import extract
from eqssl.evaluation.pretext_accuracy import measure_pretext
from eqssl.evaluation.probing import evaluate
from eqssl.training import pretrain


def cell(folder, params, shards, job, task, views, pretext):
    """Metrics and losses of a cell of C4 that was trained for one epoch.

    Args:
        folder: for everything that is made.
        params: settings; a few are replaced by quicker ones.
        shards: the folder of the shards.
        job: the job that made them.
        task: settings of the pretext.
        views: of the test images.
        pretext: its name.
    """
    settings = {"epochs": 1, "batch_size": 12, "warmup_epochs": 0.0}
    trained = PretrainJob(
        dataset=job.dataset,
        group="C4",
        pretext=pretext,
        seed=0,
        data=job.digest,
        encoder=params.encoder.model_copy(update={"width": (4, 8)}),
        views=params.views.model_copy(update={"turn": "grid"}),
        pretrain=params.pretrain.model_copy(update=settings),
        task=PretextSettings.read(task),
    )
    pretrain(trained, shards, folder, "cpu", measure=measure_pretext)
    extract(
        FeaturesJob(features=FeatureSettings(stages=1, views=views, seed=0)),
        shards,
        folder,
        folder / "e",
        "cpu",
    )
    probes = ProbeSettings(
        shares=(10, 100), draws=2, strengths=(1e-4, 1.0, 13), tolerance=1e-4, iterations=100, neighbours=5,
        temperature=0.07, bootstrap=100, seed=0,
    )  # fmt: skip
    evaluate(ProbeJob(probe=probes), folder / "e", folder, folder / "p")
    return folder / "p/metrics.json", folder / "loss.csv"
