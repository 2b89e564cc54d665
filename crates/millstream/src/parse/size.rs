//! Sizes in bytes, such as `512MB` and `2GiB`.

/// Every unit. A bare letter is the binary unit, as in most servers' options.
const UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kb", 1_000),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mb", 1_000_000),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gb", 1_000_000_000),
    ("gib", 1 << 30),
    ("t", 1 << 40),
    ("tb", 1_000_000_000_000),
    ("tib", 1 << 40),
];

/// Digits after the point beyond this one are refused; they would mean nothing.
const DECIMALS_MAX: u32 = 6;

/// Reads a size in bytes: digits, perhaps a fraction, perhaps a unit.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size: write bytes, or a number with a unit such as 512MB or 2GiB");
    let text_lower = text.trim().to_ascii_lowercase();
    let end = text_lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text_lower.len());
    let (number, unit) = text_lower.split_at(end);
    let unit = unit.trim();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let decimals = u32::try_from(fraction.len()).map_err(|_| wrong())?;
    if number.ends_with('.') || decimals > DECIMALS_MAX {
        return Err(wrong());
    }
    let scale = 10_u128.pow(decimals);
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
    let bytes = digits.checked_mul(u128::from(*factor)).ok_or_else(wrong)? / scale;
    u64::try_from(bytes).map_err(|_| wrong())
}

/// A size for people: `1 GiB`, `1.5 MiB`, `12 bytes`.
pub(crate) fn show_size(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, factor)| bytes >= *factor) {
        None => format!("{bytes} bytes"),
        Some((name, factor)) if bytes.is_multiple_of(*factor) => format!("{} {name}", bytes / factor),
        Some((name, factor)) => format!("{:.1} {name}", bytes as f64 / *factor as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_decimal_and_binary() {
        for (text, bytes) in [
            ("1024", 1024),
            ("512MB", 512_000_000),
            ("2GiB", 2 << 30),
            ("2 gib", 2 << 30),
            ("1.5G", 3 << 29),
            ("10kb", 10_000),
            ("0", 0),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "GB", "-1", "1 potato", "1.", "1..5", "1.1234567", "99999999999999TB", "1e3"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_short() {
        assert_eq!(show_size(12), "12 bytes");
        assert_eq!(show_size(1 << 30), "1 GiB");
        assert_eq!(show_size(512_000_000), "488.3 MiB");
    }
}
