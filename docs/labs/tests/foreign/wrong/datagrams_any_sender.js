// Wrong: the first datagram is the reply, whoever sent it; and without one the client waits forever.
const dgram = require('dgram');
const readline = require('readline');
const [role, ...rest] = process.argv.slice(2);
const socket = dgram.createSocket('udp4');
if (role === 'server') {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  socket.on('message', (bytes, from) => {
    let text;
    try { text = decoder.decode(bytes); } catch { return; }
    socket.send(Buffer.from(text.toUpperCase()), from.port, from.address);
  });
  socket.bind(Number(rest[0]), '127.0.0.1');
} else {
  const [host, port] = rest;
  readline.createInterface({ input: process.stdin }).once('line', (line) => {
    socket.send(line, Number(port), host);
  });
  socket.on('message', (bytes) => {
    console.log(bytes.toString());
    process.exit(0);
  });
}
