import type { z } from 'zod'
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiOverride,
  type ZodOpenApiResponsesObject,
} from 'zod-openapi'
import { PROBLEM_TYPE, PROBLEMS, type ProblemCode } from './problem.ts'
import * as schema from './schema.ts'

/** The OpenAPI 3.1 document of this API, from the schemas that check it. */
export function openApiDocument(version: string) {
  const id = { path: schema.idParameter }
  return createDocument(
    {
      openapi: '3.1.0',
      info: {
        title: 'Sallyport admin API',
        version,
        description:
          'On a Unix socket, and on loopback with a bearer token. Times are ISO 8601 in UTC; unknown members of bodies are errors, unknown members of answers are to be ignored.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [
        { url: 'http://localhost', description: 'on the Unix socket, or with the port of admin.listen' },
      ],
      security: [{}, { token: [] }],
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: 'on loopback; the socket needs none' },
        },
      },
      paths: {
        '/v1/approvals': {
          get: operation('listApprovals', 'What waits for an answer, and what was answered', {
            requestParams: { query: schema.listQuery },
            success: done(schema.approvalList),
            codes: ['invalid'],
          }),
        },
        '/v1/approvals/{id}': {
          get: operation('showApproval', 'One approval', {
            requestParams: id,
            success: done(schema.approval),
            codes: ['not_found', 'invalid', 'ambiguous_id'],
          }),
        },
        '/v1/approvals/{id}/answer': {
          post: operation('answerApproval', 'Allow or deny; the first answer wins', {
            requestParams: id,
            requestBody: body(schema.answerBody),
            success: done(schema.approvalAnswered),
            codes: [
              ...BODY_PROBLEMS,
              'not_found',
              'ambiguous_id',
              'conflict',
              'too_many_grants',
              'not_stored',
            ],
          }),
        },
        '/v1/grants': {
          get: operation('listGrants', 'Remembered answers that are in force', {
            success: done(schema.grantList),
          }),
        },
        '/v1/grants/{id}': {
          delete: operation('revokeGrant', 'Takes a grant out of force at once', {
            requestParams: { ...id, query: schema.byQuery },
            success: done(schema.grantRevoked),
            codes: ['not_found', 'invalid', 'ambiguous_id', 'not_stored'],
          }),
        },
        '/v1/policy': {
          get: operation('showPolicy', 'The effective settings, and where each comes from', {
            success: done(schema.policy),
          }),
        },
        '/v1/explain': {
          post: operation(
            'explain',
            'What would happen to a request, and why; nothing is sent or looked up',
            {
              requestBody: body(schema.explainBody),
              success: done(schema.explanation),
              codes: [...BODY_PROBLEMS],
            },
          ),
        },
        '/v1/events': {
          get: operation('watch', 'Approvals and decisions as they happen', {
            description:
              'Server-sent events: snapshot, approval, grant, decision (see the schemas of these names). A reader that is too slow is cut; connect again, the snapshot tells what was missed.',
            requestParams: { query: schema.eventsQuery },
            success: {
              '200': {
                description: 'a stream without end',
                content: { 'text/event-stream': { schema: schema.streamEvent } },
              },
            },
            codes: ['invalid', 'too_many_watchers'],
          }),
        },
        '/v1/reload': {
          post: operation(
            'reload',
            'Reads the configuration again; a bad one is refused and the old one stays',
            {
              requestBody: body(schema.emptyBody),
              success: done(schema.reloaded),
              codes: [...BODY_PROBLEMS, 'config_refused'],
            },
          ),
        },
        '/v1/status': {
          get: operation('showStatus', 'What runs, since when, and how much of it', {
            success: done(schema.daemonStatus),
          }),
        },
        '/livez': {
          get: operation('livez', 'Whether the process turns; needs no token', {
            security: [],
            success: done(schema.health),
          }),
        },
        '/readyz': {
          get: operation('readyz', 'Whether it is fit to serve; needs no token without ?verbose', {
            requestParams: { query: schema.readyQuery },
            success: {
              ...done(schema.health),
              '503': { description: 'not ready', content: json(schema.health) },
            },
          }),
        },
        '/openapi.json': {
          get: operation('openapi', 'This document', {
            success: {
              '200': {
                description: 'OpenAPI 3.1',
                content: { 'application/json': { schema: { type: 'object' } } },
              },
            },
          }),
        },
      },
    },
    { override: plain },
  )
}

/**
 * What zod says of JavaScript rather than of the API: answers may grow members later, and nobody is helped by the bounds of
 * whole numbers.
 */
const plain: ZodOpenApiOverride = ({ jsonSchema, io }) => {
  if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum
}

const BODY_PROBLEMS = ['malformed_json', 'body_too_large', 'unsupported_media_type', 'invalid'] as const

/** What the gate says before any route is asked, and what can always go wrong. */
const COMMON_PROBLEMS = [
  'malformed_request',
  'unauthorized',
  'cross_site',
  'wrong_host',
  'too_many_failures',
  'internal_error',
] as const

interface Operation extends Omit<ZodOpenApiOperationObject, 'operationId' | 'summary' | 'responses'> {
  readonly success: ZodOpenApiResponsesObject
  readonly codes?: readonly ProblemCode[]
}

function operation(
  operationId: string,
  summary: string,
  { success, codes = [], ...rest }: Operation,
): ZodOpenApiOperationObject {
  return {
    operationId,
    summary,
    ...rest,
    responses: { ...problems([...COMMON_PROBLEMS, ...codes]), ...success },
  }
}

function body(of: z.ZodType) {
  return { required: true, content: json(of) }
}

function done(of: z.ZodType): ZodOpenApiResponsesObject {
  return { '200': { description: 'done', content: json(of) } }
}

function json(of: z.ZodType) {
  return { 'application/json': { schema: of } }
}

/** One response a status, which several codes may share. */
function problems(codes: readonly ProblemCode[]): ZodOpenApiResponsesObject {
  const byStatus = Object.groupBy(codes, (code) => String(PROBLEMS[code].status))
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, same = []]) => [
      status,
      {
        description: same.map((code) => `${code}: ${PROBLEMS[code].title}`).join(' '),
        content: { [PROBLEM_TYPE]: { schema: schema.problem } },
      },
    ]),
  )
}
