"""The journal: the durable, append-only log that a run is.

# Constraints

- A record whose append has returned survives `kill -9` of any process of ours. (Power loss is
  another matter: see *Durability*.)
- The training thread pays about twice one bare `os.write` for a scalar. So there is no index, no
  database, no compression and no lock between processes on this path.
- Writers and readers share nothing but files. A reader never makes a writer wait.
- It works on local disks, NFS and Lustre: no `mmap`, no SQLite write-ahead log, and no lock that
  reading or appending depends on.
- It outlives the program that wrote it: the format is versioned and written down here.

# A run's directory

    .tracelet/
      20261120-093000-3f2a1c/       one run; the name is its run_id
        run.json                    how the run is to be delivered (`status.RunFile`)
        trainer-8fa1c2d3-0000.seg   segments: writer, and index, both in the name
        keeper-41bc09e2-0000.seg
        blobs/3a/3a7bd3…            bytes of artifacts, and arrays of images and histograms, by sha256
        cursor.mlflow               how far the relay to mlflow has delivered
        cursor.local                how much there is, where the journal itself is the store
        plan.wandb                  which records make which row there (`tracelet.relay.plan`)
        status.mlflow               what that relay is doing; its heartbeat
        rejects.mlflow              what mlflow would not take, one JSON line each
        awaited                     backends that something was logged for, and that the run lacked
        keeper.lock relay.mlflow.lock
        keeper.beat                   touched while the keeper waits, for whoever looks from another host
        keeper.log relay.mlflow.log

# Records

Integers are little-endian.

    offset  size  field
    0       2     marker, the bytes A7 54
    2       4     length of the payload
    6       1     type
    7       4     crc32 over length, type and payload, started with the segment's salt
    11      …     payload

The *salt* is the crc32 of the segment's file name. So a checksum holds only in the segment that
a record was written to: a journal that is logged as an artifact's text, or a segment that was
copied over another, cannot be mistaken for records.

    type  payload
    1     segment header, msgpack: {"version": 1, "writer": …, "index": …, "pid": …, "started": …,
          "time": …}; `codec.SegmentHeader` says what they mean
    2     name: u32 number, then the name in UTF-8
    3     scalar: u32 name number, i64 step, f64 value, f64 time
    4     scalar without a step: u32 name number, i64 ordinal, f64 value, f64 time
    5     event: msgpack map of one of the other classes of `tracelet.events`
    6     name of points for some backends alone: u32 number, u16 length of the backends' names, these
          in UTF-8 with commas between them, then the name in UTF-8
    7     event for some backends alone: u16 length of the backends' names, these as in 6, then as in 5

A name that is logged for all and for some has a number for each. What is for some is kept by the
journal as all else is; the relays of the others pass over it.

The *ordinal* counts a process's stepless points under one name: 0, 1, 2 …. It stands in the
record, so that numbering never depends on who reads the journal, or how often.

A payload has at most `codec.PAYLOAD_MAX` bytes. An unknown type with a sound checksum is skipped
and counted: a newer version wrote it. A header with a newer *version* is refused with `JournalCorrupt`.

# Files

- Each writing process has segments of its own; a forked child opens one at its first append.
- A segment's records begin with its header. When a segment passes `writer.SEGMENT` bytes the
  writer goes on in the next index. A writer's segments are read in the order of their index.
- A name's number is never used for another name in the same segment. A name is introduced before
  its first use in each *block* of `codec.BLOCK` bytes; a block begins with the first record at or
  after a multiple of it. So a reader can start at any record and needs to read back to the block's
  beginning only.

# Writing

- One append is one `write` of whole records to a file opened with `O_APPEND`.
- After a short or failed write the writer truncates the segment to its last whole record. If that
  fails too it abandons the segment and goes on in the next. What could not be written is counted;
  as soon as there is room again a `Lost` event says how much it was.
- An append that an exception of a signal handler ends may have written its record, or a part of it.
  Nothing is taken back then: a segment whose end is not where it should be is abandoned.
- Recording inside recording (a signal handler or a `__del__` that logs while its own thread is
  inside an append) is dropped and counted, never a deadlock.
- A payload that is too large for a record is a blob: written to a temporary name and renamed
  *before* the record that names it. That is an artifact's file, or the array of an image or a
  histogram: its elements, in C order and little-endian; `events.Payload` says of what type and shape.

# Reading

- At a record that is not whole, or whose checksum does not hold, a reader looks for the next
  marker with a checksum that holds. If there is one, what lies between is lost, and counted. If
  there is none and somebody may still be writing, it means "not yet"; once nobody can be, it is a
  torn tail and means nothing: no append that returned is in it.
- A scalar with an unknown name number is counted as lost, never guessed.
- An offset beyond a segment's end (possible after power loss) means delivered.

# Cursors

A cursor maps segment to offset: everything before it has been acknowledged by that backend. It is
replaced as a whole (`write`, then `rename`) after the tracker has acknowledged, so after a crash
the same records may be read again, and none is skipped.

A backend whose target in `run.json` says `"relayed": false` has the journal itself as its store. It
has everything at once: no relay runs for it, and its cursor, if there is one, has no offsets, only
what the keeper counted when the run had ended.

# Durability

`process` (the default) asks nothing of the disk: the kernel has the bytes when `write` returns.
`second`: the keeper calls `fdatasync` on segments that grew, once a second. `record`: the writer
calls it after each append.

# Deleting

A blob goes once every configured backend has acknowledged all of the run, none rejected it, no backend
is awaited that the run still lacks, and no process that has logged to it lives but its trainer: a blob
is there before its record. A run's
directory goes `retention` after the delivery, when its trainer has ended, too. Of a run that has a
backend whose store the journal is, nothing goes. Nothing else is ever deleted, unless the user says
so (`removal`).

# Invariants, each with its test in `tests/journal/`

1. What a reader returns is a prefix-preserving subset of what was appended, per segment, in order.
2. If no byte of a segment was damaged, a reader returns all of it.
3. Damage of n bytes loses only records that overlap them, plus scalars that lose their name, at
   most to the end of the block.
4. If nothing was damaged, reading in many small steps with restarts from saved cursors returns the
   same as reading once.
"""
