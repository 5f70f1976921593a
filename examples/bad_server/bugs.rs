//! The bugs: the name of each, and how people come to make it.

use std::sync::OnceLock;

static CHOSEN: OnceLock<Bug> = OnceLock::new();

/// Makes this the server's bug.
pub(crate) fn choose(name: &str) -> anyhow::Result<()> {
    let bug = ALL.iter().find(|bug| bug.1 == name);
    let bug = bug.ok_or_else(|| anyhow::anyhow!("there is no bug {name}: see --list"))?.0;
    CHOSEN.set(bug).map_err(|_| anyhow::anyhow!("one bug at a time"))
}

/// Whether the server has this bug.
pub(crate) fn has(bug: Bug) -> bool {
    CHOSEN.get() == Some(&bug)
}

/// Whether it has one of these.
pub(crate) fn has_any<const N: usize>(bugs: [Bug; N]) -> bool {
    bugs.into_iter().any(has)
}

/// Where an exception that nobody catches would end the server.
pub(crate) fn dies_of(bug: Bug) {
    if has(bug) {
        std::process::abort();
    }
}

macro_rules! bugs {
    ($($bug:ident $name:literal $story:literal)*) => {
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Bug { $($bug),* }

        /// Each bug, its name and its story.
        pub(crate) const ALL: &[(Bug, &str, &str)] = &[$((Bug::$bug, $name, $story)),*];
    };
}

