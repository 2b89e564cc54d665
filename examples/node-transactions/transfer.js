// Several clients move money between accounts at the same time. None of it appears or disappears.
//
//     transfer.js [CLIENTS] [TRANSFERS OF EACH]
const { MongoClient } = require('mongodb');
const { uri } = require('./place');

const clients = Number(process.argv[2] ?? 4);
const transfers = Number(process.argv[3] ?? 25);
const names = ['Ada', 'Ben', 'Cleo', 'Dan', 'Eva'];
const opening = 200;

class NotEnough extends Error {}

const random = (below) => Math.floor(Math.random() * below);

// One transfer. It may run more than once, so whatever it does, it does through the session.
async function move(bank, session, { from, to, amount }) {
  const accounts = bank.collection('accounts');
  const taken = await accounts.updateOne(
    { _id: from, balance: { $gte: amount } },
    { $inc: { balance: -amount } },
    { session },
  );
  if (taken.modifiedCount === 0) throw new NotEnough();
  await accounts.updateOne({ _id: to }, { $inc: { balance: amount } }, { session });
  await bank.collection('transfers').insertOne({ from, to, amount }, { session });
}

// A client that makes transfers.
async function clerk() {
  const client = await MongoClient.connect(uri);
  const told = { done: 0, refused: 0, runs: 0 };
  for (let n = 0; n < transfers; n += 1) {
    const from = random(names.length);
    const to = (from + 1 + random(names.length - 1)) % names.length;
    const transfer = { from: names[from], to: names[to], amount: 1 + random(150) };
    try {
      await client.withSession((session) =>
        session.withTransaction(() => {
          told.runs += 1;
          return move(client.db('bank'), session, transfer);
        }),
      );
      told.done += 1;
    } catch (error) {
      if (!(error instanceof NotEnough)) throw error;
      told.refused += 1;
    }
  }
  await client.close();
  return told;
}

// A client that looks at all accounts and all transfers, at one time, until it is told to end.
async function audit(state) {
  const client = await MongoClient.connect(uri);
  const bank = client.db('bank');
  while (!state.closed) {
    // Everything that is read in a snapshot session shows the same moment.
    await client.withSession({ snapshot: true }, async (session) => {
      const balances = await bank.collection('accounts').find({}, { session }).toArray();
      const expected = Object.fromEntries(names.map((name) => [name, opening]));
      for await (const { from, to, amount } of bank.collection('transfers').find({}, { session })) {
        expected[from] -= amount;
        expected[to] += amount;
      }
      state.looks += 1;
      if (balances.some(({ _id, balance }) => expected[_id] !== balance)) state.wrong += 1;
    });
  }
  await client.close();
}

async function main() {
  const client = await MongoClient.connect(uri);
  const bank = client.db('bank');
  for (const name of ['accounts', 'transfers']) {
    await bank.dropCollection(name);
    await bank.createCollection(name);
  }
  const accounts = bank.collection('accounts');
  await accounts.insertMany(names.map((name) => ({ _id: name, balance: opening })));
  const total = async () => (await accounts.find().toArray()).reduce((sum, { balance }) => sum + balance, 0);
  console.log('total', await total());

  const state = { closed: false, looks: 0, wrong: 0 };
  const auditor = audit(state);
  const told = await Promise.all(Array.from({ length: clients }, clerk));
  state.closed = true;
  await auditor;

  const sum = (field) => told.reduce((sum, each) => sum + each[field], 0);
  const [done, refused, runs] = ['done', 'refused', 'runs'].map(sum);
  console.log(`${done} transfers done, ${refused} refused, ${runs - done - refused} runs repeated after a conflict`);
  console.log(`${state.looks} looks in between, ${state.wrong} of them wrong`);
  console.log('total', await total());
  await client.close();
  if (state.wrong > 0 || done + refused !== clients * transfers) process.exit(1);
}

main();
