//! Lifecycle and catalogue.

use std::fmt::{self, Display, Formatter};

use super::super::{DeadLetters, Explain, ExplainFormat, Explained, From, Listing, Show, Subscribe, Subscribed, Which};
use super::write::condition;
use super::{ident, text, tree, with};

impl Display for DeadLetters {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(object) = &self.object {
            write!(f, " FOR {object}")?;
        }
        f.write_str(&condition(self.filter.as_ref()))
    }
}

impl Display for Explain {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.format, self.analyze) {
            (ExplainFormat::Text, false) => "EXPLAIN ",
            (ExplainFormat::Text, true) => "EXPLAIN (ANALYZE) ",
            (ExplainFormat::Json, false) => "EXPLAIN (FORMAT JSON) ",
            (ExplainFormat::Json, true) => "EXPLAIN (FORMAT JSON, ANALYZE) ",
        })?;
        match &self.subject {
            Explained::Object(object) => object.fmt(f),
            Explained::Statement(statement) => statement.fmt(f),
        }
    }
}

impl Display for From {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("NOW"),
            Self::Snapshot => f.write_str("SNAPSHOT"),
            Self::Token(token) => f.write_str(&text(token)),
        }
    }
}

impl Display for Which {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("ALL"),
            Self::Kind(kind) => write!(f, "{kind} ALL"),
            Self::Object(object) => object.fmt(f),
        }
    }
}

impl Display for Show {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(object) => write!(f, "SHOW CREATE {object}"),
            Self::List { listing, database, like } => {
                write!(f, "SHOW {listing}")?;
                if let Some(database) = database {
                    write!(f, " IN {}", ident(database))?;
                }
                like.as_ref().map_or(Ok(()), |pattern| write!(f, " LIKE {}", text(pattern)))
            }
            Self::Setting(name) => write!(f, "SHOW {}", ident(name)),
        }
    }
}

impl Display for Listing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "CONNECTIONS",
            Self::Dashboards => "DASHBOARDS",
            Self::Databases => "DATABASES",
            Self::DeadLetters => "DEAD LETTERS",
            Self::Functions => "FUNCTIONS",
            Self::MaterializedViews => "MATERIALIZED VIEWS",
            Self::Procedures => "PROCEDURES",
            Self::Settings => "SETTINGS",
            Self::Sinks => "SINKS",
            Self::Subscriptions => "SUBSCRIPTIONS",
            Self::Syncs => "SYNCS",
            Self::Tables => "TABLES",
            Self::Triggers => "TRIGGERS",
            Self::Views => "VIEWS",
        })
    }
}

impl Display for Subscribe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.to {
            Subscribed::Name(name) => write!(f, "SUBSCRIBE TO {name}")?,
            Subscribed::Query(query) => write!(f, "SUBSCRIBE TO ({})", tree(query))?,
        }
        f.write_str(&with(&self.options))
    }
}
