"""`slicer.parameterNodeWrapper` in small: typed fields in a real MRML node, bound to widgets both ways."""

from __future__ import annotations

import enum
import json
import typing
import weakref
from dataclasses import dataclass
from typing import Any

import slicer
import vtk

PROPERTY = "SlicerParameterName"


@dataclass
class WithinRange:
    minimum: float
    maximum: float


@dataclass
class Default:
    value: Any


def parameterNodeWrapper(cls: type | None = None) -> Any:
    """Class decorator: each annotated name becomes a property stored in the parameter node."""
    if cls is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {name: _Field(name, hint, getattr(cls, name, None)) for name, hint in hints.items()}
    body = {name: property(_reader(name), field.write_to) for name, field in fields.items()}
    return type(cls.__name__, (_Wrapper,), {"_fields": fields, "__doc__": cls.__doc__, **body})


def _reader(name: str) -> Any:
    return lambda wrapper: wrapper._values[name]


class _Field:
    def __init__(self, name: str, hint: Any, default: Any) -> None:
        annotated = typing.get_origin(hint) is typing.Annotated
        self.name = name
        self.kind = typing.get_args(hint)[0] if annotated else hint
        extras = typing.get_args(hint)[1:] if annotated else ()
        self.bounds = next((e for e in extras if isinstance(e, WithinRange)), None)
        self.default = next((e.value for e in extras if isinstance(e, Default)), default)
        self.is_node = isinstance(self.kind, type) and issubclass(self.kind, slicer.vtkMRMLNode)
        self.is_enum = isinstance(self.kind, type) and issubclass(self.kind, enum.Enum)
        if not (self.is_node or self.is_enum or self.kind in (bool, int, float, str, list[int])):
            raise NotImplementedError(f"The stand-in keeps no {self.kind} in a parameter node")

    def read_from(self, wrapper: _Wrapper) -> Any:
        node = wrapper.parameterNode
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if not text:
            return self._fallback()
        return self.kind[text] if self.is_enum else json.loads(text)

    def _fallback(self) -> Any:
        if self.default is not None:
            return self.default
        return (
            next(iter(self.kind))
            if self.is_enum
            else typing.get_origin(self.kind)()
            if (typing.get_origin(self.kind))
            else self.kind()
        )

    def write_to(self, wrapper: _Wrapper, value: Any) -> None:
        node = wrapper.parameterNode
        if self.is_node:
            if value is not None and not value.IsA(self.kind.__name__):
                raise ValueError(f"{self.name} takes a {self.kind.__name__}")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            return
        kind = typing.get_origin(self.kind) or self.kind
        if not isinstance(value, kind) and not (kind is float and isinstance(value, int)):
            raise ValueError(f"{self.name} takes a {kind.__name__}, not {value!r}")
        if self.bounds and not self.bounds.minimum <= value <= self.bounds.maximum:
            raise ValueError(f"{self.name}: {value} is out of range")
        node.SetParameter(self.name, value.name if self.is_enum else json.dumps(value))


class _Wrapper:
    _fields: dict[str, _Field]
    _values: dict[str, Any]
    _next = 0

    def __init__(self, parameterNode: Any) -> None:
        self.parameterNode = parameterNode
        self._bound: dict[int, dict[str, _Connector]] = {}
        self._tags: dict[int, int] = {}
        self._updating = False
        self._read()
        # As in Slicer: what is read comes from a copy that is renewed when the node says that it changed, and
        # the node must not keep the wrapper alive.
        weak = weakref.ref(self)
        tag = parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: weak() and weak()._read())
        weakref.finalize(self, parameterNode.RemoveObserver, tag).atexit = False

    def _read(self) -> None:
        self._values = {name: field.read_from(self) for name, field in self._fields.items()}

    def connectGui(self, gui: Any) -> int:
        widgets = [w for w in vars(gui).values() if w.property(PROPERTY)]
        bound = {w.property(PROPERTY): w for w in widgets}
        unknown = set(bound) - set(self._fields)
        if unknown:
            raise ValueError(f"No parameter is named {sorted(unknown)}")
        connectors = {name: _Connector(w, self._fields[name]) for name, w in bound.items()}
        tag = self._next
        self._next += 1
        self._bound[tag] = connectors
        for name, connector in connectors.items():
            connector.write(getattr(self, name))
            connector.start(self._taker(name, connector))
        self._tags[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._to_gui())
        return tag

    def disconnectGui(self, tag: int) -> None:
        for connector in self._bound.pop(tag, {}).values():
            connector.stop()
        if tag in self._tags:
            self.RemoveObserver(self._tags.pop(tag))

    def _taker(self, name: str, connector: _Connector) -> Any:
        def take() -> None:
            with slicer.util.NodeModify(self):
                if not self._updating:
                    setattr(self, name, connector.read())

        return take

    def _to_gui(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for connectors in self._bound.values():
                for name, connector in connectors.items():
                    connector.write(getattr(self, name))
        finally:
            self._updating = False

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, was_modifying: int) -> None:
        self.parameterNode.EndModify(was_modifying)

    def Modified(self) -> None:
        self.parameterNode.Modified()


class _Connector:
    """One widget bound to one field, through the names Slicer's own connectors use."""

    KINDS = {  # noqa: RUF012
        "QCheckBox": ("stateChanged(int)", "checked"),
        "QSpinBox": ("valueChanged(int)", "value"),
        "QDoubleSpinBox": ("valueChanged(double)", "value"),
        "ctkSliderWidget": ("valueChanged(double)", "value"),
        "QLineEdit": ("textChanged(QString)", "text"),
        "QComboBox": ("currentIndexChanged(int)", "currentIndex"),
        "qMRMLNodeComboBox": ("currentNodeChanged(vtkMRMLNode*)", None),
    }

    def __init__(self, widget: Any, field: _Field) -> None:
        self.widget, self.field, self._callback = widget, field, None
        kind = widget.className()
        expected = {"ctkSliderWidget": float, "QCheckBox": bool, "QSpinBox": int, "QLineEdit": str}
        if kind not in self.KINDS or (kind in expected and field.kind is not expected[kind]):
            raise RuntimeError(f"Unable to create GUI connector from {field.kind} to {kind}")
        self.signal, self.attribute = self.KINDS[kind]
        if kind == "qMRMLNodeComboBox":
            widget.nodeTypes = [field.kind.__name__]
        elif kind == "QComboBox":
            widget.clear()
            for value in field.kind:
                widget.addItem(value.label() if hasattr(value, "label") else value.name)
        elif kind == "ctkSliderWidget":
            if field.bounds is None:
                raise RuntimeError("Cannot have a connection to a ctkSliderWidget where the type is unbounded")
            widget.minimum, widget.maximum = field.bounds.minimum, field.bounds.maximum

    def start(self, callback: Any) -> None:
        self._callback = callback
        assert self.widget.connect(self.signal, callback)

    def stop(self) -> None:
        self.widget.disconnect(self.signal, self._callback)

    def read(self) -> Any:
        if self.attribute is None:
            return self.widget.currentNode()
        value = getattr(self.widget, self.attribute)
        return list(self.field.kind)[value] if self.field.is_enum else value

    def write(self, value: Any) -> None:
        if self.attribute is None:
            self.widget.setCurrentNode(value)
        elif self.field.is_enum:
            self.widget.currentIndex = list(self.field.kind).index(value)
        else:
            setattr(self.widget, self.attribute, value)
