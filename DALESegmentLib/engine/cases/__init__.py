"""Cases in and out: geometry, files, folders. Needs numpy and SimpleITK only."""
