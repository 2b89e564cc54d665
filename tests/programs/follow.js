// Prints the number of every document that is inserted, whatever happens to the connection and the server.
//
// Waits after a document with a `gate` until that file exists, and ends after one that is the `last`. Then it tells how
// often it opened a stream, and which errors it met.
const fs = require('fs');
const { MongoClient } = require('mongodb');

async function main() {
  const client = new MongoClient(process.env.CHANGE_STREAM_DB, { monitorCommands: true });
  const codes = [];
  let opened = 0;
  client.on('commandStarted', (event) => {
    if (event.commandName === 'aggregate') opened += 1;
  });
  client.on('commandFailed', (event) => {
    if (event.commandName === 'getMore') codes.push(event.failure.code ?? null);
  });
  const stream = client.db('follow').collection('numbers').watch();
  // There is nothing yet, and no waiting for it (CS-13.28, CS-13.29).
  if ((await stream.tryNext()) !== null) throw new Error('a change before the first');
  console.error('watching');
  for await (const change of stream) {
    const { _id, gate, last } = change.fullDocument;
    console.log(String(_id));
    while (gate !== undefined && !fs.existsSync(gate)) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    if (last !== undefined) break;
  }
  await client.close();
  console.log(JSON.stringify({ opened, codes }));
}

main();
