"""What reading a harness's results must keep to, so that no attempt is lost, doubled or made up."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from midband._harness import Harness
from midband.testing._checks import check, snapshot
from midband_history import History, Record, UnreadableSourceError

_MOST_FILES = 12


class ResultsContract:
    """The part of `HarnessContract` that is about results."""

    def make_harness(self) -> Harness:
        """Return a new harness."""
        raise NotImplementedError

    def results(self, tmp_path: Path) -> Path:
        """Return a directory of results that the harness really wrote, at least one attempt."""
        raise NotImplementedError

    def test_results_are_records_and_the_same_each_time(self, tmp_path: Path) -> None:
        """Reading changes nothing, and a history takes the results in once."""
        path = self.results(tmp_path)
        before = snapshot(path)
        records = self._read(path)
        check(len(records) > 0, f"expected attempts in {path}, got none")
        strange = [each for each in records if not isinstance(each, Record)]
        check(not strange, f"expected records of midband, got {strange[:1]}")
        check(_texts(self._read(path)) == _texts(records), "expected the same records twice")
        check(snapshot(path) == before, f"expected {path} unchanged by reading it")
        with History.in_memory() as history:
            first = history.add(records)
            check(
                first.duplicates == 0,
                f"expected an attempt once, got {first.duplicates} of {len(records)} twice",
            )
            again = history.add(self._read(path))
            check(again.added == 0, f"expected nothing new the second time, got {again.added}")

    def test_the_benchmark_can_be_named(self, tmp_path: Path) -> None:
        """The name given overrides that of the results."""
        path = self.results(tmp_path)
        records = list(self.make_harness().read_results(path, benchmark="another"))
        found = {each.benchmark for each in records}
        check(found == {"another"}, f"expected the benchmark 'another', got {sorted(found)}")

    def test_half_a_file_is_refused(self, tmp_path: Path) -> None:
        """A torn file is an `UnreadableSourceError`, never fewer or other results."""
        path = self.results(tmp_path)
        whole = sorted(_texts(self._read(path)))
        torn = 0
        for name in sorted(snapshot(path))[:_MOST_FILES]:
            copy = tmp_path / "torn" / path.name
            shutil.copytree(path, copy)
            content = (copy / name).read_bytes()
            (copy / name).chmod(0o600)
            (copy / name).write_bytes(content[: len(content) * 3 // 5].rstrip())
            try:
                found = self._read(copy)
            except UnreadableSourceError:
                torn += 1
            except Exception as error:
                msg = (
                    f"expected UnreadableSourceError for half of {name}, got"
                    f" {type(error).__name__}: {error}"
                )
                raise AssertionError(msg) from error
            else:
                check(
                    sorted(_texts(found)) == whole,
                    f"expected half of {name} to be refused, got {len(found)} records"
                    f" where the whole gives {len(whole)}",
                )
            shutil.rmtree(tmp_path / "torn")
        check(torn > 0, f"expected half a file of {path} to be refused, got no refusal")

    def test_what_is_not_its_own_is_left_out(self, tmp_path: Path) -> None:
        """Other files beside the results change nothing; nowhere is no crash."""
        path = self.results(tmp_path)
        whole = sorted(_texts(self._read(path)))
        copy = tmp_path / "mixed" / path.name
        shutil.copytree(path, copy)
        (copy / "notes.txt").write_text("not a result\n")
        (copy / "other.json").write_text('{"hello": [1, 2]}\n')
        (copy / "other.jsonl").write_text('{"hello": 1}\n')
        (copy / "image.bin").write_bytes(bytes(range(256)))
        found = sorted(_texts(self._read(copy)))
        check(found == whole, f"expected the same {len(whole)} records, got {len(found)}")
        empty = tmp_path / "empty"
        empty.mkdir()
        for place in (empty, tmp_path / "nowhere"):
            try:
                found = _texts(self._read(place))
            except UnreadableSourceError:
                continue
            except Exception as error:
                msg = f"expected no results in {place}, got {type(error).__name__}: {error}"
                raise AssertionError(msg) from error
            check(not found, f"expected no results in {place}, got {found[:1]}")

    def _read(self, path: Path) -> list[Record]:
        return list(self.make_harness().read_results(path))


def _texts(records: Iterable[Record]) -> list[str]:
    return [repr(each) for each in records]
