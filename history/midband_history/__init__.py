"""The history of runs: what ran, when, by which agent, with which result and cost."""

from midband_history.aliases import plain_benchmark
from midband_history.archives import (
    TableFormat,
    check_members,
    extract_gzip,
    extract_zip,
    members_of,
)
from midband_history.backends import Batch, Inbox
from midband_history.connection import default_path
from midband_history.errors import (
    InputError,
    MidbandError,
    MissingPackageError,
    OutOfRangeError,
    StoreError,
    UnknownBenchmarkError,
    UnknownTaskError,
    UnreadableSourceError,
)
from midband_history.frames import Column, Frames, Rows
from midband_history.matrix import DateArray, FloatArray, IntArray, OutcomeMatrix
from midband_history.merging import MergeReport
from midband_history.metrics import Metric, MetricSummary
from midband_history.names import clean_id
from midband_history.notebook import Bar, notebook_html
from midband_history.processes import process_pool
from midband_history.reconcile import Reconciliation, StatedAggregate
from midband_history.records import (
    OUTCOME_KINDS,
    Incoming,
    Note,
    OutcomeKind,
    Record,
    sane_cost,
    sane_date,
    sane_duration,
    sane_run_cost,
    sane_tokens,
)
from midband_history.salvage import LostSource, Repaired, Salvaged, repair_history, salvage_history
from midband_history.scanning import read_header
from midband_history.staging import read_table, table_format
from midband_history.store import History, list_benchmarks, read_matrix
from midband_history.summaries import (
    AddReport,
    AgentSummary,
    BenchmarkSummary,
    Counts,
    LeftOut,
    Origin,
    PassRate,
    Removed,
    SourceFault,
    SourceSummary,
    VersionSummary,
)
from midband_history.tables import TABLE_COLUMNS, Table

__all__ = [
    "OUTCOME_KINDS",
    "TABLE_COLUMNS",
    "AddReport",
    "AgentSummary",
    "Bar",
    "Batch",
    "BenchmarkSummary",
    "Column",
    "Counts",
    "DateArray",
    "FloatArray",
    "Frames",
    "History",
    "Inbox",
    "Incoming",
    "InputError",
    "IntArray",
    "LeftOut",
    "LostSource",
    "MergeReport",
    "Metric",
    "MetricSummary",
    "MidbandError",
    "MissingPackageError",
    "Note",
    "Origin",
    "OutOfRangeError",
    "OutcomeKind",
    "OutcomeMatrix",
    "PassRate",
    "Reconciliation",
    "Record",
    "Removed",
    "Repaired",
    "Rows",
    "Salvaged",
    "SourceFault",
    "SourceSummary",
    "StatedAggregate",
    "StoreError",
    "Table",
    "TableFormat",
    "UnknownBenchmarkError",
    "UnknownTaskError",
    "UnreadableSourceError",
    "VersionSummary",
    "check_members",
    "clean_id",
    "default_path",
    "extract_gzip",
    "extract_zip",
    "list_benchmarks",
    "members_of",
    "notebook_html",
    "plain_benchmark",
    "process_pool",
    "read_header",
    "read_matrix",
    "read_table",
    "repair_history",
    "salvage_history",
    "sane_cost",
    "sane_date",
    "sane_duration",
    "sane_run_cost",
    "sane_tokens",
    "table_format",
]
