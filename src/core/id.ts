import { randomFillSync } from 'node:crypto'

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz' // Crockford's base32: no i, l, o, u, so an id can be read aloud
const POOL_BYTES = 8192
const pool = Buffer.alloc(POOL_BYTES)
let used = POOL_BYTES

/**
 * A random id of `length` characters, 5 bits each, from the system's generator: 26 characters (130 bits) cannot be
 * guessed, 12 (60 bits) are enough to find a record by.
 */
export function randomId(length: number): string {
  if (used + length > POOL_BYTES) refill()
  const id = pool.toString('latin1', used, used + length)
  pool.fill(0, used, used + length)
  used += length
  return id
}

function refill(): void {
  randomFillSync(pool)
  for (let i = 0; i < POOL_BYTES; i++) pool[i] = ALPHABET.charCodeAt(pool[i]! & 31)
  used = 0
}
