const http = require('node:http');
const { WebSocketServer } = require('ws');

const server = http.createServer((request, response) => {
  setTimeout(() => response.end('hello\n'), request.url === '/slow' ? 3000 : 0);
});
const sockets = new WebSocketServer({ server });
sockets.on('connection', (socket) => socket.on('message', (text) => socket.send(String(text))));

process.on('SIGTERM', () => {
  server.close();                                   // listens no more; what was asked is answered
  for (const socket of sockets.clients) socket.close(1001, 'going away');
  setTimeout(() => process.exit(1), 8000).unref();  // a client that does not answer the close
});
server.keepAliveTimeout = 65000;                    // longer than a balancer's idle timeout
server.listen(8080);
