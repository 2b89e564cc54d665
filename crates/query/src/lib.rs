//! The query languages as pure functions over raw documents
