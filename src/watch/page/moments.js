// The moments: six things that the tutorial talks about. Each asks for a bet before it shows what happened, as
// one remembers an answer that one was wrong about. What is shown was recorded on this server, by
// `cargo run --example moments -- record`.

export const MOMENTS = {
  3: {
    title: "A head that comes in two packets",
    story: "A client sends a request in two packets. The cut goes through the middle of the empty line.",
    question: "What does the server do after the first packet?",
    answers: ["It answers 400: the head is malformed", "It waits for the rest, with a deadline", "It answers what it has"],
    right: 1,
    reveal: "It waits: a head is whole when its empty line is there, in however many pieces. Watch the four bytes light up across the cut.",
    command: "(printf 'GET /get?key=a HTTP/1.1\\r\\nHost: localhost\\r\\n\\r'; sleep 2; printf '\\n') | curl -sN telnet://localhost:4000",
  },
  8: {
    title: "A silent client beside a busy one",
    story: "One client sends half of a request, and then nothing for a while. Another sets and gets.",
    question: "What does the silent one cost the busy one?",
    answers: ["Nothing: each connection has a thread of its own", "The busy one waits until the silent one has gone", "Half of the speed"],
    right: 0,
    reveal: "Nothing. The silent one's thread sleeps in a read; the busy one has its own. What the two share is the map's lock, for some microseconds.",
    command: "(exec 5<>/dev/tcp/localhost/4000; printf 'GET /get?key=a' >&5; curl 'http://localhost:4000/set?a=b'; curl 'http://localhost:4000/get?key=a')",
  },
  9: {
    title: "Two requests in one packet, and a client that drips",
    story: "One client sends two requests in one packet. Another sends a byte every second.",
    question: "How many writes do the two answers take, and what do the single bytes do to the deadline?",
    answers: ["Two writes; each byte moves the deadline", "One write; each byte moves the deadline", "One write; the deadline stays where it is"],
    right: 2,
    reveal: "One read, two answers, one write. And a deadline is for the whole head: bytes do not refill the bar, and at its end comes 408.",
    command: "printf 'GET /set?a=b HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\nGET /get?key=a HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n' | curl -sN telnet://localhost:4000",
  },
  11: {
    title: "Sets that share a sync",
    story: "Twenty-four clients set a pair at the same moment. Each must be on the disk before its 200.",
    question: "How often does the disk sync?",
    answers: ["24 times, one after the other", "Once for each processor", "A few times: those that wait share one"],
    right: 2,
    reveal: "The first opens a batch and writes it. The others join the next one while that sync lasts, and share a single sync.",
    command: "curl -sZ --parallel-immediate --parallel-max 24 'http://localhost:4000/set?key[1-24]=v'",
  },
  12: {
    title: "Who has to go",
    story: "The server has two places (--max-connections 2). Three silent clients connect, then one that asks.",
    question: "Who is served, and who has to go?",
    answers: ["The one that asks gets 503", "The one that has waited longest makes room each time", "The latest silent one is closed"],
    right: 1,
    reveal: "The connection that has gone longest without a whole request makes room: the first silent client for the third, the second for the one that asks.",
    command: "(exec 5<>/dev/tcp/localhost/4000 6<>/dev/tcp/localhost/4000 7<>/dev/tcp/localhost/4000; curl 'http://localhost:4000/get?key=a')",
  },
  13: {
    title: "The file grows, and is small again",
    story: "One key is set again and again. Each set is a line, and only the last line counts.",
    question: "What happens to requests while the file is made smaller?",
    answers: ["They wait until it is done", "They go on, and what they set is in the new file too", "They are answered with 503"],
    right: 1,
    reveal: "They go on. The new file is written beside the old one, synced, and only then given its name; sets wait for the last moment of it.",
    command: "curl -s 'http://localhost:4000/set?key=[1-60000]' -o /dev/null",
  },
};
