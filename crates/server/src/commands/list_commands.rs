//! `listCommands`: the table itself.

use millstream_value::{ArrayBuf, DocBuf};

use super::{Command, Database, Handler, TABLE};
use crate::context::Context;
use crate::failure::Result;
use crate::reply::Reply;

pub(super) const LIST_COMMANDS: Command = Command {
    name: "listCommands",
    help: "lists the commands of this server",
    handler: Handler::Inline(list_commands),
    ..Command::DEFAULT
};

fn list_commands(_: &Context<'_>) -> Result<Reply> {
    let mut commands = DocBuf::new();
    for command in TABLE {
        let mut row = DocBuf::new();
        row.push("help", command.help)
            .push("requiresAuth", !command.unauthenticated)
            .push("adminOnly", command.database == Database::Admin)
            .push("apiVersions", ArrayBuf::new());
        if !command.aliases.is_empty() {
            row.push("aliases", command.aliases.iter().copied().collect::<ArrayBuf>());
        }
        commands.push(command.name, row);
    }
    let mut document = DocBuf::new();
    document.push("commands", commands);
    Ok(document.into())
}
