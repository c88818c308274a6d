"""What scikit-learn has for callbacks from version 1.9 on; an older one has none, and nothing else changes."""

from __future__ import annotations

from typing import Any

try:
    from sklearn.callback import AutoPropagatedCallback, CallbackSupportMixin
    from sklearn.callback._callback_support import callback_management_context
except ImportError:  # scikit-learn before 1.9
    AutoPropagatedCallback = callback_management_context = None

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands where there is nothing to support."""


__all__ = [
    "AutoPropagatedCallback",
    "CallbackSupportMixin",
    "callback_management_context",
    "callbacks_of",
    "without_callbacks",
]


def callbacks_of(estimator: Any) -> list[Any]:
    """The callbacks that `set_callbacks` gave an estimator."""
    return getattr(estimator, "_skl_callbacks", [])


def without_callbacks(estimator: Any) -> Any:
    """An estimator that is nobody else's, without those."""
    vars(estimator).pop("_skl_callbacks", None)
    return estimator
