// Transactions as the Node.js driver makes them. Prints the name of every case that holds.
//
// The server has to run with --test-commands.
const assert = require('assert').strict;
const { MongoClient, ReadConcern } = require('mongodb');

const client = new MongoClient(process.env.CHANGE_STREAM_DB, { monitorCommands: true });
const db = client.db('cases');
const sent = [];
const replies = [];
client.on('commandStarted', ({ commandName, command }) => sent.push([commandName, command]));
client.on('commandSucceeded', ({ commandName, reply }) => replies.push([commandName, reply]));
const last = (list, name) => list.findLast(([each]) => each === name)[1];
const count = (name) => sent.filter(([each]) => each === name).length;

const TRANSIENT = 'TransientTransactionError';

// A collection with these documents and no others.
async function fresh(documents = [], name = 'things') {
  await db.collection(name).drop();
  if (documents.length > 0) await db.collection(name).insertMany(documents);
  else await db.createCollection(name);
  return db.collection(name);
}

const all = (collection, session) => collection.find({}, { session }).sort({ _id: 1 }).toArray();

// What a promise has to fail with.
async function refused(promise, code, ...labels) {
  const error = await promise.then(
    () => assert.fail(`no error ${code}`),
    (error) => error,
  );
  assert.equal(error.code, code, error);
  assert.deepEqual(
    [TRANSIENT, 'UnknownTransactionCommitResult'].filter((label) => error.hasErrorLabel(label)),
    labels,
  );
}

// Makes the next so many of these commands fail.
const fail = (failCommands, times, data) =>
  client.db('admin').command({
    configureFailPoint: 'failCommand',
    mode: { times },
    data: { failCommands, ...data },
  });

