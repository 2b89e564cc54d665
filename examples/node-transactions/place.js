// Where the database is: CHANGE_STREAM_DB, MONGO_URL, or the local default.
exports.uri =
  process.env.CHANGE_STREAM_DB ||
  process.env.MONGO_URL ||
  'mongodb://127.0.0.1:27017/?replicaSet=rs0';
