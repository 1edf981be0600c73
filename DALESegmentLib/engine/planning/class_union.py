"""Which class is which, where a label set is learned by a model that knows other classes, too.

Classes are matched by name, whatever their numbers in the files; label maps without any names are taken by number. A
model keeps its classes with their values and outputs; classes that are new to it come after them.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ..core.errors import EngineError
from ..io.checks import MOST_LABEL_VALUES
from ..io.class_names import nameless
from .plan import Plan


@dataclass(frozen=True)
class ClassUnion:
    """names: {value: name} of all classes, the model's first, in the order of the outputs; new: values that the model
    does not have; kept: those that it has and no label of the set speaks of."""

    names: Mapping[int, str]
    new: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()

    def widen(self, plan: Plan) -> Plan:
        """The model's plan with the new classes after its own."""
        if not self.new:
            return plan
        key = next(k for k in ("out_channels", "num_classes") if k in plan.network_arguments)
        values = [*plan.class_values, *self.new]
        arguments = {**plan.network_arguments, key: len(values)}
        names = {value: self.names[value] for value in values if value in self.names}
        return plan.model_copy(update={"class_values": values, "class_names": names, "network_arguments": arguments})

    def sentences(self) -> tuple[str, ...]:
        """For the answer; none where the label set has the model's classes."""
        said = []
        if self.kept:
            said.append(f"kept: {self._called(self.kept)} from the model's own prediction")
        if self.new:
            said.append(f"new: {self._called(self.new)}")
        return ("; ".join(said),) if said else ()

    def _called(self, values: Iterable[int]) -> str:
        return ", ".join(self.names.get(value, nameless(value)) for value in values)


def unite_classes(model: Mapping[int, str], named: Iterable[str], numbered: Collection[int] = ()) -> ClassUnion:
    """Find a label set's classes among a model's.

    Args:
        model: {value: name} of its classes, in the order of its outputs, without the background.
        named: names of the set's classes, as far as its files have names.
        numbered: values in label maps without any names; 0 is background.

    Raises:
        EngineError: "class-name" for a name that differs from one of the model's in capitals or spaces alone;
            "too-many-classes".
    """
    named, numbered = list(dict.fromkeys(named)), sorted({int(value) for value in numbered} - {0})
    names, by_name = dict(model), {name: value for value, name in model.items()}
    never_named = all(name == nameless(value) for value, name in model.items())
    if never_named and len(model) == len(named) == 1 and not numbered:
        return ClassUnion(names)  # a lone class that was never named takes a lone one, whatever that is called
    alike = {_plain(name): name for name in by_name}
    labelled = set(numbered) & set(model)
    fresh = [value for value in numbered if value not in model]
    names |= {value: nameless(value) for value in fresh}
    free = itertools.count(max(names, default=0) + 1)
    for name in named:
        if name in by_name:
            labelled.add(by_name[name])
            continue
        if _plain(name) in alike:
            raise EngineError(
                "class-name",
                f"The labels have the class {name}, the model has {alike[_plain(name)]}; write both in one way where "
                "they are one class, or give the new one another name.",
            )
        names[value := next(free)] = name
        fresh.append(value)
    if len(names) > MOST_LABEL_VALUES:
        raise EngineError(
            "too-many-classes",
            f"The model's classes and those of the labels are {len(names)} together, but a model learns "
            f"{MOST_LABEL_VALUES} at most; leave some out.",
        )
    return ClassUnion(names, tuple(fresh), tuple(value for value in model if value not in labelled))


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())
