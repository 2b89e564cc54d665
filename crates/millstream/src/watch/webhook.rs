//! `--webhook`: an HTTP request for each event.
//!
//! Request: `POST` with the JSON, `Content-Type`, `Idempotency-Key` (the token, or its SHA-256 if it is long), and with a
//!          secret `Millstream-Timestamp` and `Millstream-Signature`.
//! Success: an answer 2xx.
//! Again:   no connection, no answer in time, 5xx, 408, 429, with growing pauses, or after `Retry-After`.
//! Failure: any other answer, redirects too.

mod answer;
mod signature;

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use millstream_watch::Failure;

use super::arguments::Target;
use super::sink::Parcel;
use crate::exit;

/// More of an answer is not read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// A longer token is sent as its hash: servers refuse long headers.
const KEY_BYTES_MAX: usize = 1 << 10;

/// Where to send events.
pub(crate) struct Webhook {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    headers: HeaderMap,
    secret: Option<String>,
    timeout: Duration,
}

impl Webhook {
    /// Nothing is connected yet.
    pub(crate) fn new(url: &str, flags: &Target) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("millstream/", env!("CARGO_PKG_VERSION"))));
        for text in &flags.webhook_header {
            let (name, value) = header(text).map_err(exit::misuse)?;
            headers.insert(name, value);
        }
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector()),
            url: address(url).map_err(exit::misuse)?,
            headers,
            secret: flags.webhook_secret.clone().filter(|secret| !secret.is_empty()),
            timeout: flags.webhook_timeout,
        })
    }

    /// Sends, and says how that went.
    pub(crate) async fn post(&self, parcel: &Parcel<'_>) -> Result<(), Failure> {
        let request = self.request(parcel).map_err(|error| Failure::lasting(format!("no request: {error}")))?;
        match tokio::time::timeout(self.timeout, self.ask(request)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let time = crate::parse::show_duration(self.timeout);
                Err(Failure::passing(format!("the webhook did not answer within {time}")))
            }
        }
    }

    fn request(&self, parcel: &Parcel<'_>) -> hyper::http::Result<Request<Full<Bytes>>> {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(parcel.content_type));
        if let Some(last) = parcel.events.last() {
            let token = last.token();
            let token = token.data().map_or_else(|| token.to_json(), str::to_owned);
            let key = if token.len() > KEY_BYTES_MAX { signature::hash(&token) } else { token };
            headers.insert("idempotency-key", HeaderValue::try_from(key)?);
        }
        if let Some(secret) = &self.secret {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
            headers.insert(signature::TIMESTAMP, HeaderValue::from(now));
            headers.insert(signature::SIGNATURE, HeaderValue::try_from(signature::of(secret, now, &parcel.json))?);
        }
        let mut request = Request::new(Full::new(Bytes::from(parcel.json.clone())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<(), Failure> {
        let answer = self.client.request(request).await;
        let answer =
            answer.map_err(|error| Failure::passing(format!("the webhook was not reached: {}", causes(&error))))?;
        let status = answer.status();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // Read to its end, so that the connection can be used again; what it says is for the log.
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        answer::judge(status, retry_after.as_deref(), &body, SystemTime::now())
    }
}

/// The system's certificates; those that come with this program where the system has none.
fn connector() -> HttpsConnector<HttpConnector> {
    let roots = HttpsConnectorBuilder::new().with_native_roots();
    let builder = roots.unwrap_or_else(|_| HttpsConnectorBuilder::new().with_webpki_roots());
    builder.https_or_http().enable_http1().build()
}

/// The driver's text stops at "connect error"; its causes say more.
fn causes(error: &hyper_util::client::legacy::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn address(text: &str) -> Result<Uri, String> {
    let wrong = |why: &str| format!("`{text}` is no address of a webhook: {why}");
    if !["http://", "https://"].iter().any(|scheme| text.starts_with(scheme)) {
        return Err(wrong("it begins with http:// or https://"));
    }
    let url: Uri = text.parse().map_err(|error| wrong(&format!("{error}")))?;
    match url.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err(wrong("user and password go into --webhook-header 'Authorization: Basic …'"))
        }
        Some(_) => Ok(url),
        None => Err(wrong("it names no server")),
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || format!("`{text}` is no header: write 'Name: value'");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
    let mut value = HeaderValue::try_from(value.trim()).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        assert!(address("https://example.com/changes?a=b").is_ok());
        assert!(address("http://127.0.0.1:8080").is_ok());
        for (text, part) in [
            ("example.com/x", "http"),
            ("ftp://example.com", "http"),
            ("/x", "http"),
            ("http://anna:secret@example.com/", "--webhook-header"),
        ] {
            let reason = address(text).unwrap_err();
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn headers_have_a_name_and_a_value() {
        let (name, value) = header("Authorization: Bearer x:y").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Bearer x:y"));
        assert!(header("Authorization").is_err());
        assert!(header("a b: c").is_err());
    }
}
