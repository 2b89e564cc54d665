//! Finding the client's token again (CS-5.8): events up to it are swallowed, and passing it without having met it is
//! an error.

use millstream_value::{ClusterTime, Doc};

use crate::entry::Change;
use crate::token::{self, Parts, Token, TokenKind};
use crate::{Error, Result};

pub(super) struct Resume {
    sought: Option<Sought>,
    /// Events up to here get tokens of an older version (CS-5.2.3).
    older: Option<(ClusterTime, u32, u8)>,
}

struct Sought {
    /// Of the whole event.
    token: Token,
    /// The fragment that the client has seen.
    fragment: Option<u32>,
}

/// What to do with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Deliver,
    Swallow,
    /// The client has seen the fragments before this one.
    Fragment(usize),
}

impl Resume {
    /// Nothing to find.
    pub(super) fn done() -> Self {
        Self { sought: None, older: None }
    }

    /// Looks for a token; `splits` says whether the pipeline makes fragments.
    pub(super) fn new(token: &Token, parts: &Parts, splits: bool) -> Result<Self> {
        let older = (parts.version < token::VERSION).then_some((parts.time, parts.index, parts.version));
        if parts.kind == TokenKind::HighWaterMark {
            return Ok(Self { sought: None, older: None });
        }
        if parts.fragment.is_some() && !splits {
            return Err(Error::FragmentNotFound("the pipeline has no $changeStreamSplitLargeEvent stage"));
        }
        let whole = match parts.fragment {
            Some(_) => token.without_fragment(parts.base_bytes),
            None => token.clone(),
        };
        Ok(Self { sought: Some(Sought { token: whole, fragment: parts.fragment }), older })
    }

    /// The version of the token that an operation's event gets.
    pub(super) fn version_for(&self, change: Change<'_>) -> u8 {
        match self.older {
            Some((time, index, version)) if (change.time(), change.index()) <= (time, index) => version,
            _ => token::VERSION,
        }
    }

    /// Compares an event with the token.
    pub(super) fn check(&mut self, event: Doc<'_>) -> Result<Seen> {
        let Some(sought) = &self.sought else {
            return Ok(Seen::Deliver);
        };
        let text = event.doc("_id").and_then(|id| id.str("_data")).unwrap_or_default();
        match text.cmp(sought.token.data()) {
            std::cmp::Ordering::Less => Ok(Seen::Swallow),
            std::cmp::Ordering::Greater => Err(Error::TokenNotFound { found: text.to_owned() }),
            std::cmp::Ordering::Equal => {
                let seen = match sought.fragment {
                    None => Seen::Swallow,
                    Some(fragment) => Seen::Fragment(usize::try_from(fragment).unwrap_or(usize::MAX).saturating_add(1)),
                };
                self.sought = None;
                Ok(seen)
            }
        }
    }
}
