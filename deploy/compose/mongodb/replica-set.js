// Makes a replica set of one out of a fresh MongoDB, so that majority writes mean something; safe to
// repeat. Run by mongosh, connected to the server itself.
const HOST = "mongodb:27017";
const DEADLINE = Date.now() + 60_000;

function initiate() {
  try {
    rs.status();
  } catch (error) {
    if (error.codeName !== "NotYetInitialized") throw error;
    rs.initiate({ _id: "everline", members: [{ _id: 0, host: HOST }] });
  }
}

initiate();
while (!db.hello().isWritablePrimary) {
  if (Date.now() > DEADLINE) throw new Error(`${HOST} did not become the primary within 60 s`);
  sleep(200);
}
print(`${HOST} takes writes`);
