//! `--webhook`: an HTTP request for each event; [`millstream_watch::webhook`] says what is in it.

use millstream_watch::Failure;
use millstream_watch::webhook::{Message, Webhook as Address, Webhooks};

use super::arguments::Target;
use super::sink::Parcel;
use crate::exit;

/// Where to send events.
pub(crate) struct Webhook {
    requests: Webhooks,
    to: Address,
}

impl Webhook {
    /// Nothing is connected yet.
    pub(crate) fn new(url: &str, flags: &Target) -> anyhow::Result<Self> {
        let mut to = Address::new(url).map_err(exit::misuse)?;
        for text in &flags.webhook_header {
            let wrong = || exit::misuse(format!("`{text}` is no header: write 'Name: value'"));
            let (name, value) = text.split_once(':').ok_or_else(wrong)?;
            to = to.header(name, value).map_err(|_| wrong())?;
        }
        let to = to.secret(flags.webhook_secret.clone()).timeout(flags.webhook_timeout);
        Ok(Self { requests: Webhooks::new(), to })
    }

    /// Sends, and says how that went.
    pub(crate) async fn post(&self, parcel: &Parcel<'_>) -> Result<(), Failure> {
        let key = parcel.events.last().map(|last| {
            let token = last.token();
            token.data().map_or_else(|| token.to_json(), str::to_owned)
        });
        let message = Message { json: &parcel.json, content_type: parcel.content_type, key: key.as_deref() };
        self.requests.send(&self.to, &message).await.map(drop)
    }
}
