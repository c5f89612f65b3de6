// Wrong: sort() without a function compares numbers as text: a rate of 98304 is above one of 262144.
const crypto = require('crypto');
const fs = require('fs');
const net = require('net');

const BLOCK = 16384;
const IN_FLIGHT = 10;

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
const option = (name, otherwise) => (args[0] === name ? Number(args.splice(0, 2)[1]) : otherwise);
const rechoke = option('--rechoke', 10);
const optimisticEvery = Math.round(option('--optimistic', 30) / rechoke);
const [torrentFile, dataFile, listenPort, ...addresses] = args;
const [info, infoHash] = decode(fs.readFileSync(torrentFile));
const total = info.get('length');
const pieceLength = info.get('piece length');
const hashes = info.get('pieces');
const pieces = hashes.length / 20;
const sizeOf = (index) => Math.min(pieceLength, total - index * pieceLength);
const sha1 = (bytes) => crypto.createHash('sha1').update(bytes).digest();
const hashOf = (index) => hashes.subarray(20 * index, 20 * index + 20);

const file = fs.openSync(dataFile, fs.constants.O_RDWR | fs.constants.O_CREAT);
const done = new Set();
for (let index = 0; index < pieces; index++) {
  const piece = Buffer.alloc(sizeOf(index));
  const read = fs.readSync(file, piece, 0, piece.length, index * pieceLength);
  if (read === piece.length && sha1(piece).equals(hashOf(index))) done.add(index);
}

// Piece -> { data, blocks: Map of begin -> null (free) | peer (requested) | 'here', from: Set of peers }
const inProgress = new Map();
const peers = new Set();
const shuffled = (list) => list.map((each) => [Math.random(), each]).sort((a, b) => a[0] - b[0]).map(([, each]) => each);

function rarest(peer) {
  const wanted = [...peer.has].filter((index) => !done.has(index) && !inProgress.has(index));
  const copies = (index) => [...peers].filter((each) => each.has.has(index)).length;
  const fewest = Math.min(...wanted.map(copies));
  return shuffled(wanted.filter((index) => copies(index) === fewest))[0];
}

function nextBlock(peer) {
  for (const [index, piece] of inProgress) {
    if (!peer.has.has(index)) continue;
    for (const [at, state] of piece.blocks) if (state === null) return [index, at];
  }
  const index = rarest(peer);
  if (index === undefined) return null;
  const blocks = new Map();
  for (let at = 0; at < sizeOf(index); at += BLOCK) blocks.set(at, null);
  inProgress.set(index, { data: Buffer.alloc(sizeOf(index)), blocks, from: new Set() });
  return [index, 0];
}

function send(peer, id, payload = Buffer.alloc(0)) {
  const bytes = Buffer.alloc(5 + payload.length);
  bytes.writeUInt32BE(1 + payload.length, 0);
  bytes[4] = id;
  payload.copy(bytes, 5);
  peer.socket.write(bytes);
}

function numbers(...values) {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, n) => bytes.writeUInt32BE(value, 4 * n));
  return bytes;
}

function request(peer) {
  if (!peer.shaken || !peers.has(peer)) return;
  const interesting = [...peer.has].some((index) => !done.has(index));
  if (interesting !== peer.interested) {
    peer.interested = interesting;
    send(peer, interesting ? 2 : 3);
  }
  while (!peer.choked && peer.requests.size < IN_FLIGHT) {
    const next = nextBlock(peer);
    if (next === null) return;
    const [index, at] = next;
    inProgress.get(index).blocks.set(at, peer);
    peer.requests.set(`${index} ${at}`, Date.now());
    send(peer, 6, numbers(index, at, Math.min(BLOCK, sizeOf(index) - at)));
  }
}

function free(peer) {
  for (const piece of inProgress.values()) {
    for (const [at, state] of piece.blocks) if (state === peer) piece.blocks.set(at, null);
  }
  peer.requests.clear();
}

function drop(peer, why) {
  if (!peers.delete(peer)) return;
  console.error(`disconnected: ${why}`);
  peer.socket.destroy();
  free(peer);
  fillSlots();
  for (const each of peers) request(each);
}

