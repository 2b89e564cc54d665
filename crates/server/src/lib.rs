//! Sockets, commands and replies: the engine as MongoDB drivers see it
