//! How the body of an answer is tagged and compressed; a leaf, which `http` and `state` share.
//!
//! Compression never runs on a thread of the runtime: a large class takes tens of milliseconds, and
//! every request on that thread would wait. Large bodies are compressed in the background, at low
//! priority; all others on tokio's threads for blocking work.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;

use bytes::Bytes;
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};

use crate::background;

/// A body larger than this is compressed at low priority.
const LARGE: usize = 256 * 1024;

/// The ETag of a body. It is weak: it covers neither `now` nor the encoding.
pub(crate) fn etag(body: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("W/\"{:016x}\"", hasher.finish())
}

/// Compresses on this thread: for threads that are not the runtime's.
pub(crate) fn gzip_here(bytes: &[u8], level: Compression) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), level);
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default().into()
}

/// The bytes as gzip; `None` if there is no thread to compress them on.
pub(crate) async fn gzip(bytes: Bytes) -> Option<Bytes> {
    off_the_runtime(bytes.len(), move || gzip_here(&bytes, Compression::fast())).await
}

/// Bytes that are compressed once, for many answers that differ in their heads.
#[derive(Debug)]
pub(crate) struct Deflated {
    bytes: Bytes,
    checksum: Crc,
    /// Of the bytes before compression.
    len: usize,
}

impl Deflated {
    /// Compresses `bytes`, at level 1: a quarter of the time of the default for a tenth more bytes.
    /// `None` if there is no thread to compress them on.
    pub(crate) async fn new(bytes: Bytes) -> Option<Self> {
        off_the_runtime(bytes.len(), move || {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            let mut checksum = Crc::new();
            checksum.update(&bytes);
            // Writing to memory cannot fail.
            let _ = encoder.write_all(&bytes);
            let deflated = encoder.finish().unwrap_or_default().into();
            Self { bytes: deflated, checksum, len: bytes.len() }
        })
        .await
    }

    /// `head` and the bytes, as gzip in three parts. The head is a block of its own that is not
    /// compressed; the middle part is the one that all answers share. A head of more than 64 KiB is
    /// cut off.
    pub(crate) fn gzip_after(&self, head: &str) -> [Bytes; 3] {
        const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];
        let len = u16::try_from(head.len()).unwrap_or(u16::MAX);
        let head = &head.as_bytes()[..usize::from(len)];
        let mut begin = Vec::with_capacity(HEADER.len() + head.len() + 5);
        begin.extend_from_slice(&HEADER);
        // A stored block: its length, and that once more inverted.
        begin.push(0);
        begin.extend_from_slice(&len.to_le_bytes());
        begin.extend_from_slice(&(!len).to_le_bytes());
        begin.extend_from_slice(head);
        let mut checksum = Crc::new();
        checksum.update(head);
        checksum.combine(&self.checksum);
        let total = head.len() + self.len;
        let mut end = Vec::with_capacity(8);
        end.extend_from_slice(&checksum.sum().to_le_bytes());
        end.extend_from_slice(&(total as u32).to_le_bytes());
        [begin.into(), self.bytes.clone(), end.into()]
    }
}

async fn off_the_runtime<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if bytes > LARGE {
        return background::run(work).await;
    }
    tokio::task::spawn_blocking(work).await.ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn gzip_is_the_same_bytes() {
        for size in [10, 10_000, 2 * LARGE] {
            let bytes: Bytes = (0..size).map(|n| (n % 7) as u8).collect::<Vec<_>>().into();
            let inflate = |gzip: &[u8]| {
                let mut inflated = Vec::new();
                flate2::read::GzDecoder::new(gzip).read_to_end(&mut inflated).expect("gzip");
                inflated
            };
            assert_eq!(inflate(&gzip(bytes.clone()).await.expect("a thread")), bytes);
            let deflated = Deflated::new(bytes.clone()).await.expect("a thread");
            for head in ["", "the head, "] {
                let expected = [head.as_bytes(), &bytes].concat();
                assert_eq!(inflate(&deflated.gzip_after(head).concat()), expected);
            }
        }
    }
}
