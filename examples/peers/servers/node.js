// In Node: the http module of its standard library, one process with one event loop, and a Map.
'use strict';
const http = require('node:http');

const pairs = new Map();

function answer(request) {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  const [[key, value] = [], ...more] = searchParams;
  if (request.method !== 'GET' || !key || !value || more.length > 0) return [500];
  switch (pathname) {
    case '/set':
      pairs.set(key, value);
      return [200];
    case '/get':
      if (key !== 'key') return [500];
      return pairs.has(value) ? [200, pairs.get(value)] : [404];
    default:
      return [500];
  }
}

http.createServer((request, response) => {
  const [status, body] = answer(request);
  response.writeHead(status, { 'Content-Type': 'text/plain' });
  response.end(body);
}).listen(Number(process.argv[2]), '127.0.0.1');
