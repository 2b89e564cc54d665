//! HTTP requests that tell somebody of something: signed, and judged by their answer.
//!
//! Request: the JSON, `Content-Type`, `Idempotency-Key` (the key, or its SHA-256 if it is long), and with a secret
//!          `Millstream-Timestamp` and `Millstream-Signature`.
//! Success: an answer 2xx.
//! Again:   no connection, no answer in time, 5xx, 408, 429, with growing pauses, or after `Retry-After`.
//! Failure: any other answer, redirects too.

mod answer;
mod signature;

use std::error::Error as _;
use std::fmt;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::Failure;

/// More of an answer is not read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// A longer key is sent as its hash: servers refuse long headers.
const KEY_BYTES_MAX: usize = 1 << 10;

/// Where requests go, and how they are made.
#[derive(Clone)]
pub struct Webhook {
    url: Uri,
    method: Method,
    headers: HeaderMap,
    secret: Option<String>,
    timeout: Duration,
}

/// What is told.
#[derive(Debug, Clone, Copy)]
pub struct Message<'m> {
    /// The request's body.
    pub json: &'m str,
    /// What kind of JSON it is.
    pub content_type: &'static str,
    /// What is the same whenever the same is told again.
    pub key: Option<&'m str>,
}

/// Makes requests. Its clones share connections, which are kept for the next request.
#[derive(Debug, Clone)]
pub struct Webhooks {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Webhook {
    /// `POST` to an address, answered within a minute.
    ///
    /// # Errors
    /// It is no address of HTTP; the text says why.
    pub fn new(url: &str) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("millstream/", env!("CARGO_PKG_VERSION"))));
        let (url, method) = (address(url)?, Method::POST);
        Ok(Self { url, method, headers, secret: None, timeout: Duration::from_secs(60) })
    }

    /// With another method.
    ///
    /// # Errors
    /// The method has no body.
    pub fn method(mut self, name: &str) -> Result<Self, String> {
        self.method = match name.to_ascii_uppercase().as_str() {
            "PATCH" => Method::PATCH,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            _ => return Err(format!("`{name}` is no method for a webhook: POST, PUT and PATCH are")),
        };
        Ok(self)
    }

    /// With one more header.
    ///
    /// # Errors
    /// Such a header cannot be sent.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, String> {
        let wrong = || format!("`{name}: …` is no header");
        let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
        let mut value = HeaderValue::try_from(value.trim()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Signed with a secret that the receiver has, too. An empty one is none.
    #[must_use]
    pub fn secret(mut self, secret: Option<String>) -> Self {
        self.secret = secret.filter(|secret| !secret.is_empty());
        self
    }

    /// How long an answer may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn request(&self, message: &Message<'_>) -> hyper::http::Result<Request<Full<Bytes>>> {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(message.content_type));
        if let Some(key) = message.key {
            let key = if key.len() > KEY_BYTES_MAX { signature::hash(key) } else { key.to_owned() };
            headers.insert("idempotency-key", HeaderValue::try_from(key)?);
        }
        if let Some(secret) = &self.secret {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
            headers.insert(signature::TIMESTAMP, HeaderValue::from(now));
            headers.insert(signature::SIGNATURE, HeaderValue::try_from(signature::of(secret, now, message.json))?);
        }
        let mut request = Request::new(Full::new(Bytes::from(message.json.to_owned())));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }
}

impl fmt::Debug for Webhook {
    /// Without what is secret: an address may have a key in its query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("server", &self.url.authority()).field("method", &self.method).finish()
    }
}

impl Default for Webhooks {
    fn default() -> Self {
        Self::new()
    }
}

impl Webhooks {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build(connector()) }
    }

    /// Sends a message; gives what was answered, or an empty text if that was too long.
    ///
    /// # Errors
    /// It did not arrive, or was refused; the failure says whether it makes sense to send it again.
    pub async fn send(&self, to: &Webhook, message: &Message<'_>) -> Result<String, Failure> {
        let request = to.request(message).map_err(|error| Failure::lasting(format!("no request: {error}")))?;
        match tokio::time::timeout(to.timeout, self.ask(request)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Err(Failure::passing(format!("the webhook did not answer within {} s", to.timeout.as_secs_f64())))
            }
        }
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<String, Failure> {
        let answer = self.client.request(request).await;
        let answer =
            answer.map_err(|error| Failure::passing(format!("the webhook was not reached: {}", causes(&error))))?;
        let status = answer.status();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // Read to its end, so that the connection can be used again.
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        answer::judge(status, retry_after.as_deref(), &body, SystemTime::now())?;
        Ok(body)
    }
}

/// The system's certificates; those that come with this program where the system has none.
fn connector() -> HttpsConnector<HttpConnector> {
    let roots = HttpsConnectorBuilder::new().with_native_roots();
    let builder = roots.unwrap_or_else(|_| HttpsConnectorBuilder::new().with_webpki_roots());
    builder.https_or_http().enable_http1().build()
}

/// The client's text stops at "connect error"; its causes say more.
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
            Err("a webhook's user and password go into a header, 'Authorization: Basic …', not into its address".into())
        }
        Some(_) => Ok(url),
        None => Err(wrong("it names no server")),
    }
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
            ("http://anna:secret@example.com/", "Authorization"),
        ] {
            let reason = address(text).unwrap_err();
            assert!(reason.contains(part) && !reason.contains("secret"), "{reason}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let webhook = Webhook::new("http://127.0.0.1/").unwrap();
        assert!(webhook.clone().method("put").is_ok() && webhook.clone().header("a", "b:c").is_ok());
        assert!(webhook.clone().method("GET").is_err());
        assert!(webhook.clone().header("a b", "c").is_err() && webhook.header("a", "b\nc").is_err());
    }

    #[test]
    fn nothing_secret_is_shown() {
        let webhook = Webhook::new("http://127.0.0.1/?key=hidden").unwrap().secret(Some("hidden".into()));
        let shown = format!("{:?}", webhook.header("authorization", "hidden").unwrap());
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
