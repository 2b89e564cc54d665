//! Definitions.

use std::fmt::{self, Display, Formatter};

use super::super::{
    Argument, Chart, Column, CreateConnection, CreateDashboard, CreateIndex, CreateRoutine, CreateSink, CreateSync,
    CreateTable, CreateTrigger, CreateView, IndexField, Name, Path, RoutineBody, RoutineKind, SinkInto, SinkSource,
    SyncSource, TriggerAction, TriggerEvent, Volatility,
};
use super::{ident, list, text, tree, when, with, write::condition};

impl Display for CreateTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "CREATE TABLE {}{}", when(self.if_not_exists, "IF NOT EXISTS "), self.name)?;
        if self.columns.is_empty() {
            return Ok(());
        }
        let column = |column: &Column| {
            let Column { name, data_type, not_null, unique, primary_key } = column;
            let marks =
                [when(*not_null, " NOT NULL"), when(*unique, " UNIQUE"), when(*primary_key, " PRIMARY KEY")].concat();
            format!("{} {data_type}{marks}", ident(name))
        };
        write!(f, " ({})", list(&self.columns, column))
    }
}

impl Display for CreateIndex {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "CREATE {}INDEX {}", when(self.unique, "UNIQUE "), when(self.if_not_exists, "IF NOT EXISTS "))?;
        if let Some(name) = &self.name {
            write!(f, "{} ", ident(name))?;
        }
        let field = |field: &IndexField| format!("{}{}", field.path, when(field.descending, " DESC"));
        write!(f, "ON {} ({}){}", self.table, list(&self.fields, field), condition(self.filter.as_ref()))
    }
}

impl Display for CreateView {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let replace = when(self.or_replace, "OR REPLACE ");
        let materialized = when(self.materialized, "MATERIALIZED ");
        write!(f, "CREATE {replace}{materialized}VIEW {}{}", when(self.if_not_exists, "IF NOT EXISTS "), self.name)?;
        if !self.columns.is_empty() {
            write!(f, " ({})", list(&self.columns, |column| ident(column)))?;
        }
        write!(f, "{} AS {}{}", with(&self.options), tree(&self.query), when(!self.with_data, " WITH NO DATA"))
    }
}

impl Display for CreateTrigger {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let events = self.events.iter().map(TriggerEvent::to_string).collect::<Vec<_>>().join(" OR ");
        write!(
            f,
            "CREATE {}TRIGGER {} AFTER {events} ON {}",
            when(self.or_replace, "OR REPLACE "),
            self.name,
            self.table
        )?;
        if let Some(condition) = &self.when {
            write!(f, " WHEN ({})", tree(condition))?;
        }
        f.write_str(&with(&self.options))?;
        match &self.action {
            TriggerAction::Block(block) => write!(f, " AS {block}"),
            TriggerAction::Execute(call) => write!(f, " EXECUTE PROCEDURE {call}"),
        }
    }
}

impl Display for TriggerEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete => f.write_str("DELETE"),
            Self::Insert => f.write_str("INSERT"),
            Self::Update(paths) if paths.is_empty() => f.write_str("UPDATE"),
            Self::Update(paths) => write!(f, "UPDATE OF {}", list(paths, Path::to_string)),
        }
    }
}

impl Display for CreateRoutine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            RoutineKind::Function => "FUNCTION",
            RoutineKind::Procedure => "PROCEDURE",
        };
        let argument = |Argument { name, data_type, default }: &Argument| {
            let default = default.as_ref().map(|default| format!(" DEFAULT {}", tree(default))).unwrap_or_default();
            format!("{} {data_type}{default}", ident(name))
        };
        let arguments = list(&self.arguments, argument);
        write!(f, "CREATE {}{kind} {}({arguments})", when(self.or_replace, "OR REPLACE "), self.name)?;
        if let Some(returns) = &self.returns {
            write!(f, " RETURNS {returns}")?;
        }
        f.write_str(match &self.body {
            RoutineBody::Native(_) => " LANGUAGE NATIVE",
            RoutineBody::Webhook(_) => " LANGUAGE WEBHOOK",
            _ => " LANGUAGE SQL",
        })?;
        f.write_str(match self.volatility {
            Volatility::Immutable => " IMMUTABLE",
            Volatility::Stable => " STABLE",
            Volatility::Volatile => "",
        })?;
        f.write_str(when(self.strict, " STRICT"))?;
        match &self.body {
            RoutineBody::Block(block) => write!(f, " AS {block}"),
            RoutineBody::Expression(expr) => write!(f, " RETURN {}", tree(expr)),
            RoutineBody::Native(name) => write!(f, " AS {}", text(name)),
            RoutineBody::Query(query) => write!(f, " AS {}", text(&tree(query))),
            RoutineBody::Webhook(options) => write!(f, " WITH {options}"),
        }
    }
}

impl Display for CreateConnection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let replace = when(self.or_replace, "OR REPLACE ");
        write!(f, "CREATE {replace}CONNECTION {} TO {}{}", self.name, text(&self.url), with(&self.options))
    }
}

impl Display for CreateSync {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            SyncSource::Database(name) => format!("DATABASE {}", ident(name)),
            SyncSource::Query(query) => format!("({})", tree(query)),
            SyncSource::Tables(tables) => format!("TABLE {}", list(tables, Name::to_string)),
        };
        let target = self.target.iter().map(|part| ident(part)).collect::<Vec<_>>().join(".");
        let replace = when(self.or_replace, "OR REPLACE ");
        write!(f, "CREATE {replace}SYNC {} FROM {source} TO {target}{}", self.name, with(&self.options))
    }
}

impl Display for CreateSink {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            SinkSource::Name(name) => name.to_string(),
            SinkSource::Query(query) => format!("({})", tree(query)),
        };
        let into = match self.into {
            SinkInto::File => "FILE",
            SinkInto::Kafka => "KAFKA",
            SinkInto::Nats => "NATS",
            SinkInto::Redis => "REDIS",
            SinkInto::Webhook => "WEBHOOK",
        };
        let replace = when(self.or_replace, "OR REPLACE ");
        let address = text(&self.address);
        write!(f, "CREATE {replace}SINK {} FROM {source} INTO {into} {address}{}", self.name, with(&self.options))
    }
}

impl Display for CreateDashboard {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "CREATE {}DASHBOARD {}{} AS ", when(self.or_replace, "OR REPLACE "), self.name, with(&self.options))?;
        let panels = list(&self.panels, |panel| {
            let chart = match panel.chart {
                Chart::Bar => "BAR",
                Chart::Line => "LINE",
                Chart::Number => "NUMBER",
                Chart::Table => "TABLE",
            };
            format!("PANEL {} {chart} ({})", text(&panel.title), tree(&panel.query))
        });
        f.write_str(&panels)
    }
}
