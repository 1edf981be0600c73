"""Bad input made by code: files, folders, lists and lines as they come from crashes, other programs and ill will."""
