"""The spool of a host: a folder of segment files in which decisions wait for the journal.

The rules:

1. A segment has one writer, which holds a lock on it (``flock``) for as long as it may write it. No other process writes it,
   and none writes it after that one.
2. A record is acknowledged once it was written and forced to the disk. When either fails the segment is given up: after a
   failed ``fsync`` nobody knows what is on the disk, and a second one that succeeds proves nothing. So what was not
   acknowledged may still be read, and what was acknowledged is.
3. A reader follows the segments by their numbers, each from its beginning. It believes whole frames whose checksum is right
   at their place, and nothing else.
4. What a reader took is let go of when it is told so: a segment that nobody writes any more, and that was let go of whole,
   is deleted. A new reader begins with what is left, so a record may be read twice, and its taker knows it by its id.
5. Bytes at the end of a segment that are no frame are the rest of a crash, and were never acknowledged. Where a right frame
   comes after such bytes they are damage: everything readable is given, and the segment is set aside, not deleted.
"""

from portcullis.adapters.spool.reader import SpoolDirectoryReader
from portcullis.adapters.spool.reading import SpoolFault
from portcullis.adapters.spool.writer import FileSpool

__all__ = ["FileSpool", "SpoolDirectoryReader", "SpoolFault"]
