// Wrong: makes text of each piece of the stream, so a letter that is cut becomes two U+FFFD, and bytes are counted as characters.
const net = require('net');
const [role, port] = process.argv.slice(2);
if (role !== 'framed-server') {
  console.error('only the framed server is done');
  process.exit(2);
}
net.createServer({ allowHalfOpen: true }, (socket) => {
  let head = Buffer.alloc(0);
  let length = null;
  let text = '';
  socket.on('data', (data) => {
    while (data.length > 0 || length === 0) {
      if (length === null) {
        const part = data.subarray(0, 4 - head.length);
        head = Buffer.concat([head, part]);
        data = data.subarray(part.length);
        if (head.length < 4) return;
        length = head.readUInt32BE(0);
        if (length > 65536) return socket.destroy();
      }
      const part = data.subarray(0, length - Buffer.byteLength(text));
      text += part.toString();
      data = data.subarray(part.length);
      if (Buffer.byteLength(text) < length) return;
      const answer = Buffer.from(text.toUpperCase());
      const answerHead = Buffer.alloc(4);
      answerHead.writeUInt32BE(answer.length);
      socket.write(Buffer.concat([answerHead, answer]));
      head = Buffer.alloc(0);
      length = null;
      text = '';
    }
  });
  socket.on('end', () => socket.end());
  socket.on('error', () => {});
}).listen(Number(port), '127.0.0.1');
