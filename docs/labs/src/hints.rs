//! One text for each mistake that students are known to make.

pub(crate) const NOT_EXECUTABLE: &str = "name the interpreter, as in --program 'python3 FILE', \
    or make the file executable (chmod +x FILE) with a first line such as #!/usr/bin/env python3";

pub(crate) const ENDED: &str = "a server runs until it is stopped; its stderr may say why it \
    exited";

pub(crate) const NOT_READY: &str = "the port is the last argument: sys.argv[2] in Python, a string \
    until int() makes it a number";

pub(crate) const DECODE_BEFORE_UPPER: &str = "decode the bytes as UTF-8, change the text, encode \
    it again: changing single bytes to upper case works only for ASCII letters";

pub(crate) const EMPTY_DATAGRAM: &str = "a datagram of 0 bytes is a message like any other; only \
    in TCP does a receive of 0 bytes mean the end";

pub(crate) const BUFFER_TOO_SMALL: &str = "a UDP receive truncates a datagram that does not fit \
    into its buffer, and the rest is lost: make the buffer 2048 bytes or more";

pub(crate) const ONE_STRANGER: &str = "whatever a stranger sends, the server must keep serving the \
    others: catch the error inside the loop";

pub(crate) const REPLY_ADDRESS: &str = "answer to the address that this receive returned, not to \
    one in a variable that the next receive changes";

pub(crate) const LINE_END: &str = "send the line without its line ending: input() removes it, \
    sys.stdin.readline() does not";

pub(crate) const ADDED_LINE_END: &str = "the answer has a line ending that the text did not have: \
    a datagram has boundaries, and needs none";

pub(crate) const NOT_FROM_THE_SERVER: &str = "print what the server sent, not what you expect it \
    to send";

pub(crate) const STANDARD_OUTPUT: &str = "the reply goes to standard output; a client that exits \
    without an error must have printed it";

pub(crate) const NO_TIMEOUT: &str = "UDP does not tell you when a datagram is lost or no server is \
    there, so the client must set a timeout: socket.settimeout() in Python";

pub(crate) const SAY_IT_FAILED: &str = "print one line that says what went wrong, and exit with a \
    status other than 0: sys.exit(\"message\") does both";

pub(crate) const OTHER_SENDER: &str = "any program can send to the client's port: compare the \
    address that recvfrom() returns with the server's, or connect() the UDP socket";

pub(crate) const SERVE_AGAIN: &str = "accept() belongs inside the loop, and an error on one \
    connection must not end it";

pub(crate) const EMPTY_RECEIVE: &str = "a TCP receive that returns 0 bytes means that the other \
    side has closed; there is no reply to print";

pub(crate) const STREAM_HAS_NO_MESSAGES: &str = "TCP is a stream of bytes: one receive returns \
    what has arrived, which can be less than a message; receive until the message is complete";

pub(crate) const KEEP_THE_REST: &str = "one receive can return more than one message: keep the \
    bytes after the first for the next";

pub(crate) const BIG_ENDIAN: &str = "the length is 4 bytes, the most significant first; it counts \
    the bytes after it, not characters: struct.pack(\">I\", len(body)) of the encoded body";

pub(crate) const EMPTY_MESSAGE: &str = "a message of length 0 is four bytes of zeros, and its \
    answer is the same; it does not mean the end";

pub(crate) const CHECK_THE_LENGTH: &str = "the length comes from a stranger: if it is above \
    65,536, close the connection before you receive or allocate that much";

pub(crate) const SEND_ALL: &str = "send() may send only a part of a long message: use sendall()";

pub(crate) const ONE_AT_A_TIME: &str = "a server that serves one connection until it ends makes \
    all others wait: use a thread for each connection, or select()";

pub(crate) const HALF_CLOSE: &str = "a client that has closed its sending side can still receive: \
    answer what came before the end, then close";

pub(crate) const PING_FORMAT: &str = "the sheet gives the format of the datagrams and of each line \
    of the output; print anything else to stderr";

pub(crate) const PING_AT_ONCE: &str = "send the next ping as soon as the reply has come or the \
    last attempt has timed out, and exit after the last one";

