// Messages to begin a mutation from: what real clients and origins send, and what attackers sent to others. All text is
// latin1.

const EVIL = 'GET http://a.example/evil HTTP/1.1\r\nHost: a.example\r\n\r\n'
const chunks = (...data: readonly string[]) =>
  [...data, ''].map((each) => `${each.length.toString(16)}\r\n${each}\r\n`).join('')

export const REQUESTS: readonly string[] = [
  'GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nUser-Agent: curl/8.9.1\r\nAccept: */*\r\nProxy-Connection: Keep-Alive\r\n\r\n',
  'GET http://a.example/x?y=z HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive\r\nAccept: text/html,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: a=b; c=d\r\n\r\n',
  'GET / HTTP/1.0\r\n\r\n',
  'GET http://a.example/ HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n',
  'HEAD http://a.example/file HTTP/1.1\r\nHost: a.example\r\n\r\n',
  `GET http://a.example/search HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`,
  `GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n${chunks(EVIL)}`,
  `DELETE http://a.example/1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello`,
  `POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`,
  `POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nTE: trailers\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n`,
  `PUT http://a.example/ HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello`,
  `POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n${chunks('0\r\n\r\n', EVIL)}`,
  `POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG`,
  `POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5;a="x;y"\r\nhello\r\n0;b\r\n\r\n`,
  `POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxx\r\n0000\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n`,
  `POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nConnection: Content-Length, Transfer-Encoding, Host\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`,
  `POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nConnection: close, transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n${chunks(EVIL)}`,
  `POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nX-Length: 5\r\nContent_Length: 0\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`,
  `POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer_Encoding: chunked\r\nContent-Length: ${5 + EVIL.length}\r\n\r\n0\r\n\r\n${EVIL}`,
  'GET http://a.example/chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  'GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n',
  'CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nProxy-Authorization: Basic YTpi\r\n\r\n\x16\x03\x01',
  'OPTIONS * HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 0\r\n\r\n',
  `\r\n${EVIL}`,
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
]

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'

export const RESPONSES: readonly string[] = [
  'HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Wed, 25 Nov 2026 18:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello',
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks('hello', ANSWER)}`,
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Server-Timing\r\n\r\n5;x="y"\r\nhello\r\n0\r\nServer-Timing: a\r\nContent-Length: 7\r\n\r\n',
  `HTTP/1.1 200 OK\r\nContent-Length: ${ANSWER.length}\r\n\r\n${ANSWER}`,
  `HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n${ANSWER}`,
  'HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello',
  `HTTP/1.1 200 OK\r\n\r\n${ANSWER}`,
  'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n',
  `HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n${chunks(ANSWER)}`,
  `HTTP/1.1 205 Reset Content\r\nContent-Length: ${ANSWER.length}\r\n\r\n${ANSWER}`,
  'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nTransfer-Encoding: chunked\r\n\r\n',
  `HTTP/1.1 100 Continue\r\n\r\n${ANSWER}`,
  `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ANSWER}`,
  `HTTP/1.1 102 Processing\r\nTransfer-Encoding: chunked\r\n\r\n${ANSWER}`,
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00',
  'HTTP/1.1 301 Moved Permanently\r\nLocation: http://b.example/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
  `HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: ${ANSWER.length}\r\n\r\n${ANSWER}`,
  `HTTP/1.1 200 OK\r\nContent_Length: 0\r\nContent-Length: ${ANSWER.length}\r\n\r\n${ANSWER}`,
  `HTTP/1.1 200 OK\r\nTransfer_Encoding: chunked\r\nContent-Length: ${5 + ANSWER.length}\r\n\r\n0\r\n\r\n${ANSWER}`,
  `HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n${chunks('hello')}`,
  'HTTP/1.1 502\r\nContent-Length: 0\r\n\r\n',
]

/** Lines in which others disagreed, to be put in anywhere. */
export const NASTY_LINES: readonly string[] = [
  'Content-Length: 5;',
  'Content-Length: 5 5',
  'Content-Length: 1_0',
  'Content-Length: 4294967301',
  'Content-Length: -1',
  'Content-Length:',
  'Content_Length: 3',
  'Content-Length\0: 5',
  'Content-Length\t: 5',
  'Transfer_Encoding: chunked',
  'Transfer-Encoding: chunked;q=1',
  'Transfer-Encoding: Chunked',
  'Transfer-Encoding:\x0bchunked',
  'Transfer-Encoding: chunked\xa0',
  'Transfer-Encoding\0: chunked',
  'X: a\rTransfer-Encoding: chunked',
  'X: a\nTransfer-Encoding: chunked',
  'X: a\x85Transfer-Encoding: chunked',
  'X:\r\n chunked',
  'Connection: close',
  'Connection: Content-Length',
  'Connection: transfer-encoding, host',
  'Connection: Upgrade\r\nUpgrade: websocket',
  'Trailer: Content-Length',
  'Expect: 100-continue',
  'Host: a.example\r\n',
]

/** What may stand where a chunk size stands. */
export const NASTY_SIZES: readonly string[] = [
  '0x5',
  '+5',
  '-5',
  '5_',
  ' 5',
  '5 ',
  '100000005',
  '10000000000000005',
  '5;a="\r\n"',
  '5;a\n',
  '5\r',
  '',
  '00000',
  '05',
]
