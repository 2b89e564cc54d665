//! The mill: runs SQL on any MongoDB.
//!
//! A [`Session`] runs statements: queries over a snapshot, writes in transactions, definitions. A [`Mill`] runs what is
//! defined: materialized views and triggers, each exactly once per change, shared among as many mills as there are. Both are
//! clients of a MongoDB URI and know no particular server; all that they keep besides the state of views is in the database
//! `millstream` of that deployment.
//!
//! The language is `sql`'s, the algebra `flow`'s; here is what reads, waits and writes. The reference is the project's SQL
//! reference; numbers such as SQL-9.3 are its rules.

mod answer;
mod catalog;
mod change;
mod checkpoint;
mod commit;
mod dead_letters;
mod definition;
mod deployment;
mod difference;
mod error;
mod execute;
mod held;
mod hosted;
mod hub;
mod images;
mod interval;
mod lease;
mod live;
mod mill;
mod mirror;
mod native;
mod object;
mod options;
mod outbox;
mod patch;
mod planning;
mod queue;
mod read;
mod run;
mod session;
mod sessions;
mod subscription;
mod subscriptions;
mod syntax;
mod system;
mod target;
mod temporary;
mod trigger;
mod value;
mod view;
mod wait;
mod wants;
mod webhook;
mod write;

pub use answer::{Answer, Outcome, Rows};
pub use error::mongodb_code;
pub use mill::{Mill, MillOptions};
pub use millstream_sql::statement::Volatility;
pub use native::{NativeError, NativeWork, Natives};
pub use session::{Parameter, Session, SessionOptions};
pub use sessions::Sessions;
pub use subscriptions::SubscriptionLimits;