function block(peer, index, at, bytes) {
  const key = `${index} ${at}`;
  const piece = inProgress.get(index);
  if (!peer.requests.has(key) || !piece || bytes.length !== Math.min(BLOCK, sizeOf(index) - at)) return;
  peer.requests.delete(key);
  for (const each of peer.requests.keys()) peer.requests.set(each, Date.now());
  peer.bytes += bytes.length;
  bytes.copy(piece.data, at);
  piece.blocks.set(at, 'here');
  piece.from.add(peer);
  if ([...piece.blocks.values()].some((state) => state !== 'here')) return;
  inProgress.delete(index);
  if (sha1(piece.data).equals(hashOf(index))) {
    fs.writeSync(file, piece.data, 0, piece.data.length, index * pieceLength);
    done.add(index);
    for (const each of peers) if (each.shaken) send(each, 4, numbers(index));
  } else if (piece.from.size === 1) drop(peer, `all blocks of piece ${index} are false`);
  for (const each of peers) request(each);
}

// Choking.

let regular = new Set();
let optimistic = null;
let round = 0;

function waiting() {
  return shuffled([...peers].filter((peer) => peer.theirInterest && !regular.has(peer) && peer !== optimistic));
}

function setChoked(peer, choked) {
  if (peer.weChoke === choked) return;
  peer.weChoke = choked;
  if (choked) peer.queue = [];
  if (peers.has(peer)) send(peer, choked ? 0 : 1);
}

function apply() {
  for (const peer of peers) if (!regular.has(peer) && peer !== optimistic) setChoked(peer, true);
  for (const peer of peers) if (regular.has(peer) || peer === optimistic) setChoked(peer, false);
}

function stillHere(peer) {
  return peers.has(peer) && peer.theirInterest;
}

// Between rounds a free regular slot goes to a neighbor that waits.
function fillSlots() {
  regular = new Set([...regular].filter(stillHere));
  if (optimistic && !stillHere(optimistic)) optimistic = null;
  for (const peer of waiting()) {
    if (regular.size === 4) break;
    regular.add(peer);
  }
  if (optimistic === null) optimistic = waiting()[0] ?? null;
  apply();
}

function rank(candidates) {
  const rates = candidates.map((peer) => peer.bytes).sort().reverse();
  return candidates.sort((a, b) => rates.indexOf(a.bytes) - rates.indexOf(b.bytes) || a.weChoke - b.weChoke);
}

setInterval(() => {
  const interested = [...peers].filter((peer) => peer.theirInterest);
  const ranked = done.size === pieces ? inTurns(interested) : rank(shuffled(interested));
  regular = new Set(ranked.slice(0, 4));
  if (round % optimisticEvery === 0 || optimistic === null || !stillHere(optimistic) || regular.has(optimistic)) {
    const others = waiting();
    const before = optimistic;
    optimistic = others[0] ?? (stillHere(before) && !regular.has(before) ? before : null);
  }
  round++;
  for (const peer of peers) peer.bytes = 0;
  fillSlots();
}, 1000 * rechoke);

// As a seed: those that have waited longest.
function inTurns(interested) {
  for (const peer of interested) peer.lastServed = regular.has(peer) ? round : (peer.lastServed ?? -1);
  return [...interested].sort((a, b) => a.lastServed - b.lastServed);
}

// Uploading: only what the socket takes.

function serve(peer) {
  while (peer.queue.length > 0 && peers.has(peer) && !peer.weChoke) {
    if (peer.socket.writableLength > 4 * BLOCK) return;
    const [index, at, length] = peer.queue.shift();
    const bytes = Buffer.alloc(8 + length);
    numbers(index, at).copy(bytes);
    fs.readSync(file, bytes, 8, length, index * pieceLength + at);
    send(peer, 7, bytes);
  }
}

const LENGTHS = { 0: 1, 1: 1, 2: 1, 3: 1, 4: 5, 5: 1 + Math.ceil(pieces / 8), 6: 13, 8: 13 };
const LONGEST = Math.max(9 + BLOCK, LENGTHS[5], 65536);
const MOST_QUEUED = 1000;

