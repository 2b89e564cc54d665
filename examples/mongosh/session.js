// What one would type at the prompt.
const status = rs.status();
print('state', status.myState, status.members[0].stateStr, 'health', status.members[0].health);

// A server that is a replica set already says so, and changes nothing.
try {
  print('initiate', EJSON.stringify(rs.initiate().ok));
} catch (error) {
  print('initiate', error.codeName);
}

const shop = db.getSiblingDB('shop');
shop.orders.drop();
print('insert', EJSON.stringify(shop.orders.insertOne({ _id: 1, item: 'lamp', qty: 2 }).insertedId));
shop.orders.insertMany([{ _id: 2, item: 'desk', qty: 1 }, { _id: 3, item: 'lamp', qty: 5 }]);
print('find', EJSON.stringify(shop.orders.find({ item: 'lamp' }).sort({ qty: -1 }).toArray()));
print('count', shop.orders.countDocuments());
print('index', shop.orders.createIndex({ item: 1 }));
print('indexes', EJSON.stringify(shop.orders.getIndexes().map((index) => index.name)));
print('group', EJSON.stringify(
  shop.orders.aggregate([{ $group: { _id: '$item', n: { $sum: '$qty' } } }, { $sort: { _id: 1 } }]).toArray()));

const stream = shop.orders.watch();
shop.orders.updateOne({ _id: 1 }, { $set: { qty: 3 } });
shop.orders.deleteOne({ _id: 2 });
for (const type of ['update', 'delete']) {
  let change = null;
  while (change === null) change = stream.tryNext();
  print('change', change.operationType, EJSON.stringify(change.documentKey));
}
stream.close();
print('collections', EJSON.stringify(shop.getCollectionNames()));
print('stats', shop.orders.stats().count, 'documents');
print('log', db.getReplicationInfo().configuredLogSizeMB, 'MB');
print('databases', db.adminCommand({ listDatabases: 1 }).databases.some((d) => d.name === 'shop'));
