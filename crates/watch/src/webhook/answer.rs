//! What a webhook's answer means.

use std::time::{Duration, SystemTime};

use crate::Failure;
use hyper::StatusCode;

/// Whoever asks for a longer pause than this is asked again nevertheless.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// What is shown of an answer.
const SHOWN_CHARS: usize = 200;

/// Whether the event was dealt with, and whether trying again makes sense if not.
pub(super) fn judge(status: StatusCode, retry_after: Option<&str>, body: &str, now: SystemTime) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    let shown: String = body.trim().chars().take(SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let said = if shown.is_empty() { String::new() } else { format!(": {shown}") };
    let reason = format!("the webhook answered {status}{said}");
    let passes =
        status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    Err(match retry_after.and_then(|text| pause(text, now)) {
        _ if !passes => Failure::lasting(reason),
        Some(pause) => Failure::passing_after(reason, pause.min(PAUSE_MAX)),
        None => Failure::passing(reason),
    })
}

/// `Retry-After`: seconds, or a date.
fn pause(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(code: u16, retry_after: Option<&str>) -> Result<(), Failure> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        judge(StatusCode::from_u16(code).unwrap(), retry_after, "no\n", now)
    }

    #[test]
    fn answers_pass_or_last() {
        assert_eq!(judged(200, None), Ok(()));
        assert_eq!(judged(204, None), Ok(()));
        for code in [408, 429, 500, 503] {
            let reason = judged(code, None).unwrap_err().to_string();
            assert_eq!(judged(code, None), Err(Failure::passing(reason)), "{code}");
        }
        for code in [301, 400, 401, 404, 410] {
            let reason = judged(code, Some("5")).unwrap_err().to_string();
            assert_eq!(judged(code, Some("5")), Err(Failure::lasting(reason)), "{code}");
        }
        assert_eq!(judged(404, None).unwrap_err().to_string(), "the webhook answered 404 Not Found: no");
    }

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let after = |text: &str| {
            let told = judged(503, Some(text));
            let reason = "the webhook answered 503 Service Unavailable: no";
            (0..=600).find(|n| told == Err(Failure::passing_after(reason, Duration::from_secs(*n))))
        };
        assert_eq!(after("7"), Some(7));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(after("100000"), Some(600));
        assert_eq!(after("soon"), None);
    }
}
