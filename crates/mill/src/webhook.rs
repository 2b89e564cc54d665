//! Routines that are webhooks (SQL-16.4): what is sent, and where to.

use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};
use millstream_sql::SqlError;
use millstream_sql::statement::{Literal, Options};
use millstream_watch::webhook::{Message, Webhook, Webhooks};
use millstream_watch::{Failure, JsonMode, document_from_json, to_json};

use crate::error::{Result, bug};
use crate::interval;

/// The options of webhooks.
// Sorted by name.
static OPTIONS: &[&str] = &["headers", "method", "retries", "secret", "timeout", "url"];
/// How long an answer may take, unless an option says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often a call is tried again that may succeed later.
const RETRIES: u64 = 5;

/// Checks the options of a webhook when it is created. Variables are filled when it is called, and not before.
pub(crate) fn check(options: &Options) -> Result<()> {
    options.check(OPTIONS)?;
    if options.text("secret")?.is_some_and(|secret| !secret.is_empty() && !secret.contains("${")) {
        return Err(SqlError::new("22023", "a secret in clear would be stored and shown")
            .hint("secret = '${NAME}' takes it from the environment of the mill"));
    }
    retries(options)?;
    // Whatever variables will hold, it should look like an address and headers now.
    address(options, &|_| Ok("0".to_owned())).map(drop)
}

/// How often a call is tried again; `None`: nothing is said.
pub(crate) fn retries(options: &Options) -> Result<Option<u64>> {
    options.integer("retries")
}

/// How often a call of a procedure is tried again.
pub(crate) fn retries_of_procedure(options: &Options) -> Result<u64> {
    Ok(retries(options)?.unwrap_or(RETRIES))
}

/// The address with its variables filled from the environment: `NAME`, or the file that `NAME_FILE` names.
pub(crate) fn filled(options: &Options) -> Result<Webhook> {
    address(options, &|name| {
        if let Ok(value) = std::env::var(name) {
            return Ok(value);
        }
        let file = std::env::var(format!("{name}_FILE")).ok().and_then(|file| std::fs::read_to_string(file).ok());
        match file {
            Some(text) => Ok(text.trim_end().to_owned()),
            None => Err(SqlError::new("22023", format!("the environment of the mill has no {name}"))),
        }
    })
}

fn address(options: &Options, variable: &dyn Fn(&str) -> Result<String>) -> Result<Webhook> {
    let wrong = |reason: String| SqlError::new("22023", reason);
    let url = options.text("url")?.ok_or_else(|| SqlError::new("22023", "a webhook needs a url"))?;
    let mut webhook = Webhook::new(&fill(url, variable)?).map_err(wrong)?;
    if let Some(method) = options.text("method")? {
        webhook = webhook.method(method).map_err(wrong)?;
    }
    if let Some(headers) = options.text("headers")? {
        let headers = document_from_json(headers)
            .map_err(|error| SqlError::new("22023", format!("headers are a JSON object of texts: {error}")))?;
        for (name, value) in &headers {
            let value = value.as_str().ok_or_else(|| wrong(format!("header {name} is no text")))?;
            webhook = webhook.header(name, &fill(value, variable)?).map_err(wrong)?;
        }
    }
    let secret = options.text("secret")?.map(|secret| fill(secret, variable)).transpose()?;
    let timeout = match options.get("timeout") {
        Some(Literal::Number(text)) => interval::duration(text)?,
        _ => options.interval("timeout")?.map_or(Ok(TIMEOUT), interval::duration)?,
    };
    Ok(webhook.secret(secret).timeout(timeout))
}

/// Puts values in the place of `${NAME}`.
fn fill(text: &str, variable: &dyn Fn(&str) -> Result<String>) -> Result<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("${") {
        let Some((name, after)) = from.split_once('}') else { break };
        filled.push_str(before);
        filled.push_str(&variable(name)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// One call.
pub(crate) struct Call<'c> {
    pub(crate) routine: &'c str,
    pub(crate) arguments: &'c Document,
    pub(crate) key: &'c str,
    /// From 1.
    pub(crate) attempt: u64,
}

impl Call<'_> {
    /// What is sent.
    fn json(&self) -> Result<String> {
        let attempt = i64::try_from(self.attempt).unwrap_or(i64::MAX);
        let body = doc! {"routine": self.routine, "args": self.arguments, "key": self.key, "attempt": attempt};
        let raw = RawDocumentBuf::try_from(&body).map_err(|error| bug(&error.to_string()))?;
        Ok(to_json(&raw, JsonMode::Relaxed))
    }

    /// Sends it once.
    pub(crate) async fn send(&self, requests: &Webhooks, options: &Options) -> std::result::Result<String, Failure> {
        let lasting = |error: SqlError| Failure::lasting(error.to_string());
        let to = filled(options).map_err(lasting)?;
        let json = self.json().map_err(lasting)?;
        let message = Message { json: &json, content_type: "application/json", key: Some(self.key) };
        requests.send(&to, &message).await
    }
}

