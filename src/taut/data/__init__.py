"""bytes -> dataset version: trees of file digests with rows and columns, DVC's pointers, and back into a folder."""

from taut.data.add import add_dataset, path_in_project
from taut.data.checkout import checkout_dataset, checkout_pointers
from taut.data.diff import ColumnChange, DatasetDiff, dataset_diff, workspace_diff
from taut.data.diff_page import diff_page
from taut.data.index import Digests
from taut.data.pointers import Pointer, pointer_over, read_pointer
from taut.data.profiles import find_profile
from taut.data.snapshot import digest_file, take_snapshot
from taut.data.status import DatasetState, dataset_status
from taut.data.versions import find_dataset, find_versions, list_datasets, read_tree, record_dataset

__all__ = [
    "ColumnChange",
    "DatasetDiff",
    "DatasetState",
    "Digests",
    "Pointer",
    "add_dataset",
    "checkout_dataset",
    "checkout_pointers",
    "dataset_diff",
    "dataset_status",
    "diff_page",
    "digest_file",
    "find_dataset",
    "find_profile",
    "find_versions",
    "list_datasets",
    "path_in_project",
    "pointer_over",
    "read_pointer",
    "read_tree",
    "record_dataset",
    "take_snapshot",
    "workspace_diff",
]
