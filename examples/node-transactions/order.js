// Places orders. Each is written together with a message about it, or not at all.
//
//     order.js [--empty]
//
// With --empty it only makes the collections, as new.
const { MongoClient } = require('mongodb');
const { uri } = require('./place');

class OutOfStock extends Error {}

async function place(client, number, item) {
  const shop = client.db('shop');
  await client.withSession((session) =>
    session.withTransaction(async () => {
      await shop.collection('orders').insertOne({ _id: number, item }, { session });
      const message = { _id: number, text: `your ${item} is on its way` };
      await shop.collection('outbox').insertOne(message, { session });
      if (item === 'unicorn') throw new OutOfStock();
    }),
  );
}

async function main() {
  const client = await MongoClient.connect(uri);
  if (process.argv.includes('--empty')) {
    for (const name of ['orders', 'outbox', 'sent', 'positions']) {
      await client.db('shop').dropCollection(name);
      await client.db('shop').createCollection(name);
    }
  } else {
    for (const [index, item] of ['lamp', 'desk', 'unicorn', 'chair', 'shelf'].entries()) {
      try {
        await place(client, index + 1, item);
      } catch (error) {
        // There is neither an order nor a message.
        if (!(error instanceof OutOfStock)) throw error;
      }
    }
  }
  await client.close();
}

main();
