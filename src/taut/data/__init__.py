"""bytes -> dataset version: trees of file digests with rows and columns, DVC's pointers, and back into a folder.

What other rooms use is imported when it is asked for: a status that finds nothing changed needs a part of it only.
"""

from typing import TYPE_CHECKING

from taut.ground.late import names_of

if TYPE_CHECKING:
    from taut.data.exchange.restore import Placed, checkout_pointers
    from taut.data.tables.contracts import check_table, read_contract
    from taut.data.tables.diff import ColumnChange, DatasetDiff, RowsAsked, dataset_diff, workspace_diff
    from taut.data.tables.diff_drawn import diff_page
    from taut.data.tables.parts import part_of
    from taut.data.tables.profiles import find_profile
    from taut.data.versions import find_dataset, find_versions, list_datasets, read_tree, record_dataset
    from taut.data.workspace.add import add_dataset, path_in_project
    from taut.data.workspace.cache import Cache
    from taut.data.workspace.checkout import checkout_dataset
    from taut.data.workspace.move import move_data, remove_pointer
    from taut.data.workspace.pointers import Pointer, pointer_over, read_pointer
    from taut.data.workspace.reading import Digests, copy_content, digest_file, md5_by_pointer, md5_in_dataset
    from taut.data.workspace.status import DatasetState, dataset_status

PLACES = {
    "workspace.add": ("add_dataset", "path_in_project"),
    "workspace.cache": ("Cache",),
    "workspace.checkout": ("checkout_dataset",),
    "exchange.restore": ("Placed", "checkout_pointers"),
    "tables.contracts": ("check_table", "read_contract"),
    "tables.diff": ("ColumnChange", "DatasetDiff", "RowsAsked", "dataset_diff", "workspace_diff"),
    "tables.diff_drawn": ("diff_page",),
    "workspace.move": ("move_data", "remove_pointer"),
    "workspace.pointers": ("Pointer", "pointer_over", "read_pointer"),
    "tables.parts": ("part_of",),
    "tables.profiles": ("find_profile",),
    "workspace.reading": ("Digests", "copy_content", "digest_file", "md5_by_pointer", "md5_in_dataset"),
    "workspace.status": ("DatasetState", "dataset_status"),
    "versions": ("find_dataset", "find_versions", "list_datasets", "read_tree", "record_dataset"),
}

__all__ = [
    "Cache",
    "ColumnChange",
    "DatasetDiff",
    "DatasetState",
    "Digests",
    "Placed",
    "Pointer",
    "RowsAsked",
    "add_dataset",
    "check_table",
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
    "md5_by_pointer",
    "md5_in_dataset",
    "move_data",
    "part_of",
    "path_in_project",
    "pointer_over",
    "read_contract",
    "read_pointer",
    "read_tree",
    "record_dataset",
    "remove_pointer",
    "workspace_diff",
]

__getattr__ = names_of("taut.data", PLACES)
