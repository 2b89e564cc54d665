// What `withTransaction` does, by hand: books the first free seat, and starts over when somebody was faster.
const { MongoClient } = require('mongodb');
const { uri } = require('./place');

// Runs `work` in a transaction until it is committed.
async function run(client, work) {
  const session = client.startSession();
  try {
    for (;;) {
      session.startTransaction({ readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority' } });
      try {
        const result = await work(session);
        await commit(session);
        return result;
      } catch (error) {
        // Without effect if the server or the commit has ended it already.
        if (session.inTransaction()) await session.abortTransaction();
        if (!error.hasErrorLabel?.('TransientTransactionError')) throw error;
        console.log('somebody was faster: starting over');
      }
    }
  } finally {
    await session.endSession();
  }
}

// Commits. Where it is not known whether the server did, it is asked again: it commits only once.
async function commit(session) {
  for (;;) {
    try {
      return await session.commitTransaction();
    } catch (error) {
      if (!error.hasErrorLabel?.('UnknownTransactionCommitResult')) throw error;
      console.log("the commit's answer is missing: asking again");
    }
  }
}

async function main() {
  const client = await MongoClient.connect(uri);
  const seats = client.db('theatre').collection('seats');
  await seats.drop();
  await seats.insertMany([1, 2, 3].map((number) => ({ _id: number, guest: null })));
  const others = ['Ben'];

  const booked = await run(client, async (session) => {
    const seat = await seats.findOne({ guest: null }, { sort: { _id: 1 }, session });
    console.log('seat', seat._id, 'is free');
    if (others.length > 0) {
      // Meanwhile, and not in this transaction:
      await seats.updateOne({ _id: seat._id }, { $set: { guest: others.pop() } });
    }
    await seats.updateOne({ _id: seat._id }, { $set: { guest: 'Ada' } }, { session });
    return seat._id;
  });
  console.log('booked seat', booked);
  for await (const { _id, guest } of seats.find().sort({ _id: 1 })) console.log('seat', _id, guest ?? 'free');
  await client.close();
}

main();
