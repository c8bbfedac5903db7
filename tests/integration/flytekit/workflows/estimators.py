"""scikit-learn's estimators have a transformer too; a module of their own, because loading scikit-learn takes seconds."""

from flytekit import Resources, task
from sklearn.linear_model import LinearRegression


@task(requests=Resources(cpu="100m", mem="300Mi"))
def estimators(v: LinearRegression) -> LinearRegression:
    return v
