"""What was run, when, by whom, with what result and cost."""

from midband_history._adding import Incoming
from midband_history._archives import (
    TableFormat,
    check_members,
    extract_gzip,
    extract_zip,
    members_of,
)
from midband_history._connection import default_path
from midband_history._errors import (
    InputError,
    MidbandError,
    OutOfRangeError,
    StoreError,
    UnknownBenchmarkError,
    UnknownTaskError,
    UnreadableSourceError,
)
from midband_history._limits import sane_cost, sane_date, sane_duration, sane_run_cost, sane_tokens
from midband_history._matrix import DateArray, FloatArray, IntArray, OutcomeMatrix
from midband_history._metric import Metric
from midband_history._names import clean_id
from midband_history._opened import plain_benchmark
from midband_history._parquet import list_benchmarks, read_matrix, read_table, table_format
from midband_history._provenance import Origin, Removed, SourceFault
from midband_history._records import OUTCOME_KINDS, OutcomeKind, Record
from midband_history._scanning import read_header
from midband_history._stated import Note, Reconciliation, StatedAggregate
from midband_history._store import History
from midband_history._summaries import (
    AddReport,
    AgentSummary,
    BenchmarkSummary,
    Counts,
    LeftOut,
    MetricSummary,
    PassRate,
    VersionSummary,
)
from midband_history._tables import TABLE_COLUMNS, Table
from midband_history._workers import process_pool

__all__ = [
    "OUTCOME_KINDS",
    "TABLE_COLUMNS",
    "AddReport",
    "AgentSummary",
    "BenchmarkSummary",
    "Counts",
    "DateArray",
    "FloatArray",
    "History",
    "Incoming",
    "InputError",
    "IntArray",
    "LeftOut",
    "Metric",
    "MetricSummary",
    "MidbandError",
    "Note",
    "Origin",
    "OutOfRangeError",
    "OutcomeKind",
    "OutcomeMatrix",
    "PassRate",
    "Reconciliation",
    "Record",
    "Removed",
    "SourceFault",
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
    "plain_benchmark",
    "process_pool",
    "read_header",
    "read_matrix",
    "read_table",
    "sane_cost",
    "sane_date",
    "sane_duration",
    "sane_run_cost",
    "sane_tokens",
    "table_format",
]
