// Follows large and urgent orders, each with a priority, until one of them has the status given
// by `--until` (or for ever).
const { MongoClient } = require('mongodb');

const uri =
  process.env.CHANGE_STREAM_DB ||
  process.env.MONGO_URL ||
  'mongodb://127.0.0.1:27017/?replicaSet=rs0';
const until = process.argv[2] === '--until' ? process.argv[3] : undefined;

const pipeline = [
  {
    $match: {
      $or: [
        { operationType: 'insert', 'fullDocument.total': { $gte: 100 } },
        { operationType: 'update', 'updateDescription.updatedFields.status': { $exists: true } },
        { operationType: 'delete' },
      ],
    },
  },
  {
    $project: {
      operationType: 1,
      documentKey: 1,
      fullDocument: 1,
      fullDocumentBeforeChange: 1,
      updateDescription: 1,
      clusterTime: 1,
      priorityLevel: {
        $switch: {
          branches: [
            { case: { $gte: ['$fullDocument.total', 1000] }, then: 'high' },
            { case: { $gte: ['$fullDocument.total', 500] }, then: 'medium' },
          ],
          default: 'normal',
        },
      },
    },
  },
];

async function main() {
  const client = new MongoClient(uri);
  const db = client.db('shop');
  const stream = db.collection('orders').watch(pipeline, {
    fullDocument: 'updateLookup',
    fullDocumentBeforeChange: 'whenAvailable',
    maxAwaitTimeMS: 1000,
    batchSize: 1000,
  });
  // The first token comes with the reply that opens the stream.
  stream.once('resumeTokenChanged', () => console.error('watching'));
  stream.on('change', async (change) => {
    console.log(JSON.stringify(change));
    if (until !== undefined && change.fullDocument?.status === until) {
      await stream.close();
      await client.close();
    }
  });
  stream.on('error', (error) => {
    console.error(error.message);
    process.exit(1);
  });
}

main();