pub(crate) const RTT: &str = "the RTT, in milliseconds, is the time from sending the attempt that \
    the reply names until the receive, not from the first attempt of the ping";

pub(crate) const ONE_TIMEOUT_EACH: &str = "each attempt has its own 200 ms, starting when it is \
    sent; Python's settimeout() takes seconds";

pub(crate) const RETRANSMIT: &str = "count the attempts from 1; send again only after the timeout \
    and only if no reply has come, three times at most";

pub(crate) const DUPLICATE: &str = "the network may deliver a datagram twice: compare the number \
    of the ping in the reply with the one you wait for, and ignore all other replies";

pub(crate) const LATE: &str = "a reply that arrives after you have sent again still answers the \
    ping: its second number says which attempt it belongs to";

pub(crate) const STRANGERS: &str = "a datagram that does not begin with two numbers, or has the \
    number of another ping, is not a reply: ignore it, and wait only for the rest of the 200 ms";

pub(crate) const SUMMARY: &str = "\"sent\" counts datagrams, with retransmissions; the RTTs are \
    those of the lines above";

pub(crate) const DIALER_FIRST: &str = "your program connects, so it sends its handshake first, \
    without waiting for the peer's; the arguments are TORRENT HOST PORT INDEX OUT";

pub(crate) const HANDSHAKE: &str = "the byte 19, the name, eight zero bytes, the 20-byte SHA-1 of \
    the value of info as it is in the file (not its 40 hex digits), a peer id of 20 bytes";

pub(crate) const INTERESTED: &str = "a connection begins choked and not interested: send \
    interested (id 2), or the peer has no reason to unchoke";

pub(crate) const CHOKED: &str = "a peer that chokes you discards requests: wait for the unchoke \
    (id 1), but stay connected";

pub(crate) const BLOCKS: &str = "a request is for 16384 bytes; only the last block of a piece may \
    be shorter, min(16384, piece size - begin), and no request goes beyond the end of the piece";

pub(crate) const LAST_PIECE: &str = "the last piece can be shorter than the piece length: its size \
    is the rest of the file";

pub(crate) const REQUESTED_TWICE: &str = "remember which blocks are in flight, and request only \
    the others";

pub(crate) const PIPELINE: &str = "with one request at a time the rate is one block per round-trip \
    time: send 5 or more at first, and another one for each block that arrives";

pub(crate) const HAVES: &str = "a peer has the pieces that its bitfield and its haves announce: \
    before either it has none, and a have may come at any time";

pub(crate) const UNKNOWN_MESSAGES: &str = "length 0 is a keep-alive, without an id; after an id \
    that you do not know, skip the rest of the message";

pub(crate) const MISSING: &str = "a choke discards your requests: mark their blocks as not \
    requested, and after the unchoke request those that have not arrived";

pub(crate) const ANY_ORDER: &str = "put each block where its begin says, if its index is that of \
    the piece and you wait for a block with this begin and this length";

pub(crate) const OTHER_TORRENT: &str = "before anything else, compare the first 20 bytes of the \
    peer's handshake with yours, and bytes 28 to 47 with the info hash";

pub(crate) const HASH: &str = "compare the SHA-1 of the whole piece with its 20 bytes in pieces \
    before you open OUT";

pub(crate) const ABSURD_LENGTH: &str = "the length comes from a stranger: refuse one that is \
    longer than any message, before you receive or allocate that much";

pub(crate) const SIZES: &str = "a have has a payload of 4 bytes, an index below the number of \
    pieces; a bitfield has a bit for each piece, rounded up to whole bytes";

pub(crate) const PEER_CLOSES: &str = "a receive of 0 bytes is the end of the connection, even in \
    the middle of a message";

pub(crate) const PATIENCE: &str = "count the seconds since the last handshake, unchoke or needed \
    block: a timeout on each receive starts again with every keep-alive";

pub(crate) const ALL_PEERS: &str = "connect to all peers at the start: do not finish with one \
    before you turn to the next";

pub(crate) const AT_THE_SAME_TIME: &str = "every peer that unchokes you should have requests in \
    flight until nothing is missing: after each block, look at all peers";

