"""Train a classifier on the breast cancer data set of Wisconsin: 569 tumours, 30 measurements of each, benign or not.

Load, split, train three candidates side by side, measure each on tumours none of them has seen, keep the best.

    pyflyte run --remote --wait examples/training.py train_best
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from flytekit import Resources, current_context, task, workflow
from flytekit.types.file import FlyteFile

TARGET = "benign"
SMALL = Resources(cpu="500m", mem="500Mi")


@dataclass
class Candidate:
    """How to train one forest."""

    trees: int
    depth: int


@dataclass
class Metrics:
    """How good a model is on data it has not seen."""

    candidate: Candidate
    accuracy: float
    macro_f1: float
    log_loss: float


class Split(NamedTuple):
    training: pd.DataFrame
    test: pd.DataFrame


class Best(NamedTuple):
    model: FlyteFile
    metrics: Metrics
    accuracy: float


@task(requests=SMALL)
def load_tumours() -> pd.DataFrame:
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(as_frame=True).frame.rename(columns={"target": TARGET})


@task(requests=SMALL)
def split(tumours: pd.DataFrame, test_share: float, seed: int) -> Split:
    from sklearn.model_selection import train_test_split

    training, test = train_test_split(tumours, test_size=test_share, random_state=seed, stratify=tumours[TARGET])
    return Split(training.reset_index(drop=True), test.reset_index(drop=True))


@task(requests=SMALL)
def train(training: pd.DataFrame, candidate: Candidate, seed: int) -> FlyteFile:
    import joblib
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(n_estimators=candidate.trees, max_depth=candidate.depth, random_state=seed)
    forest.fit(training.drop(columns=TARGET), training[TARGET])
    path = Path(current_context().working_directory) / f"forest-{candidate.trees}x{candidate.depth}.joblib"
    joblib.dump(forest, path)
    return FlyteFile(str(path))


@task(requests=SMALL)
def evaluate(model: FlyteFile, test: pd.DataFrame, candidate: Candidate) -> Metrics:
    import joblib
    from sklearn.metrics import accuracy_score, f1_score, log_loss

    forest = joblib.load(model.download())
    measured, truth = test.drop(columns=TARGET), test[TARGET]
    predicted = forest.predict(measured)
    return Metrics(
        candidate=candidate,
        accuracy=float(accuracy_score(truth, predicted)),
        macro_f1=float(f1_score(truth, predicted, average="macro")),
        log_loss=float(log_loss(truth, forest.predict_proba(measured))),
    )


@task(requests=SMALL)
def choose(models: list[FlyteFile], results: list[Metrics]) -> Best:
    best = min(range(len(results)), key=lambda number: results[number].log_loss)
    return Best(models[best], results[best], results[best].accuracy)


@workflow
def train_best(test_share: float = 0.3, seed: int = 7) -> Best:
    tumours = load_tumours()
    parts = split(tumours=tumours, test_share=test_share, seed=seed)
    models = []
    results = []
    for candidate in (Candidate(trees=10, depth=2), Candidate(trees=40, depth=4), Candidate(trees=120, depth=8)):
        model = train(training=parts.training, candidate=candidate, seed=seed)
        models.append(model)
        results.append(evaluate(model=model, test=parts.test, candidate=candidate))
    return choose(models=models, results=results)
