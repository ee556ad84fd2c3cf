"""Records become bytes and the same records again."""

import math
import struct
from zlib import crc32

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.journal.support import key
from tracelet.errors import JournalCorrupt
from tracelet.events import (
    Artifact,
    Histogram,
    Image,
    Lost,
    Metric,
    Moments,
    Note,
    Packed,
    Params,
    Payload,
    RunFinished,
    RunStarted,
    Tags,
)
from tracelet.journal import codec

INT64 = st.integers(-(2**63), 2**63 - 1)
# Every bit pattern: all NaNs with their payloads, infinities, subnormals and negative zero.
FLOAT64 = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
ANY_TEXT = st.text(st.characters(exclude_categories=[]))  # lone surrogates too
TEXT = st.text()
SALTS = st.integers(0, 2**32 - 1)
ONLY = st.lists(st.text("abcß🙂-.:", min_size=1), min_size=1, max_size=4).map(tuple)
PLAIN = st.recursive(
    st.none() | st.booleans() | INT64 | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
EVENTS = st.one_of(
    st.builds(
        RunStarted,
        time=st.floats(),
        run_id=TEXT,
        name=TEXT,
        project=TEXT,
        tags=st.dictionaries(TEXT, TEXT, max_size=4),
        note=TEXT,
        group=TEXT,
        job_type=TEXT,
    ),
    st.builds(Params, st.floats(), st.dictionaries(TEXT, PLAIN, max_size=5)),
    st.builds(Tags, st.floats(), st.dictionaries(TEXT, TEXT, max_size=5)),
    st.builds(Note, st.floats(), TEXT),
    st.builds(
        Artifact,
        time=st.floats(),
        path=TEXT,
        size=st.integers(0, 2**63 - 1),
        digest=TEXT,
        reference=TEXT,
        mtime=st.floats(),
    ),
    st.builds(
        Image,
        time=st.floats(),
        name=TEXT,
        step=st.none() | INT64,
        data=st.builds(
            Payload, TEXT, st.integers(0, 2**63 - 1), shape=st.lists(INT64, max_size=4).map(tuple)
        ),
        boxes=st.lists(st.tuples(*[st.floats()] * 4), max_size=2).map(tuple),
        caption=TEXT,
    ),
    st.builds(
        Histogram,
        time=st.floats(),
        name=TEXT,
        counts=st.lists(st.floats(), max_size=4).map(tuple),
        moments=st.none() | st.builds(Moments, *[st.floats()] * 5),
        data=st.none() | st.builds(Payload, TEXT, st.just(1)),
    ),
    st.builds(Lost, st.floats(), st.integers(0, 2**63 - 1), TEXT),
    st.builds(RunFinished, st.floats(), st.sampled_from(["FINISHED", "FAILED", "KILLED"]), TEXT),
)

# A small segment, as version 1 wrote it.
HEADER_BYTES = (
    "a754470000000192dbafb386a776657273696f6e01a6777269746572b0747261696e65722d3866613163326433"
    "a5696e64657800a3706964cd1267a77374617274656463a474696d65cb3ff8000000000000"
)
NAME_BYTES = "a7540e000000026e32dc0d07000000747261696e2f6c6f7373"
SCALAR_BYTES = "a7541c0000000340f13e7d070000000300000000000000000000000000d03f000000000000f83f"
STEPLESS_BYTES = "a7541c00000004d55146d7070000000000000000000000000000000000d03f000000000000f83f"
NOTE_BYTES = "a75421000000052e0df86c83a474797065a44e6f7465a474696d65cb3ff8000000000000a474657874a26869"
ADDRESSED_NAME_BYTES = "a75419000000069b18383f07000000090077616e64622c61696d747261696e2f6c6f7373"
ADDRESSED_BYTES = (
    "a7542c00000007a03aa03a090077616e64622c61696d83a474797065a44e6f7465a474696d65cb3f"
    "f8000000000000a474657874a26869"
)
FINISHED_BYTES = (
    "a7543c00000005ca4f71a984a474797065ab52756e46696e6973686564a474696d65cb3ff8000000000000"
    "a6737461747573a846494e4953484544a6726561736f6ea4646f6e65"
)


def whole(record: bytes, salt: int, start: int = 0) -> codec.Frame:
    found = codec.whole_frame(memoryview(record), start, salt)
    assert found is not None
    return found


@given(number=st.integers(0, 2**32 - 1), step=INT64, value=FLOAT64, time=FLOAT64, salt=SALTS)
@example(number=0, step=-(2**63), value=-0.0, time=0.0, salt=0)
@example(number=0, step=2**63 - 1, value=math.inf, time=-math.inf, salt=0)
def test_a_point_comes_back_bit_by_bit(number: int, step: int, value: float, time: float, salt: int) -> None:
    for record_type in (codec.SCALAR, codec.STEPLESS):
        record = codec.point_frame(record_type, number, step, value, time, salt)

        found = whole(record, salt)

        assert (found.type, found.end) == (record_type, len(record))
        assert bytes(found.payload) == struct.pack("<Iqdd", number, step, value, time)


@pytest.mark.parametrize("bits", [0x7FF8000000000001, 0xFFF8DEADBEEF0001, 0x7FF0000000000001])
def test_the_payload_of_a_nan_is_kept(bits: int) -> None:
    (value,) = struct.unpack("<d", struct.pack("<Q", bits))

    record = codec.point_frame(codec.SCALAR, 1, 2, value, 3.0, 4)

    (_, _, kept, _) = struct.unpack("<IqQd", whole(record, 4).payload)
    assert kept == bits


@given(number=st.integers(0, 2**32 - 1), name=ANY_TEXT, salt=SALTS)
@example(number=1, name="\ud800", salt=0)
@example(number=1, name="\udfff\ud800", salt=0)
@example(number=1, name="🙂\U0010ffff\x00", salt=0)
@example(number=1, name="x" * 10_000, salt=0)
@example(number=1, name="\ud800🙂" * 5_000, salt=0)
def test_any_name_comes_back(number: int, name: str, salt: int) -> None:
    record = codec.name_frame(number, name, salt)

    found = whole(record, salt)

    assert found.type == codec.NAME
    assert codec.decode_name(found.payload) == (number, name)


@given(number=st.integers(0, 2**32 - 1), name=ANY_TEXT, event=EVENTS, only=ONLY, salt=SALTS)
def test_so_does_what_is_for_some_backends_alone(
    number: int, name: str, event: Packed, only: tuple[str, ...], salt: int
) -> None:
    called = codec.Addressed(name, only)
    named = whole(codec.name_frame(number, called, salt), salt)
    found = whole(codec.event_frame(event, salt, only), salt)

    assert named.type == codec.ADDRESSED_NAME
    assert codec.decode_addressed_name(named.payload) == (number, called)
    assert found.type == codec.ADDRESSED
    whom, payload = codec.decode_only(found.payload)
    assert whom == only
    assert key(codec.decode_event(payload)) == key(event)


@given(event=EVENTS, salt=SALTS)
def test_any_event_comes_back(event: Packed, salt: int) -> None:
    found = whole(codec.event_frame(event, salt), salt)

    assert found.type == codec.EVENT
    assert key(codec.decode_event(found.payload)) == key(event)


@pytest.mark.parametrize(
    ("event", "kept"),
    [
        (Note(1.0, "a\udcffb"), Note(1.0, "a\\udcffb")),
        (Tags(1.0, {"\ud800": "ü"}), Tags(1.0, {"\\ud800": "ü"})),
        (Params(1.0, {"a": [1, {"b": "\udc80"}]}), Params(1.0, {"a": [1, {"b": "\\udc80"}]})),
        (
            Artifact(time=1.0, path="m\udcfcll.txt", size=3, digest="d"),
            Artifact(time=1.0, path="m\\udcfcll.txt", size=3, digest="d"),
        ),
    ],
)
def test_what_is_no_unicode_is_kept_as_an_escape(event: Packed, kept: Packed) -> None:
    """File names may be any bytes; one that is no UTF-8 must not cost the artifact."""
    found = whole(codec.event_frame(event, 0), 0)

    assert codec.decode_event(found.payload) == kept


@given(event=EVENTS, before=st.binary(max_size=30), after=st.binary(max_size=30), salt=SALTS)
def test_a_record_is_found_where_it_stands_and_ends_where_it_ends(
    event: Packed, before: bytes, after: bytes, salt: int
) -> None:
    record = codec.event_frame(event, salt)

    found = whole(before + record + after, salt, len(before))

    assert found.end == len(before) + len(record)


@given(event=EVENTS, salt=SALTS, data=st.data())
def test_a_record_that_was_cut_is_not_whole(event: Packed, salt: int, data: st.DataObject) -> None:
    record = codec.event_frame(event, salt)
    left = data.draw(st.integers(0, len(record) - 1))

    assert codec.whole_frame(memoryview(record[:left]), 0, salt) is None


@given(event=EVENTS, salt=SALTS, data=st.data())
def test_a_record_with_a_flipped_bit_is_not_sound(event: Packed, salt: int, data: st.DataObject) -> None:
    record = bytearray(codec.event_frame(event, salt))
    bit = data.draw(st.integers(0, len(record) * 8 - 1))
    record[bit // 8] ^= 1 << bit % 8

    assert codec.whole_frame(memoryview(record), 0, salt) is None


@given(junk=st.binary(max_size=200), salt=SALTS)
def test_bytes_that_are_no_record_are_none(junk: bytes, salt: int) -> None:
    for start in range(len(junk) + 1):
        assert codec.whole_frame(memoryview(junk), start, salt) is None


def test_a_checksum_holds_only_in_the_segment_it_was_written_for() -> None:
    here, there = codec.salt_of("trainer-1-0000.seg"), codec.salt_of("trainer-1-0001.seg")
    record = codec.event_frame(Note(1.0, "copied"), here)

    assert codec.whole_frame(memoryview(record), 0, here) is not None
    assert codec.whole_frame(memoryview(record), 0, there) is None


def test_a_payload_may_be_as_large_as_the_format_says_and_no_larger() -> None:
    largest = codec.frame(codec.EVENT, bytes(codec.PAYLOAD_MAX), 0)

    assert whole(largest, 0).end == len(largest)
    with pytest.raises(ValueError, match=r"4,194,305 bytes is more than the journal takes \(4,194,304\)"):
        codec.frame(codec.EVENT, bytes(codec.PAYLOAD_MAX + 1), 0)


def test_a_length_beyond_the_largest_payload_is_no_record() -> None:
    length = codec.PAYLOAD_MAX + 1
    payload = bytes(length)
    checksum = crc32(payload, codec.prefix_crc(codec.EVENT, length, 0))
    record = codec.HEAD.pack(codec.MARKER, length, codec.EVENT, checksum) + payload

    assert codec.whole_frame(memoryview(record), 0, 0) is None


def test_the_bytes_on_disk_are_those_of_version_1() -> None:
    """A journal outlives the program that wrote it: these bytes must be read for ever."""
    salt = codec.salt_of("trainer-8fa1c2d3-0000.seg")
    header = codec.SegmentHeader(1, "trainer-8fa1c2d3", 0, 4711, 99, 1.5)

    assert codec.VERSION == 1
    assert salt == 0x2FA42929
    assert codec.header_frame(header, salt).hex() == HEADER_BYTES
    assert codec.name_frame(7, "train/loss", salt).hex() == NAME_BYTES
    assert codec.point_frame(codec.SCALAR, 7, 3, 0.25, 1.5, salt).hex() == SCALAR_BYTES
    assert codec.point_frame(codec.STEPLESS, 7, 0, 0.25, 1.5, salt).hex() == STEPLESS_BYTES
    assert codec.event_frame(Note(1.5, "hi"), salt).hex() == NOTE_BYTES
    finished = RunFinished(1.5, "FINISHED", "done")
    assert codec.event_frame(finished, salt).hex() == FINISHED_BYTES
    addressed = codec.Addressed("train/loss", ("wandb", "aim"))
    assert codec.name_frame(7, addressed, salt).hex() == ADDRESSED_NAME_BYTES
    assert codec.event_frame(Note(1.5, "hi"), salt, ("wandb", "aim")).hex() == ADDRESSED_BYTES


def test_an_event_without_its_newer_fields_is_read() -> None:
    older = msgspec.msgpack.encode(
        {"type": "RunStarted", "time": 1.0, "run_id": "r", "name": "n", "project": "p"}
    )

    assert codec.decode_event(memoryview(older)) == RunStarted(time=1.0, run_id="r", name="n", project="p")


def test_an_event_with_fields_of_a_newer_version_is_read() -> None:
    newer = msgspec.msgpack.encode({"type": "Note", "time": 1.0, "text": "t", "colour": "red"})

    assert codec.decode_event(memoryview(newer)) == Note(1.0, "t")


def test_an_event_of_an_unknown_class_is_told_from_a_crash() -> None:
    unknown = msgspec.msgpack.encode({"type": "Hologram", "time": 1.0})

    with pytest.raises(msgspec.ValidationError):
        codec.decode_event(memoryview(unknown))


@pytest.mark.parametrize("extra", [{}, {"colour": "red"}])
def test_a_newer_header_is_refused_with_what_to_do(extra: dict[str, str]) -> None:
    header = {"version": 2, "writer": "w", "index": 0, "pid": 1, "started": 2, "time": 3.0, **extra}

    with pytest.raises(JournalCorrupt, match=r"x\.seg has journal format 2; .* up to 1\. Upgrade tracelet"):
        codec.decode_header(memoryview(msgspec.msgpack.encode(header)), "x.seg")


def test_a_newer_header_of_another_shape_is_refused_in_the_same_words() -> None:
    header = {"version": 3, "author": {"pid": 1}}

    with pytest.raises(JournalCorrupt, match=r"x\.seg has journal format 3; .* Upgrade tracelet"):
        codec.decode_header(memoryview(msgspec.msgpack.encode(header)), "x.seg")


@pytest.mark.parametrize("payload", [b"", b"\x01", msgspec.msgpack.encode({"version": 1})])
def test_a_header_that_cannot_be_understood_is_corrupt(payload: bytes) -> None:
    with pytest.raises(JournalCorrupt, match=r"x\.seg"):
        codec.decode_header(memoryview(payload), "x.seg")


def test_a_metric_has_frames_of_its_own_and_is_no_event_on_disk() -> None:
    packed = msgspec.msgpack.encode({"type": "Metric", "name": "a", "value": 1.0, "step": 1, "time": 1.0})

    assert Metric("a", 1.0, 1, 1.0).ordinal == 0
    with pytest.raises(msgspec.ValidationError):
        codec.decode_event(memoryview(packed))
