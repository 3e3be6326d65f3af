# How fast Snakemake may start jobs.


def lift_rate_limit():
    """Let local jobs start without Snakemake's limit of 100 in a second, unless another limit was asked for.

    With a limit Snakemake (9.27) looks at all waiting jobs again after each second, and every job that ends adds one
    more such look: after a hundred jobs a hundred in a second, which takes most of a core. It reads the limit when
    the jobs are planned, so this has to be called then.
    """
    settings, executor = workflow.scheduling_settings, workflow.executor_plugin
    limit = settings and settings.max_jobs_per_timespan
    if limit and executor and not executor.common_settings.non_local_exec:
        if (limit.max_jobs, limit.timespan) == (100, 1):
            settings.max_jobs_per_timespan = None
