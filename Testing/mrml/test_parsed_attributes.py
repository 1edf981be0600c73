"""What a node's attribute says is read again exactly where it says something else."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def node(a_scene):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")


def test_a_text_is_parsed_once_until_it_is_another_one(node):
    from DALESegmentLib.mrml.parsed_attributes import parsedAttribute

    seen = []

    def parse(text):
        seen.append(text)
        return json.loads(text or "null")

    assert parsedAttribute(node, "A", parse) is None
    node.SetAttribute("A", "[1]")
    first = parsedAttribute(node, "A", parse)
    node.SetAttribute("B", "something else")
    assert first == [1]
    assert parsedAttribute(node, "A", parse) is first
    node.SetAttribute("A", "[2]")
    assert parsedAttribute(node, "A", parse) == [2]
    node.RemoveAttribute("A")
    assert parsedAttribute(node, "A", parse) is None
    assert seen == ["", "[1]", "[2]", ""]


def test_what_is_kept_is_returned_until_the_text_is_another_one(node):
    from DALESegmentLib.mrml.parsed_attributes import keepParsed, parsedAttribute

    node.SetAttribute("A", "[1]")
    keepParsed(node, "A", "read before")
    assert parsedAttribute(node, "A", json.loads) == "read before"
    node.SetAttribute("A", "[2]")
    assert parsedAttribute(node, "A", json.loads) == [2]


def test_many_nodes_leave_no_texts_behind(node):
    import slicer

    from DALESegmentLib.mrml import parsed_attributes

    for n in range(2 * parsed_attributes.MOST):
        other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
        other.SetAttribute("A", str(n))
        assert parsed_attributes.parsedAttribute(other, "A", json.loads) == n
    assert len(parsed_attributes._kept) == parsed_attributes.MOST


@pytest.mark.parametrize("value", [{}, {"1": {"a": [1, 2], "b": "}"}, "ü": None, "x,y:": 1.5}])
@pytest.mark.parametrize("indent", [None, 1])
def test_items_are_those_of_the_object(value, indent):
    from DALESegmentLib.mrml.parsed_attributes import jsonItems

    assert dict(jsonItems(json.dumps(value, indent=indent))) == value


@pytest.mark.parametrize("text", ["", "[1]", '{"a": 1', '{"a" 1}', '{"a": 1 "b": 2}', "{1: 2"])
def test_what_is_no_object_is_refused(text):
    from DALESegmentLib.mrml.parsed_attributes import jsonItems

    with pytest.raises(ValueError, match=r"."):
        list(jsonItems(text))