pub(crate) const RAREST: &str = "count the copies of each piece among all connected neighbors, \
    even those that choke you, but not your own copy; count at the moment when you begin a piece";

pub(crate) const LEFT: &str = "when a connection ends, its bitfield and its haves no longer count";

pub(crate) const TIES: &str = "choose one of the pieces with the fewest copies with \
    random.choice(), and do not give the generator a fixed seed; min() returns the first of \
    several minima";

pub(crate) const IN_PROGRESS_FIRST: &str = "only whole pieces can be verified: before you begin a \
    piece, request the blocks of pieces in progress that you have not requested from any peer";

pub(crate) const DUPLICATES: &str = "when you request a block, mark it as requested for all peers; \
    this lab has no endgame";

pub(crate) const FREE_AGAIN: &str = "when a peer chokes you or leaves, mark the blocks in flight \
    to it as not requested, and look at all peers at once: the others may be idle";

pub(crate) const WITHOUT_WAITING: &str = "serve each connection independently: neither connect() \
    nor the handshake nor the unchoke of one peer may delay the others";

pub(crate) const SILENT: &str = "note when a peer last answered; after --timeout seconds without a \
    block, request its blocks from other peers";

pub(crate) const LIAR: &str = "the hash does not say which block is false: disconnect a peer that \
    sent the whole piece; after a mixed piece, download it again from a single peer";

pub(crate) const VERIFIED: &str = "hash each piece of DATA at the start; a piece is in the \
    bitfield only if its hash is right, and without any piece you send no bitfield";

pub(crate) const UPLOAD: &str = "a block begins at offset index * piece length + begin of DATA, \
    and has as many bytes as were requested";

pub(crate) const TELLS: &str = "send a have to every neighbor for each verified piece, even to \
    neighbors that have the piece or choke you";

pub(crate) const FLUSH: &str = "write each piece to its place when it is verified, and flush: \
    another program may read the file";

pub(crate) const IN_FLIGHT: &str = "a choke and a request may cross: ignore requests while you \
    choke, and do not save them for later";

pub(crate) const FREE_SLOT: &str = "while fewer than five interested neighbors are unchoked, \
    unchoke each interested neighbor at the next round at the latest";

pub(crate) const FIVE: &str = "count only interested neighbors: four by rate and one optimistic, \
    five in all if as many are interested";

pub(crate) const TOP_FOUR: &str = "sort the interested neighbors by the bytes of requested blocks \
    that each sent in the last round, highest first, and unchoke the first four";

pub(crate) const LAST_ROUND: &str = "restart the count in every round: a sum over all rounds \
    rewards what a neighbor sent long ago";

pub(crate) const AT_ROUNDS: &str = "between rounds choke no interested neighbor; schedule the next \
    round from the last one, not from now";

pub(crate) const OPTIMISTIC: &str = "every optimistic period choose at random one of the \
    interested neighbors that are not among the four, and keep it until the next period";

pub(crate) const SEED: &str = "when nothing is missing all rates are 0: give the slots in turn, \
    for example to the neighbors that were served least";

pub(crate) const BAD_NEIGHBOR: &str = "check a request before you queue it: it must name a piece \
    that you have, a length from 1 to 16384, and an end within the piece";

pub(crate) const OTHERS: &str = "an error with one neighbor ends its connection, and nothing else";

pub(crate) const SLOW_READER: &str = "a send that waits for one neighbor must not stop the loop: \
    write what the socket accepts, and queue the requests of each neighbor until it has read";

pub(crate) const STRINGS: &str = "a string is its length in decimal, a colon, and that many bytes, \
    whatever they are; read stdin to its end";

pub(crate) const BYTES_ARE_NOT_TEXT: &str = "a bencoded string is bytes: read and write in binary \
    (sys.stdin.buffer), and turn each byte into the character with its number (latin-1)";

pub(crate) const INTEGERS: &str = "an integer is i, an optional minus sign, the decimal digits, e";

pub(crate) const NESTED: &str = "the values of a list or dictionary are values themselves: decode \
    them with the same function, until the matching e";

