//! The binary form of numeric: digits to the base 10,000, a weight, a sign, a scale.

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

/// From the text of a number.
pub(crate) fn encode(text: &str) -> Option<Vec<u8>> {
    let special = |sign: u16| [0_u16, 0, sign, 0].iter().flat_map(|part| part.to_be_bytes()).collect();
    match text {
        "NaN" => return Some(special(NAN)),
        "Infinity" => return Some(special(INFINITY)),
        "-Infinity" => return Some(special(MINUS_INFINITY)),
        _ => {}
    }
    let (sign, unsigned) = text.strip_prefix('-').map_or((0, text), |rest| (NEGATIVE, rest));
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // The point stands behind so many digits.
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let scale = i32::try_from(digits.len()).ok()?.checked_sub(point)?.max(0);
    // Groups of four begin at the point, to both sides.
    let before = point.rem_euclid(4);
    let padding = usize::try_from((4 - before) % 4).ok()?;
    let mut padded = "0".repeat(padding);
    padded.push_str(&digits);
    padded.push_str(&"0".repeat((4 - padded.len() % 4) % 4));
    let mut groups: Vec<i16> = Vec::new();
    for group in padded.as_bytes().chunks(4) {
        groups.push(std::str::from_utf8(group).ok()?.parse().ok()?);
    }
    let mut weight = (point + i32::try_from(padding).ok()?) / 4 - 1;
    while groups.first() == Some(&0) {
        groups.remove(0);
        weight -= 1;
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    let sign = if groups.is_empty() { 0 } else { sign };
    let mut bytes = Vec::with_capacity(8 + groups.len() * 2);
    bytes.extend(i16::try_from(groups.len()).ok()?.to_be_bytes());
    bytes.extend(i16::try_from(weight).ok()?.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend(u16::try_from(scale).ok()?.to_be_bytes());
    bytes.extend(groups.iter().flat_map(|group| group.to_be_bytes()));
    Some(bytes)
}

/// The text of a number.
pub(crate) fn decode(bytes: &[u8]) -> Option<String> {
    let mut parts = bytes.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes));
    let (count, weight, sign, scale) = (parts.next()?, parts.next()?.cast_signed(), parts.next()?, parts.next()?);
    let groups: Vec<u16> = parts.collect();
    if groups.len() != usize::from(count) || !bytes.len().is_multiple_of(2) || groups.iter().any(|group| *group > 9_999)
    {
        return None;
    }
    let minus = match sign {
        0 => "",
        NEGATIVE => "-",
        NAN => return Some("NaN".to_owned()),
        INFINITY => return Some("Infinity".to_owned()),
        MINUS_INFINITY => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let group = |place: i32| {
        let at = usize::try_from(i32::from(weight) - place).ok();
        at.and_then(|at| groups.get(at)).copied().unwrap_or(0)
    };
    let mut whole = String::new();
    for place in (0..=i32::from(weight)).rev() {
        whole.push_str(&format!("{:04}", group(place)));
    }
    let whole = whole.trim_start_matches('0');
    let mut fraction = String::new();
    let mut place = -1;
    while fraction.len() < usize::from(scale) {
        fraction.push_str(&format!("{:04}", group(place)));
        place -= 1;
    }
    fraction.truncate(usize::from(scale));
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() { format!("{minus}{whole}") } else { format!("{minus}{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for text in ["0", "1", "-1", "10000", "123456789.0123", "0.0001", "0.00001", "-9999.9999", "100000000", "12.5"]
        {
            assert_eq!(decode(&encode(text).unwrap()).as_deref(), Some(text));
        }
        for text in ["NaN", "Infinity", "-Infinity"] {
            assert_eq!(decode(&encode(text).unwrap()).as_deref(), Some(text));
        }
    }

    /// As `SELECT numeric_send(12.5)` of PostgreSQL answers.
    #[test]
    fn the_form_is_that_of_postgresql() {
        assert_eq!(encode("12.5").unwrap(), b"\0\x02\0\0\0\0\0\x01\0\x0c\x13\x88");
        assert_eq!(encode("1e6").unwrap(), encode("1000000").unwrap());
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert_eq!((encode("x"), decode(b"\0"), decode(b"\0\x01\0\0\0\0\0\0")), (None, None, None));
    }
}
