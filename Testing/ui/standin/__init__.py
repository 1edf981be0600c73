"""What the module needs of Slicer's desktop, made of PySide6, for tests alone.

Qt objects are wrapped so that they behave as PythonQt's do: properties are attributes, unknown names and new
attributes are refused, a wrong signal signature makes `connect` answer False, an exception in a slot goes no
further (it is recorded in `slot_errors`). The names and signatures of the ctk and qMRML classes are checked
against `qt_api_subset.json`, read from the running application. MRML itself is the real one of slicer-core.
"""

from .install import install, uninstall
from .proxy import slot_errors, unwrap, wrap

__all__ = ["install", "slot_errors", "uninstall", "unwrap", "wrap"]
