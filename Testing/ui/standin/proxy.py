"""A PySide6 object seen as PythonQt would show it."""

from __future__ import annotations

import enum
import functools
import inspect
import sys
import traceback
import types
from typing import Any

import shiboken6
from PySide6 import QtCore

from . import api

#: Tracebacks of exceptions that slots raised since the list was last cleared.
slot_errors: list[str] = []

_PRIMITIVE = (type(None), bool, int, float, str, bytes, dict)


class EnumValue(int):
    """An enum value: an int, as PythonQt gives it, that PySide6 still takes."""

    qt: Any

    def __new__(cls, value: enum.Enum) -> EnumValue:
        made = super().__new__(cls, value.value)
        made.qt = value
        return made

    def __or__(self, other: int) -> int:
        same = isinstance(other, EnumValue) and type(other.qt) is type(self.qt)
        return EnumValue(self.qt | other.qt) if same else int(self) | int(other)


class EnumNamespace:
    """`qt.Qt.CheckState`: holds the values of one enum."""

    def __init__(self, enumeration: type[enum.Enum]) -> None:
        self._enumeration = enumeration

    def __getattr__(self, name: str) -> EnumValue:
        if name not in self._enumeration.__members__:
            raise AttributeError(f"{self._enumeration.__name__} has no value {name}")
        return EnumValue(self._enumeration[name])


def wrap(value: Any) -> Any:
    """What PythonQt hands to Python for a C++ value."""
    if isinstance(value, enum.Enum):
        return EnumValue(value)
    if isinstance(value, (list, tuple)):
        return tuple(wrap(v) for v in value)
    if isinstance(value, _PRIMITIVE) or not type(value).__module__.startswith(("PySide6", "standin")):
        return value
    made = object.__new__(wrapper_class(type(value)))
    object.__setattr__(made, "_qt", value)
    return made


def unwrap(value: Any) -> Any:
    """What PySide6 needs for an argument."""
    if isinstance(value, Wrapped):
        return alive(value)
    if isinstance(value, type) and issubclass(value, Wrapped):
        return value._class
    if isinstance(value, EnumValue):
        return value.qt
    if isinstance(value, (list, tuple)):
        return [unwrap(v) for v in value]
    if isinstance(value, (types.FunctionType, types.MethodType, functools.partial)):
        return as_slot(value)
    return value


def alive(wrapped: Wrapped) -> Any:
    held = object.__getattribute__(wrapped, "_qt")
    if isinstance(held, QtCore.QObject) and not shiboken6.isValid(held):
        raise ValueError(f"Trying to use a deleted {type(wrapped).__name__}")
    return held


def as_slot(function: Any) -> Any:
    """The function as a slot: surplus arguments trimmed, exceptions printed and recorded."""
    limit = _argument_limit(function)

    def slot(*arguments: Any) -> None:
        try:
            function(*[wrap(a) for a in arguments[:limit]])
        except Exception:
            slot_errors.append(traceback.format_exc())
            print(slot_errors[-1], file=sys.stderr)

    return slot


def _argument_limit(function: Any) -> int | None:
    if not isinstance(function, (types.FunctionType, types.MethodType)):
        return None  # functools.partial and other callables get everything
    kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return None
    return sum(k in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for k in kinds)


def call(function: Any, arguments: tuple, keywords: dict) -> Any:
    """Call PySide6 with PythonQt's leniency (numbers as texts, fractions as integers) and its ValueError."""
    if keywords:
        raise ValueError("PythonQt takes no keyword arguments")
    given = [unwrap(a) for a in arguments]
    attempts = [
        given,
        [str(a) if isinstance(a, (int, float)) else a for a in given],
        [int(a) if isinstance(a, float) else a for a in given],
        [a.encode() if isinstance(a, str) else a for a in given],
    ]
    for attempt in attempts:
        try:
            return wrap(function(*attempt))
        except TypeError as error:  # noqa: PERF203
            problem = error
    raise ValueError(f"Could not find a matching overload: {problem}") from None


