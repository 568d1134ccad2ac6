"""A download that is cut goes on from its byte, or says why it cannot."""

from __future__ import annotations

import datetime
import random
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trackparse
from support.kernels import SLOW
from support.service import QUICK, assert_tiles, client_of, clocked, sample, stored, table_of
from trackparse.client import open_url
from trackparse.sources.download import Download
from trackparse.testing import Delivery, FakeService, Reply
from trackparse.testing.sample import write_sample

DAY = "2021-04-20"
SIZE = len(sample())


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeService]:
    with FakeService(logs={DAY: sample()}) as fake:
        yield fake


@pytest.fixture
def service(shared: FakeService) -> FakeService:
    shared.requests.clear()
    shared.delivery = Delivery()
    shared.version = 1
    return shared


def opened(service: FakeService, **options: Any) -> Download:
    given = {"allow_http": True, "pauses": QUICK, "timeout": 10.0, **options}
    return open_url(service.file_url(DAY), **given)


@cache
def big_log(folder: Path) -> Path:
    """100 MB to transfer: records of a sample over and over, stored."""
    file = folder / "rows.zip"
    write_sample(file, rows=20_000 // SLOW)
    with zipfile.ZipFile(file) as archive:
        header, _, rows = archive.read("tracking_log.csv").partition(b"\n")
    path = folder / "big.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive, archive.open("tracking_log.csv", "w") as member:
        member.write(header + b"\n")
        for _ in range(100_000_000 // SLOW**2 // len(rows) + 1):
            member.write(rows)
    return path


def test_a_hundred_megabytes_cut_twenty_times_arrive_once_each(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = big_log(tmp_path_factory.mktemp("big"))
    size = path.stat().st_size
    assert size > 100_000_000 // SLOW**2
    cuts = sorted(random.Random(5).sample(range(1, size), 20))
    monkeypatch.chdir(tmp_path)
    Path(f"tracking_log_{DAY}.zip").symlink_to(path)
    from_disk = trackparse.convert_log(f"tracking_log_{DAY}.zip", "disk.parquet")
    with FakeService(logs={DAY: path}) as service:
        service.delivery.cuts = list(cuts)
        source = opened(service, retries=1)
        report = trackparse.convert_log(source, "stream.parquet")
        assert Path("stream.parquet").read_bytes() == Path("disk.parquet").read_bytes()
        assert report.records == from_disk.records
        # The server's own log: a request a cut, and each byte sent once.
        assert service.spans == list(zip([0, *cuts], [*cuts, size], strict=True))


@settings(max_examples=40 // SLOW)
@given(cuts=st.lists(st.integers(0, SIZE), max_size=6), chunked=st.booleans(), piece=st.integers(500, SIZE))
def test_cuts_anywhere_change_nothing(shared: FakeService, cuts: list[int], chunked: bool, piece: int) -> None:
    shared.requests.clear()
    shared.delivery = Delivery(cuts=list(cuts), chunked=chunked, piece=piece)
    assert trackparse.read_log(opened(shared, retries=len(cuts) + 1), block_size=5000).equals(table_of(sample()))
    assert_tiles(shared.spans, SIZE)


@settings(max_examples=20 // SLOW)
@given(largest=st.integers(1000, SIZE), cut=st.integers(0, SIZE - 1))
def test_answers_shorter_than_the_range_are_continued(shared: FakeService, largest: int, cut: int) -> None:
    shared.requests.clear()
    shared.delivery = Delivery(cuts=[cut], largest=largest)
    assert trackparse.read_log(opened(shared)).equals(table_of(sample()))
    assert_tiles(shared.spans, SIZE)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_cable_that_is_pulled_is_a_cut(service: FakeService, chunked: bool) -> None:
    service.delivery = Delivery(cuts=[4000, 4001, 40_000], reset=True, chunked=chunked, piece=1000)
    assert trackparse.read_log(opened(service)).equals(table_of(sample()))


def test_a_connection_that_stands_still_is_a_cut(service: FakeService) -> None:
    service.delivery = Delivery(rate=1000.0, piece=40_000)
    source = opened(service, timeout=0.05)
    head = source.read_exactly(1000)
    service.delivery = Delivery()
    assert head + source.read_exactly(SIZE) == sample()
    source.close()
    assert len(service.requests) >= 2


@pytest.mark.parametrize(("tags", "dates", "condition"), [(True, True, '"1"'), (False, True, "01 Jan 1970")])
def test_the_rest_is_asked_for_under_a_condition(service: FakeService, tags: bool, dates: bool, condition: str) -> None:
    service.delivery = Delivery(cuts=[12_345], tags=tags, dates=dates)
    trackparse.read_log(opened(service))
    first, second = service.requests
    assert not {"Range", "If-Range"} & first.headers.keys()
    assert second.headers["Range"] == "bytes=12345-"
    assert condition in second.headers["If-Range"]
    assert {request.headers["Accept-Encoding"] for request in service.requests} == {"identity"}


def test_a_weak_tag_is_compared_but_not_sent(service: FakeService) -> None:
    service.delivery = Delivery(cuts=[12_345], dates=False, headers={"ETag": 'W/"7"'})
    assert trackparse.read_log(opened(service)).equals(table_of(sample()))
    assert "If-Range" not in service.requests[1].headers


@pytest.mark.parametrize(
    ("delivery", "said"),
    [
        ({"ranges": False}, "the server does not send parts of a file"),
        ({"changes": True}, "the file changed while it was downloaded"),
        ({"changes": True, "tags": False}, "the file changed"),
        ({"changes": True, "headers": {"ETag": 'W/"7"'}}, "the file changed"),
        ({"tags": False, "dates": False}, "no ETag and no Last-Modified"),
        ({"headers": {"Content-Range": "bytes 1-56789/56790"}}, "sent bytes 1 to 56790 of 56790, byte 20000 was asked"),
        ({"headers": {"Content-Range": "bytes 20000-20000/20000"}}, "sent bytes 20000 to 20001 of 20000"),
        ({"headers": {"Content-Range": "bytes 20000-30000/40000"}}, "the file changed"),
        ({"headers": {"Content-Range": f"bytes 20000-20009/{SIZE}"}}, "would send up to byte 20,010, and sent more"),
        ({"headers": {"Content-Range": "pages 1-2/3"}}, "which part of the file it sent: Content-Range is 'pages"),
        ({"headers": {"Content-Range": ""}}, "does not say which part"),
        ({"headers": {"Content-Range": f"bytes {'9' * 40}-1/2"}}, "does not say which part"),
    ],
)
def test_what_is_not_the_rest_of_the_same_file_is_an_error(
    service: FakeService, delivery: dict[str, Any], said: str
) -> None:
    service.delivery = Delivery(cuts=[20_000], **delivery)
    with pytest.raises(trackparse.DownloadError, match=said) as caught:
        trackparse.read_log(opened(service))
    assert f"of {SIZE:,}: " in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert len(service.requests) == 2


def test_a_server_that_sends_the_rest_of_another_file_is_not_believed(service: FakeService) -> None:
    """It sends a part, although the file is not the one that ``If-Range`` asks for."""
    service.delivery.cuts = [20_000]
    source = opened(service)
    service.delivery.headers = {"ETag": '"another"'}
    with pytest.raises(trackparse.DownloadError, match="the file changed while it was downloaded"):
        trackparse.read_log(source)
    assert len(service.requests) == 2


@pytest.mark.parametrize("status", [403, 404, 410, 204, 206])
def test_a_link_that_is_gone_is_an_error_at_once(service: FakeService, status: int) -> None:
    service.reply("download", Reply(status))
    with pytest.raises(trackparse.DownloadError, match=rf"/logs/tracking_log_{DAY}.zip: the server answered {status}"):
        opened(service)
    service.delivery.cuts = [1000]
    source = opened(service)
    service.reply("download", Reply(204 if status == 206 else status))
    with pytest.raises(trackparse.DownloadError, match="at byte 1,000"):
        trackparse.read_log(source)
    assert len(service.requests) == 3


def test_a_server_in_trouble_is_asked_again(service: FakeService) -> None:
    trouble = [Reply(503), Reply(429, headers={"Retry-After": "0"}), Reply(drop=True)]
    service.reply("download", *trouble)
    service.delivery.cuts = [1000]
    source = opened(service, retries=4)
    service.reply("download", *trouble)
    assert trackparse.read_log(source).equals(table_of(sample()))


def test_trouble_that_stays_ends_it(service: FakeService) -> None:
    service.delivery.cuts = [30_000]
    source = opened(service, retries=4)
    service.reply("download", *[Reply(503)] * 4)
    with trackparse.open_log(source, block_size=1000) as log:
        rows: list[int] = []
        with pytest.raises(trackparse.DownloadError, match=r"byte 30,000 of .*503.*tried 5 times in a row"):
            rows.extend(batch.num_rows for batch in log)
        with pytest.raises(trackparse.DownloadError):
            next(log)
    # What had come was delivered.
    assert sum(rows) > 300
    assert len(service.requests) == 5


def test_progress_makes_failures_count_anew(service: FakeService) -> None:
    service.delivery.cuts = list(range(1000, 50_000, 1000))
    assert trackparse.read_log(opened(service, retries=1)).equals(table_of(sample()))
    assert_tiles(service.spans, SIZE)


def test_a_good_connection_is_resumed_at_once_a_bad_one_after_a_pause() -> None:
    big = stored(b"2021-04-20 13:01:01;T-1;user;device;created;\n" * 20_000)
    day = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    with FakeService(logs={day.isoformat(): big}) as service:
        client, clock = clocked(service)
        service.delivery.cuts = [400_000, 400_001]
        with client, client._download(day, 60.0, None, None) as source:
            assert source.read_exactly(len(big)) == big
    assert len(clock.pauses) == 1


def test_a_server_that_sends_few_bytes_an_answer_is_asked_less_and_less_often() -> None:
    big = stored(b"2021-04-20 13:01:01;T-1;user;device;created;\n" * 20_000)
    day = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    for largest, paused in ((1, True), (64 << 10, False)):
        with FakeService(logs={day.isoformat(): big}) as service:
            client, clock = clocked(service)
            service.delivery.cuts, service.delivery.largest = [400_000], largest
            with client, client._download(day, 60.0, None, None) as source:
                end = 400_000 + 20 * largest
                assert source.read_exactly(min(end, len(big))) == big[:end]
        if paused:
            assert len(clock.pauses) >= 18
            assert min(clock.pauses[10:]) > 10
        else:
            assert not clock.pauses


def test_a_reader_that_takes_its_time_finds_the_connection_cut_and_goes_on() -> None:
    day = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    with FakeService(logs={day.isoformat(): sample()}) as service:
        client, clock = clocked(service)
        service.delivery = Delivery(cuts=[20_000], largest=10_000)
        with client, client._download(day, 60.0, None, None) as source:
            head = source.read_exactly(20_000)
            clock.pauses.append(10_000.0)  # seconds
            middle = source.read_exactly(10_000)
            clock.pauses.append(10_000.0)
            assert head + middle + source.read_exactly(SIZE) == sample()


def test_a_packed_answer_is_refused(service: FakeService) -> None:
    service.delivery.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(trackparse.DownloadError, match="packs the file as 'gzip'"):
        opened(service)


def test_the_end_of_a_file_of_unknown_size_can_be_asked_for(service: FakeService) -> None:
    service.delivery = Delivery(chunked=True, cuts=[SIZE])
    source = opened(service)
    assert source.read_exactly(SIZE + 1) == sample()
    assert source.complete
    assert [request.status for request in service.requests] == [200, 416]
    source.close()


def test_a_file_that_shrank_is_another_file(service: FakeService) -> None:
    service.delivery.cuts = [20_000]
    source = opened(service)
    service.reply("download", Reply(416, headers={"Content-Range": "bytes */10000"}))
    with pytest.raises(trackparse.DownloadError, match="the file changed"):
        trackparse.read_log(source)


def test_an_archive_cut_without_anybody_noticing_is_truncated(service: FakeService) -> None:
    service.delivery = Delivery(length=False, cuts=[20_000])
    with pytest.raises(trackparse.TruncatedError):
        trackparse.read_log(opened(service))


def test_a_download_that_nobody_reads_is_closed(service: FakeService) -> None:
    source = opened(service)
    source.close()
    source.close()
    with pytest.raises(ValueError, match=r"\.zip: the download is closed: open it again for each reading"):
        source.read(10)
    with client_of(service) as client:
        client.close()