bugs! {
    // The query.
    NoDecoding "no-decoding" "Takes the query as it comes: %20 stays %20. The first tests had no spaces."
    PlusKept "plus-kept" "Decodes %XX only: a URL library was used where a form library was wanted."
    PlusTooLate "plus-too-late" "Turns + into a space after decoding, so that %2B becomes a space too."
    DecodedFirst "decoded-first" "Decodes the query, then splits it: %26 and %3D separate."
    DecodedTwice "decoded-twice" "Decodes what the framework has decoded already."
    KeysUndecoded "keys-undecoded" "Decodes the value of /set and forgets that its key is encoded too."
    ByteIsCharacter "byte-is-character" "Makes each decoded byte a character: right for ASCII, garbled for the rest."
    BadUtf8Panics "bad-utf8-panics" "from_utf8().unwrap() with the lock in hand; after the panic nobody gets the lock."
    DiesOnBadPercent "dies-on-bad-percent" "decodeURIComponent('100%') throws, and nobody catches."
    CutAtSecondEquals "cut-at-second-equals" "Takes the first two parts of split('=')."
    SecondPairGlued "second-pair-glued" "Never splits at &: the second pair becomes part of the first value."
    FirstOfTwoPairs "first-of-two-pairs" "Takes the first pair and drops the other without a word."
    RepeatedKeyList "repeated-key-list" "Makes a list of the values of one key, as query libraries do, and stores it as text."
    ExtraFieldIgnored "extra-field-ignored" "Looks for the field `key` and never at what else was sent."
    FieldIgnored "field-ignored" "/get takes the value of any field for the key: values()[0]."
    LenientSet "lenient-set" "Answers 200 to a /set without a pair: the loop over the pairs ran zero times."
    StoresRefused "stores-refused" "Stores pairs as it meets them, and finds out later that there is one too many."
    KeyMeansGet "key-means-get" "One handler for both paths looks for the field `key` first: /set?key=a is a get."
    KeyAndValue "key-and-value" "Wants /set?key=a&value=b, as in the last project."
    // Paths and methods.
    PrefixRouting "prefix-routing" "Asks whether the path starts with /set: /settings stores too."
    SlashWanted "slash-wanted" "Serves /set/ and /get/ alone: the framework's routes end in a slash."
    PostOnly "post-only" "Stores by POST alone, because GET should not change anything."
    PutOnly "put-only" "Stores by PUT alone, because that is what PUT means."
    MethodIgnored "method-ignored" "Never looks at the method: DELETE /set?a=b stores."
    UnknownIs404 "unknown-is-404" "Leaves other paths to the framework, which says 404: the same as a missing key."
    UnknownIs200 "unknown-is-200" "Answers every other path with a friendly sentence and 200."
    UnknownCloses "unknown-closes" "Closes the connection where the path is another."
    UnknownHangs "unknown-hangs" "Forgets the else: another path gets no answer at all."
    // Pairs.
    KeysLowerCased "keys-lower-cased" "Lower-cases the target before it looks for /set, keys included."
    ValuesLowerCased "values-lower-cased" "Tidies values up."
    ValuesAreJson "values-are-json" "Parses values as JSON where it can: 1.50 is the number 1.5."
    HtmlEscaped "html-escaped" "Escapes < in values against scripts, instead of answering with text/plain."
    OverwriteIgnored "overwrite-ignored" "Inserts but does not replace: entry().or_insert()."
    LastKeyOnly "last-key-only" "Keeps one pair in two variables."
    CutAt1024 "cut-at-1024" "Copies the value into a buffer of 1,024 bytes."
    CutAt4096 "cut-at-4096" "Copies the value into a buffer of 4,096 bytes, one page."
    ValueLimit "value-limit" "Refuses values of more than 2,500 bytes."
    EmptyIsMissing "empty-is-missing" "Stores an empty value, and then asks `if (!value)`."
    PrototypeKeys "prototype-keys" "Keeps pairs in a JavaScript object, where `constructor` always is."
    MissingIs200 "missing-is-200" "map.get(key) || '' has no place for a 404."
    MissingHangs "missing-hangs" "Answers in a callback that is never called for a missing key."
    MissingEndsIt "missing-ends-it" "Takes what it has found apart, and there is nothing: an exception that nobody catches."
    NothingEndsIt "nothing-ends-it" "Opens what it keeps at the first get, and before the first set there is nothing to open."
    MissingIsLast "missing-is-last" "Answers from a buffer that still holds the last value where there is none."
    MissingIs500 "missing-is-500" "Lets the map's KeyError become a 500."
    MissingHasBody "missing-has-body" "Answers 404 with a sentence, as frameworks do."
    SetHasBody "set-has-body" "Answers a set with OK."
    SetIs201 "set-is-201" "Answers a set with 201 Created."
    TrailingNewline "trailing-newline" "Prints the value with println, newline included."
    AnswersJson "answers-json" "Answers with a JSON object, as every service does."
    AnswersSentence "answers-sentence" "Answers `The value of a is b`, for people rather than programs."
    // How things are said.
    AnswersClock "answers-clock" "Answers with the time, a counter and the value twice, for whoever reads along."
    AnswersDump "answers-dump" "Prints the pair as a debugger would, escapes included."
    AnswersPage "answers-page" "Answers with a page, in which the value is rightly escaped."
    SetRedirects "set-redirects" "Sends the browser back to / after a set, as after a form."
    GetBareKey "get-bare-key" "Reads the brief as /get?somekey."
    StoresLate "stores-late" "Answers, and stores 30 ms later, on another thread."
    // Messages.
    OneRead "one-read" "Takes one read for one request, which on localhost mostly works."
    ShortLines "short-lines" "Refuses a request line of more than 7,168 bytes."
    NoLength "no-length" "Sends no Content-Length and keeps the connection open: the client waits."
    LengthTooLong "length-too-long" "Counts a line end that is not sent."
    LengthInCharacters "length-in-characters" "Counts characters, where Content-Length counts bytes."
    BareLf "bare-lf" "Ends lines with \\n, and every client that was tried took it."
    NoStatusLine "no-status-line" "Writes the value to the socket, without a head."
    HeadWithBody "head-with-body" "Serves HEAD with GET's function, body included."
    PipeliningReversed "pipelining-reversed" "Answers each request when it is done, the last one first."
    PipeliningFirstOnly "pipelining-first-only" "Drops what it has read after the request's end."
    BodyAsRequest "body-as-request" "Never reads bodies: the body is taken for the next request."
    ChunkedAsRequest "chunked-as-request" "Skips Content-Length bytes, and knows no other bodies."
    LengthsDiffer "lengths-differ" "Takes the first of two Content-Lengths: a proxy in front may take the second."
    AbsoluteRefused "absolute-refused" "Compares the target as it stands: http://localhost/get is another path."
    ClosesSilently "closes-silently" "Closes after each answer, without having said so."
    IgnoresClose "ignores-close" "Keeps the connection open though the client said Connection: close."
    Http10KeptOpen "http10-kept-open" "Keeps HTTP/1.0 connections open: the client waits for their end."
    Http10Refused "http10-refused" "Compares the version with HTTP/1.1 and answers 505."
    HostIgnored "host-ignored" "Never looks at Host."
    PostCloses "post-closes" "Stores by POST alone, and trips over a POST without a query: the connection closes."
    UndecodedLength "undecoded-length" "Takes the query as it comes, raw UTF-8 too, and counts characters."
    GarbageHangs "garbage-hangs" "Waits for the rest of what will never be a request."
    GarbageIs200 "garbage-is-200" "Looks for what it knows in the bytes, and is happy with anything else."
    // What is given away.
    TextAsHtml "text-as-html" "Answers with text/html, as frameworks do: a stored script runs."
    ServesFiles "serves-files" "Leaves other paths to a handler that serves the files of its folder."
    // Connections.
    SingleThreaded "single-threaded" "Serves one connection after another: an idle one stops everybody."
    SmallPool "small-pool" "Has 16 threads, each of which waits for its connection's next request."
    SlowBlocksAll "slow-blocks-all" "Reads the request with the lock in hand: half a request stops everybody."
    DeafBlocksAll "deaf-blocks-all" "Writes the answer with the lock in hand: a client that does not read stops everybody."
    HugeHead "huge-head" "Reads until the head ends, however much comes."
    DiesOnGarbage "dies-on-garbage" "Unwraps the parser's result on the only thread."
    DiesOnLeave "dies-on-leave" "Takes the first line of nothing when a client connects and leaves."
    DiesMidRequest "dies-mid-request" "Takes the end of the connection for the end of the request, and trips."
    DiesOnPost "dies-on-post" "Takes the query of a POST apart, and there is none."
    DiesUnderLoad "dies-under-load" "Changes the map from several threads without a lock, until it breaks."
    LostUpdates "lost-updates" "Reads all pairs, adds one, writes all back: of two at once, one is lost."
    GlobalVariables "global-variables" "Keeps the current request's key and value in globals."
    FailsAfter2000 "fails-after-2000" "Leaks something with each request, until there is none left."
    // The file.
    NeverSaved "never-saved" "Keeps the pairs in memory alone."
    SavedOnExit "saved-on-exit" "Writes the file when it is asked to stop; a crash does not ask."
    SavedOnSigint "saved-on-sigint" "Writes the file on Ctrl-C, and knows nothing of SIGTERM."
    SavedOnSigterm "saved-on-sigterm" "Writes the file on SIGTERM, and loses all on Ctrl-C."
    IgnoresSigterm "ignores-sigterm" "Takes SIGTERM for a suggestion, and has to be killed."
    LeavesChild "leaves-child" "Serves in a child, and forgets to end it with itself."
    PortKept "port-kept" "Binds without SO_REUSEADDR: the port is taken for a minute after the end."
    AnswersFirst "answers-first" "Answers while the line is in a buffer: BufWriter without flush."
    TruncatedFirst "truncated-first" "Writes all pairs anew with each set: File::create empties the file first."
    TruncatedStrict "truncated-strict" "The same as one JSON document, of which half can't be parsed."
    EmptiedAtStart "emptied-at-start" "Reads the file at the start, and opens it for writing, which empties it."
    EmptyFileRefused "empty-file-refused" "json.load() of no bytes is an error."
    TornLineRefused "torn-line-refused" "Parses the last line like all others, and can't start after a crash."
    TornLineGlued "torn-line-glued" "Skips a torn line when it reads, and appends the next one right after it."
    BrokenFileEmptied "broken-file-emptied" "Starts empty where the file can't be read: except: data = {}."
    PlainLines "plain-lines" "Writes `key=value` lines: a newline in a value ends it."
    CantStartAgain "cant-start-again" "Writes such lines too, and refuses its own file at the next start."
    HandMadeJson "hand-made-json" "Writes JSON with format!(), without escapes: a quote breaks the line."
    NumbersReread "numbers-reread" "Reads numbers as numbers: 1.50 comes back as 1.5, 007 as 7."
    TrimmedReread "trimmed-reread" "Trims what it reads from the file: a newline at the end of a value is gone."
    FirstWinsReread "first-wins-reread" "Reads the file with or_insert(): old values come back."
}
