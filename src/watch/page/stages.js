// The stages: what each kind of event is called, which file of the server it comes from, and which chapter
// of the tutorial explains it. One line for each; the view and the words both read it.

export const STAGES = {
  opened: { name: "connected", file: "src/net/server.rs", chapter: 1 },
  bytes_read: { name: "bytes came", file: "src/net/socket.rs", chapter: 3 },
  partial: { name: "not whole yet", file: "src/http/head.rs", chapter: 3 },
  parsed: { name: "head understood", file: "src/http/request.rs", chapter: 4 },
  routed: { name: "handler found", file: "src/http/router.rs", chapter: 5 },
  decoded: { name: "query decoded", file: "src/http/query.rs", chapter: 6 },
  locked: { name: "lock taken", file: "src/store/map.rs", chapter: 8 },
  joined: { name: "waits in a batch", file: "src/store/journal.rs", chapter: 11 },
  journaled: { name: "line appended", file: "src/store/journal.rs", chapter: 10 },
  synced: { name: "on the disk", file: "src/store/disk.rs", chapter: 11 },
  answered: { name: "answer ready", file: "src/http/response.rs", chapter: 2 },
  written: { name: "answer sent", file: "src/net/socket.rs", chapter: 9 },
  closed: { name: "closed", file: "src/net/connection.rs", chapter: 12 },
  file: { name: "the file", file: "src/store/compaction.rs", chapter: 11 },
};

// Why a connection has ended, for people.
export const WHY = {
  client: "the client has closed it",
  done: "the last answer said so",
  idle: "nothing came for too long",
  evicted: "it had waited longest, and made room",
  late: "it was too slow",
  refused: "what it sent could not be served",
  gone: "the client can't be reached any more",
  stopping: "the server stops",
};

// A step of the file, for people.
export const STEP = {
  opened: "read at the start",
  compacting: "mostly dead lines: a smaller file is begun beside it",
  copied: "the new file has every pair",
  synced: "the new file is on the disk",
  renamed: "the new file has the name now",
  replaced: "that is on the disk too: done",
  failed: "the new file could not be written: the old one goes on",
  started_over: "written anew after a sync that failed",
};
