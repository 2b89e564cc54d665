//! Change events, resume tokens, the shared tail of the log and its routing