pub(crate) const LARGE: &str = "keep one copy of the input and a position in it; cutting off the \
    beginning after each value copies the rest of a megabyte each time";

pub(crate) const LOOK_AT_EACH_BYTE: &str = "int() accepts more than bencode does, such as \"+1\", \
    \" 1\", \"1_0\" and \"03\": check each byte yourself";

pub(crate) const LENGTH_FROM_A_STRANGER: &str = "the length comes from a stranger: allow only \
    digits, no leading zero, and no more than what is left of the input";

pub(crate) const KEYS: &str = "keys are strings, in ascending order of their raw bytes (capitals \
    before small letters, 0x7F before 0x80), each of them once and with a value";

pub(crate) const TRUNCATED: &str = "check that there is a next byte before you read it; the end of \
    the input does not end a list, dictionary or number";

pub(crate) const TRAILING: &str = "the input is one value and nothing else: after it, the position \
    must be the length of the input";

pub(crate) const DEPTH: &str = "count the levels and refuse input above a limit: a decoder that \
    calls itself for each level runs out of stack";

pub(crate) const UNCAUGHT: &str = "catch the error where the program begins and print one line: \
    sys.exit(str(error)) does that; RecursionError and MemoryError are errors, too";

pub(crate) const REFUSE: &str = "for invalid input: exit status 1, one line on stderr that says \
    what is wrong, and nothing on stdout";

pub(crate) const READ_TO_THE_END: &str = "read stdin to its end, then answer and exit";

pub(crate) const ENCODE: &str = "the inverse of decode: lengths count bytes, and nothing comes \
    between the values, not even a newline";

pub(crate) const NOT_IN_BENCODE: &str = "bencode has byte strings, integers, lists and \
    dictionaries; in Python, True is also an int, and a dict hides that a key occurred twice";

pub(crate) const TORRENT_FIELDS: &str = "length is that of all files together; pieces has one hash \
    of 20 bytes for each piece, and the last piece can be shorter";

pub(crate) const INFO_HASH: &str = "remember where the value of the top-level key info begins and \
    ends in the file, and hash those bytes; do not encode it again, and do not search for the key";

pub(crate) const HTTP_ANSWER: &str = "an answer needs a status line, headers with Content-Length, \
    and an empty line; without Content-Length, close the connection after the answer";

pub(crate) const TRACKER_ANSWER: &str = "the body is one bencoded dictionary whose keys are sorted \
    (lab 5), with nothing before or after it";

pub(crate) const COMPACT: &str = "BEP 23: 4 bytes of address and 2 of port, the most significant \
    first; the port is the parameter port, not that of the connection";

pub(crate) const PEER_ADDRESS: &str = "the address is the one that the request came from, whatever \
    a parameter ip says; the port is the parameter port";

pub(crate) const PEER_KEY: &str = "a peer is its address and the port that it announces: the same \
    pair is the same peer, even with another id, and another port is another peer";

pub(crate) const BYTES_IN_A_URL: &str = "an info hash is 20 bytes, not text: decode each %XX to a \
    byte and change nothing else; functions for web forms (parse_qs) turn + into a space and bytes \
    into text";

pub(crate) const SEEDS: &str = "a peer with left=0 is a seed; the counts include the peer that \
    asks, the list does not";

pub(crate) const STOPPED: &str = "after event=stopped the peer is neither counted nor named";

pub(crate) const EXPIRY: &str = "note when each peer last announced; before you answer, remove \
    those that have been silent for two intervals (INTERVAL is in seconds)";

pub(crate) const REFRESH: &str = "each announce, not only the first, renews the time when you last \
    heard from the peer";

pub(crate) const NUMWANT: &str = "50 if numwant is missing or negative, at most 200, and never the \
    same peer twice";

pub(crate) const RANDOM_SUBSET: &str = "choose new peers for each answer, each subset with the \
    same probability: random.sample() in Python";

pub(crate) const FAILURE_REASON: &str = "BEP 3: status 200, and a dictionary with the key failure \
    reason; check each required parameter before you store the peer";

pub(crate) const SCRAPE: &str = "info_hash can occur more than once; downloaded grows when a peer \
    that was not a seed sends completed";

