const http = require('node:http');

let draining = false;

const server = http.createServer((request, response) => {
  if (draining) response.setHeader('Connection', 'close');
  response.end('ok\n');
});

process.on('SIGUSR2', () => { draining = true; });
process.on('SIGTERM', () => server.close());
server.listen(process.env.PORT || 8080);
