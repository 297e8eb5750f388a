import { type Field, field } from '../../src/core/fields.ts'
import type { RequestHead } from '../../src/http1/request-reader.ts'
import type { ResponseHead } from '../../src/http1/response-reader.ts'
import { chunk, lastChunk, requestHead, responseHead } from '../../src/http1/writer.ts'
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
  kind: RequestHead['framing']['kind'],
  body: string,
  trailers: Told<RequestHead>['trailers'],
): Buffer[] {
  if (trailers === undefined) throw new Error('the message is not whole')
  if (kind !== 'chunked') return [bytesOf(body)]
  return [...(body === '' ? [] : chunk(bytesOf(body))), lastChunk(trailers)]
}
