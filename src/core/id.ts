import { randomFillSync } from 'node:crypto'

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz' // Crockford's base32: no i, l, o, u, so an id can be read aloud
const pool = Buffer.alloc(8192)
let used = pool.length

/**
 * A random id of `length` characters, 5 bits each, from the system's generator: 26 characters (130 bits) cannot be
 * guessed, 12 (60 bits) are enough to find a record by.
 */
export function randomId(length: number): string {
  if (used + length > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  let id = ''
  for (let i = 0; i < length; i++) id += ALPHABET[pool[used + i]! & 31]
  pool.fill(0, used, used + length)
  used += length
  return id
}
