"""Scene nodes to cases and back. slicer and vtk; never Qt, never torch."""
