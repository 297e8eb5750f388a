import { spawn } from 'node:child_process'
import type { RequestListener } from 'node:http'
import type { Certificate } from './certificate.ts'
import { type ContentOrigin, startContentOrigin } from './content-origin.ts'

/** Git over https as real servers do it: `git http-backend` by CGI, on bare repositories in a folder. */
export function startGitOrigin(root: string, tls: Certificate): Promise<ContentOrigin> {
  return startContentOrigin({ tls, serve: backend(root) })
}

function backend(root: string): RequestListener {
  return (request, response) => {
    const { pathname, search } = new URL(request.url ?? '/', 'https://origin')
    const { headers } = request
    const child = spawn('git', ['http-backend'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      // RFC 3875 §4.1; no Content-Length means: until the end of the input.
      env: {
        PATH: process.env['PATH'],
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: '1',
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_PROTOCOL: headers['git-protocol']?.toString(),
        HTTP_CONTENT_ENCODING: headers['content-encoding'],
        REQUEST_METHOD: request.method,
        PATH_INFO: decodeURIComponent(pathname),
        QUERY_STRING: search.slice(1),
        CONTENT_TYPE: headers['content-type'],
        CONTENT_LENGTH: headers['content-length'],
        REMOTE_USER: 'ada',
        REMOTE_ADDR: '127.0.0.1',
      },
    })
    child.on('error', (error) => response.destroy(error))
    child.stdin.on('error', () => {})
    request.pipe(child.stdin)
    let head = Buffer.alloc(0)
    child.stdout.on('data', function first(bytes: Buffer) {
      head = Buffer.concat([head, bytes])
      const end = head.indexOf('\r\n\r\n')
      if (end === -1) return
      child.stdout.off('data', first)
      const fields = head
        .toString('latin1', 0, end)
        .split('\r\n')
        .map((line) => line.split(': ') as [string, string])
      const status = fields.find(([name]) => name === 'Status')?.[1]
      response.writeHead(
        status === undefined ? 200 : Number.parseInt(status, 10),
        fields.filter(([name]) => name !== 'Status').flat(),
      )
      response.write(head.subarray(end + 4))
      child.stdout.pipe(response)
    })
  }
}
