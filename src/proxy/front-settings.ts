import type { Settings } from '../config/schema.ts'
import type { MessageLimits } from '../http1/limits.ts'
import type { FrontSettings } from './front.ts'

/** Chunk extensions mean nothing to anybody (RFC 9112 §7.1.1): bytes of them in one message, before it is refused. */
const CHUNK_EXTENSION_BYTES = 1024

/** What the doors need of the configuration, in their own words. */
export function frontSettings(settings: Settings): FrontSettings {
  const { limits, tunnel } = settings
  return {
    message: requestLimits(settings),
    headerTimeout: limits.header_timeout,
    idleTimeout: limits.idle_timeout,
    earlyBytes: limits.early_bytes,
    connections: limits.connections,
    connectionsPerClient: limits.connections_per_client,
    responseTimeout: limits.response_timeout,
    bodyIdleTimeout: limits.body_idle_timeout,
    helloTimeout: limits.tunnel_hello_timeout,
    requireTls: tunnel.require_tls,
    raw: new Set(tunnel.raw),
  }
}

function requestLimits({ limits }: Settings): MessageLimits {
  return {
    headBytes: limits.head,
    targetBytes: limits.target,
    fieldCount: limits.fields,
    chunkExtensionBytes: CHUNK_EXTENSION_BYTES,
    trailerBytes: limits.trailer,
    interimCount: limits.interim_responses,
  }
}

/** Origins may say more in a head than clients may. */
export function responseLimits(settings: Settings): MessageLimits {
  return { ...requestLimits(settings), headBytes: settings.limits.response_head }
}
