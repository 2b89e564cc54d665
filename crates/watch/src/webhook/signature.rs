//! How a receiver knows who has sent a request: HMAC-SHA256 with a secret that both have.
//!
//! Signed is the timestamp's digits, a point, and the body, so that an old request cannot be sent again as a new one.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The seconds since 1970 at which it was signed.
pub(super) const TIMESTAMP: &str = "millstream-timestamp";
/// `sha256=` and the signature in hexadecimal digits.
pub(super) const SIGNATURE: &str = "millstream-signature";

/// The signature's header.
pub(super) fn of(secret: &str, timestamp: u64, body: &str) -> String {
    // Keys of any length are good; an error would be a key of none, which has no secret.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    format!("sha256={}", hexadecimal(&mac.finalize().into_bytes()))
}

/// The hash of a text in hexadecimal digits.
pub(super) fn hash(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf '1755427520.{"a":1}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn a_known_signature() {
        let expected = "sha256=8159d5bcbca788d67e10079c77e548414dda159dff10682fbc70bfaa4092a10e";
        assert_eq!(of("secret", 1_755_427_520, r#"{"a":1}"#), expected);
        assert_ne!(of("secret", 1_755_427_521, r#"{"a":1}"#), expected);
        assert_ne!(of("other", 1_755_427_520, r#"{"a":1}"#), expected);
    }

    #[test]
    fn a_known_hash() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
