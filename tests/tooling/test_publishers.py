"""Publishers of topics are tested in tests/live; these are those of files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sluice.cli.main import main
from sluice.config.urls import Url
from sluice.errors import ConfigError, PublishError
from sluice.tooling.publish import publish
from sluice.tooling.publishers import FilePublisher, open_publisher


def test_file_has_a_line_for_each_record(tmp_path: Path) -> None:
    path = tmp_path / "new" / "events.ndjson"
    records = [b'{"a": 1.10}', b'{\n  "a": "x\\n",\r\n  "b": [1,\n 2]\n}', b"no JSON", b"\xff"]
    assert publish(records, open_publisher(Url(str(path)), may_be_file=True)) == 4
    assert path.read_bytes() == b'{"a": 1.10}\n{"a":"x\\n","b":[1,2]}\nno JSON\n\xff\n'


def test_file_begins_to_exist_with_its_first_record(tmp_path: Path) -> None:
    assert publish([], FilePublisher(Url(str(tmp_path / "a")))) == 0
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"kept")
    message = f"{path}: expected the name of a new file, got one that is there; it is not overwritten"
    with pytest.raises(ConfigError, match=re.escape(message)):
        FilePublisher(Url(str(path)))
    assert path.read_bytes() == b"kept"


def test_lines_before_a_record_that_no_line_can_hold_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    message = f"{path}: expected records of one line, got one with line breaks that is no JSON"
    with pytest.raises(PublishError, match=re.escape(message)):
        publish([b"1", b"a\nb"], FilePublisher(Url(str(path))))
    assert path.read_bytes() == b"1\n"


def test_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    path = tmp_path / "a" / "b"
    with pytest.raises(PublishError, match=re.escape(f"{path}: cannot write: ")):
        publish([b"1"], FilePublisher(Url(str(path))))


@pytest.mark.parametrize(
    ("place", "may_be_file"), [("s3://bucket/a", True), ("s3://bucket/a", False), ("history/*", False)]
)
def test_source_that_is_no_topic_is_rejected(place: str, may_be_file: bool) -> None:
    message = f"{place}: expected a topic, one of kafka://, pubsub://, or a file; name it with --to"
    with pytest.raises(ConfigError, match=re.escape(message)):
        open_publisher(Url(place), may_be_file=may_be_file)


@pytest.mark.parametrize("records", [["--generate"], ["--source=in.ndjson", "--loop"]])
def test_file_gets_no_records_without_end(
    tmp_path: Path, records: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a"
    assert main(["publish", "jobs/backend_events.yaml", f"--to={path}", *records]) == 2
    line = "sluice: publish: expected --count N for a file, got records without end\n"
    assert capsys.readouterr().err == line
    assert not path.exists()
