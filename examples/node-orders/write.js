// Places orders of several sizes, and ships one of them.
const { MongoClient } = require('mongodb');

const uri =
  process.env.CHANGE_STREAM_DB ||
  process.env.MONGO_URL ||
  'mongodb://127.0.0.1:27017/?replicaSet=rs0';

async function main() {
  const client = new MongoClient(uri);
  const db = client.db('shop');
  await db.collection('orders').drop().catch(() => {});
  await db.createCollection('orders', { changeStreamPreAndPostImages: { enabled: true } });
  const orders = db.collection('orders');
  await orders.insertMany([
    { _id: 1, item: 'lamp', total: 40, status: 'new' },
    { _id: 2, item: 'desk', total: 600, status: 'new' },
    { _id: 3, item: 'piano', total: 4000, status: 'new' },
  ]);
  await orders.updateOne({ _id: 2 }, { $set: { status: 'paid' } });
  await orders.updateOne({ _id: 2 }, { $inc: { total: 1 } });
  await orders.deleteOne({ _id: 1 });
  await orders.updateOne({ _id: 3 }, { $set: { status: 'shipped' } });
  await client.close();
}

main();
