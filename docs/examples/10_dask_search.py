"""
A search on a Dask cluster
==========================

Candidates of a search go to Dask's workers in batches, and each worker trains its batch as one fleet. Here two workers
run on this machine; with an address, the client connects to a cluster of any size.
"""

import logging

import joblib
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_breast_cancer

from sk_dlsteps import SearchDisplay, StepwiseClassifier, StepwiseSearchCV

X, y = load_breast_cancer(return_X_y=True)
model = StepwiseClassifier(n_estimators=1, max_epochs=20, random_state=0)
space = {"learning_rate": [0.001, 0.003, 0.01, 0.03, 0.1], "hidden_units": [16, 64], "dropout": [0.0, 0.25, 0.5]}
search = StepwiseSearchCV(model, space, strategy="random", n_iter=16, cv=3, scoring="neg_log_loss", random_state=0)

# %%
# One thread a worker, as small networks are slower with more. ``scatter`` puts the data there once. Candidates and
# folds are the same as in one process, so the results are the same too. The picture shows the candidates by their
# learning rate.
if __name__ == "__main__":  # workers import this file
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.ERROR) as cluster,
        Client(cluster),
        joblib.parallel_config(backend="dask", scatter=[X, y]),
    ):
        search.fit(X, y)
    here = StepwiseSearchCV(**search.get_params(deep=False)).fit(X, y)
    print(search.best_params_)
    print("the same as in one process:", search.best_params_ == here.best_params_)
    SearchDisplay.from_estimator(search, parameter="learning_rate")
