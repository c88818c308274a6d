"""Candidates and folds as the tasks that scikit-learn's callbacks are told of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from sk_dlsteps.callback_support import AutoPropagatedCallback, callback_management_context, callbacks_of


class SearchTasks:
    """The tree of a search's tasks; without callbacks there is none, and nothing is done.

    Candidates train together, so that callbacks of the search hear of each one on each fold, but not of its epochs;
    of those only in the final fit.

    Parameters
    ----------
    context : CallbackContext or None
        That of the task that the others are parts of.
    task : dict
        What is told of each: the search and what its `fit` was given.

    """

    def __init__(self, context: Any, task: dict[str, Any]) -> None:
        self.context, self.task = context, task

    @classmethod
    @contextmanager
    def of(cls, search: Any, X: Any, y: Any, sample_weight: Any) -> Iterator[Self]:
        """Begin and end the task of a whole search."""
        if not callbacks_of(search):
            yield cls(None, {})
            return
        _check_callbacks(search.estimator)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        tasks = cls(None, {"estimator": search, "X": X, "y": y, "metadata": metadata})
        # The search itself and, if there is one, the final fit.
        n_parts = 1 + (search.refit is not False)
        with (
            callback_management_context(search),
            tasks._task(search._init_callback_context(max_subtasks=n_parts)),
        ):
            yield tasks

    @contextmanager
    def part(self, name: str, max_subtasks: int | None = None, *, of_candidates: bool = False) -> Iterator[SearchTasks]:
        """Begin and end a task of others: the candidates, or rungs of them."""
        if self.context is None:
            yield self
            return
        part = SearchTasks(None, self.task)
        context = self.context.subcontext(name, max_subtasks=max_subtasks, sequential_subtasks=not of_candidates)
        with part._task(context):
            yield part

    def begin(self, n_fits: int) -> Callable[[int], None]:
        """Begin the task of each of so many fits; gives what ends one by its number."""
        if self.context is None:
            return lambda number: None
        fits = [self.context.subcontext("candidate-split-evaluation", number) for number in range(n_fits)]
        for fit in fits:
            fit.call_on_fit_task_begin(**self.task)

        def end(number: int) -> None:
            fits[number].call_on_fit_task_end(**self.task)

        return end

    @contextmanager
    def final_fit(self, estimator: Any) -> Iterator[None]:
        """Begin and end the task of the final fit, whose own tasks are told to the callbacks that are handed on."""
        if self.context is None:
            yield
            return
        context = self.context.subcontext("refit-with-best-params")
        with context.propagate_callback_context(estimator):
            context.call_on_fit_task_begin(**self.task)
            yield
        context.call_on_fit_task_end(**self.task)

    @contextmanager
    def _task(self, context: Any) -> Iterator[None]:
        """Begin and end a task that has others."""
        self.context = context.call_on_fit_task_begin(**self.task)
        yield
        context.call_on_fit_task_end(**self.task)


def _check_callbacks(estimator: Any) -> None:
    """Raise if an estimator to search has callbacks that only the search can have."""
    names = [type(cb).__name__ for cb in callbacks_of(estimator) if isinstance(cb, AutoPropagatedCallback)]
    if names:
        raise TypeError(
            f"`estimator` was given {', '.join(names)} by `set_callbacks`, which belongs to the outermost estimator; "
            "give it to the search"
        )
