import { type Authority, InvalidTarget, parseAuthority } from '../../src/core/authority.ts'
import { type Field, field } from '../../src/core/fields.ts'
import { parseRequestTarget } from '../../src/core/request-target.ts'
import type { RequestHead } from '../../src/http1/request-reader.ts'
import type { ResponseHead } from '../../src/http1/response-reader.ts'
import { chunk, lastChunk, requestHead, responseHead } from '../../src/http1/writer.ts'
import {
  asksForWebSocket,
  clientFraming,
  isResetWithContent,
  requestFields,
  responseFields,
  trailerFields,
} from '../../src/proxy/forward-fields.ts'
import { bytesOf, type Told } from './transcript.ts'

/** The fields of a request for HTTP/1.1, which is what the writer writes: from 1.0, Host may be missing. */
export function fieldsForRewriting({ head }: Told<RequestHead>): readonly Field[] {
  return head.fields.some(({ key }) => key === 'host')
    ? head.fields
    : [field('Host', 'a.example'), ...head.fields]
}

/** The same message from the writer, as a proxy would send it on that changes no field. It must be whole. */
export function rewriteRequest(message: Told<RequestHead>): Buffer {
  const { head, body, trailers } = message
  const written = requestHead(head.method, head.target, fieldsForRewriting(message))
  return Buffer.concat([written, ...content(head.framing.kind, body, trailers)])
}

export function rewriteResponse({ head, body, trailers }: Told<ResponseHead>): Buffer {
  const written = responseHead(head.status, head.reason, head.fields, head.version)
  return Buffer.concat([written, ...content(head.framing.kind, body, trailers)])
}

function content(
  kind: ResponseHead['framing']['kind'],
  body: string,
  trailers: Told<RequestHead>['trailers'],
): Buffer[] {
  if (trailers === undefined) throw new Error('the message is not whole')
  if (kind !== 'chunked') return [bytesOf(body)]
  return [...(body === '' ? [] : chunk(bytesOf(body))), lastChunk(trailers)]
}

const VIA = field('Via', '1.1 sallyport')
const INSIDE = parseAuthority('a.example:80')

/** Where the proxy would send the request; undefined: it would not. */
function targetOf(head: RequestHead): { authority: Authority; path: string } | undefined {
  if (head.target.startsWith('/')) return { authority: INSIDE, path: head.target }
  try {
    const target = parseRequestTarget(head.method, head.target)
    return target.kind === 'http' ? target : undefined
  } catch (error) {
    if (error instanceof InvalidTarget) return undefined
    throw error
  }
}

/** The request as it goes to the origin, from the parts that the proxy is made of; undefined: it is not forwarded. */
export function forwardRequest({ head, body, trailers }: Told<RequestHead>): Buffer | undefined {
  const target = targetOf(head)
  if (target === undefined) return undefined
  const fields = requestFields(head, target.authority, VIA, asksForWebSocket(head))
  const written = requestHead(head.method, target.path, fields)
  return Buffer.concat([written, ...content(head.framing.kind, body, trailers && trailerFields(trailers))])
}

/** The response as it goes to a client of `version`. */
export function forwardResponse(
  { head, body, trailers }: Told<ResponseHead>,
  interim: readonly ResponseHead[],
  version: '1.0' | '1.1',
): Buffer {
  const before =
    version === '1.0'
      ? []
      : interim.map((each) =>
          responseHead(each.status, each.reason, responseFields(each, 'none', VIA, 'unsaid')),
        )
  const framing = clientFraming(head, version)
  const written = responseHead(
    head.status,
    head.reason,
    responseFields(head, framing, VIA, responseConnection(head, framing, version)),
  )
  return Buffer.concat([...before, written, ...content(framing, body, trailers && trailerFields(trailers))])
}

function responseConnection(
  head: ResponseHead,
  framing: ReturnType<typeof clientFraming>,
  version: '1.0' | '1.1',
): 'close' | 'keep-alive' | 'unsaid' {
  if (framing === 'close' || isResetWithContent(head)) return 'close'
  return version === '1.0' ? 'keep-alive' : 'unsaid'
}