const cases = {
  async a_transaction_commits_as_a_whole() {
    const things = await fresh([{ _id: 1, n: 0 }]);
    const told = await client.withSession((session) =>
      session.withTransaction(async () => {
        await things.updateOne({ _id: 1 }, { $inc: { n: 1 } }, { session });
        await things.insertOne({ _id: 2 }, { session });
        assert.deepEqual(await all(things), [{ _id: 1, n: 0 }]);
        assert.deepEqual(await all(things, session), [{ _id: 1, n: 1 }, { _id: 2 }]);
        return 'done';
      }),
    );
    assert.equal(told, 'done');
    assert.deepEqual(await all(things), [{ _id: 1, n: 1 }, { _id: 2 }]);
  },

  async an_exception_leaves_nothing() {
    const things = await fresh([{ _id: 1, n: 0 }]);
    const mine = new Error('mine');
    const run = client.withSession((session) =>
      session.withTransaction(async () => {
        await things.updateOne({ _id: 1 }, { $inc: { n: 1 } }, { session });
        throw mine;
      }),
    );
    await assert.rejects(run, mine);
    assert.ok(count('abortTransaction') > 0);
    await things.updateOne({ _id: 1 }, { $inc: { n: 5 } });
    assert.deepEqual(await all(things), [{ _id: 1, n: 5 }]);
  },

  async a_callback_runs_again_after_a_conflict_and_sees_fresh_data() {
    const things = await fresh([{ _id: 1, n: 0 }]);
    const seen = [];
    await client.withSession((session) =>
      session.withTransaction(async () => {
        const { n } = await things.findOne({ _id: 1 }, { session });
        seen.push(n);
        if (seen.length === 1) await things.updateOne({ _id: 1 }, { $inc: { n: 10 } });
        await things.updateOne({ _id: 1 }, { $set: { n: n + 1 } }, { session });
      }),
    );
    assert.deepEqual(seen, [0, 10]);
    assert.deepEqual(await all(things), [{ _id: 1, n: 11 }]);
  },

  async a_conflict_is_told_at_the_statement() {
    const things = await fresh([{ _id: 1, n: 0 }, { _id: 2 }]);
    const [one, two] = [client.startSession(), client.startSession()];
    one.startTransaction();
    two.startTransaction();
    await things.findOne({ _id: 2 }, { session: two });
    await things.deleteOne({ _id: 1 }, { session: one });
    await refused(things.updateOne({ _id: 1 }, { $inc: { n: 1 } }, { session: two }), 112, TRANSIENT);
    await refused(things.findOne({ _id: 2 }, { session: two }), 251, TRANSIENT);
    await two.abortTransaction();
    await one.commitTransaction();
    assert.deepEqual(await all(things), [{ _id: 2 }]);
    await Promise.all([one.endSession(), two.endSession()]);
  },

  async cursors_and_bulk_writes_run_inside() {
    const things = await fresh(Array.from({ length: 30 }, (_, _id) => ({ _id, n: 0 })));
    const others = await fresh([], 'others');
    await client.withSession(async (session) => {
      session.startTransaction();
      const cursor = things.find({}, { session, batchSize: 5 }).sort({ _id: 1 });
      const ids = [(await cursor.next())._id];
      await things.bulkWrite(
        [
          { insertOne: { document: { _id: 30 } } },
          { updateMany: { filter: {}, update: { $inc: { n: 1 } } } },
          { deleteOne: { filter: { _id: 0 } } },
        ],
        { session },
      );
      for await (const { _id } of cursor) ids.push(_id);
      assert.equal(ids.length, 30);
      const result = await client.bulkWrite(
        [
          { name: 'insertOne', namespace: 'cases.others', document: { _id: 1 } },
          { name: 'updateOne', namespace: 'cases.things', filter: { _id: 30 }, update: { $set: { last: true } } },
        ],
        { session },
      );
      assert.deepEqual([result.insertedCount, result.modifiedCount], [1, 1]);
      const after = await things.findOneAndUpdate(
        { _id: 1 },
        { $inc: { n: 1 } },
        { session, returnDocument: 'after' },
      );
      assert.deepEqual(after, { _id: 1, n: 2 });
      assert.deepEqual((await things.distinct('n', {}, { session })).sort(), [1, 2]);
      assert.equal(await things.countDocuments({}, { session }), 30);
      await session.commitTransaction();

      session.startTransaction();
      const open = things.find({}, { session, batchSize: 5 });
      await open.next();
      await session.abortTransaction();
      await refused(open.toArray(), 43);
    });
    assert.equal(await others.countDocuments(), 1);
    assert.deepEqual(await things.findOne({ _id: 30 }), { _id: 30, n: 1, last: true });
  },

  async a_commit_without_an_answer_is_asked_for_again() {
    const things = await fresh();
    const before = count('commitTransaction');
    await fail(['commitTransaction'], 1, { closeConnection: true });
    await client.withSession(async (session) => {
      await session.withTransaction(() => things.insertOne({ _id: 1 }, { session }));
      assert.equal(count('commitTransaction'), before + 2);
      await session.commitTransaction();
      let runs = 0;
      await fail(['insert'], 1, { errorCode: 112, errorLabels: [TRANSIENT] });
      await session.withTransaction(() => {
        runs += 1;
        return things.insertOne({ _id: 2 }, { session });
      });
      assert.equal(runs, 2);
    });
    assert.deepEqual(await all(things), [{ _id: 1 }, { _id: 2 }]);
  },

  async what_is_not_allowed_inside_is_refused() {
    const things = await fresh([{ _id: 1 }]);
    await client.withSession(async (session) => {
      for (const run of [
        () => things.estimatedDocumentCount({ session }),
        () => things.drop({ session }),
        () => db.listCollections({}, { session }).toArray(),
        () => things.watch([], { session }).next(),
      ]) {
        session.startTransaction();
        await things.insertOne({ _id: 2 }, { session });
        await refused(run(), 263);
        await session.abortTransaction();
      }
    });
    assert.deepEqual(await all(things), [{ _id: 1 }]);
  },

  async causal_and_snapshot_sessions_read_as_promised() {
    const things = await fresh();
    await client.withSession({ causalConsistency: true }, async (session) => {
      await things.insertOne({ _id: 1 }, { session });
      assert.ok(session.operationTime.equals(last(replies, 'insert').operationTime));
      assert.equal((await all(things, session)).length, 1);
      assert.ok(last(sent, 'find').readConcern.afterClusterTime.equals(last(replies, 'insert').operationTime));
    });
    await client.withSession({ snapshot: true }, async (session) => {
      assert.equal((await all(things, session)).length, 1);
      const time = last(replies, 'find').cursor.atClusterTime;
      await things.insertOne({ _id: 2 });
      assert.equal((await all(things, session)).length, 1);
      assert.ok(last(sent, 'find').readConcern.atClusterTime.equals(time));
      assert.equal(await things.countDocuments({}, { session }), 1);
      assert.deepEqual(await things.distinct('_id', {}, { session }), [1]);
    });
    await client.withSession(async (session) => {
      session.startTransaction({ readConcern: new ReadConcern('snapshot'), writeConcern: { w: 'majority' } });
      assert.equal((await all(things, session)).length, 2);
      await session.commitTransaction();
    });
  },
};

async function main() {
  await client.connect();
  for (const [name, run] of Object.entries(cases)) {
    await run().catch((error) => {
      console.log(`failed: ${name}`);
      throw error;
    });
    console.log(name);
  }
  await client.close();
}

main();
