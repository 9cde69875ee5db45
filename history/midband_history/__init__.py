"""What was run, when, by whom, with what result and cost."""

from midband_history._archives import TableFormat, members_of
from midband_history._connection import default_path
from midband_history._errors import (
    InputError,
    MidbandError,
    StoreError,
    UnknownBenchmarkError,
    UnknownTaskError,
    UnreadableSourceError,
)
from midband_history._limits import (
    sane_cost,
    sane_date,
    sane_duration,
    sane_run_cost,
    sane_tokens,
)
from midband_history._matrix import DateArray, FloatArray, IntArray, OutcomeMatrix
from midband_history._names import clean_id
from midband_history._parquet import list_benchmarks, read_matrix, read_table, table_format
from midband_history._records import OUTCOME_KINDS, OutcomeKind, Record
from midband_history._scanning import read_header
from midband_history._store import History
from midband_history._summaries import (
    AddReport,
    AgentSummary,
    BenchmarkSummary,
    LeftOut,
    PassRate,
)
from midband_history._tables import TABLE_COLUMNS, Table

__all__ = [
    "OUTCOME_KINDS",
    "TABLE_COLUMNS",
    "AddReport",
    "AgentSummary",
    "BenchmarkSummary",
    "DateArray",
    "FloatArray",
    "History",
    "InputError",
    "IntArray",
    "LeftOut",
    "MidbandError",
    "OutcomeKind",
    "OutcomeMatrix",
    "PassRate",
    "Record",
    "StoreError",
    "Table",
    "TableFormat",
    "UnknownBenchmarkError",
    "UnknownTaskError",
    "UnreadableSourceError",
    "clean_id",
    "default_path",
    "list_benchmarks",
    "members_of",
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
