"""DALESegment: segmentation with learned label confidence. `ui` builds on `mrml`, `mrml` on `engine`."""