/// Sends a call, again where that makes sense; 58030 if it fails in the end.
pub(crate) async fn call(
    requests: &Webhooks,
    options: &Options,
    retries: u64,
    (routine, arguments, key): (&str, &Document, &str),
) -> Result<String> {
    let mut attempt = 1;
    loop {
        match (Call { routine, arguments, key, attempt }).send(requests, options).await {
            Ok(answer) => return Ok(answer),
            Err(failure) if failure.is_lasting() || attempt > retries => {
                return Err(SqlError::new("58030", format!("{routine}: {failure}")));
            }
            Err(failure) => tokio::time::sleep(failure.pause().unwrap_or(pause(attempt))).await,
        }
        attempt += 1;
    }
}

/// The pause after the first, second, … failure (SQL-15.8): 1 s, 2 s … 120 s, a fifth more or less.
pub(crate) fn pause(failures: u64) -> Duration {
    let pause = Duration::from_secs(1 << failures.saturating_sub(1).min(7)).min(Duration::from_secs(120));
    pause.mul_f64(0.8 + 0.4 * rand::random::<f64>())
}

/// What a function's answer says: a value in JSON.
pub(crate) fn value(routine: &str, answer: &str) -> Result<Bson> {
    let read = document_from_json(&format!("{{\"value\": {answer}}}")).ok();
    // What closes the object early would be more than a value.
    let value = read.filter(|read| read.len() == 1).and_then(|mut read| read.remove("value"));
    value.ok_or_else(|| SqlError::new("58030", format!("{routine}: the webhook's answer is no JSON")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(of: &[(&str, &str)]) -> Options {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), Literal::Text((*value).to_owned()));
        Options(of.iter().map(text).collect())
    }

    /// SQL-16.4, SQL-17.1
    #[test]
    fn variables_are_filled_and_nothing_secret_is_stored() {
        let of = |name: &str| match name {
            "HOST" => Ok("example.com".to_owned()),
            _ => Err(SqlError::new("22023", "no")),
        };
        assert_eq!(fill("https://${HOST}/a${HOST}", &of).unwrap(), "https://example.com/aexample.com");
        assert_eq!(fill("${", &of).unwrap(), "${");
        assert!(fill("${OTHER}", &of).is_err());
        let url = ("url", "https://${HOST}/hook");
        assert!(
            check(&options(&[url, ("secret", "${KEY}"), ("headers", r#"{"authorization": "Bearer ${KEY}"}"#)])).is_ok()
        );
        for bad in [
            ("secret", "in clear"),
            ("headers", "[1]"),
            ("headers", r#"{"a": 1}"#),
            ("method", "GET"),
            ("timeout", "soon"),
            ("retries", "many"),
            ("colour", "red"),
        ] {
            assert_eq!(check(&options(&[url, bad])).unwrap_err().state.0, "22023", "{bad:?}");
        }
        for url in ["ftp://example.com", "https://anna:${KEY}@example.com/"] {
            assert_eq!(check(&options(&[("url", url)])).unwrap_err().state.0, "22023", "{url}");
        }
        assert_eq!(check(&options(&[])).unwrap_err().state.0, "22023");
    }

    /// SQL-16.4
    #[test]
    fn answers_are_values() {
        assert_eq!(value("f", " 12 ").unwrap(), Bson::Int32(12));
        assert_eq!(value("f", r#"{"a": [1]}"#).unwrap(), Bson::Document(doc! {"a": [1]}));
        for answer in ["", "no", "1, \"x\": 2"] {
            assert_eq!(value("f", answer).unwrap_err().state.0, "58030", "{answer}");
        }
    }
}
