//! Bytes as text: base64 and escapes.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Characters of base64 on one line.
const LINE: usize = 76;

/// Base64 in lines.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 4 / 3 + 4);
    for chunk in bytes.chunks(3) {
        if !out.is_empty() && (out.len() + 1).is_multiple_of(LINE + 1) {
            out.push('\n');
        }
        let bits = chunk.iter().chain([&0, &0]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            let digit = ALPHABET.get(bits >> (18 - 6 * place) & 63).copied().unwrap_or(b'=');
            out.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// Blanks are read over. `None`: it is no base64.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut count, mut padding) = (0_u32, 0, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        if byte == b'=' {
            padding += 1;
            continue;
        }
        let digit = ALPHABET.iter().position(|known| *known == byte).filter(|_| padding == 0)?;
        bits = bits << 6 | u32::try_from(digit).ok()?;
        count += 1;
        if count % 4 == 0 {
            out.extend(bits.to_be_bytes().get(1..)?);
            bits = 0;
        }
    }
    match (count % 4, padding) {
        (0, 0) => {}
        (2, 2) => out.push(u8::try_from(bits >> 4 & 255).ok()?),
        (3, 1) => out.extend((bits >> 2).to_be_bytes().get(2..)?),
        _ => return None,
    }
    Some(out)
}

/// Zero bytes and bytes past ASCII as `\ooo`, a backslash doubled.
pub(crate) fn to_escape(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            0 | 128.. => out.push_str(&format!("\\{byte:03o}")),
            byte => out.push(char::from(*byte)),
        }
    }
    out
}

/// The reverse of [`to_escape`].
pub(crate) fn from_escape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next()? {
            b'\\' => out.push(b'\\'),
            first @ b'0'..=b'3' => {
                let mut value = first - b'0';
                for _ in 0..2 {
                    value = value * 8 + bytes.next().filter(|digit| (b'0'..=b'7').contains(digit))? - b'0';
                }
                out.push(value);
            }
            _ => return None,
        }
    }
    Some(out)
}
