"""bytes -> dataset version: trees of file digests with rows and columns, DVC's pointers, and back into a folder.

What other rooms use is imported when it is asked for: a status that finds nothing changed needs a part of it only.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taut.data.add import add_dataset, path_in_project
    from taut.data.cache import Cache
    from taut.data.checkout import checkout_dataset, checkout_pointers
    from taut.data.diff import ColumnChange, DatasetDiff, dataset_diff, workspace_diff
    from taut.data.diff_drawn import diff_page
    from taut.data.move import move_data, remove_pointer
    from taut.data.pointers import Pointer, pointer_over, read_pointer
    from taut.data.profiles import find_profile
    from taut.data.reading import Digests, copy_content, digest_file, md5_in_dataset
    from taut.data.status import DatasetState, dataset_status
    from taut.data.versions import find_dataset, find_versions, list_datasets, read_tree, record_dataset

PLACES = {
    "add": ("add_dataset", "path_in_project"),
    "cache": ("Cache",),
    "checkout": ("checkout_dataset", "checkout_pointers"),
    "diff": ("ColumnChange", "DatasetDiff", "dataset_diff", "workspace_diff"),
    "diff_drawn": ("diff_page",),
    "move": ("move_data", "remove_pointer"),
    "pointers": ("Pointer", "pointer_over", "read_pointer"),
    "profiles": ("find_profile",),
    "reading": ("Digests", "copy_content", "digest_file", "md5_in_dataset"),
    "status": ("DatasetState", "dataset_status"),
    "versions": ("find_dataset", "find_versions", "list_datasets", "read_tree", "record_dataset"),
}

__all__ = [
    "Cache",
    "ColumnChange",
    "DatasetDiff",
    "DatasetState",
    "Digests",
    "Pointer",
    "add_dataset",
    "checkout_dataset",
    "checkout_pointers",
    "copy_content",
    "dataset_diff",
    "dataset_status",
    "diff_page",
    "digest_file",
    "find_dataset",
    "find_profile",
    "find_versions",
    "list_datasets",
    "md5_in_dataset",
    "move_data",
    "path_in_project",
    "pointer_over",
    "read_pointer",
    "read_tree",
    "record_dataset",
    "remove_pointer",
    "workspace_diff",
]


def __getattr__(name: str) -> object:
    for module, names in PLACES.items():
        if name in names:
            return getattr(import_module(f"taut.data.{module}"), name)
    raise AttributeError(f"module 'taut.data' has no attribute {name!r}")
