"""A grid as the pipeline leaves it: 2 groups x 4 pretexts x 2 seeds, in the files' own schema."""

import hashlib
import json
import math
import random
import re

from eqssl.machine.records import write_record

VIEWS = ("stored", "grid", "angle")
SHARES = (1, 10, 100)
PRETEXTS = ("eq_labels", "labels", "random", "supervised")
BASE = {
    "eq_labels": 0.66,
    "labels": 0.63,
    "random": 0.58,
    "supervised": 0.84,
    "inv_contrastive": 0.68,
    "contrastive": 0.66,
}
TASKS = {
    "eq_labels": {"task": "relative_location", "head": "equivariant"},
    "labels": {"task": "relative_location", "head": "plain"},
    "inv_contrastive": {"task": "simclr", "similarity": "max"},
    "contrastive": {"task": "simclr", "similarity": None},
    "random": {"task": "random"},
    "supervised": {"task": "supervised"},
}
TWINS = {"eq_labels": "labels", "inv_contrastive": "contrastive"}
VERSIONS = {
    "python": "3.11.2",
    "eqssl": "0.1.0",
    "torch": "2.13.0",
    "escnn": "1.0.11",
    "numpy": "2.4.0",
    "scikit-learn": "1.9.0",
    "pyarrow": "26.0.0",
    "platform": "Linux-6.1-x86_64",
    "processor": "A Processor <with> 2 cores",
    "cores": 2,
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "code": "89abcdef0123",
}
PROBE = {
    "shares": list(SHARES),
    "draws": 5,
    "strengths": [1e-7, 1.0, 15],
    "tolerance": 1e-4,
    "iterations": 1000,
    "neighbours": 20,
    "temperature": 0.07,
    "bootstrap": 1000,
    "seed": 0,
}


