// Wrong: takes what each 'data' event brings for one message.
const net = require('net');
const [role, port] = process.argv.slice(2);
if (role !== 'framed-server') {
  console.error('only the framed server is done');
  process.exit(2);
}
net.createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('data', (data) => {
    const length = data.readUInt32BE(0);
    if (length > 65536) return socket.destroy();
    const answer = Buffer.from(data.subarray(4, 4 + length).toString().toUpperCase());
    const head = Buffer.alloc(4);
    head.writeUInt32BE(answer.length);
    socket.write(Buffer.concat([head, answer]));
  });
  socket.on('end', () => socket.end());
  socket.on('error', () => {});
}).listen(Number(port), '127.0.0.1');
process.on('uncaughtException', (error) => console.error(error.message));
