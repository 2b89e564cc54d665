//! The settings that PostgreSQL's clients set and read, beside those of SQL-18.9. Most say what is always so here; to set them
//! to something else is an error, so that nobody relies on what does not happen.

use std::collections::BTreeMap;

use millstream_sql::SqlError;
use millstream_sql::statement::Literal;

use super::Session;
use crate::error::Result;
use crate::system::{self, VERSION, VERSION_NUMBER};

/// What a setting may be set to.
enum Accepts {
    /// Anything: it has no effect here that could be missed.
    Any,
    /// One of these, in any case.
    One(&'static [&'static str]),
}

use Accepts::{Any, One};

const OFF: Accepts = One(&["off", "false", "no", "0"]);
const ON: Accepts = One(&["on", "true", "yes", "1"]);
const LEVELS: Accepts = One(&["read committed", "read uncommitted", "repeatable read"]);
const UTF8: Accepts = One(&["utf8", "utf-8", "unicode", "'utf8'", "'utf-8'"]);

/// The settings, by their names in lower case; how they are written, what they are at first, and what they may become.
// tidy: sorted by name
static SETTINGS: &[(&str, &str, &str, Accepts)] = &[
    ("application_name", "application_name", "", Any),
    ("array_nulls", "array_nulls", "on", ON),
    ("backslash_quote", "backslash_quote", "safe_encoding", Any),
    ("bytea_output", "bytea_output", "hex", One(&["hex"])),
    ("check_function_bodies", "check_function_bodies", "on", Any),
    ("client_encoding", "client_encoding", "UTF8", UTF8),
    ("client_min_messages", "client_min_messages", "notice", Any),
    ("datestyle", "DateStyle", "ISO, MDY", One(&["iso", "iso, mdy", "iso,mdy", "iso, dmy", "iso, ymd"])),
    ("default_transaction_isolation", "default_transaction_isolation", "repeatable read", LEVELS),
    ("default_transaction_read_only", "default_transaction_read_only", "off", OFF),
    ("escape_string_warning", "escape_string_warning", "on", Any),
    ("extra_float_digits", "extra_float_digits", "1", Any),
    ("idle_in_transaction_session_timeout", "idle_in_transaction_session_timeout", "0", One(&["0"])),
    ("idle_session_timeout", "idle_session_timeout", "0", One(&["0"])),
    ("in_hot_standby", "in_hot_standby", "off", OFF),
    ("integer_datetimes", "integer_datetimes", "on", ON),
    ("intervalstyle", "IntervalStyle", "postgres", One(&["postgres"])),
    ("is_superuser", "is_superuser", "on", ON),
    ("jit", "jit", "off", Any),
    ("lc_collate", "lc_collate", "C", One(&["c"])),
    ("lc_ctype", "lc_ctype", "C", One(&["c"])),
    ("lc_messages", "lc_messages", "C", Any),
    ("lc_monetary", "lc_monetary", "C", Any),
    ("lc_numeric", "lc_numeric", "C", Any),
    ("lc_time", "lc_time", "C", Any),
    ("lock_timeout", "lock_timeout", "0", Any),
    ("max_identifier_length", "max_identifier_length", "63", One(&["63"])),
    ("max_index_keys", "max_index_keys", "32", One(&["32"])),
    ("row_security", "row_security", "on", Any),
    ("server_encoding", "server_encoding", "UTF8", UTF8),
    ("server_version_num", "server_version_num", VERSION_NUMBER, One(&[VERSION_NUMBER])),
    ("standard_conforming_strings", "standard_conforming_strings", "on", ON),
    ("synchronous_commit", "synchronous_commit", "on", Any),
    ("transaction_isolation", "transaction_isolation", "repeatable read", LEVELS),
    ("transaction_read_only", "transaction_read_only", "off", OFF),
    ("xmloption", "xmloption", "content", Any),
];

/// What of them was set.
#[derive(Clone, Default)]
pub(super) struct ClientSettings {
    set: BTreeMap<&'static str, String>,
    /// Who the client says that it is.
    user: Option<String>,
    /// The database that `search_path` is when nothing else is said.
    home: String,
}

impl ClientSettings {
    /// Of a session that begins in a database.
    pub(super) fn at(database: &str) -> Self {
        Self { home: database.to_owned(), ..Self::default() }
    }
}

