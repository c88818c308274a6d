"""Fitted models outside of Python's own pickles."""

# Types of this package that `skops.io.load` has to trust for estimators, and those for searches over them.
TRUSTED_TYPES = (
    "sk_dlsteps.classifier.StepwiseClassifier",
    "sk_dlsteps.regressor.StepwiseRegressor",
)
TRUSTED_TYPES_OF_SEARCHES = (
    *TRUSTED_TYPES,
    "sk_dlsteps.step4_validation.noise.Difference",
    "sk_dlsteps.step4_validation.rungs.Ladder",
    "sk_dlsteps.step4_validation.rungs.Rung",
    "sk_dlsteps.step4_validation.search.StepwiseSearchCV",
    "sk_dlsteps.step4_validation.spaces.Dropout",
    "sk_dlsteps.step4_validation.spaces.LogUniform",
    "sk_dlsteps.step4_validation.spaces.LogUniformInteger",
)
