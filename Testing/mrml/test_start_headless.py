from __future__ import annotations


def test_in_the_application_nothing_is_set_up(monkeypatch):
    import slicer

    from DALESegmentLib.mrml import scene

    before = getattr(slicer, "mrmlScene", None)
    monkeypatch.setattr(scene, "_headless", None)
    monkeypatch.setattr(slicer, "app", object(), raising=False)
    assert scene.startHeadless() is None
    assert getattr(slicer, "mrmlScene", None) is before


def test_without_the_desktop_it_is_set_up_once(a_scene):
    import slicer

    from DALESegmentLib.mrml.scene import startHeadless

    assert startHeadless() is startHeadless()
    assert slicer.mrmlScene is a_scene
