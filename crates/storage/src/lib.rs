//! Durable records, indexes and the change log, committed together; snapshots