class _WrappedType(type):
    """Class-level access: enums and static functions."""

    def __getattr__(cls, name: str) -> Any:
        found = class_attribute(cls.__dict__.get("_class"), name)
        if found is None:
            raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")
        return found


def class_attribute(qt_class: Any, name: str) -> Any:
    """An enum, an enum value in its short or long spelling, or a static function of a class; else None."""
    found = getattr(qt_class, name, None)
    if isinstance(found, type) and issubclass(found, enum.Enum):
        return EnumNamespace(found)
    if isinstance(found, enum.Enum):
        return EnumValue(found)
    for base in getattr(qt_class, "__mro__", ()):
        for enumeration in vars(base).values():
            is_enum = isinstance(enumeration, type) and issubclass(enumeration, enum.Enum)
            if is_enum and name in enumeration.__members__:
                return EnumValue(enumeration[name])
    if callable(found):
        file_dialog = qt_class.__name__ == "QFileDialog"

        def static(*arguments: Any, **keywords: Any) -> Any:
            answer = call(found, arguments, keywords)
            return answer[0] if file_dialog and isinstance(answer, tuple) else answer

        return static
    return None


class Wrapped(metaclass=_WrappedType):
    """One C++ object. The classes have no Python inheritance among them, as in PythonQt."""

    __slots__ = ("__weakref__", "_qt")
    _class: Any = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        if "_class" not in vars(cls):
            raise NotImplementedError("The stand-in does not let Qt classes be subclassed")

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        if keywords:
            raise ValueError(f"{type(self).__name__}: no keyword arguments to Qt constructors")
        made = self._class(*[unwrap(a) for a in arguments])
        object.__setattr__(self, "_qt", made)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Wrapped) and alive(self) is alive(other)

    def __hash__(self) -> int:
        return id(object.__getattribute__(self, "_qt"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (stand-in)>"

    def __getattr__(self, name: str) -> Any:
        held = alive(self)
        if isinstance(held, QtCore.QObject):
            return _object_attribute(self, held, name)
        found = getattr(held, name)
        if not callable(found):
            return wrap(found)
        return lambda *a, **k: call(found, a, k)

    def __setattr__(self, name: str, value: Any) -> None:
        held = alive(self)
        meta = _property(held, name)
        if meta is None or not meta.isWritable():
            raise AttributeError(f"{type(self).__name__} has no writable property '{name}'")
        kind = meta.typeName()
        if kind in ("int", "uint") and isinstance(value, float):
            value = int(value)
        if kind == "QString" and value is not None:
            value = str(value)
        if kind == "bool":
            value = bool(value)
        if not held.setProperty(name, unwrap(value)):
            raise ValueError(f"'{name}' of {type(self).__name__} cannot be {value!r}")


def _property(held: Any, name: str) -> QtCore.QMetaProperty | None:
    if not isinstance(held, QtCore.QObject):
        return None
    table = api.table(type(held).__name__)
    if table is not None and name not in table["props"]:
        return None
    meta = held.metaObject()
    index = meta.indexOfProperty(name)
    if index < 0 and table is not None:
        raise NotImplementedError(f"The stand-in's {type(held).__name__} lacks its property '{name}'")
    return meta.property(index) if index >= 0 else None


def _object_attribute(wrapped: Wrapped, held: QtCore.QObject, name: str) -> Any:
    if name == "name":
        return held.objectName()
    if _property(held, name) is not None:
        return wrap(held.property(name))
    if name == "connect":
        return functools.partial(connect, held)
    if name == "disconnect":
        return functools.partial(disconnect, held)
    if name == "className":
        return lambda: type(held).__name__
    class_name = type(held).__name__
    if name in _signal_names(held):
        return SignalOf(held, name)
    if api.table(class_name) is not None and name not in api.slot_names(class_name) | _plain_names():
        raise AttributeError(f"{class_name} has no attribute '{name}' in Slicer")
    found = getattr(held, name, None)
    if found is None or name.startswith("_"):
        raise AttributeError(f"{class_name} has no attribute named '{name}'")
    return lambda *a, **k: call(found, a, k)


@functools.cache
def _plain_names() -> set[str]:
    """What PythonQt offers on every widget beside properties, signals and slots."""
    from PySide6 import QtWidgets

    return {n for n in dir(QtWidgets.QWidget) if not n.startswith("_")}


def _signal_names(held: QtCore.QObject) -> set[str]:
    if api.table(type(held).__name__) is not None:
        return api.signal_names(type(held).__name__)
    return _signals_of(type(held))


@functools.cache
def _signals_of(qt_class: type) -> set[str]:
    """Once for each class: a table asks hundreds of times while it is filled."""
    meta = qt_class.staticMetaObject
    methods = (meta.method(i) for i in range(meta.methodCount()))
    signals = (m for m in methods if m.methodType() == QtCore.QMetaMethod.MethodType.Signal)
    return {bytes(m.name()).decode() for m in signals}


def _has_signal(held: QtCore.QObject, signature: str) -> bool:
    table = api.table(type(held).__name__)
    if table is not None:
        return signature in table["signals"]
    return "(" in signature and held.metaObject().indexOfSignal(signature) >= 0


def _bound_signal(held: QtCore.QObject, signature: str) -> Any:
    """PySide6's signal for a signature; a class of ours may say which of its signals stands for one."""
    name = signature.split("(")[0]
    if held.metaObject().indexOfSignal(signature) >= 0:
        return None
    stands_for = getattr(held, "STANDS_FOR", {})
    if signature not in stands_for:
        raise NotImplementedError(f"The stand-in's {type(held).__name__} never sends {signature}")
    return getattr(held, name)


def connect(held: QtCore.QObject, signature: str, function: Any) -> bool:
    signature = bytes(QtCore.QMetaObject.normalizedSignature(signature)).decode()
    if not callable(function) or not _has_signal(held, signature):
        return False
    slot = as_slot(function)
    bound = _bound_signal(held, signature)
    if bound is None:
        QtCore.QObject.connect(held, QtCore.SIGNAL(signature), slot)
    else:
        bound.connect(slot)
    held.__dict__.setdefault("_slots", []).append((signature, function, slot))
    return True


def disconnect(held: QtCore.QObject, signature: str, function: Any = None) -> bool:
    signature = bytes(QtCore.QMetaObject.normalizedSignature(signature)).decode()
    known = held.__dict__.get("_slots", [])
    found = [row for row in known if row[0] == signature and function in (None, row[1])]
    for row in found:
        bound = _bound_signal(held, signature)
        if bound is None:
            QtCore.QObject.disconnect(held, QtCore.SIGNAL(signature), row[2])
        else:
            bound.disconnect(row[2])
        known.remove(row)
    return bool(found)


class SignalOf:
    """`button.clicked`: connect, disconnect, emit, or call to emit."""

    def __init__(self, held: QtCore.QObject, name: str) -> None:
        self._held, self._name = held, name

    def _signature(self) -> str:
        table = api.table(type(self._held).__name__)
        meta = self._held.metaObject()
        all_signatures = (
            table["signals"]
            if table
            else [bytes(meta.method(i).methodSignature()).decode() for i in range(meta.methodCount())]
        )
        return max((s for s in all_signatures if s.split("(")[0] == self._name), key=len)

    def connect(self, function: Any) -> bool:
        return connect(self._held, self._signature(), function)

    def disconnect(self, function: Any = None) -> bool:
        return disconnect(self._held, self._signature(), function)

    def emit(self, *arguments: Any) -> None:
        getattr(self._held, self._name).emit(*[unwrap(a) for a in arguments])

    __call__ = emit


@functools.cache
def wrapper_class(qt_class: type) -> type:
    return _WrappedType(qt_class.__name__, (Wrapped,), {"_class": qt_class, "__slots__": ()})