fn row(name: &str) -> Option<&'static (&'static str, &'static str, &'static str, Accepts)> {
    SETTINGS.binary_search_by_key(&name, |(known, ..)| *known).ok().and_then(|at| SETTINGS.get(at))
}

impl Session {
    /// Who the client says that it is: what `CURRENT_USER` answers.
    pub fn set_user(&mut self, user: &str) {
        self.client.user = Some(user.to_owned());
    }

    /// Sets a setting by its name in any case, as a client does when it connects.
    ///
    /// # Errors
    /// 42704: there is none of that name; 22023: it cannot be that.
    pub fn set_default(&mut self, name: &str, value: &str) -> Result<()> {
        let name = name.to_lowercase();
        self.set_text(&name, Some(&Literal::Text(value.to_owned())))
    }

    /// What a setting is, by its name in any case.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        let own = match name.as_str() {
            "server_version" => Some(format!("{VERSION} (Millstream {})", env!("CARGO_PKG_VERSION"))),
            "session_authorization" | "role" => {
                Some(self.client.user.clone().unwrap_or_else(|| "millstream".to_owned()))
            }
            "search_path" => Some(millstream_sql::statement::quoted(&self.database)),
            "timezone" => self.settings.get("time_zone"),
            name => self.settings.get(name),
        };
        own.or_else(|| {
            let (key, _, first, _) = row(&name)?;
            Some(self.client.set.get(key).cloned().unwrap_or_else(|| (*first).to_owned()))
        })
    }

    /// Sets one; `None`: to what it was at first. False: it is none of these.
    pub(super) fn set_client(&mut self, name: &str, value: Option<&Literal>) -> Result<bool> {
        let text = match value {
            None => None,
            Some(Literal::Text(text) | Literal::Number(text)) => Some(text.clone()),
            Some(Literal::Boolean(value)) => Some(if *value { "on" } else { "off" }.to_owned()),
            Some(other) => Some(other.to_string()),
        };
        if name == "search_path" {
            let home = self.client.home.clone();
            let first = text.as_deref().unwrap_or(&home).split(',').map(|part| part.trim().trim_matches('"'));
            // The other names are those of every PostgreSQL, where there is nothing of a user's here.
            let first = first.filter(|part| !matches!(*part, "" | "$user" | "public") && !system::is_schema(part));
            if let Some(database) = first.map(str::to_owned).next() {
                self.database = database;
            }
            return Ok(true);
        }
        let Some((key, shown, first, accepts)) = row(name) else { return Ok(false) };
        let Some(text) = text else {
            self.client.set.remove(key);
            return Ok(true);
        };
        match accepts {
            Any => drop(self.client.set.insert(key, text)),
            One(values) => {
                let lower = text.to_lowercase();
                if !values.contains(&lower.as_str()) {
                    let message = format!("{shown} is always \"{first}\" here, and cannot be \"{text}\"");
                    return Err(SqlError::new("22023", message));
                }
            }
        }
        Ok(true)
    }

    /// What `CURRENT_SETTING` and the functions of the session answer.
    pub(super) fn shown(&self) -> BTreeMap<String, String> {
        let own = ["search_path", "server_version", "session_authorization", "timezone"];
        let names = own
            .into_iter()
            .chain(SETTINGS.iter().map(|(name, ..)| *name))
            .chain(super::settings::SETTINGS.iter().copied());
        let mut shown: BTreeMap<String, String> =
            names.filter_map(|name| Some((name.to_owned(), self.setting(name)?))).collect();
        shown.insert("database".to_owned(), self.database.clone());
        shown.insert("version".to_owned(), crate::system::version());
        shown
    }

    /// Forgets what was set, and closes cursors: `DISCARD ALL`.
    pub(super) fn discard(&mut self) -> Result<crate::answer::Answer> {
        self.not_in_transaction("DISCARD ALL")?;
        self.settings = super::settings::Settings::default();
        self.client.set.clear();
        if !self.client.home.is_empty() {
            self.database.clone_from(&self.client.home);
        }
        self.cursors.clear();
        Ok(crate::answer::Answer::done("DISCARD ALL", Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_first_values_are_accepted() {
        assert!(SETTINGS.is_sorted_by_key(|(name, ..)| *name));
        for (name, shown, first, accepts) in SETTINGS {
            assert_eq!(*name, shown.to_lowercase());
            if let One(values) = accepts {
                assert!(values.contains(&first.to_lowercase().as_str()), "{name}");
            }
        }
    }
}
