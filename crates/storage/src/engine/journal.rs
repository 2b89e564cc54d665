//! What the LSM tree leaves to us about its journal after a crash.
//!
//! The tree drops an incomplete batch at the end of its journal, but refuses to open when the last
//! batch is complete in length and wrong in content. A power cut during a flush can leave just that:
//! the pages of one write reach the disk in any order. So the end of the journal is checked here
//! first and cut after the last whole batch. Only the last batch may be torn, because each is flushed
//! before the next is written; damage with whole batches after it is reported, never cut.
//!
//! Layout (fjall 3, little-endian): `<n>.jnl` files, the greatest `n` is written to; batches of
//! `1, items: u32, seqno: u64`, then per item `2, type: u8, compression: u8, table: u64,
//! key length: u16, value length: u32, stored length: u32, key, value` or `4, table: u64`, then
//! `3, xxh3 of the items: u64, "FJL\x03"`. Files start at 64 MiB of zeros.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufReader, ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

use crate::{Error, Result};

const MAGIC: &[u8; 4] = b"FJL\x03";

/// A position that forces the next seek.
const UNKNOWN: u64 = u64::MAX;

const DOING: &str = "check the journal";

/// Makes a folder fit for opening: removes one whose creation was interrupted, and cuts a torn end.
pub(super) fn prepare(folder: &Path) -> Result<()> {
    if !folder.try_exists().map_err(Error::io(DOING))? {
        return Ok(());
    }
    if !folder.join("version").try_exists().map_err(Error::io(DOING))? {
        // The tree writes its version last: without it, nothing was ever stored here.
        return fs::remove_dir_all(folder).map_err(Error::io("remove a half-made folder"));
    }
    match journals(folder)?.pop() {
        Some((_, last)) => cut_torn_end(&last),
        None => Ok(()),
    }
}

/// Empties all journals, once everything in them is in sorted files.
pub(super) fn clear(folder: &Path) -> Result<()> {
    for (_, path) in journals(folder)? {
        let file = OpenOptions::new().write(true).open(path).map_err(Error::io(DOING))?;
        file.set_len(0).and_then(|()| file.sync_all()).map_err(Error::io("empty the journal"))?;
    }
    Ok(())
}

/// The journals, oldest first.
fn journals(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(DOING))? {
        let path = entry.map_err(Error::io(DOING))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(".jnl")).and_then(|n| n.parse().ok());
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

fn cut_torn_end(path: &Path) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(Error::io(DOING))?;
    let mut scan = Scan::new(file)?;
    let mut end = 0;
    while let Some(next) = scan.batch(end)? {
        end = next;
    }
    if end == scan.len {
        return Ok(());
    }
    if scan.has_batch_after(end)? {
        return Err(Error::Corrupt(format!("the journal {} at byte {end}", path.display())));
    }
    let file = scan.reader.get_mut();
    file.set_len(end).and_then(|()| file.sync_all()).map_err(Error::io("cut the journal"))
}

struct Scan {
    reader: BufReader<File>,
    position: u64,
    len: u64,
    /// Of the last whole batch.
    seqno: Option<u64>,
}

impl Scan {
    fn new(file: File) -> Result<Self> {
        let len = file.metadata().map_err(Error::io(DOING))?.len();
        Ok(Self { reader: BufReader::with_capacity(256 << 10, file), position: 0, len, seqno: None })
    }

    /// Where the batch that starts at `start` ends, or nothing if it is not whole.
    fn batch(&mut self, start: u64) -> Result<Option<u64>> {
        self.seek(start)?;
        let found = match self.try_batch() {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
            tried => tried.map_err(Error::io(DOING))?,
        };
        if found.is_none() {
            self.position = UNKNOWN;
        }
        Ok(found)
    }

    fn try_batch(&mut self) -> std::io::Result<Option<u64>> {
        let [1, i0, i1, i2, i3, seqno @ ..] = self.take::<13>()? else {
            return Ok(None);
        };
        let items = u32::from_le_bytes([i0, i1, i2, i3]);
        // The checksum does not cover the seqno, but seqnos always grow.
        let seqno = u64::from_le_bytes(seqno);
        if self.seqno.is_some_and(|last| seqno <= last) {
            return Ok(None);
        }
        let mut hash = Xxh3::new();
        for _ in 0..items {
            let tag = self.take::<1>()?;
            hash.update(&tag);
            let rest = match tag {
                [2] => {
                    let head = self.take::<20>()?;
                    hash.update(&head);
                    let [.., k0, k1, _, _, _, _, v0, v1, v2, v3] = head;
                    u64::from(u16::from_le_bytes([k0, k1])) + u64::from(u32::from_le_bytes([v0, v1, v2, v3]))
                }
                [4] => 8,
                _ => return Ok(None),
            };
            if !self.hash(rest, &mut hash)? {
                return Ok(None);
            }
        }
        let [3, end @ ..] = self.take::<13>()? else {
            return Ok(None);
        };
        let [sum @ .., m0, m1, m2, m3] = end;
        let whole = u64::from_le_bytes(sum) == hash.digest() && [m0, m1, m2, m3] == *MAGIC;
        if whole {
            self.seqno = Some(seqno);
        }
        Ok(whole.then_some(self.position))
    }

    /// Whether a whole batch follows somewhere after the damage at `start`. A batch starts where
    /// another one's closing magic ends.
    fn has_batch_after(&mut self, start: u64) -> Result<bool> {
        let used = self.last_used(start)?.saturating_sub(start);
        self.seek(start)?;
        let mut rest = Vec::new();
        self.reader.by_ref().take(used).read_to_end(&mut rest).map_err(Error::io(DOING))?;
        self.position = UNKNOWN;
        for (offset, window) in (start..).zip(rest.windows(MAGIC.len())) {
            if window == MAGIC && self.batch(offset + 4)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where only zeros follow.
    fn last_used(&mut self, start: u64) -> Result<u64> {
        self.seek(start)?;
        let (mut at, mut used) = (start, start);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = self.reader.read(&mut buffer).map_err(Error::io(DOING))?;
            let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
                break;
            };
            if let Some(last) = read.iter().rposition(|byte| *byte != 0) {
                used = at + last as u64 + 1;
            }
            at += count as u64;
        }
        self.position = UNKNOWN;
        Ok(used)
    }

    fn seek(&mut self, position: u64) -> Result<()> {
        if position != self.position {
            self.reader.seek(SeekFrom::Start(position)).map_err(Error::io(DOING))?;
            self.position = position;
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    /// Feeds the next `count` bytes to the hash; false if the file is shorter than that.
    fn hash(&mut self, count: u64, hash: &mut Xxh3) -> std::io::Result<bool> {
        if count > self.len.saturating_sub(self.position) {
            return Ok(false);
        }
        let mut left = count;
        let mut buffer = [0; 4096];
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let (part, _) = buffer.split_at_mut(step);
            self.reader.read_exact(part)?;
            hash.update(part);
            left -= step as u64;
        }
        self.position += count;
        Ok(true)
    }
}
