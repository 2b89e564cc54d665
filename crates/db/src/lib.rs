//! Collections, plans, cursors and sessions: the engine as an embedded library
