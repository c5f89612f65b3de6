// Wrong: a message that is not whole in one 'data' event is handled as it is, and the rest of it is taken for the next.
const crypto = require('crypto');
const fs = require('fs');
const net = require('net');

const BLOCK = 16384;
const IN_FLIGHT = 20;

function die(why) {
  fs.writeSync(2, `${why}\n`);
  process.exit(1);
}

// Bencode: a dictionary is a Map with latin1 keys, a string is a Buffer; the span of `info` is kept.
function decode(bytes) {
  let at = 0;
  let info = null;
  function number(until) {
    const end = bytes.indexOf(until, at);
    const value = Number(bytes.toString('latin1', at, end));
    at = end + 1;
    return value;
  }
  function value(depth) {
    const head = String.fromCharCode(bytes[at]);
    if (head === 'i') { at++; return number('e'); }
    if (head === 'l') {
      const list = [];
      for (at++; bytes[at] !== 0x65;) list.push(value(depth + 1));
      at++;
      return list;
    }
    if (head === 'd') {
      const entries = new Map();
      for (at++; bytes[at] !== 0x65;) {
        const key = value(depth + 1).toString('latin1');
        const start = at;
        entries.set(key, value(depth + 1));
        if (depth === 0 && key === 'info') info = bytes.subarray(start, at);
      }
      at++;
      return entries;
    }
    const length = number(':');
    at += length;
    return bytes.subarray(at - length, at);
  }
  return [value(0).get('info'), crypto.createHash('sha1').update(info).digest()];
}

const args = process.argv.slice(2);
let timeout = 60;
if (args[0] === '--timeout') timeout = Number(args.splice(0, 2)[1]);
const [torrentFile, host, port, indexText, out] = args;
const index = Number(indexText);
const [info, infoHash] = decode(fs.readFileSync(torrentFile));
const pieceLength = info.get('piece length');
const pieces = info.get('pieces').length / 20;
if (!(index >= 0 && index < pieces)) die(`there is no piece ${indexText}`);
const size = Math.min(pieceLength, info.get('length') - index * pieceLength);
const piece = Buffer.alloc(size);
const missing = new Set();
for (let begin = 0; begin < size; begin += BLOCK) missing.add(begin);
const requested = new Set();
const has = new Set();
let choked = true;
let interested = false;

const socket = net.connect(Number(port), host);
let timer;
function progress() {
  clearTimeout(timer);
  timer = setTimeout(() => die(`nothing useful in ${timeout} s`), timeout * 1000);
}
progress();

function send(id, ...numbers) {
  const bytes = Buffer.alloc(5 + 4 * numbers.length);
  bytes.writeUInt32BE(1 + 4 * numbers.length, 0);
  bytes[4] = id;
  numbers.forEach((each, n) => bytes.writeUInt32BE(each, 5 + 4 * n));
  socket.write(bytes);
}

function request() {
  if (has.has(index) && !interested) { interested = true; send(2); }
  if (choked || !has.has(index)) return;
  for (const begin of missing) {
    if (requested.size >= IN_FLIGHT) return;
    if (requested.has(begin)) continue;
    requested.add(begin);
    send(6, index, begin, Math.min(BLOCK, size - begin));
  }
}

function handshake(bytes) {
  if (bytes[0] !== 19 || bytes.toString('latin1', 1, 20) !== 'BitTorrent protocol') die('not BitTorrent');
  if (!bytes.subarray(28, 48).equals(infoHash)) die('the peer has another torrent');
  progress();
}

const LENGTHS = { 0: 1, 1: 1, 2: 1, 3: 1, 4: 5, 5: 1 + Math.ceil(pieces / 8), 6: 13, 8: 13 };

function message(bytes) {
  if (bytes.length === 0) return;
  const id = bytes[0];
  if (id in LENGTHS && bytes.length !== LENGTHS[id]) die(`message ${id} has ${bytes.length} bytes`);
  if (id === 0) { choked = true; requested.clear(); }
  if (id === 1) { choked = false; progress(); }
  if (id === 4) {
    const which = bytes.readUInt32BE(1);
    if (which >= pieces) die(`have of piece ${which}, of ${pieces}`);
    has.add(which);
  }
  if (id === 5) {
    for (let n = 0; n < 8 * (bytes.length - 1); n++) {
      if (!(bytes[1 + (n >> 3)] & (0x80 >> (n & 7)))) continue;
      if (n >= pieces) die(`bit ${n} is set, of ${pieces} pieces`);
      has.add(n);
    }
  }
  if (id === 7) {
    if (bytes.length < 9) die('a short piece message');
    const [which, begin] = [bytes.readUInt32BE(1), bytes.readUInt32BE(5)];
    if (which >= pieces) die(`a block of piece ${which}, of ${pieces}`);
    const block = bytes.subarray(9);
    if (which === index && missing.has(begin) && block.length === Math.min(BLOCK, size - begin)) {
      block.copy(piece, begin);
      requested.delete(begin);
      missing.delete(begin);
      progress();
    }
  }
  if (missing.size === 0) finish();
  request();
}

function finish() {
  const hash = info.get('pieces').subarray(20 * index, 20 * index + 20);
  if (!crypto.createHash('sha1').update(piece).digest().equals(hash)) die(`piece ${index} has a wrong hash`);
  fs.writeFileSync(out, piece);
  process.exit(0);
}

const LONGEST = Math.max(9 + BLOCK, LENGTHS[5], 65536);
let shaken = false;
socket.on('data', (data) => {
  if (!shaken) {
    handshake(data);
    shaken = true;
    data = data.subarray(68);
  }
  while (data.length >= 4) {
    const length = data.readUInt32BE(0);
    if (length > LONGEST) die(`a message of ${length} bytes`);
    message(data.subarray(4, 4 + length));
    data = data.subarray(4 + length);
  }
});

socket.on('connect', () => {
  const reserved = Buffer.alloc(8);
  const peerId = Buffer.concat([Buffer.from('-ST0007-'), crypto.randomBytes(12)]);
  socket.write(Buffer.concat([Buffer.from('\x13BitTorrent protocol'), reserved, infoHash, peerId]));
});
socket.on('error', (error) => die(error.message));
socket.on('close', () => die('the peer closed the connection'));