pub(crate) const OUR_PEER: &str = "real peers send parameters that the sheet does not name, such \
    as key: ignore them; then try it with the commands of the sheet";

pub(crate) const ANSWER_LINE: &str = "each answer is on its own line with a plain number, such as \
    cs-10 = 2400, without a unit or a comma";

pub(crate) const NUMBER_OFF: &str = "did you mix bits and bytes, or 1000 and 1024? Are the numbers \
    and the rng-seed yours? \"If it does not work\" in the sheet has the usual causes";

pub(crate) const WIRE_ANNOUNCE: &str = "in the query ~ and %7E are the same byte, and two bytes x and y \
    make 256 x + y; the interval follows 8:interval in the body of the answer";

pub(crate) const WIRE_ANSWER: &str = "5:peers is followed by a number of bytes, six for each peer; all GETs \
    of A count, also those without an event";

pub(crate) const WIRE_TWO_TRACKERS: &str = "count all packets of one announce, those of the tracker as well: \
    over UDP the question for a connection id, over TCP handshake and FINs";

pub(crate) const WIRE_DIAL: &str = "the port from which A's SYN to 10.0.0.10 comes; the time from that SYN \
    to the ACK that A answers the SYN/ACK with, in ms";

pub(crate) const WIRE_LAST_CHUNK: &str = "count the bits of the seed's bitfield that are 1; a chunk ends where \
    its last block ends, and the length of a piece message is 9 more than that of its block";

pub(crate) const WIRE_CONTROL: &str = "A's connection to the seed, both directions, up to the frame with the last \
    block; 13 bytes in front of each block are control; tcp.len, without any header";

pub(crate) const WIRE_PIPELINING: &str = "a frame can hold several requests; a block is complete in the frame \
    with its last segment, which is where the piece message is shown";

pub(crate) const WIRE_CHOKING: &str = "type 0 is a choke and type 1 an unchoke, and a frame can hold other \
    messages beside it";

pub(crate) const WIRE_LATE: &str = "decimal; only frames before that of the first request count, and the seed \
    is a neighbor, too; the first bit of a bitfield is chunk 0";

pub(crate) const WIRE_RECIPROCITY: &str = "a block is one piece message (type 7), in however many segments; \
    from-b goes from B to A";

pub(crate) const WIRE_COMPLETED: &str = "from the GET with event=started to the GET with event=completed, both \
    of A, in seconds";

pub(crate) const SWARM_TIME: &str = "no swarm is faster than its bound, and this one takes less \
    than twice the bound: is your number the time after \"this swarm\", from a run with your own \
    numbers?";

pub(crate) const ANSWER_IS_A_LIST: &str = "print the list as JSON and nothing else to stdout: \
    json.dumps() in Python; print what you want to see yourself to stderr";

pub(crate) const END_OF_STDIN: &str = "a loop over the lines of stdin ends with stdin; a loop over \
    readline() must check for the empty string";

pub(crate) const KNOWN_PEERS: &str = "name only peers of this question, each once: one that you \
    remember may have left; a share is a whole number from 1 to 1000000";

pub(crate) const NO_CANDIDATES: &str = "round 0 comes before the run, and a peer may lose all of \
    its neighbors: then the answer is an empty list";

pub(crate) const TOO_SLOW: &str = "do slow work once, before the first question, or a part of it \
    in each round";

pub(crate) const AS_A_SEED: &str = "no neighbor sends anything to a seed: choose by \"rate\", \
    which for a seed is what it sends to the neighbor, or take turns";

pub(crate) const TIT_FOR_TAT: &str = "serve the neighbors that sent you the most (\"received\"), \
    and few others: your own peers lose what riders get";

pub(crate) const PERFORMANCE: &str = "does every peer serve as many neighbors as there are slots, \
    from the first round on, when no neighbor has sent anything yet? An empty slot is lost upload";

pub(crate) const FLUSH_ANSWERS: &str = "stdout is buffered: flush it after each answer, as in \
    print(..., flush=True)";

pub(crate) const LINE_BY_LINE: &str = "answer each line of stdin with one line, until stdin ends; \
    stderr may say why the program exited";
