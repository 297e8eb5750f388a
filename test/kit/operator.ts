import { request } from 'node:http'
import type { TestProxy } from './proxy.ts'

/** The parts of an approval that tests look at, as the admin API gives them. */
export interface ShownApproval {
  readonly id: string
  readonly status: string
  readonly host: string
  readonly port: number
  readonly client: string
  readonly waiting: number
  readonly asked: number
  readonly requester_left: boolean
}

/** Somebody who answers approvals through the admin socket of a test's proxy. */
export interface Operator {
  approvals(): Promise<ShownApproval[]>
  /** Waits until a question about this host has been asked, and returns the approval. */
  asked(host: string, n?: number): Promise<ShownApproval>
  answer(id: string, answer: { verdict: 'allow' | 'deny'; scope?: string; for?: string }): Promise<void>
  grants(): Promise<{ readonly id: string; readonly uses: number }[]>
  revoke(id: string): Promise<void>
  status(): Promise<{ readonly connections: number }>
}

export function operatorOf(proxy: TestProxy): Operator {
  async function call(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    const answer = await send(proxy.socket, method, path, body)
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
    return JSON.parse(answer.text) as Record<string, unknown>
  }
  return {
    approvals: async () => (await call('GET', '/v1/approvals'))['approvals'] as ShownApproval[],
    async asked(host, n = 1) {
      const opened = await proxy.event(
        'sallyport.approval.opened',
        ({ attributes }) => attributes['server.address'] === host,
        n,
      )
      const id = String(opened.attributes['sallyport.approval.id'])
      return (await call('GET', `/v1/approvals/${id}`)) as unknown as ShownApproval
    },
    answer: async (id, answer) => void (await call('POST', `/v1/approvals/${id}/answer`, answer)),
    grants: async () => (await call('GET', '/v1/grants'))['grants'] as { id: string; uses: number }[],
    revoke: async (id) => void (await call('DELETE', `/v1/grants/${id}`)),
    status: async () => (await call('GET', '/v1/status')) as { connections: number },
  }
}

function send(
  socketPath: string,
  method: string,
  path: string,
  body: object | undefined,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = {
      host: 'localhost',
      connection: 'close',
      ...(body && { 'content-type': 'application/json' }),
    }
    const asking = request({ socketPath, method, path, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (piece: string) => void (text += piece))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      response.on('error', reject)
    })
    asking.on('error', reject)
    asking.end(body && JSON.stringify(body))
  })
}
