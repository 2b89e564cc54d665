//! Sizes of batches: `N[,BYTES][,TIME]`.

use std::time::Duration;

use millstream_watch::Batching;

use super::{duration, size};

/// Reads how many events, and perhaps how many bytes, and perhaps how long; the time needs a unit.
pub(crate) fn batch(text: &str) -> Result<Batching, String> {
    let wrong = || format!("`{text}` is no size of a batch: write N, or N,BYTES,TIME such as 500,4MiB,1s");
    let mut parts = text.split(',').map(str::trim);
    let count = parts.next().and_then(|part| part.parse().ok()).filter(|count| *count > 0).ok_or_else(wrong)?;
    let mut batching = Batching { count, time: Duration::from_secs(1), ..Batching::default() };
    let (mut bytes, mut time) = (None, None);
    for part in parts {
        match (size(part), duration(part)) {
            (Ok(size), _) if bytes.is_none() && time.is_none() => bytes = Some(size),
            (_, Ok(span)) if time.is_none() && !part.ends_with(|c: char| c.is_ascii_digit()) => time = Some(span),
            _ => return Err(wrong()),
        }
    }
    if let Some(bytes) = bytes {
        batching.bytes = usize::try_from(bytes).unwrap_or(usize::MAX).max(1);
    }
    batching.time = time.unwrap_or(batching.time);
    Ok(batching)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_time_may_be_left_out() {
        let read = |text| batch(text).map(|batch| (batch.count, batch.bytes, batch.time.as_millis()));
        let usual = Batching::default().bytes;
        assert_eq!(read("500"), Ok((500, usual, 1_000)));
        assert_eq!(read("500,1MiB"), Ok((500, 1 << 20, 1_000)));
        assert_eq!(read("500, 200ms"), Ok((500, usual, 200)));
        assert_eq!(read("500,1MiB,5s"), Ok((500, 1 << 20, 5_000)));
        for wrong in ["", "0", "x", "5,5,5", "5,1s,1MiB", "5,1s,1s", "5,much"] {
            assert!(batch(wrong).is_err(), "{wrong}");
        }
    }
}