function message(peer, bytes) {
  if (bytes.length === 0) return;
  const id = bytes[0];
  const number = (n) => bytes.readUInt32BE(1 + 4 * n);
  if (id in LENGTHS && bytes.length !== LENGTHS[id]) return drop(peer, `message ${id} has ${bytes.length} bytes`);
  if (id === 0) {
    peer.choked = true;
    free(peer);
    for (const each of peers) request(each);
  }
  if (id === 1) peer.choked = false;
  if (id === 2) { peer.theirInterest = true; fillSlots(); }
  if (id === 3) { peer.theirInterest = false; fillSlots(); }
  if (id === 4) {
    if (number(0) >= pieces) return drop(peer, 'an index out of range');
    peer.has.add(number(0));
  }
  if (id === 5) {
    for (let n = 0; n < pieces; n++) if (bytes[1 + (n >> 3)] & (0x80 >> (n & 7))) peer.has.add(n);
  }
  if (id === 6) {
    const [index, at, length] = [number(0), number(1), number(2)];
    if (!done.has(index)) return drop(peer, `requests piece ${index}, which is not here`);
    if (length < 1 || length > BLOCK || at + length > sizeOf(index)) return drop(peer, 'requests what does not exist');
    if (peer.weChoke) return;
    if (peer.queue.length >= MOST_QUEUED) return drop(peer, 'too many requests');
    peer.queue.push([index, at, length]);
    serve(peer);
  }
  if (id === 7 && bytes.length > 9) block(peer, number(0), number(1), bytes.subarray(9));
  if (id === 8) {
    const where = peer.queue.findIndex(([index, at, length]) => index === number(0) && at === number(1) && length === number(2));
    if (where >= 0) peer.queue.splice(where, 1);
  }
  request(peer);
}

function greet(peer) {
  const peerId = Buffer.concat([Buffer.from('-ST0009-'), crypto.randomBytes(12)]);
  peer.socket.write(Buffer.concat([Buffer.from('\x13BitTorrent protocol'), Buffer.alloc(8), infoHash, peerId]));
  if (done.size === 0) return;
  const bits = Buffer.alloc(Math.ceil(pieces / 8));
  for (const index of done) bits[index >> 3] |= 0x80 >> (index & 7);
  send(peer, 5, bits);
}

function connected(socket, dialed) {
  const peer = {
    socket, has: new Set(), requests: new Map(), queue: [], bytes: 0,
    choked: true, interested: false, shaken: false, weChoke: true, theirInterest: false,
  };
  let buffer = Buffer.alloc(0);
  socket.setNoDelay(true);
  peers.add(peer);
  if (dialed) socket.on('connect', () => greet(peer));
  socket.on('drain', () => serve(peer));
  socket.on('data', (data) => {
    buffer = Buffer.concat([buffer, data]);
    if (!peer.shaken) {
      if (buffer.length < 68) return;
      if (buffer[0] !== 19 || !buffer.subarray(28, 48).equals(infoHash)) return drop(peer, 'another torrent');
      buffer = buffer.subarray(68);
      if (!dialed) greet(peer);
      peer.shaken = true;
    }
    while (buffer.length >= 4 && peers.has(peer)) {
      const length = buffer.readUInt32BE(0);
      if (length > LONGEST) return drop(peer, `a message of ${length} bytes`);
      if (buffer.length < 4 + length) return;
      const body = buffer.subarray(4, 4 + length);
      buffer = buffer.subarray(4 + length);
      message(peer, body);
    }
  });
  socket.on('error', (error) => drop(peer, error.message));
  socket.on('close', () => drop(peer, 'closed'));
}

net.createServer((socket) => connected(socket, false)).listen(Number(listenPort), '127.0.0.1');
for (const name of addresses) {
  const [host, port] = name.split(':');
  connected(net.connect(Number(port), host), true);
}
setInterval(() => {
  for (const peer of peers) {
    if ([...peer.requests.values()].some((at) => Date.now() - at > 20_000)) drop(peer, 'does not answer');
  }
}, 1000);
