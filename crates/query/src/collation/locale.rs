//! Names of locales, as ICU writes them: `en`, `fr_CA`, `sr_Latn`, `de@collation=phonebook`.

use icu_locale_core::Locale;
use millstream_value::{Code, Doc, shell};

use crate::{Error, Result};

/// A locale that can be compared in.
pub(super) struct Found {
    pub(super) id: Locale,
    /// Accents count from the end of a text.
    pub(super) backwards: bool,
}

/// The variants that there is data for, by the names of ICU and of Unicode.
const VARIANTS: &[(&str, &str)] = &[
    ("compat", "compat"),
    ("dictionary", "dict"),
    ("phonebook", "phonebk"),
    ("pinyin", "pinyin"),
    ("standard", "standard"),
    ("stroke", "stroke"),
    ("traditional", "trad"),
    ("unihan", "unihan"),
    ("zhuyin", "zhuyin"),
];

/// Every language of the manual's table, with the variants that there is data for.
// tidy: sorted by name
const LANGUAGES: &[(&str, &[&str])] = &[
    ("af", &[]),
    ("am", &[]),
    ("ar", &["compat"]),
    ("as", &[]),
    ("az", &[]),
    ("be", &[]),
    ("bg", &[]),
    ("bn", &["traditional"]),
    ("bo", &[]),
    ("bs", &[]),
    ("ca", &[]),
    ("chr", &[]),
    ("cs", &[]),
    ("cy", &[]),
    ("da", &[]),
    ("de", &["phonebook"]),
    ("dsb", &[]),
    ("dz", &[]),
    ("ee", &[]),
    ("el", &[]),
    ("en", &[]),
    ("eo", &[]),
    ("es", &["traditional"]),
    ("et", &[]),
    ("fa", &[]),
    ("fi", &["traditional"]),
    ("fil", &[]),
    ("fo", &[]),
    ("fr", &[]),
    ("ga", &[]),
    ("gl", &[]),
    ("gu", &[]),
    ("ha", &[]),
    ("haw", &[]),
    ("he", &[]),
    ("hi", &[]),
    ("hr", &[]),
    ("hsb", &[]),
    ("hu", &[]),
    ("hy", &[]),
    ("id", &[]),
    ("ig", &[]),
    ("is", &[]),
    ("it", &[]),
    ("ja", &["unihan"]),
    ("ka", &[]),
    ("kk", &[]),
    ("kl", &[]),
    ("km", &[]),
    ("kn", &["traditional"]),
    ("ko", &["unihan"]),
    ("kok", &[]),
    ("ky", &[]),
    ("lb", &[]),
    ("lkt", &[]),
    ("ln", &[]),
    ("lo", &[]),
    ("lt", &[]),
    ("lv", &[]),
    ("mk", &[]),
    ("ml", &[]),
    ("mn", &[]),
    ("mr", &[]),
    ("ms", &[]),
    ("mt", &[]),
    ("my", &[]),
    ("nb", &[]),
    ("ne", &[]),
    ("nl", &[]),
    ("nn", &[]),
    ("om", &[]),
    ("or", &[]),
    ("pa", &[]),
    ("pl", &[]),
    ("ps", &[]),
    ("pt", &[]),
    ("ro", &[]),
    ("ru", &[]),
    ("se", &[]),
    ("si", &["dictionary"]),
    ("sk", &[]),
    ("sl", &[]),
    ("smn", &[]),
    ("sq", &[]),
    ("sr", &[]),
    ("sv", &["traditional"]),
    ("sw", &[]),
    ("ta", &[]),
    ("te", &[]),
    ("th", &[]),
    ("to", &[]),
    ("tr", &[]),
    ("ug", &[]),
    ("uk", &[]),
    ("ur", &[]),
    ("vi", &["traditional"]),
    ("wae", &[]),
    ("yi", &[]),
    ("yo", &[]),
    ("zh", &["pinyin", "stroke", "unihan", "zhuyin"]),
    ("zu", &[]),
];

/// Variants that ICU knows and that there is no data for here.
const LACKING: &[&str] = &["big5han", "eor", "gb2312han", "phonetic", "search", "searchjl"];

/// Finds a locale by its name.
pub(super) fn find(name: &str, spec: Doc<'_>) -> Result<Found> {
    let (base, variant) = match name.split_once("@collation=") {
        Some((base, variant)) => (base, Some(variant)),
        None => (name, None),
    };
    let mut parts = base.split('_');
    let language = parts.next().unwrap_or_default();
    let row = LANGUAGES.binary_search_by(|row| row.0.cmp(language)).ok().and_then(|at| LANGUAGES.get(at));
    let (_, variants) = row.ok_or_else(|| invalid(spec))?;
    let mut tag = language.to_owned();
    let mut region = "";
    for part in parts {
        let fits = match part.len() {
            2 => part.bytes().all(|b| b.is_ascii_uppercase()),
            4 => part.starts_with(|c: char| c.is_ascii_uppercase()),
            _ => part == "POSIX",
        };
        if !fits {
            return Err(invalid(spec));
        }
        if part.len() == 2 {
            region = part;
        }
        tag.push('-');
        tag.push_str(part);
    }
    if let Some(variant) = variant {
        if LACKING.contains(&variant) {
            let message = format!("there is no data for the variant '{variant}' of a collation");
            return Err(Error::new(Code::NotImplemented, message));
        }
        let known =
            VARIANTS.iter().find(|row| row.0 == variant && (variants.contains(&variant) || variant == "standard"));
        let (_, short) = known.ok_or_else(|| invalid(spec))?;
        tag.push_str("-u-co-");
        tag.push_str(short);
    }
    let id = Locale::try_from_str(&tag).map_err(|_| invalid(spec))?;
    Ok(Found { id, backwards: language == "fr" && region == "CA" })
}

/// The error of a name that stands for no locale.
pub(super) fn invalid(spec: Doc<'_>) -> Error {
    Error::bad_value(format!("Field 'locale' is invalid in: {}", shell::value(&spec.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted() {
        assert!(LANGUAGES.is_sorted_by_key(|row| row.0));
        assert!(VARIANTS.is_sorted_by_key(|row| row.0));
    }
}