def metrics(dataset, group, pretext, seed):
    """The content of one metrics.json; the same cell gives the same numbers."""
    noise = random.Random(f"{dataset} {group} {pretext} {seed}")  # noqa: S311
    order = {"trivial": 1, "C2": 2, "C4": 4, "D1": 2, "D2": 4, "D4": 8}[group]
    gain = 0.03 * math.log2(order)
    numbers = {
        "dataset": dataset,
        "group": group,
        "pretext": pretext,
        "seed": seed,
        "parameters": 18042 + 13 * order,
        "flops": 12_345_678 * (1 + order // 3),
        "epochs": 0 if pretext == "random" else 5,
        "equivariance_error": 0.0 if order == 1 else noise.uniform(2e-7, 9e-7),
        "seconds_pretrain": 0.0 if pretext == "random" else noise.uniform(31, 47) * (1 + order / 8),
    }
    loss_of_view = {"stored": 0.0, "grid": 0.01 if order == 1 else 0.0, "angle": 0.02}

    def put(name, value, half):
        numbers[name] = round(value, 4)
        numbers[f"{name}_lo"], numbers[f"{name}_hi"] = round(value - half, 4), round(value + half, 4)

    for view in VIEWS:
        for share in SHARES:
            level = BASE[pretext] + gain - loss_of_view[view] - {1: 0.14, 10: 0.05, 100: 0.0}[share]
            put(f"acc_{view}_{share}", level + noise.gauss(0, 0.004), 0.009)
            put(f"reg_acc_{view}_{share}", level + 0.02 + noise.gauss(0, 0.004), 0.009)
        put(f"knn_{view}", BASE[pretext] + gain - 0.04 - loss_of_view[view] + noise.gauss(0, 0.004), 0.009)
    if pretext in ("eq_labels", "labels"):
        put("pretext_accuracy", 0.5 + noise.gauss(0, 0.01), 0.02)
        numbers |= {"pretext_chance": 0.125, "pretext_orbit_ceiling": 0.25 if order > 1 else 1.0}
        numbers |= {"pretext_orbit_accuracy": 0.8, "pretext_accuracy_apart": 0.2, "pretext_surviving": 0.2}
    numbers["details"] = details(numbers, noise)
    return numbers


def details(numbers, noise):
    dataset, group, pretext, seed = (numbers[key] for key in ("dataset", "group", "pretext", "seed"))
    job = {
        "dataset": dataset,
        "group": group,
        "pretext": pretext,
        "seed": seed,
        "data": "ab12cd34",
        "encoder": {
            "name": "cnn",
            "width": [8, 16, 32, 48],
            "kernel": 3,
            "match": "params",
            "group_pooling": "mean",
        },
        "views": {"crop_scale": [0.3, 1.0], "turn": "angle", "brightness": 0.4},
        "pretrain": {
            "epochs": numbers["epochs"],
            "batch_size": 128,
            "optimiser": "adamw",
            "learning_rate": 0.003,
        },
        "task": TASKS[pretext],
    }
    drop = 0.05 if group == "trivial" else 0.01
    angles = []
    for degrees in [7.5 + 15 * number for number in range(24)]:
        accuracy = (
            numbers["acc_stored_100"]
            - drop * abs(math.sin(math.radians(2 * degrees)))
            + noise.gauss(0, 0.004)
        )
        angles.append(
            {"degrees": degrees, "acc": accuracy, "lo": accuracy - 0.04, "hi": accuracy + 0.04, "n": 417}
        )
    return {
        "angles": angles,
        "data": {
            "digest": "d" * 64,
            "licence": "MIT",
            "origin": "Fashion-MNIST, embedded sample",
        },
        "equivariance": {
            "group": group,
            "exact": True,
            "images": 512,
            "stages": [numbers["equivariance_error"] / 2, numbers["equivariance_error"]],
            "invariant": numbers["equivariance_error"] / 3,
            "error": numbers["equivariance_error"],
            "angles": [
                {"degrees": float(degrees), "error": drop * abs(math.sin(math.radians(2 * degrees)))}
                for degrees in range(15, 360, 15)
            ],
            "retrieval": {"queries": 1000, "mrr": 0.91, "hit_rate_1": 0.88, "hit_rate_5": 0.97},
        },
        "draws": {"acc_stored_10": [0.6, 0.61, 0.6, 0.62, 0.61]},
        "probes": {column: probes() for column in ("invariant", "regular")},
        "ridge": {column: ridge() for column in ("invariant", "regular", "invariant_2", "regular_2")},
        "prediction_change": {"invariant": 0.0312, "regular": 0.18},
        "pretrain": {
            "seconds": numbers["seconds_pretrain"],
            "images_per_second": 2345.6 if numbers["epochs"] else 0.0,
            "epochs": numbers["epochs"],
            "steps": 70 * numbers["epochs"],
            "final_loss": 1.234 if numbers["epochs"] else None,
            "device": "cpu",
            "precision": "float32",
            "versions": VERSIONS,
        },
        "encoder": {
            "group": group,
            "image_shape": [1, 28, 28],
            "data": "d" * 64,
            "job": job,
            "weights_sha256": hashlib.sha256(json.dumps(job).encode()).hexdigest(),
        },
        "probe": PROBE,
        "versions": VERSIONS,
    }


def probes(edge=False, converged=True):
    """The record of the probes on one feature column."""
    path = {
        "strength": [1.0, 1e-3],
        "iterations": [9, 40],
        "converged": [True, converged],
        "accuracy": [0.5, 0.6],
    }
    entry = {"strength": 1e-3, "accuracy": 0.6, "edge": edge, "ended": None, "path": path}
    refit = {"refit": {"iterations": 44, "converged": converged}}
    return {"1": [entry] * 5, "10": [entry] * 5, "100": [{**entry, **refit}]}


def ridge():
    """The record of the ridge classifier on one feature column."""
    test = {"stored": 0.61, "grid": 0.6, "angle": 0.58}
    return {"strength": 1e-3, "accuracy": 0.6, "edge": False, "path": [0.5, 0.6], "test": test}


def unlabelled(values, reason="no image has a label"):
    """The content of the metrics.json of the same cell on images without labels."""
    kept = {key: value for key, value in values.items() if not re.match(r"(reg_)?acc_|knn_", key)}
    gone = ("angles", "draws", "ridge", "prediction_change")
    details = {key: value for key, value in values["details"].items() if key not in gone}
    counts = {split: {"images": 100, "labelled": 0} for split in ("train", "val", "test")}
    retrieval = {"retrieval_hit_1": 0.88, "retrieval_hit_5": 0.97, "retrieval_mrr": 0.91}
    return {**kept, **retrieval, "details": {**details, "probes": reason, "labels": counts}}


def write_cell(folder, values):
    """Write metrics.json and loss.csv of one cell, with what lies beside them; give their paths."""
    home = folder / values["dataset"] / values["group"] / values["pretext"] / f"s{values['seed']}"
    home.mkdir(parents=True)
    embeds = "contrastive" in values["pretext"]
    names = (
        ["alignment", "uniformity", "rank", "similarity_of_others", "turn_found"] if embeds else ["accuracy"]
    )
    lines = [",".join(["epoch", "loss", *names])]
    noise = random.Random(values["pretext"] + values["group"])  # noqa: S311
    scale = {"labels": 2.08, "eq_labels": 2.05, "supervised": 1.6}.get(values["pretext"], 5.5)
    for epoch in range(1, int(values["epochs"]) + 1):
        loss = scale * (0.6 + 0.4 * math.exp(-epoch / 2)) + noise.gauss(0, 0.02)
        more = (
            [0.5 / epoch, -0.3 * epoch, 2.0 * epoch + values["seed"], 0.7, 0.2 * epoch] if embeds else [0.3]
        )
        lines.append(",".join([str(epoch), f"{loss:.5f}", *map(str, more)]))
    (home / "loss.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    known = 200 if "acc_stored_100" in values else 0
    predictions = "".join(f"class {i % 10},class {i % 7}\n" for i in range(known))
    (home / "predictions.csv").write_text("actual,predicted\n" + predictions, encoding="utf-8")
    trained = write_record(home / "pretrain.json", {"epochs": values["epochs"]}, ["loss.csv"])
    write_record(home / "metrics.json", values, ["predictions.csv"], {"pretrain": trained})
    return home / "metrics.json", home / "loss.csv"


def write_grid(
    folder, datasets=("fashion_mnist_rot_sample",), groups=("trivial", "C4"), pretexts=PRETEXTS, seeds=(0, 1)
):
    """Write every cell of a grid; give the pairs of paths that a report is made from."""
    return [
        write_cell(folder, metrics(dataset, group, pretext, seed))
        for dataset in datasets
        for group in groups
        for pretext in pretexts
        for seed in seeds
    ]
