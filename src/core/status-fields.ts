/** The fields by which a proxy says what it did: Proxy-Status (RFC 9209), as Structured Fields (RFC 9651). */

/** `name; error=http_request_denied; details="…"`; `name` as a token where it is one, else as a string. */
export function proxyStatus(name: string, error: string, details?: string): string {
  const member = `${item(name)}; error=${error}`
  return details === undefined ? member : `${member}; details=${quoted(details)}`
}

function item(text: string): string {
  return /^[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*$/.test(text) ? text : quoted(text)
}

/** sf-string: printable ASCII only; anything else becomes `?`. */
function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '?').replace(/[\\"]/g, '\\$&')}"`
}
