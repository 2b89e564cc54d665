// Sends the messages of the outbox, each once, and goes on where it ended the last time.
//
//     send.js [COUNT]
//
// Ends after so many messages. What it sends goes into a collection, and so does its position: both in one transaction, so
// that no crash comes in between. Whoever sends to somewhere else sends first, saves after, and gives the message's `_id` to
// the receiver, who can tell by it what has come before.
const { MongoClient } = require('mongodb');
const { uri } = require('./place');

let count = process.argv[2] === undefined ? Infinity : Number(process.argv[2]);

async function main() {
  const client = await MongoClient.connect(uri);
  const shop = client.db('shop');
  const positions = shop.collection('positions');
  const save = (place, session) => positions.replaceOne({ _id: 'sender' }, place, { upsert: true, session });

  // Where to begin, as an option of the stream.
  const place = await client.withSession(async (session) => {
    const saved = await positions.findOne({ _id: 'sender' }, { projection: { _id: 0 }, session });
    if (saved !== null) return saved;
    // The first time: whatever comes from now on, also if the program ends before the first message.
    const now = { startAtOperationTime: session.operationTime };
    await save(now);
    return now;
  });
  const stream = shop.collection('outbox').watch([{ $match: { operationType: 'insert' } }], place);
  console.error('watching');
  for await (const change of stream) {
    const { _id, text } = change.fullDocument;
    await client.withSession((session) =>
      session.withTransaction(async () => {
        await shop.collection('sent').insertOne({ message: _id, text }, { session });
        await save({ resumeAfter: change._id }, session);
      }),
    );
    console.log('sent', _id, text);
    count -= 1;
    if (count === 0) break;
  }
  await client.close();
}

main();
